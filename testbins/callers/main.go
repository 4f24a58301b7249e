// What runtime.Callers, runtime.Caller and runtime.Stack show, printed frame by frame: exactly what the unhooked
// program shows. On 1.5 to 1.11 a hook's frame counts as one more, hence the minimum version.
//
// hook: main.*
// min-go: 1.12
// event: main.level 33 abandoned 6
// event: main.frames 12
// event: main.(*node).visit 4
// event: main.where 4

package main

import (
	"fmt"
	"path"
	"regexp"
	"runtime"
	"strings"
)

//go:noinline
func frames(label string) {
	pcs := make([]uintptr, 64)
	n := runtime.Callers(0, pcs)
	it := runtime.CallersFrames(pcs[:n])
	for i := 0; ; i++ {
		f, more := it.Next()
		if !strings.HasPrefix(f.Function, "runtime.") || f.Function == "runtime.Callers" {
			fmt.Printf("%s %d %s %s:%d\n", label, i, f.Function, path.Base(f.File), f.Line)
		}
		if !more {
			break
		}
	}
}

//go:noinline
func where(skip int) {
	pc, file, line, ok := runtime.Caller(skip)
	name := "?"
	if f := runtime.FuncForPC(pc); f != nil {
		name = f.Name()
	}
	fmt.Println("caller", skip, name, path.Base(file), line, ok)
}

var address = regexp.MustCompile(`0x[0-9a-f]+\??|goroutine [0-9]+|/[^ ]*/`)

//go:noinline
func stack() {
	text := make([]byte, 1<<16)
	text = text[:runtime.Stack(text, false)]
	for _, line := range strings.Split(string(text), "\n") {
		fmt.Println("|", address.ReplaceAllString(line, "~"))
	}
}

//go:noinline
func level(n int, then func()) int {
	if n == 0 {
		then()
		return 0
	}
	return 1 + level(n-1, then)
}

type node struct{ next *node }

//go:noinline
func (n *node) visit(f func(string)) {
	if n.next == nil {
		f("method")
		return
	}
	var v visitor = n.next
	v.visit(f)
}

type visitor interface {
	visit(f func(string))
}

func main() {
	for i := 1; i < 8; i += 2 {
		level(i, func() { frames(fmt.Sprint("level", i)) })
	}
	for i := 0; i < 4; i++ {
		where(i)
	}
	level(4, stack)
	level(4, func() {
		defer frames("deferred")
		defer func() { frames("closure") }()
	})
	(&node{&node{&node{&node{}}}}).visit(frames)
	for i := 0; i < 2; i++ {
		func() {
			defer func() {
				recover()
				frames("recovered")
			}()
			level(2, func() {
				defer frames("panicking")
				panic(1)
			})
		}()
	}
	done := make(chan bool)
	go func() {
		level(2, func() { frames("goroutine") })
		done <- true
	}()
	<-done
}
