// Dies of a nil dereference, deep below hooked functions whose arguments are printed in the traceback. They are arrays,
// which every version passes on the stack: what a traceback prints for arguments in registers
// may be stale. They have no results, since old versions print what lies where those will be.
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
func outer(n numbers, p pointers) {
	if n[0] == 0 {
		inner(n, p)
	} else {
		outer(numbers{n[0] - 1, n[1] + 1}, p)
	}
	sink++
}

//go:noinline
func inner(n numbers, p pointers) {
	sink += n[1]
	sink += *p[1]
}

func main() {
	fmt.Println("start")
	outer(numbers{4, 100}, pointers{})
}
