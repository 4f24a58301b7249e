// runtime.Goexit through hooked frames, with deferred functions that run hooked code, also while panicking and with a
// recover that must see nothing.
//
// hook: main.leave
// hook: main.cleanup
// hook: main.deep
// event: main.leave 0 abandoned 300
// event: main.cleanup 600
// event: main.deep 0 abandoned 3300

package main

import (
	"fmt"
	"runtime"
	"sync"
)

var (
	mutex   sync.Mutex
	cleaned int
)

//go:noinline
func cleanup(n int) {
	mutex.Lock()
	cleaned += n
	mutex.Unlock()
}

//go:noinline
func deep(n int) int {
	if n == 0 {
		runtime.Goexit()
	}
	return deep(n-1) + 1
}

//go:noinline
func leave(kind int, done func()) {
	defer done()
	defer cleanup(1)
	switch kind {
	case 0:
	case 1:
		defer func() {
			if v := recover(); v != nil {
				panic(v)
			}
		}()
	case 2:
		// Goexit in a deferred function of a panic: the goroutine ends, the program does not.
		defer deep(10)
		defer cleanup(1)
		panic("dropped")
	}
	defer cleanup(1)
	deep(10)
}

func main() {
	var group sync.WaitGroup
	for i := 0; i < 300; i++ {
		group.Add(1)
		go leave(i%3, group.Done)
	}
	group.Wait()
	fmt.Println("cleaned", cleaned)
}
