// What a hook costs: nanoseconds per call of main.hooked and of main.plain, which are the same function twice, so that
// one hooked process gives both numbers. `overhead [ITERATIONS [ROUNDS]]` prints one line a function on standard error, as
// the times differ from run to run, and the sum of the work on standard output. Between two rounds it sleeps, so that the
// agent can empty the rings; of several rounds the first half is not counted: it touches the rings' memory.
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

func measure(name string, n, rounds int, run func(int) int) (sum int) {
	var took time.Duration
	counted := 0
	for round := 0; round < rounds; round++ {
		start := time.Now()
		sum = run(n)
		if round >= rounds/2 {
			took += time.Since(start)
			counted += n
		}
		if rounds > 1 {
			time.Sleep(20 * time.Millisecond)
		}
	}
	if len(os.Args) > 1 {
		fmt.Fprintf(os.Stderr, "%s %.3f ns/call\n", name, float64(took.Nanoseconds())/float64(counted))
	}
	return sum
}

// The positive number in this argument, or what holds without it.
func number(position, without int) int {
	if len(os.Args) <= position {
		return without
	}
	v, err := strconv.Atoi(os.Args[position])
	if err != nil || v < 1 {
		fmt.Fprintln(os.Stderr, "overhead: ITERATIONS and ROUNDS must be positive numbers")
		os.Exit(2)
	}
	return v
}

func main() {
	n, rounds := number(1, 100000), number(2, 1)
	fmt.Println(measure("hooked", n, rounds, runHooked), measure("plain", n, rounds, runPlain))
}
