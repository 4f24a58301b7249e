// Calls that need more and more stack, closures, arguments of every kind and a panic: built with a hook before each stack
// check (-d=maymorestack), which makes the runtime preempt or move the stack at each of them.

package main

import "fmt"

//go:noinline
func grow(n int) int {
	var block [48]int
	if n == 0 {
		return 0
	}
	block[n%48] = n
	return grow(n-1) + block[n%48]
}

//go:noinline
func many(a int8, b uint16, c float64, d float32, e string, f []int, g interface{}) string {
	return fmt.Sprint(a, b, c, d, e, f, g)
}

//go:noinline
func recovered(n int) (result int) {
	defer func() {
		if r := recover(); r != nil {
			result = r.(int)
		}
	}()
	thrower(n)
	return 0
}

//go:noinline
func thrower(n int) {
	if n >= 0 {
		panic(n)
	}
}

//go:noinline
func each(n int, f func(int)) {
	for i := 0; i < n; i++ {
		f(i)
	}
}

func main() {
	total := 0
	for i := 0; i < 20; i++ {
		done := make(chan int)
		go func(i int) { done <- grow(10 * i) }(i)
		total += <-done
	}
	fmt.Println(total)
	fmt.Println(many(1, 2, 3.5, 4.5, "five", []int{6}, 7))
	each(10, func(i int) { total += recovered(i) })
	fmt.Println(total)
}
