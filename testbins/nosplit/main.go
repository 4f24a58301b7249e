// Functions without a stack check (go:nosplit), with and without a frame, called near the end of the stack: a hook must
// not take the room that is not there.
//
// hook: main.guarded
// hook: main.framed
// hook: main.down
// event: main.down 40200
// event: main.guarded >=1
// event: main.framed >=1

package main

import "fmt"

//go:nosplit
//go:noinline
func guarded(a, b int) int { return framed(a) + b }

//go:nosplit
//go:noinline
func framed(a int) int {
	var room [12]int
	for i := range room {
		room[i] = a + i
	}
	return room[a%12]
}

// down visits every distance from the stack's end, in steps of its own frame.
//
//go:noinline
func down(n int) int {
	if n == 0 {
		return 0
	}
	return guarded(n, down(n-1)) + framed(n)
}

func main() {
	total := 0
	done := make(chan int)
	for i := 0; i < 200; i++ {
		go func(n int) { done <- down(n) }(200)
		total += <-done
	}
	fmt.Println(total)
}
