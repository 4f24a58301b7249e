// Floating point and complex arguments and results: more of them than there are registers, mixed with integers, with
// NaN, infinities and negative zero kept bit for bit.
//
// hook: main.f*
// event: main.f32 700
// event: main.f64 700
// event: main.fmany 700
// event: main.fcomplex 700
// event: main.fmix 700
// event: main.frec 7700

package main

import (
	"fmt"
	"math"
)

//go:noinline
func f32(a, b float32) (float32, float32) { return b, a }

//go:noinline
func f64(a float64) float64 { return -a }

//go:noinline
func fmany(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q float64) (float64, float64, float64) {
	return a + c + e + g + i + k + m + o + q, b * d * f * h, j + l + n + p
}

//go:noinline
func fcomplex(a complex128, b complex64) (complex64, complex128) {
	return complex(imag(b), real(b)), complex(imag(a), real(a))
}

//go:noinline
func fmix(n int, x float64, s string, y float32, b bool, z float64) (float64, string, int, float32) {
	if b {
		return x + z, s + s, n + 1, -y
	}
	return x - z, s, n - 1, y
}

//go:noinline
func frec(n int, x, y float64) (float64, float64) {
	if n == 0 {
		return x, y
	}
	a, b := frec(n-1, y*1.25, x+float64(n))
	return b + x, a - y
}

func main() {
	special := []float64{0, math.Copysign(0, -1), 1.5, math.Inf(1), math.Inf(-1), math.NaN(), math.SmallestNonzeroFloat64}
	var bits uint64
	mix := func(x float64) { bits = bits*0x9E3779B97F4A7C15 + math.Float64bits(x) }
	for i := 0; i < 100; i++ {
		for k, x := range special {
			y := special[(k+i)%len(special)]
			a, b := f32(float32(x), float32(y))
			mix(float64(math.Float32bits(a)))
			mix(float64(math.Float32bits(b)))
			mix(f64(x))
			p, q, r := fmany(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, float64(i))
			mix(p)
			mix(q)
			mix(r)
			c, d := fcomplex(complex(x, y), complex(float32(i), float32(k)))
			mix(float64(real(c)))
			mix(imag(d))
			u, s, n, v := fmix(i, float64(k), "s", 2.5, i%2 == 0, 3)
			mix(u)
			mix(float64(len(s) + n))
			mix(float64(v))
			g, h := frec(10, float64(i), float64(k))
			mix(g)
			mix(h)
		}
	}
	fmt.Printf("%016x\n", bits)
}
