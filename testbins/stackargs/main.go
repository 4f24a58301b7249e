// Arguments and results of all sizes: nothing, odd sizes, structures, arrays, up to two thousand bytes. From Go 1.17 on
// what does not fit into registers lies on the stack, before that everything does. Every byte is checked on both sides.
//
// hook: main.f*
// event: main.f0 60
// event: main.f1 60
// event: main.f3 60
// event: main.f7 60
// event: main.f8 60
// event: main.f24 60
// event: main.f80 60
// event: main.f127 60
// event: main.f512 60
// event: main.f2000 60
// event: main.fmixed 60
// event: main.fempty 60
// event: main.fints 60
// event: main.fdeep 3060

package main

import "fmt"

type (
	b1    [1]byte
	b3    [3]byte
	b7    struct{ a, b, c, d, e, f, g byte }
	b8    [2]int32
	b24   struct{ a, b, c int64 }
	b80   struct{ a [10]int64 }
	b127  [127]byte
	b512  [512]byte
	b2000 [2000]byte
	empty struct{}
	mixed struct {
		a byte
		b int64
		c [3]int16
		d string
		e float32
		f []byte
	}
)

func fill(p []byte, seed int) {
	for i := range p {
		seed = seed*1103515245 + 12345
		p[i] = byte(seed >> 16)
	}
}

func sum(p []byte) int {
	s := 0
	for i, b := range p {
		s = s*31 + int(b) + i
	}
	return s & 0xffffff
}

//go:noinline
func f0() { calls++ }

//go:noinline
func f1(a b1) b1 { a[0]++; return a }

//go:noinline
func f3(a b3, b byte) (byte, b3) { a[1]++; return b + 1, a }

//go:noinline
func f7(a b7) (b7, b7) { b := a; b.g++; return b, a }

//go:noinline
func f8(a, b b8) b8 { a[0] += b[1]; return a }

//go:noinline
func f24(a b24, b int) (int, b24) { a.b += int64(b); return b * 2, a }

//go:noinline
func f80(a b80, n int8, b b80) (b80, int8, b80) { a.a[9]++; b.a[0]++; return b, n + 1, a }

//go:noinline
func f127(a b127) b127 { a[126]++; return a }

//go:noinline
func f512(n int, a b512, s string) (string, b512, int) { a[511]++; return s + "!", a, n + 1 }

//go:noinline
func f2000(a b2000, p *b2000) (r b2000) {
	r = a
	for i := range r {
		r[i] ^= p[i]
	}
	return r
}

// grow makes the stack large: a hook needs room for a second copy of the arguments, and a function without a stack check
// of its own, or with a small one, does not make any.
//
//go:noinline
func grow(n int) int {
	var room [32000]byte
	room[n] = 1
	return int(room[n/2])
}

//go:noinline
func fmixed(m mixed, x ...mixed) (mixed, int) {
	m.b += int64(len(x))
	m.c[2]++
	return m, len(x)
}

//go:noinline
func fempty(a empty, n int, b empty) (empty, int, empty) { return b, n + 1, a }

//go:noinline
func fints(a, b, c, d, e, f, g, h, i, j, k, l int) (int, int, int, int, int, int, int, int, int, int, int, int) {
	return l, k, j, i, h, g, f, e, d, c, b, a
}

// fdeep moves the stack while large argument areas lie on it.
//
//go:noinline
func fdeep(n int, a b512) int {
	if n == 0 {
		return sum(a[:])
	}
	a[n]++
	return fdeep(n-1, a) + int(a[n])
}

var calls int

func main() {
	total := grow(2)
	done := make(chan int)
	for i := 0; i < 60; i++ {
		f0()
		var x1 b1
		fill(x1[:], i)
		r1 := f1(x1)
		var x3 b3
		fill(x3[:], i)
		c, r3 := f3(x3, byte(i))
		r7, s7 := f7(b7{1, 2, 3, 4, 5, 6, byte(i)})
		r8 := f8(b8{1, 2}, b8{3, int32(i)})
		n24, r24 := f24(b24{1, int64(i), 3}, i)
		var x80 b80
		for k := range x80.a {
			x80.a[k] = int64(k * i)
		}
		r80, n80, s80 := f80(x80, int8(i), x80)
		var x127 b127
		fill(x127[:], i)
		r127 := f127(x127)
		var x512 b512
		fill(x512[:], i)
		s, r512, n512 := f512(i, x512, "s")
		var x2000, y2000 b2000
		fill(x2000[:], i)
		fill(y2000[:], i+1)
		r2000 := f2000(x2000, &y2000)
		m, k := fmixed(mixed{1, int64(i), [3]int16{1, 2, 3}, "m", 1.5, []byte("f")}, mixed{}, mixed{a: 2})
		_, ne, _ := fempty(empty{}, i, empty{})
		a, b, cc, d, e, f, g, h, ii, j, kk, l := fints(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, i)
		if a != i || b != 11 || cc != 10 || d != 9 || e != 8 || f != 7 || g != 6 || h != 5 || ii != 4 || j != 3 || kk != 2 || l != 1 {
			panic("fints")
		}
		if x1[0]+1 != r1[0] || x127[126]+1 != r127[126] || x512[511]+1 != r512[511] || s != "s!" || n512 != i+1 {
			panic("bytes")
		}
		if string(m.f) != "f" || m.d != "m" || m.e != 1.5 || m.b != int64(i+2) || k != 2 || ne != i+1 {
			panic("mixed")
		}
		go func() { done <- fdeep(50, x512) }()
		total += <-done + int(c) + int(r3[1]) + int(r7.g) - int(s7.g) + int(r8[0]) + n24 + int(r24.b)
		total += int(r80.a[0]) + int(n80) + int(s80.a[9]) + sum(r127[:]) + sum(r512[:]) + sum(r2000[:]) + sum(x2000[:])
	}
	fmt.Println("total", total, calls)
}
