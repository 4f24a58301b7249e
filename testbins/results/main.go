// Results of every kind: none, many, named and changed by deferred functions, interfaces, strings, slices, maps,
// functions, channels, errors; more of them than there are registers.
//
// hook: main.*
// event: main.many 500
// event: main.named 500
// event: main.kinds 500
// event: main.wide 500
// event: main.pair 1000

package main

import (
	"errors"
	"fmt"
)

//go:noinline
func many(n int) (a, b, c, d, e, f, g, h, i, j, k, l, m int, s string, err error) {
	return n, n + 1, n + 2, n + 3, n + 4, n + 5, n + 6, n + 7, n + 8, n + 9, n + 10, n + 11, n + 12, "many", nil
}

//go:noinline
func named(n int) (r int, err error) {
	defer func() {
		r *= 2
		if n%3 == 0 {
			err = errors.New("three")
		}
	}()
	return n + 1, nil
}

//go:noinline
func kinds(n int) (interface{}, []int, map[int]string, func() int, chan int, error, *int) {
	c := make(chan int, 1)
	c <- n
	return n, []int{n, n}, map[int]string{n: "v"}, func() int { return n }, c, fmt.Errorf("e%d", n), &n
}

//go:noinline
func wide(n int) (r [40]int, ok bool) {
	r[n%40] = n
	return r, true
}

//go:noinline
func pair(n int) (int, int) { return n / 10, n % 10 }

//go:noinline
func sum(a, b int) int { return a + b }

func main() {
	total := 0
	for x := 0; x < 500; x++ {
		a, b, c, d, e, f, g, h, i, j, k, l, m, s, err := many(x)
		total += a + 2*b + 3*c + 4*d + 5*e + 6*f + 7*g + 8*h + 9*i + 10*j + 11*k + 12*l + 13*m + len(s)
		r, err2 := named(x)
		if err != nil || (err2 != nil) != (x%3 == 0) {
			panic("errors")
		}
		v, sl, mp, fn, ch, e3, p := kinds(x)
		total += r + v.(int) + sl[1] + len(mp[x]) + fn() + <-ch + len(e3.Error()) + *p
		w, ok := wide(x)
		if !ok {
			panic("ok")
		}
		total += w[x%40] + sum(pair(x)) + sum(pair(total&1023))
	}
	fmt.Println(total)
}
