// Dies of an uncaught panic: the traceback on standard error and the exit status are the unhooked program's. The
// functions have no arguments, since what a traceback prints for dead ones is whatever lies there.
//
// hook: main.one
// hook: main.two
// hook: main.three
// hook: main.noted
// min-go: 1.12
// exit: 2
// event: main.one 0 abandoned 1
// event: main.two 0 abandoned 1
// event: main.three 0 abandoned 1
// event: main.noted 1

package main

import "os"

//go:noinline
func one() {
	two()
	os.Stdout.WriteString("not reached\n")
}

//go:noinline
func two() {
	defer noted()
	three()
}

//go:noinline
func three() { panic("on purpose") }

//go:noinline
func noted() { os.Stdout.WriteString("deferred\n") }

func main() { one() }
