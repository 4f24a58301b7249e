// A recursion with a kilobyte of stack arguments, on stacks that lie side by side and grow while their neighbours are
// parked. Whoever writes below its own stack destroys the top of the neighbour's: each goroutine guards a pattern there.
//
// hook: main.down
// event: main.down 1600

package main

import (
	"fmt"
	"runtime"
	"sync"
)

type block [130]int64

// down parks at every depth, so that the others' stacks are in use while this one is at its limit.
//
//go:noinline
func down(b block, n int) (sum int64) {
	runtime.Gosched()
	if n > 0 {
		sum = down(b, n-1)
	}
	for _, v := range b {
		sum += v
	}
	return sum
}

//go:noinline
func start(fill int64, depth int) int64 {
	var b block
	for i := range b {
		b[i] = fill
	}
	return down(b, depth)
}

// guarded has a frame of its own size per goroutine below start, so that stacks reach their limits in different places.
//
//go:noinline
func guarded(fill int64, shift, depth int) (int64, bool) {
	if shift > 0 {
		return guarded(fill, shift-1, depth)
	}
	var pattern [32]int64
	for i := range pattern {
		pattern[i] = fill ^ int64(i)
	}
	sum := start(fill, depth)
	for i := range pattern {
		if pattern[i] != fill^int64(i) {
			return sum, false
		}
	}
	return sum, true
}

func main() {
	runtime.GOMAXPROCS(1)
	var wait sync.WaitGroup
	sums := make([]int64, 64)
	for i := range sums {
		wait.Add(1)
		go func(i int) {
			defer wait.Done()
			sum, whole := guarded(int64(i), i%16, 24)
			if !whole {
				sum = -1
			}
			sums[i] = sum
		}(i)
	}
	wait.Wait()
	fmt.Println(sums)
}
