//go:build go1.23
// +build go1.23

// Coroutines: iter.Pull switches stacks without the scheduler while hooked functions are active on both sides.
//
// hook: main.walk
// hook: main.take
// hook: main.(*tree).all
// min-go: 1.23
// event: main.walk 25300
// event: main.take 100
// event: main.(*tree).all 200

package main

import (
	"fmt"
	"iter"
	"runtime"
)

type tree struct {
	left, right *tree
	value       int
}

//go:noinline
func build(depth, value int) *tree {
	if depth == 0 {
		return nil
	}
	return &tree{build(depth-1, 2*value), build(depth-1, 2*value+1), value}
}

//go:noinline
func walk(t *tree, yield func(int) bool) bool {
	if t == nil {
		return true
	}
	return walk(t.left, yield) && yield(t.value) && walk(t.right, yield)
}

//go:noinline
func (t *tree) all() iter.Seq[int] {
	return func(yield func(int) bool) { walk(t, yield) }
}

// take merges two iterators, one pulled step by step.
//
//go:noinline
func take(a, b iter.Seq[int]) (sum int) {
	next, stop := iter.Pull(a)
	defer stop()
	for y := range b {
		x, ok := next()
		if !ok {
			break
		}
		sum += x * y
		if sum&255 == 0 {
			runtime.Gosched()
		}
	}
	return sum
}

func main() {
	total := 0
	one, two := build(6, 1), build(6, 1)
	for i := 0; i < 100; i++ {
		total += take(one.all(), two.all())
	}
	next, stop := iter.Pull2(func(yield func(int, string) bool) {
		defer fmt.Println("iterator ends")
		for i := 0; yield(i, "v"); i++ {
		}
	})
	k, v, ok := next()
	fmt.Println(k, v, ok)
	stop()
	// A panic in the iterator arrives at the caller of next.
	func() {
		defer func() { fmt.Println("recovered", recover()) }()
		next, _ := iter.Pull(func(yield func(int) bool) { panic("in the iterator") })
		next()
	}()
	fmt.Println(total)
}
