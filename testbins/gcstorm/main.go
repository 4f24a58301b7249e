// Many goroutines under continuous garbage collection: pointers travel as arguments and as results, and each
// structure is reachable only through the frames of hooked functions while the collector runs.
//
// hook: main.build
// hook: main.pass
// hook: main.sum
// event: main.build 81840
// event: main.pass 2640
// event: main.sum 81840

package main

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

type tree struct {
	left, right *tree
	value       *int
	pad         [3]uintptr
}

//go:noinline
func build(depth, value int) *tree {
	v := value
	if depth == 0 {
		return &tree{value: &v}
	}
	return &tree{left: build(depth-1, 2*value), right: build(depth-1, 2*value+1), value: &v}
}

// pass keeps nothing but what it was given: the only reference lies in its argument area or its results.
//
//go:noinline
func pass(t *tree, s string, b []byte, e error, depth int) (*tree, string, []byte, error) {
	if depth == 0 {
		runtime.Gosched()
		return t, s, b, e
	}
	return pass(t, s, b, e, depth-1)
}

//go:noinline
func sum(t *tree) int {
	if t == nil || t.left == nil {
		if t == nil {
			return 0
		}
		return *t.value
	}
	return sum(t.left) + sum(t.right) + *t.value
}

type failure struct{ text *string }

func (f *failure) Error() string { return *f.text }

func main() {
	var stop int32
	var collector sync.WaitGroup
	collector.Add(1)
	go func() {
		defer collector.Done()
		for atomic.LoadInt32(&stop) == 0 {
			runtime.GC()
		}
	}()
	var workers sync.WaitGroup
	results := make([]int, 40)
	for w := range results {
		workers.Add(1)
		go func(w int) {
			defer workers.Done()
			text := fmt.Sprint("worker ", w)
			t, s, b, e := build(9, w), text, []byte(text), error(&failure{&text})
			for i := 0; i < 6; i++ {
				t, s, b, e = pass(t, s, b, e, 10)
			}
			if s != string(b) || s != e.Error() {
				panic(s)
			}
			results[w] = sum(t) + 1000*sum(build(9, 1))
		}(w)
	}
	workers.Wait()
	atomic.StoreInt32(&stop, 1)
	collector.Wait()
	total := 0
	for _, r := range results {
		total += r
	}
	fmt.Println("total", total)
}
