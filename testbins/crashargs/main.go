// Dies of a nil dereference, deep below hooked functions whose arguments are printed in the traceback. They are arrays,
// which every version passes on the stack: what a traceback prints for arguments in registers may be stale.
//
// hook: main.outer
// hook: main.inner
// min-go: 1.12
// exit: 2
// event: main.outer 0 abandoned 5
// event: main.inner 0 abandoned 1

package main

import "fmt"

type numbers [2]int
type pointers [2]*int

var sink int

//go:noinline
func outer(n numbers, p pointers) int {
	if n[0] == 0 {
		return inner(n, p) + 1
	}
	return outer(numbers{n[0] - 1, n[1] + 1}, p) + 1
}

//go:noinline
func inner(n numbers, p pointers) int {
	sink += n[1]
	return *p[1]
}

func main() {
	fmt.Println("start")
	fmt.Println(outer(numbers{4, 100}, pointers{}))
}
