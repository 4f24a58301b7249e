// Defers: long chains, in loops, conditional, with results and arguments of all sizes, nested, on the stack, on the heap
// and open-coded.
//
// hook: main.*
// event: main.inLoop 20
// event: main.note 20200
// event: main.conditional 400
// event: main.chain 2020
// event: main.large 20
// event: main.big 20

package main

import "fmt"

var order uint64

//go:noinline
func note(n int) { order = order*31 + uint64(n) }

//go:noinline
func inLoop(n int) {
	for i := 0; i < n; i++ {
		defer note(i)
	}
}

//go:noinline
func chain(n int) (r int) {
	defer func(m int) { r += m }(n)
	if n > 0 {
		return chain(n - 1)
	}
	return 1
}

//go:noinline
func conditional(mask int) (r int) {
	if mask&1 != 0 {
		defer func() { r++ }()
	}
	if mask&2 != 0 {
		defer func() { r *= 3 }()
	}
	if mask&4 != 0 {
		defer func() { r += 7 }()
	}
	return mask
}

type block [300]byte

//go:noinline
func big(b block, n *int) { *n += int(b[299]) }

//go:noinline
func large(seed int) (n int) {
	var b block
	b[299] = byte(seed)
	defer big(b, &n)
	b[299] = 0
	return 1
}

func main() {
	total := 0
	for i := 0; i < 20; i++ {
		inLoop(1010)
		total += chain(100)
		for m := 0; m < 20; m++ {
			total += conditional(m)
		}
		total += large(i)
	}
	fmt.Println(order, total)
}
