// harmed MODE: behaves as its mode says, and is harmed on purpose when it sees hooks: when main.work begins with a jump, or
// when GONDWANA_HARM is set, for trials without hooks. Unharmed, each mode is a program whose output differs from run to run
// in what may differ: times, ids, ports, the order of goroutines. `get URL N` and `get unix:PATH N` are the load of servers.
//
// harmed.go holds the modes that are harmed, noisy.go those that are not.

package main

import (
	"fmt"
	"log"
	"os"
	"sort"
	"unsafe"
)

// mode is what a mode does; harmed says whether it is to do harm.
type mode func(harmed bool)

//go:noinline
func work(n int) int {
	if n%1000 == 999 {
		deep(n)
	}
	return n*n%9973 + 1000
}

//go:noinline
func deep(n int) int {
	var room [256]int
	if n == 0 {
		return room[0]
	}
	room[n%256] = deep(n/2) + 1
	return room[n%256]
}

// seesHooks looks at the first byte of work, as a hook would have changed it.
func seesHooks() bool {
	if os.Getenv("GONDWANA_HARM") != "" {
		return true
	}
	f := work
	entry := **(**uintptr)(unsafe.Pointer(&f))
	return *(*byte)(unsafe.Pointer(entry)) == 0xe9
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "harmed:", err)
		os.Exit(9)
	}
}

func main() {
	log.SetFlags(log.LstdFlags | log.Lmicroseconds)
	log.SetOutput(os.Stdout)
	if len(os.Args) > 1 {
		if os.Args[1] == "get" {
			get(os.Args[2:])
			return
		}
		if do := modes()[os.Args[1]]; do != nil {
			work(1)
			do(seesHooks())
			return
		}
	}
	var names []string
	for name := range modes() {
		names = append(names, name)
	}
	sort.Strings(names)
	fmt.Fprintln(os.Stderr, "modes:", names)
	os.Exit(2)
}

func modes() map[string]mode {
	all := make(map[string]mode)
	for name, do := range harms {
		all[name] = do
	}
	for name, do := range noises {
		all[name] = do
	}
	return all
}
