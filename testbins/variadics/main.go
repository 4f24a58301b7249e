// Variadic functions: no arguments, some, a slice passed through, mixed types, and a deferred and a spawned variadic
// call.
//
// hook: main.sum
// hook: main.join
// hook: main.pass
// event: main.sum 1400
// event: main.join 200
// event: main.pass 600

package main

import "fmt"

//go:noinline
func sum(base int, xs ...int) (total int, count int) {
	total = base
	for _, x := range xs {
		total += x
	}
	return total, len(xs)
}

//go:noinline
func join(sep string, parts ...interface{}) string {
	s := ""
	for i, p := range parts {
		if i > 0 {
			s += sep
		}
		s += fmt.Sprint(p)
	}
	return s
}

//go:noinline
func pass(xs ...int) (int, int) {
	if len(xs) > 2 {
		return pass(xs[1:]...)
	}
	return sum(1, xs...)
}

func main() {
	total := 0
	add := func(a, b int) { total += a*7 + b }
	done := make(chan bool)
	for i := 0; i < 200; i++ {
		add(sum(i))
		add(sum(i, 1))
		add(sum(i, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11))
		add(sum(i, make([]int, 40)...))
		add(pass(1, 2, 3, i))
		func() { defer sum(i, i) }()
		go func() { sum(1, 2, 3); done <- true }()
		<-done
		total += len(join(", ", i, "x", 2.5, nil, []int{i}))
	}
	fmt.Println(total)
}
