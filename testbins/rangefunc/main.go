//go:build go1.23
// +build go1.23

// Ranging over functions: loop bodies are closures that defer, return, break and panic for the function around them.
//
// hook: main.seq
// hook: main.find
// hook: main.deferring
// hook: main.failing
// hook: main.note
// min-go: 1.23
// event: main.find 300
// event: main.deferring 100
// event: main.failing 100
// event: main.note 600

package main

import "fmt"

//go:noinline
func seq(n int) func(func(int, string) bool) {
	return func(yield func(int, string) bool) {
		for i := 0; i < n; i++ {
			if !yield(i, "s") {
				return
			}
		}
	}
}

//go:noinline
func find(limit, want int) (int, bool) {
	for i, s := range seq(limit) {
		if i == want {
			return i + len(s), true
		}
	}
	return -1, false
}

var order uint64

//go:noinline
func note(n int) { order = order*31 + uint64(n) }

//go:noinline
func deferring(n int) {
	for i := range seq(n) {
		defer note(i)
	}
	note(n)
}

//go:noinline
func failing(n int) (err error) {
	defer func() { err = fmt.Errorf("%v", recover()) }()
	for i := range seq(n) {
		for k := range seq(n) {
			if i*k == 12 {
				panic(i + k)
			}
		}
	}
	return nil
}

func main() {
	total := 0
	for i := 0; i < 100; i++ {
		for _, want := range []int{0, 3, 99} {
			n, _ := find(10, want)
			total += n
		}
		deferring(5)
		total += len(failing(9).Error())
	}
	fmt.Println(total, order)
}
