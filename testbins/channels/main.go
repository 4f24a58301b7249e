// Channels, select, timers, mutexes and condition variables: goroutines park and wake inside hooked functions, on
// whichever thread.
//
// hook: main.produce
// hook: main.consume
// hook: main.relay
// hook: main.choose
// hook: main.wait
// event: main.produce 10
// event: main.consume 10
// event: main.relay 4000
// event: main.choose 500
// event: main.wait 50

package main

import (
	"fmt"
	"sync"
	"time"
)

//go:noinline
func produce(out chan<- int, n int) {
	for i := 0; i < n; i++ {
		out <- i
	}
	close(out)
}

//go:noinline
func relay(v int, in <-chan int, out chan<- int) int {
	out <- v
	return <-in
}

//go:noinline
func consume(in <-chan int) (sum int) {
	for v := range in {
		sum += v
	}
	return sum
}

//go:noinline
func choose(a, b chan int, quit chan bool) (int, string) {
	select {
	case v := <-a:
		return v, "a"
	case v := <-b:
		return v, "b"
	case <-quit:
		return 0, "quit"
	case <-time.After(10 * time.Second):
		return 0, "late"
	}
}

type gate struct {
	mutex sync.Mutex
	cond  *sync.Cond
	open  bool
}

//go:noinline
func wait(g *gate) int {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	for !g.open {
		g.cond.Wait()
	}
	return 1
}

func main() {
	total := 0
	for i := 0; i < 10; i++ {
		c := make(chan int, i)
		go produce(c, 200)
		total += consume(c)
	}
	x, y := make(chan int), make(chan int)
	go func() {
		for v := range x {
			y <- v * 2
		}
	}()
	for i := 0; i < 4000; i++ {
		total += relay(i, y, x)
	}
	close(x)
	a, b, quit := make(chan int), make(chan int), make(chan bool)
	counts := map[string]int{}
	for i := 0; i < 500; i++ {
		go func(i int) {
			switch i % 3 {
			case 0:
				a <- i
			case 1:
				b <- i
			default:
				quit <- true
			}
		}(i)
		v, where := choose(a, b, quit)
		total += v
		counts[where]++
	}
	g := &gate{}
	g.cond = sync.NewCond(&g.mutex)
	woken := make(chan int)
	for i := 0; i < 50; i++ {
		go func() { woken <- wait(g) }()
	}
	time.Sleep(5 * time.Millisecond)
	g.mutex.Lock()
	g.open = true
	g.mutex.Unlock()
	g.cond.Broadcast()
	for i := 0; i < 50; i++ {
		total += <-woken
	}
	fmt.Println(total, counts["a"], counts["b"], counts["quit"], counts["late"])
}
