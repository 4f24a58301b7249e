// Closures: the context register must reach the function through the hook, with captured values and variables,
// returned, nested, recursive, and method values.
//
// hook: main.*
// event: main.adder 100
// event: main.compose 100
// event: main.counter 1
// event: main.plain 100
// event: main.apply 600

package main

import "fmt"

//go:noinline
func adder(n int, s string) func(int) (int, string) {
	return func(x int) (int, string) { return x + n, s }
}

//go:noinline
func counter() (func() int, func(int)) {
	n := 0
	return func() int { n++; return n }, func(m int) { n = m }
}

//go:noinline
func compose(f, g func(int) int) func(int) int {
	return func(x int) int { return g(f(x)) }
}

//go:noinline
func apply(f func(int) int, x int) int { return f(x) }

//go:noinline
func plain(x int) int { return x * 3 }

type box struct{ v [4]int }

//go:noinline
func (b box) get(i int) int { return b.v[i&3] }

//go:noinline
func (b *box) add(i int) int { b.v[i&3] += i; return b.v[i&3] }

func main() {
	total := 0
	next, set := counter()
	b := &box{[4]int{1, 2, 3, 4}}
	get, add := b.get, b.add
	for i := 0; i < 100; i++ {
		n, s := adder(i, "text")(5)
		total += n + len(s)
		total += next()
		if i == 50 {
			set(1000)
		}
		k := i
		var fact func(int) int
		fact = func(x int) int {
			if x < 2 {
				return 1 + k
			}
			return x * fact(x-1)
		}
		total += apply(fact, 5)
		total += apply(plain, i)
		total += apply(get, i) + apply(add, i)
		total += apply(compose(func(x int) int { return x + k }, func(x int) int { k++; return x * k }), 2)
		total += apply(func(x int) int {
			return func() int { return x + k + i }()
		}, 3)
	}
	fmt.Println(total, b.v)
}
