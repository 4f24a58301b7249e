// Recursion that takes 95 and 98 percent of the stack that a goroutine may have, in four forms, each in a goroutine of its
// own. Near the limit no byte may be taken for hooks, so that most calls run without them: how many calls are seen
// depends on the size of frames.
//
// How deep is deep enough is measured on functions that are never hooked, and have the same frames.
//
// hook: main.down
// hook: main.ping
// hook: main.pong
// hook: main.deferring
// hook: main.panicking
// event: main.down >=10
// event: main.ping >=5
// event: main.pong >=5
// event: main.deferring >=4
// event: main.panicking 0 abandoned >=10

package main

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"unsafe"
)

// at holds where the innermost calls have a local variable.
var at [3]uintptr

// address hides from the compiler that p gets out, as the runtime's own noescape does: what p points to stays on the stack.
func address(p unsafe.Pointer) uintptr {
	x := uintptr(p)
	return x ^ 0
}

//go:noinline
func down(n int) int {
	var here byte
	if n < len(at) {
		at[n] = address(unsafe.Pointer(&here))
	}
	if n == 0 {
		return 0
	}
	return down(n-1) + 1
}

//go:noinline
func freeDown(n int) int {
	var here byte
	if n < len(at) {
		at[n] = address(unsafe.Pointer(&here))
	}
	if n == 0 {
		return 0
	}
	return freeDown(n-1) + 1
}

//go:noinline
func ping(n int) int {
	var here byte
	if n < len(at) {
		at[n] = address(unsafe.Pointer(&here))
	}
	if n == 0 {
		return 0
	}
	return pong(n-1, n, n, n) + 1
}

//go:noinline
func pong(n, a, b, c int) int {
	var here byte
	if n < len(at) {
		at[n] = address(unsafe.Pointer(&here))
	}
	if n == 0 {
		return a - b
	}
	return ping(n-1) + a - b + c/c
}

//go:noinline
func freePing(n int) int {
	var here byte
	if n < len(at) {
		at[n] = address(unsafe.Pointer(&here))
	}
	if n == 0 {
		return 0
	}
	return freePong(n-1, n, n, n) + 1
}

//go:noinline
func freePong(n, a, b, c int) int {
	var here byte
	if n < len(at) {
		at[n] = address(unsafe.Pointer(&here))
	}
	if n == 0 {
		return a - b
	}
	return freePing(n-1) + a - b + c/c
}

// deferred counts the deferred calls that ran.
var deferred int

//go:noinline
func deferring(n int) int {
	var here byte
	if n < len(at) {
		at[n] = address(unsafe.Pointer(&here))
	}
	if n == 0 {
		return 0
	}
	defer func() { deferred++ }()
	return deferring(n-1) + 1
}

//go:noinline
func freeDeferring(n int) int {
	var here byte
	if n < len(at) {
		at[n] = address(unsafe.Pointer(&here))
	}
	if n == 0 {
		return 0
	}
	defer func() { deferred++ }()
	return freeDeferring(n-1) + 1
}

//go:noinline
func panicking(n int) int {
	var here byte
	if n < len(at) {
		at[n] = address(unsafe.Pointer(&here))
	}
	if n == 0 {
		panic("bottom")
	}
	return panicking(n-1) + 1
}

//go:noinline
func freePanicking(n int) int {
	var here byte
	if n < len(at) {
		at[n] = address(unsafe.Pointer(&here))
	}
	if n == 0 {
		panic("bottom")
	}
	return freePanicking(n-1) + 1
}

// endless is what a program does that has no bound at all.
//
//go:noinline
func endless(n int) int {
	return endless(n+1) + n
}

// catch tells what f panics with.
func catch(f func(int) int, n int) (result interface{}) {
	defer func() {
		if r := recover(); r != nil {
			result = r
		}
	}()
	return f(n)
}

// elsewhere calls f in a new goroutine.
func elsewhere(f func(int) int, n int) interface{} {
	done := make(chan interface{})
	go func() { done <- catch(f, n) }()
	return <-done
}

// step is how many bytes of stack two calls of f take.
func step(f func(int) int) int {
	for before := uintptr(0); ; {
		// The first call lets the stack grow.
		elsewhere(func(n int) int {
			catch(f, 2*n)
			return f(n)
		}, 20)
		// A stack that moved meanwhile gives something else.
		now := at[0] - at[2]
		if at[0] < at[2] {
			now = at[2] - at[0]
		}
		if now == before {
			return int(now)
		}
		before = now
	}
}

type form struct {
	name         string
	hooked, free func(int) int
}

var forms = []form{
	{"down", down, freeDown},
	{"mutual", ping, freePing},
	{"deferring", deferring, freeDeferring},
	{"panicking", panicking, freePanicking},
}

func main() {
	limit := flag.Int("limit", 1<<20, "the limit of a stack, in bytes")
	set := flag.Bool("set", true, "set it")
	only := flag.String("only", "", "this form; `endless` has no end")
	calls := flag.Bool("calls", false, "say how many calls there are")
	flag.Parse()
	if *set {
		debug.SetMaxStack(*limit)
	}
	if *only == "endless" {
		fmt.Println(elsewhere(endless, 0))
		os.Exit(3)
	}
	// Stacks double up to the limit.
	most := 2048
	for 2*most <= *limit {
		most *= 2
	}
	for _, f := range forms {
		if *only != "" && *only != f.name {
			continue
		}
		frames := step(f.free)
		for _, percent := range []int{95, 98} {
			n := most / 100 * percent / frames * 2
			deferred = 0
			result := elsewhere(f.hooked, n)
			if *calls {
				fmt.Println(f.name, percent, n+1)
			}
			switch {
			case f.name == "panicking":
				fmt.Println(f.name, percent, result)
			case f.name == "deferring":
				fmt.Println(f.name, percent, result == n, deferred == n)
			default:
				fmt.Println(f.name, percent, result == n)
			}
		}
	}
}
