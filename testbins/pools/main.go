// Finalizers, pools, weak state of the collector: the runtime calls hooked functions from its own goroutines, and the
// stack of a parked hooked function shrinks.
//
// hook: main.finalize
// hook: main.use
// hook: main.park
// event: main.finalize 100
// event: main.use 2000
// event: main.park 20

package main

import (
	"fmt"
	"runtime"
	"sync"
	"time"
)

type resource struct {
	data [32]int
	done chan int
}

//go:noinline
func finalize(r *resource) { r.done <- r.data[3] }

var pool = sync.Pool{New: func() interface{} { return new([512]byte) }}

//go:noinline
func use(n int) int {
	b := pool.Get().(*[512]byte)
	b[n&511] = byte(n)
	v := int(b[n&511])
	pool.Put(b)
	return v
}

// park has used much stack, then waits with little in use: the collector takes half of the stack away, again and again.
//
//go:noinline
func park(ready chan<- bool, gate <-chan bool) int {
	sum := grow(200)
	here := [4]int{sum, 1, 2, 3}
	p := &here
	ready <- true
	<-gate
	return p[0] + p[3]
}

//go:noinline
func grow(n int) int {
	var room [64]int
	room[n&63] = n
	if n == 0 {
		return 0
	}
	return grow(n-1) + room[n&63]
}

//go:noinline
func leak(done chan int) {
	for i := 0; i < 100; i++ {
		r := &resource{done: done}
		r.data[3] = i
		runtime.SetFinalizer(r, finalize)
	}
}

//go:noinline
func clear() { grow(50) }

func main() {
	done := make(chan int, 200)
	leak(done)
	// The last resource may still be named by a dead stack slot: overwrite it.
	go clear()
	clear()
	total := 0
	for i := 0; i < 2000; i++ {
		total += use(i)
		if i%500 == 0 {
			runtime.GC()
		}
	}
	ready, gate, sums := make(chan bool), make(chan bool), make(chan int)
	for i := 0; i < 20; i++ {
		go func() { sums <- park(ready, gate) }()
		<-ready
	}
	for i := 0; i < 5; i++ {
		runtime.GC()
	}
	for i := 0; i < 20; i++ {
		gate <- true
		total += <-sums
	}
	late := time.After(20 * time.Second)
	for i := 0; i < 100; {
		runtime.GC()
		select {
		case v := <-done:
			total += v
			i++
		case <-late:
			fmt.Println("finalizers missing:", 100-i)
			return
		}
	}
	// Finalizers run one after the other: when this one runs, the others have returned.
	last := make(chan bool, 1)
	sentinel(last)
	for {
		runtime.GC()
		select {
		case <-last:
			fmt.Println(total)
			return
		case <-late:
			fmt.Println("the last finalizer is missing")
			return
		case <-time.After(time.Millisecond):
		}
	}
}

//go:noinline
func sentinel(last chan<- bool) {
	runtime.SetFinalizer(new([512]byte), func(*[512]byte) { last <- true })
}
