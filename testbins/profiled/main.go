// A hot hooked function under a CPU profile that takes a sample every millisecond or two, for a third of a second: samples hit
// every part of the trampoline, and the signal handler runs while records are half written.
//
// hook: main.hot
// event: main.hot >=100000

package main

import (
	"fmt"
	"io/ioutil"
	"os"
	"runtime"
	"runtime/pprof"
	"time"
)

//go:noinline
func hot(n int) int {
	if n < 0 {
		return cold(n)
	}
	return n + 1
}

// cold is called never; that hot could call it gives hot a stack check.
//
//go:noinline
func cold(n int) int { return hot(-n) }

// spin calls hot so often, and longer if the time is not up.
//
//go:noinline
func spin(least int, until time.Time) (n int) {
	for n < least || time.Now().Before(until) {
		for i := 0; i < 1000; i++ {
			n = hot(n)
		}
	}
	return n
}

func main() {
	stderr := os.Stderr.Fd()
	runtime.SetCPUProfileRate(700)
	// It says on standard error that the rate is set already: that is what is wanted.
	if err := pprof.StartCPUProfile(ioutil.Discard); err != nil {
		fmt.Println(err)
	}
	n := spin(100000, time.Now().Add(300 * time.Millisecond))
	pprof.StopCPUProfile()
	fmt.Println(n > 0, stderr)
}
