// Frameless leaves: functions without a stack check and without a frame, some with a loop whose backward branch goes
// into the first bytes, which cannot be displaced.
//
// hook: main.add
// hook: main.load
// hook: main.spin
// hook: main.bits
// hook: main.pick
// hook: main.late
// event: main.add 4000
// event: main.load 4000
// event: main.spin 4000 or refused
// event: main.bits 4000 or refused
// event: main.late 4000
// event: main.pick 4000

package main

import "fmt"

var table = [8]uint64{1, 2, 4, 8, 16, 32, 64, 128}

//go:noinline
func add(a, b uint64) uint64 { return a + b }

//go:noinline
func load(i uint64) uint64 { return table[i&7] }

//go:noinline
func spin(n uint64) uint64 {
	for n > 7 {
		n -= 3
	}
	return n
}

//go:noinline
func bits(x uint64) (n uint64) {
	for ; x != 0; x &= x - 1 {
		n++
	}
	return n
}

// late has its loop behind the entry.
//
//go:noinline
func late(x uint64) uint64 {
	x = x*0x9E3779B97F4A7C15 ^ x>>13
	for x > 1000 {
		x >>= 3
	}
	return x
}

//go:noinline
func pick(c bool, a, b uint64) uint64 {
	if c {
		return a
	}
	return b
}

func main() {
	var total uint64
	for i := uint64(0); i < 4000; i++ {
		total = add(total, load(i))
		total += spin(i) + bits(i) + pick(i&1 == 0, i, total) + late(i)
	}
	fmt.Println(total)
}
