// Calls main.work 1000 times; with -look it first says what can be seen of hooks from inside: open descriptors, shared
// and executable mappings, and whether the text in memory is that of the file.

package main

import (
	"bytes"
	"debug/elf"
	"fmt"
	"io/ioutil"
	"os"
	"sort"
	"strconv"
	"strings"
)

var sum int

//go:noinline
func work(n int) {
	if n%100 == 0 {
		deep(n)
	}
	sum += n
}

//go:noinline
func deep(n int) int {
	var room [256]int
	if n == 0 {
		return room[0]
	}
	room[n%256] = deep(n-1) + 1
	return room[n%256]
}

func check(err error) {
	if err != nil {
		fmt.Println(err)
		os.Exit(9)
	}
}

func look() {
	files, err := ioutil.ReadDir("/proc/self/fd")
	check(err)
	var names []string
	for _, file := range files {
		if name, err := os.Readlink("/proc/self/fd/" + file.Name()); err == nil {
			if strings.Contains(name, "memfd") || strings.Contains(name, "gondwana") {
				names = append(names, name)
			}
		}
	}
	sort.Strings(names)
	fmt.Println("descriptors", names)

	maps, err := ioutil.ReadFile("/proc/self/maps")
	check(err)
	executable := 0
	for _, line := range strings.Split(string(maps), "\n") {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if fields[1][2] == 'x' {
			executable++
		}
		if fields[1][3] == 's' || strings.Contains(line, "memfd") {
			fmt.Println("shared", fields)
		}
	}
	fmt.Println("executable", executable)

	file, err := elf.Open("/proc/self/exe")
	check(err)
	text := file.Section(".text")
	old, err := text.Data()
	check(err)
	memory, err := os.Open("/proc/self/mem")
	check(err)
	now := make([]byte, len(old))
	_, err = memory.ReadAt(now, int64(text.Addr))
	check(err)
	fmt.Println("text unchanged", bytes.Equal(old, now))
	memory.Close()
	file.Close()
}

func main() {
	rounds := 1
	if len(os.Args) > 1 {
		if os.Args[1] == "-look" {
			look()
		} else {
			rounds, _ = strconv.Atoi(os.Args[1])
		}
	}
	for r := 0; r < rounds; r++ {
		sum = 0
		for n := 0; n < 1000; n++ {
			work(n)
		}
	}
	fmt.Println(sum)
}
