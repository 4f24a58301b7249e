// The CPU profiler interrupts hooked functions, their trampolines and their displaced instructions all the time, and
// unwinds from there.
//
// hook: main.work
// hook: main.leaf
// event: main.work 32000
// event: main.leaf 64000

package main

import (
	"bytes"
	"fmt"
	"runtime"
	"runtime/pprof"
	"sync"
)

//go:noinline
func leaf(x uint64) uint64 {
	x ^= x >> 29 * 0xff51afd7ed558ccd
	for i := 0; i < 3000; i++ {
		x = x*0x9E3779B97F4A7C15 + 1
	}
	return x
}

//go:noinline
func work(depth int, x uint64) uint64 {
	if depth > 0 {
		return work(depth-1, x) + 1
	}
	for i := 0; i < 16; i++ {
		x = leaf(x)
	}
	return x
}

func main() {
	// More often than the default, since each sample is a test; the profiler then fails to set its own rate, and the
	// runtime says so on standard error.
	runtime.SetCPUProfileRate(1000)
	var profile bytes.Buffer
	if err := pprof.StartCPUProfile(&profile); err != nil {
		fmt.Println(err)
	}
	var group sync.WaitGroup
	results := make([]uint64, 4)
	for w := range results {
		group.Add(1)
		go func(w int) {
			defer group.Done()
			for i := 0; i < 1000; i++ {
				results[w] += work(7, uint64(i))
				if i%100 == 0 {
					runtime.Gosched()
				}
			}
		}(w)
	}
	group.Wait()
	pprof.StopCPUProfile()
	fmt.Println(results[0], results[0] == results[3], profile.Len() > 0)
}
