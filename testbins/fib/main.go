// The smallest program with something to count: recursion and a frame that is entered very often.
//
// hook: main.fib
// event: main.fib 21891

package main

import "fmt"

//go:noinline
func fib(n int) int {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

func main() {
	fmt.Println("fib(20) =", fib(20))
}
