// The program that `gondwana-harness disturb` disturbs. It calls one function of each shape that a hook can meet, each on
// a goroutine of its own, and checks afterwards that nothing was harmed: results, the caller's locals and pointers into
// its own stack, a heap structure that arguments reach. It says the same whether the call returned, panicked or ended
// its goroutine; which it was stands on the board.
//
// Arguments: the names of the functions to call; without any it calls all of them in turn.
//
// Who disturbs it does so through the board, which it finds by its mark: before the start it sets depth, later control,
// which says what the called function does, and request, which says what the helper does, a thread of its own. The rest
// of the board is the proof that it happened.
//
// hook: main.leaf
// hook: main.nosplit
// hook: main.small
// hook: main.medium
// hook: main.huge
// hook: main.many
// hook: main.pointer
// hook: main.capture.func1
// hook: main.value.method
// hook: main.floats
// hook: main.assembly
// hook: main.asmleaf
// hook: main.recoverer
// hook: main.defers
// hook: main.variadic
// hook: main.wide
// event: main.leaf 1
// event: main.nosplit 1
// event: main.small 1
// event: main.medium 1
// event: main.huge 1
// event: main.many 1
// event: main.pointer 1
// event: main.capture.func1 1
// event: main.value.method 1
// event: main.floats 1
// event: main.assembly >=1
// event: main.asmleaf >=1
// event: main.recoverer 1
// event: main.defers 1
// event: main.variadic 1
// event: main.wide 1

package main

import (
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
)

// What control tells the called function to do, once.
const (
	doPanic  = 1
	doGoexit = 2
	doPark   = 3 // wait until the helper has collected garbage
)

// What request tells the helper to do, once.
const (
	collect = 1
	call    = 2
)

// What outcome says of the last call.
const (
	returned  = 1
	recovered = 2 // from the panic of control
	exited    = 3
	faulted   = 4 // and recovered, from the run-time panic of a nil dereference
	strange   = 5 // recovered from something else
)

// board is read and written from outside: `harness/src/disturb/board.rs`.
var board = struct {
	mark      [16]byte
	control   int32
	request   int32
	depth     int32 // frames between the first function of the goroutine and the call; at 0 the stack is large
	called    int32 // calls that the helper has finished
	collected int32 // collections that the helper has finished
	outcome   int32
}{mark: [16]byte{'g', 'o', 'n', 'd', 'w', 'a', 'n', 'a', ' ', 'd', 'i', 's', 't', 'u', 'r', 'b'}}

var (
	current  *subject
	failures int32
	finished = make(chan bool, 1)
	sink     int
)

// act is what every called function does that can call at all.
//
//go:noinline
func act() {
	switch atomic.LoadInt32(&board.control) {
	case doPanic:
		atomic.StoreInt32(&board.control, 0)
		panic("disturbed")
	case doGoexit:
		atomic.StoreInt32(&board.control, 0)
		runtime.Goexit()
	case doPark:
		atomic.StoreInt32(&board.control, 0)
		atomic.StoreInt32(&board.request, collect)
		<-finished
	}
}

// helper has a thread of its own and sleeps in a system call, out of the scheduler's sight.
func helper() {
	runtime.LockOSThread()
	pause := syscall.Timespec{Nsec: 20000}
	for {
		switch atomic.LoadInt32(&board.request) {
		case collect:
			atomic.StoreInt32(&board.request, 0)
			runtime.GC()
			atomic.AddInt32(&board.collected, 1)
			select {
			case finished <- true:
			default:
			}
		case call:
			atomic.StoreInt32(&board.request, 0)
			if !current.run(9) {
				atomic.AddInt32(&failures, 1)
			}
			atomic.AddInt32(&board.called, 1)
		default:
			syscall.Nanosleep(&pause, nil)
		}
	}
}

// grow makes the stack large, so that it can shrink.
//
//go:noinline
func grow(n int) int {
	var room [3000]int
	room[n] = n
	return room[n/2] + room[n]
}

//go:noinline
func descend(n int, f func()) {
	if n == 0 {
		f()
		return
	}
	descend(n-1, f)
	sink++
}

// judge says how a goroutine's function was left, and whether it may be left so.
func judge(v interface{}, how int32) (int32, bool) {
	if v == nil {
		return how, true
	}
	if v == "disturbed" {
		return recovered, true
	}
	if e, ok := v.(runtime.Error); ok && e.Error() == "runtime error: invalid memory address or nil pointer dereference" {
		return faulted, true
	}
	return strange, false
}

// perform calls a subject on a goroutine of its own.
func perform(s *subject) bool {
	depth := int(atomic.LoadInt32(&board.depth))
	done := make(chan bool)
	go func() {
		how, ok := int32(exited), true
		defer func() {
			how, fine := judge(recover(), how)
			atomic.StoreInt32(&board.outcome, how)
			done <- ok && fine
		}()
		if depth == 0 {
			sink += grow(5)
		}
		descend(depth, func() { ok = s.run(1) })
		how = returned
	}()
	return <-done
}

// harmless says whether the heap is as it should be: what was freed too early is overwritten, and then looked at.
func harmless() bool {
	runtime.GC()
	churn()
	return shared.check() == sharedSum
}

func check(s *subject) {
	current = s
	// What comes after the call is done once before it: in an emulator, code that has run is faster.
	ok := harmless()
	ok = perform(s) && ok
	if harmless() && ok && atomic.LoadInt32(&failures) == 0 {
		os.Stdout.WriteString(s.name + ": as it should be\n")
	} else {
		os.Stdout.WriteString(s.name + ": HARMED\n")
	}
}

func wanted(name string) bool {
	for _, arg := range os.Args[1:] {
		if arg == name {
			return true
		}
	}
	return false
}

func main() {
	runtime.GOMAXPROCS(4)
	// A profiling signal is looked at only while a profile is taken; this one is too slow to send any by itself.
	runtime.SetCPUProfileRate(1)
	// Blocking events are recorded, with a stack trace by frame pointers from Go 1.23 on.
	runtime.SetBlockProfileRate(1)
	go helper()
	for _, s := range subjects {
		if len(os.Args) < 2 || wanted(s.name) {
			check(s)
		}
	}
}
