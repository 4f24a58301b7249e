//go:build go1.18
// +build go1.18

// Generic functions and methods: instances share code and get a dictionary; their names contain brackets.
//
// hook: main.Map[*
// hook: main.Sum[*
// hook: main.(*List[*
// min-go: 1.18
// event: main.Map[*] 300
// event: main.Sum[*] 400
// event: main.(*List[*]).Push >=3000

package main

import "fmt"

type number interface {
	~int | ~int64 | ~float64 | ~uint8
}

//go:noinline
func Sum[T number](xs []T) (s T) {
	for _, x := range xs {
		s += x
	}
	return s
}

//go:noinline
func Map[A, B any](xs []A, f func(A) B) []B {
	out := make([]B, 0, len(xs))
	for _, x := range xs {
		out = append(out, f(x))
	}
	return out
}

type List[T any] struct {
	head *node[T]
	n    int
}

type node[T any] struct {
	value T
	next  *node[T]
}

//go:noinline
func (l *List[T]) Push(v T) {
	l.head = &node[T]{v, l.head}
	l.n++
}

//go:noinline
func (l *List[T]) Each(f func(T)) {
	for n := l.head; n != nil; n = n.next {
		f(n.value)
	}
}

type pair struct {
	a string
	b [3]int
}

type pusher[T any] interface{ Push(T) }

func main() {
	total := 0
	for i := 0; i < 100; i++ {
		xs := []int{i, i + 1, i + 2}
		total += Sum(xs) + int(Sum([]float64{1.5, float64(i)})) + int(Sum([]uint8{200, 100}))
		total += len(Map(xs, func(x int) string { return fmt.Sprint(x) }))
		total += len(Map([]string{"a"}, func(s string) pair { return pair{a: s} })[0].a)
		total += Sum(Map([]pair{{"x", [3]int{1, 2, i}}}, func(p pair) int { return p.b[2] }))
		var ints List[int]
		var pairs List[pair]
		var p pusher[int] = &ints
		for k := 0; k < 10; k++ {
			ints.Push(k)
			p.Push(k)
			pairs.Push(pair{"p", [3]int{k, k, k}})
		}
		ints.Each(func(x int) { total += x })
		pairs.Each(func(p pair) { total += p.b[1] + len(p.a) })
		total += ints.n
	}
	fmt.Println(total)
}
