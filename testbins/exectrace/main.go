// The execution tracer runs: it takes stacks at every scheduling event, from 1.21 on through the frame pointers, so
// hooked frames must keep that chain.
//
// hook: main.ping
// hook: main.deep
// hook: main.locked
// event: main.ping 800
// event: main.deep 6400
// event: main.locked 1600

package main

import (
	"bytes"
	"fmt"
	"runtime"
	"runtime/trace"
	"sync"
)

var mutex sync.Mutex

//go:noinline
func locked(n *int) {
	mutex.Lock()
	defer mutex.Unlock()
	*n++
	runtime.Gosched()
}

//go:noinline
func deep(n int, in, out chan int) int {
	if n == 0 {
		v := <-in
		out <- v + 1
		return v
	}
	return deep(n-1, in, out) + 1
}

//go:noinline
func ping(in, out chan int, count *int) {
	deep(7, in, out)
	locked(count)
	locked(count)
}

func main() {
	var buffer bytes.Buffer
	if err := trace.Start(&buffer); err != nil {
		fmt.Println(err)
	}
	count, sum := 0, 0
	var group sync.WaitGroup
	for w := 0; w < 8; w++ {
		in, out := make(chan int), make(chan int)
		group.Add(2)
		go func() {
			defer group.Done()
			for i := 0; i < 100; i++ {
				ping(in, out, &count)
			}
		}()
		go func(w int) {
			defer group.Done()
			for i := 0; i < 100; i++ {
				in <- i * w
				v := <-out
				mutex.Lock()
				sum += v
				mutex.Unlock()
			}
		}(w)
	}
	runtime.GC()
	group.Wait()
	trace.Stop()
	fmt.Println(count, sum, buffer.Len() > 100)
}
