// What a program can notice of hooks on main.hit, main.parked, main.empty and main.framed. The first argument chooses: `alive` looks
// at itself and prints what it sees, the others end the program in their way.

package main

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"strings"
	"sync"
	"syscall"
	"time"
	"unsafe"
)

// Calls inside each other: more than half of the frames that profiles and traces keep, fewer than all.
const deep = 100

//go:noinline
func hit(n int, then func()) int {
	if n == 0 {
		then()
		return 0
	}
	return hit(n-1, then) + 1
}

//go:noinline
func parked(n int, then func()) int {
	if n == 0 {
		then()
		return 0
	}
	return parked(n-1, then) + 1
}

//go:noinline
func empty() {}

// framed returns how far its frame lies below its caller's.
//
//go:noinline
func framed(caller uintptr) uintptr {
	var here [1]byte
	return caller - address(unsafe.Pointer(&here))
}

// unframed is the same, and never hooked.
//
//go:noinline
func unframed(caller uintptr) uintptr {
	var here [1]byte
	return caller - address(unsafe.Pointer(&here))
}

// address hides from the compiler where its result comes from, else it would put the variable into the heap.
func address(of unsafe.Pointer) uintptr { return uintptr(of) ^ 0 }

func main() {
	switch os.Args[1] {
	case "alive":
		callers()
		stack()
		allocates()
		look("block", func() (int, int) {
			waits()
			return profile("block")
		})
		if mutexes(0) {
			look("mutex", func() (int, int) {
				wakes()
				return profile("mutex")
			})
		}
		look("trace", traces)
		use()
	case "cpu":
		cpu()
	case "race":
		race()
	default:
		park()
		dies(os.Args[1])
	}
}

// look prints what try counts. On a busy machine nobody may have waited, so that there is nothing to count: then it tries again.
func look(what string, try func() (own, hooks int)) {
	for tries := 0; ; tries++ {
		own, hooks := try()
		if own < 0 {
			return
		}
		if own > 0 || tries == 100 {
			fmt.Println(what+":", own, "own,", hooks, "of hooks")
			return
		}
	}
}

// callers prints what logs and profiles are made from.
func callers() {
	hit(3, func() {
		fmt.Println("callers:", runtime.Callers(0, make([]uintptr, 64)))
		for skip := 0; skip < 8; skip++ {
			pc, _, line, _ := runtime.Caller(skip)
			name := "?"
			if f := runtime.FuncForPC(pc); f != nil {
				name = f.Name()
			}
			fmt.Println("caller:", skip, name, line)
		}
	})
}

func stack() {
	hit(3, func() {
		text := make([]byte, 1<<16)
		count("stack", string(text[:runtime.Stack(text, false)]), "main.hit(")
	})
}

// allocates is for the heap profile, and shows the goroutine's.
func allocates() {
	runtime.MemProfileRate = 1
	hit(3, func() {
		kept = make([]byte, 1<<20)
		look("goroutine", func() (int, int) { return profile("goroutine") })
	})
	// Allocations are in the profile after two collections.
	runtime.GC()
	runtime.GC()
	look("heap", func() (int, int) { return profile("heap") })
}

var kept []byte

// count prints how many of the program's own frames there are, and of hooks.
func count(what, text, own string) {
	hooks := strings.Count(text, "gondwana.hook:")
	fmt.Println(what+":", strings.Count(text, own)-strings.Count(text, "gondwana.hook:"+own), "own,", hooks, "of hooks")
}

// waits is for the block profile.
func waits() {
	runtime.SetBlockProfileRate(1)
	wake := make(chan bool)
	go func() {
		time.Sleep(10 * time.Millisecond)
		wake <- true
	}()
	hit(deep, func() { <-wake })
	runtime.SetBlockProfileRate(0)
}

