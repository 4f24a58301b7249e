// What a hook costs: nanoseconds per call of main.hooked and of main.plain, which are the same function twice, so that
// one hooked process gives both numbers. `overhead [ITERATIONS]` prints one line a function on standard error, as the
// times differ from run to run, and the sum of the work on standard output.
//
// hook: main.hooked
// event: main.hooked 100000

package main

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

//go:noinline
func hooked(a, b int) int { return a*3 + b }

//go:noinline
func plain(a, b int) int { return a*3 + b }

//go:noinline
func runHooked(n int) (sum int) {
	for i := 0; i < n; i++ {
		sum = hooked(sum, i) & 0xffff
	}
	return sum
}

//go:noinline
func runPlain(n int) (sum int) {
	for i := 0; i < n; i++ {
		sum = plain(sum, i) & 0xffff
	}
	return sum
}

func measure(name string, n int, run func(int) int) int {
	start := time.Now()
	sum := run(n)
	took := time.Since(start)
	if len(os.Args) > 1 {
		fmt.Fprintf(os.Stderr, "%s %.3f ns/call\n", name, float64(took.Nanoseconds())/float64(n))
	}
	return sum
}

func main() {
	n := 100000
	if len(os.Args) > 1 {
		v, err := strconv.Atoi(os.Args[1])
		if err != nil || v < 1 {
			fmt.Fprintln(os.Stderr, "overhead: ITERATIONS must be a positive number")
			os.Exit(2)
		}
		n = v
	}
	fmt.Println(measure("hooked", n, runHooked), measure("plain", n, runPlain))
}
