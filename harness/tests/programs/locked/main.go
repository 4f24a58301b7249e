// As threads, in a process that locks all its memory, present and future, before it does anything else.

package main

import (
	"bufio"
	"fmt"
	"io/ioutil"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

var sum [4096]int

//go:noinline
func unit(n int) {
	sum[n]++
}

func number(at int) int {
	n, err := strconv.Atoi(os.Args[at])
	if err != nil {
		panic(err)
	}
	return n
}

func status() {
	text, err := ioutil.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	for _, line := range strings.Split(string(text), "\n") {
		for _, name := range []string{"VmSize:", "VmRSS:", "VmLck:"} {
			if strings.HasPrefix(line, name) {
				fmt.Println(strings.Join(strings.Fields(line), " "))
			}
		}
	}
}

func main() {
	prepare()
	threads, calls := number(1), number(2)
	var called, done sync.WaitGroup
	called.Add(threads)
	done.Add(1)
	for n := 0; n < threads; n++ {
		go func(n int) {
			runtime.LockOSThread()
			for i := 0; i < calls; i++ {
				unit(n)
			}
			called.Done()
			// The thread stays until all have called.
			done.Wait()
		}(n)
	}
	called.Wait()
	total := 0
	for n := 0; n < threads; n++ {
		total += sum[n]
	}
	fmt.Println("calls", total)
	status()
	bufio.NewReader(os.Stdin).ReadString('\n')
	if len(os.Args) > 3 {
		panic("on purpose")
	}
}