// wakes is for the mutex profile, which has the stack of who unlocks.
func wakes() {
	mutexes(1)
	var mutex sync.Mutex
	mutex.Lock()
	done := make(chan bool)
	go func() {
		mutex.Lock()
		mutex.Unlock()
		done <- true
	}()
	time.Sleep(10 * time.Millisecond)
	hit(deep, mutex.Unlock)
	<-done
	mutexes(0)
}

// profile counts the frames of the sample that has most of main.hit, and of hooks.
func profile(name string) (own, hooks int) {
	var data bytes.Buffer
	if err := pprof.Lookup(name).WriteTo(&data, 0); err != nil {
		fmt.Println(err)
	}
	for _, s := range samples(data.Bytes()) {
		mine, theirs := 0, 0
		for _, f := range s.stack {
			if f.function == "main.hit" {
				mine++
			} else if strings.HasPrefix(f.function, "gondwana.hook:") {
				theirs++
			}
		}
		if mine > own {
			own, hooks = mine, theirs
		}
	}
	return own, hooks
}

// traces counts the frames of the longest stack in an execution trace; -1 if its form is not known.
func traces() (own, hooks int) {
	var data bytes.Buffer
	if err := trace.Start(&data); err != nil {
		fmt.Println(err)
	}
	wake := make(chan bool)
	go func() {
		time.Sleep(10 * time.Millisecond)
		wake <- true
	}()
	hit(deep, func() { <-wake })
	trace.Stop()
	return longest(data.Bytes())
}

func use() {
	var here [1]byte
	// The stack grows in the first calls, if it must.
	for i := 0; i < 2; i++ {
		at := address(unsafe.Pointer(&here))
		hooked, plain := framed(at), unframed(at)
		if i > 0 {
			fmt.Println("use:", hooked, plain)
		}
	}
}

var sink int

//go:noinline
func spin() {
	for i := 0; i < 100000; i++ {
		empty() // the call
		sink++  // behind the call
	}
}

// cpu prints at which lines of spin a CPU profile's samples are, each by its innermost frame there.
func cpu() {
	var data bytes.Buffer
	if err := pprof.StartCPUProfile(&data); err != nil {
		fmt.Println(err)
	}
	// A profile's samples are taken by the time that the processor worked.
	for worked() < 500*time.Millisecond {
		spin()
	}
	pprof.StopCPUProfile()
	counts := map[uint64]uint64{}
	for _, s := range samples(data.Bytes()) {
		for _, f := range s.stack {
			if f.function == "main.spin" {
				counts[f.line] += s.times
				break
			}
		}
	}
	for line, times := range counts {
		fmt.Println("line:", line, times)
	}
}

func worked() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		fmt.Println(err)
	}
	return time.Duration(usage.Utime.Nano())
}

// park leaves a goroutine behind that waits.
func park() {
	begun := make(chan bool)
	go parked(3, func() {
		begun <- true
		select {}
	})
	<-begun
	time.Sleep(10 * time.Millisecond)
}

func dies(how string) {
	hit(3, func() {
		switch how {
		case "panic":
			panic("on purpose")
		case "deadlock":
			select {}
		case "fatal":
			var mutex sync.Mutex
			mutex.Unlock()
		case "throw":
			memory, err := syscall.Mmap(-1, 0, 4096, syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
			if err != nil {
				fmt.Println(err)
			}
			sink = int(memory[0])
		case "abort":
			signal(syscall.SIGABRT)
		case "quit":
			signal(syscall.SIGQUIT)
		}
	})
}

// signal sends it to the thread that this goroutine runs on.
func signal(number syscall.Signal) {
	runtime.LockOSThread()
	tid, _, _ := syscall.RawSyscall(syscall.SYS_GETTID, 0, 0, 0)
	syscall.RawSyscall(syscall.SYS_TGKILL, uintptr(os.Getpid()), tid, uintptr(number))
}

var raced int

func race() {
	done := make(chan bool)
	go func() {
		hit(1, func() { raced++ })
		done <- true
	}()
	hit(1, func() { raced++ })
	<-done
}
