// Functions shorter than a jump: they are refused or hooked through the padding behind them, and the program runs all
// the same. Their neighbours must stay whole.
//
// hook: main.*
// event: main.nop >=0 or refused
// event: main.same >=0 or refused
// event: main.neighbour >=0 or refused
// event: main.T.nop >=0 or refused

package main

import "fmt"

//go:noinline
func nop() {}

//go:noinline
func same(x int) int { return x }

//go:noinline
func zero() int { return 0 }

//go:noinline
func neighbour(x int) int { return x + 1 }

//go:noinline
func yes() bool { return true }

// T has an empty method.
type T struct{}

//go:noinline
func (T) nop() {}

//go:noinline
func last(x *int) { *x = 1 }

func main() {
	n, x := 0, 0
	for i := 0; i < 3000; i++ {
		nop()
		n += same(i) + zero() + neighbour(i)
		if yes() {
			last(&x)
		}
		T{}.nop()
	}
	fmt.Println(n, x)
}
