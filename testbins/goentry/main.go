// Goroutine entry functions are hooked: their caller is runtime.goexit. With arguments, as closures, as methods, from
// timers, and main.main itself.
//
// hook: main.main
// hook: main.worker
// hook: main.(*server).run
// hook: main.tick
// hook: main.spawn
// event: main.main 1
// event: main.worker 500
// event: main.(*server).run 100
// event: main.tick 5
// event: main.spawn 63

package main

import (
	"fmt"
	"runtime"
	"sync"
	"time"
)

var group sync.WaitGroup

//go:noinline
func worker(a int, s string, out chan<- int, xs [5]int) {
	out <- a + len(s) + xs[4]
}

type server struct{ n int }

//go:noinline
func (s *server) run(out chan int) { out <- s.n }

//go:noinline
func tick(out chan int, n int) { out <- n }

// spawn starts two of itself.
//
//go:noinline
func spawn(depth int) {
	if depth > 0 {
		group.Add(2)
		go spawn(depth - 1)
		go spawn(depth - 1)
	}
	group.Done()
}

func main() {
	out := make(chan int)
	total := 0
	for i := 0; i < 500; i++ {
		go worker(i, "abc", out, [5]int{4: i})
	}
	for i := 0; i < 500; i++ {
		total += <-out
	}
	for i := 0; i < 100; i++ {
		go (&server{i}).run(out)
		total += <-out
	}
	for i := 0; i < 5; i++ {
		n := i
		time.AfterFunc(time.Millisecond, func() { tick(out, n) })
		total += <-out
	}
	group.Add(1)
	go spawn(5)
	group.Wait()
	// What spawned has signalled from inside hooked functions; their last instructions are still to run. Go 1.5 counts
	// goroutines of its own, hence the bound.
	for i := 0; i < 20 || i < 500 && runtime.NumGoroutine() > 1; i++ {
		time.Sleep(time.Millisecond)
	}
	fmt.Println(total)
}
