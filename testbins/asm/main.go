// Assembly functions: arguments on the stack in every version, with and without a frame, with a loop to the entry, and
// one that calls back into Go. From 1.17 on the compiler calls them through a wrapper of the same name, hence the lower
// bounds.
//
// hook: main.add3
// hook: main.total
// hook: main.countdown
// hook: main.viaAsm
// hook: main.callback
// event: main.add3 >=500
// event: main.total >=500
// event: main.countdown >=0 or refused
// event: main.viaAsm >=500
// event: main.callback >=500

package main

import "fmt"

func add3(a int64, b int32, c int8) int64
func total(xs []int64, start *int64) (sum int64, n int64)
func countdown(n int64) int64
func viaAsm(x int64, s string) (int64, int64)

//go:noinline
func callback(x int64, s string) (int64, int64) {
	var room [200]byte
	room[x&127] = byte(x)
	return x*2 + int64(len(s)), int64(room[x&127])
}

func main() {
	sum := int64(0)
	xs := []int64{1, 2, 3, 4, 5}
	for i := int64(0); i < 500; i++ {
		sum += add3(i, int32(-i), 5)
		s, n := total(xs, &i)
		sum += s*10 + n
		sum += countdown(i & 31)
		a, b := viaAsm(i, "abc")
		sum += a - b
	}
	fmt.Println(sum)
}
