// Methods: value and pointer receivers, receivers of no and of many words, called directly, through interfaces, method
// values and expressions, and through the wrappers that the compiler generates for embedded types.
//
// hook: main.*
// event: main.small.Get 150
// event: main.(*small).Set 150 or refused
// event: main.big.Get 150
// event: main.(*big).Set 150 or refused
// event: main.none.Get 50
// event: main.fn.Get 50

package main

import "fmt"

type getter interface{ Get(int) int }
type setter interface{ Set(int) }

type small struct{ n int }
type big struct {
	n    int
	name string
	rest [9]int
}
type none struct{}
type fn func(int) int

//go:noinline
func (s small) Get(x int) int { return s.n + x }

//go:noinline
func (s *small) Set(n int) { s.n = n }

//go:noinline
func (b big) Get(x int) int { return b.n + x + len(b.name) + b.rest[8] }

//go:noinline
func (b *big) Set(n int) { b.n, b.rest[8] = n, n }

//go:noinline
func (none) Get(x int) int { return x }

//go:noinline
func (f fn) Get(x int) int { return f(x) + 1 }

type outer struct {
	pad [3]int
	small
}
type outerPointer struct {
	pad int
	*big
}

// iface embeds an interface: its wrapper jumps through the table.
type iface struct {
	pad int
	getter
}

//go:noinline
func get(g getter, x int) int { return g.Get(x) }

//go:noinline
func set(s setter, n int) { s.Set(n) }

func main() {
	total := 0
	for i := 0; i < 50; i++ {
		s, b := &small{i}, &big{n: i, name: "name"}
		s.Set(i + 1)
		b.Set(i + 2)
		total += s.Get(1) + b.Get(2)
		o, p := &outer{small: *s}, outerPointer{1, b}
		set(o, i)
		set(p, i+3)
		set(s, 5)
		set(b, 6)
		total += get(o, 1) + get(p, 2)
		total += get(iface{1, none{}}, i)
		total += get(fn(func(x int) int { return x * x }), i)
		f, g := s.Get, big.Get
		total += f(1) + g(*b, i)
	}
	fmt.Println(total)
}
