// Thread-bound goroutines, runtime services called from hooked functions: LockOSThread, NumGoroutine, MemStats,
// SetGCPercent, FreeOSMemory, Breakdowns of the scheduler with GOMAXPROCS changes (which stop the world).
//
// hook: main.locked
// hook: main.resize
// hook: main.stats
// event: main.locked 200
// event: main.resize 40
// event: main.stats 40

package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
)

//go:noinline
func locked(n int) int {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	runtime.Gosched()
	return n
}

//go:noinline
func resize(n int) int { return runtime.GOMAXPROCS(n) }

//go:noinline
func stats() bool {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	debug.SetGCPercent(50)
	return m.HeapAlloc > 0 && m.NumGC < 1<<30
}

func main() {
	var group sync.WaitGroup
	totals := make(chan int, 200)
	for i := 0; i < 200; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			totals <- locked(i)
		}(i)
	}
	// Not at once with what follows: in Go 1.10 to 1.12 a goroutine that is bound to its thread may sleep for ever when
	// GOMAXPROCS shrinks meanwhile.
	group.Wait()
	close(totals)
	ok := 0
	for i := 0; i < 40; i++ {
		resize(1 + i%4)
		if stats() {
			ok++
		}
		if i%10 == 0 {
			debug.FreeOSMemory()
		}
	}
	sum := 0
	for n := range totals {
		sum += n
	}
	fmt.Println(sum, ok)
}
