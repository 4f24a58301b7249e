// Signals arrive while hooked functions run: the program sends them to itself and counts what its handler got.
//
// hook: main.busy
// hook: main.send
// hook: main.got
// event: main.send 50
// event: main.got 50
// event: main.busy >=50

package main

import (
	"fmt"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

//go:noinline
func busy(x uint64) uint64 {
	x ^= x >> 31
	for i := 0; i < 200; i++ {
		x = x*6364136223846793005 + 1442695040888963407
	}
	return x
}

//go:noinline
func send() { syscall.Kill(syscall.Getpid(), syscall.SIGUSR1) }

//go:noinline
func got(signals <-chan os.Signal) string { return (<-signals).String() }

func main() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR1)
	var stop, x uint64
	done := make(chan bool)
	go func() {
		for atomic.LoadUint64(&stop) == 0 {
			atomic.StoreUint64(&x, busy(x))
		}
		done <- true
	}()
	names := map[string]int{}
	y := uint64(1)
	for i := 0; i < 50; i++ {
		send()
		y = busy(y)
		names[got(signals)]++
	}
	atomic.StoreUint64(&stop, 1)
	<-done
	fmt.Println(names, y)
}
