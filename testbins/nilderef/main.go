// Faults in hooked functions, also in their very first instructions, which may be the displaced ones: the runtime turns
// them into panics, and the program recovers. Division by zero and failing bounds checks likewise.
//
// hook: main.load
// hook: main.store
// hook: main.field
// hook: main.divide
// hook: main.index
// hook: main.call
// hook: main.slow
// event: main.load 200 abandoned 200 or refused
// event: main.store 200 abandoned 200 or refused
// event: main.field 0 abandoned 200 or refused
// event: main.divide 200 abandoned 200
// event: main.index 200 abandoned 200
// event: main.call 0 abandoned 200 or refused
// event: main.slow 200 abandoned 200

package main

import "fmt"

type large struct {
	pad [64]int
	n   int
}

//go:noinline
func load(p *int) int { return *p }

//go:noinline
func store(p *int, n int) { *p = n }

//go:noinline
func field(p *large) int { return p.n }

//go:noinline
func divide(a, b int) int { return a / b }

//go:noinline
func index(xs []int, i int) int { return xs[i] }

//go:noinline
func call(f func(int) int) int { return f(1) }

//go:noinline
func slow(p *large, n int) int {
	var room [100]int
	for i := range room {
		room[i] = n + i
	}
	return room[n&63] + p.n
}

var caught = map[string]int{}

//go:noinline
func try(name string, f func()) {
	defer func() {
		if v := recover(); v != nil {
			if _, ok := v.(error); ok {
				caught[name]++
			}
		}
	}()
	f()
}

func main() {
	total := 0
	x, l := 5, &large{n: 6}
	for i := 0; i < 200; i++ {
		total += load(&x) + divide(i, 3) + index([]int{1, 2, 3}, i%3) + slow(l, i)
		store(&x, i)
		try("load", func() { total += load(nil) })
		try("store", func() { store(nil, 1) })
		try("field", func() { total += field(nil) })
		try("divide", func() { total += divide(i, 0) })
		try("index", func() { total += index(nil, i) })
		try("call", func() { total += call(nil) })
		try("slow", func() { total += slow(nil, i) })
	}
	for _, name := range []string{"load", "store", "field", "divide", "index", "call", "slow"} {
		fmt.Println(name, caught[name])
	}
	fmt.Println(total)
}
