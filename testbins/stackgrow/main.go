// Recursion through several stack growths, with hooks on every level, in fresh goroutines whose stacks start small.
// Pointers into the stack are passed down and used on the way up, after the stack has moved.
//
// hook: main.down
// hook: main.wide
// event: main.down 16008
// event: main.wide 4004

package main

import "fmt"

type link struct {
	up    *link
	value int
}

// down has a small frame: the stack grows at many different depths.
//
//go:noinline
func down(n int, up *link) int {
	here := link{up, n}
	if n == 0 {
		sum := 0
		for l := up; l != nil; l = l.up {
			sum += l.value
			l.value++
		}
		return sum
	}
	sum := down(n-1, &here)
	return sum + here.value - n
}

// wide has a frame of some hundred bytes: the large-frame form of the stack check.
//
//go:noinline
func wide(n int, up *[100]int) int {
	var here [100]int
	here[n%100] = n
	if n == 0 {
		return up[1%100]
	}
	sum := wide(n-1, &here)
	return sum + here[n%100]
}

func main() {
	done := make(chan int)
	for i := 0; i < 4; i++ {
		// One after the other: each starts with a stack of its own.
		go func() { done <- down(4001, nil) }()
		a := <-done
		go func() { done <- wide(1000, nil2()) }()
		b := <-done
		fmt.Println(i, a, b)
	}
}

//go:noinline
func nil2() *[100]int { return new([100]int) }
