// reflect.Value.Call into hooked functions, reflect.MakeFunc out of them, method values through reflection: argument
// frames made by the runtime itself.
//
// hook: main.target
// hook: main.T.Method
// hook: main.through
// hook: main.wide
// event: main.target 300
// event: main.T.Method 600
// event: main.through 300
// event: main.wide 300

package main

import (
	"fmt"
	"reflect"
)

//go:noinline
func target(a int, s string, f float64, b []byte, e error) (int, string, error) {
	return a + len(s) + len(b) + int(f), s + "!", e
}

//go:noinline
func wide(a [30]int, p *int, x ...int) (r [30]int) {
	r = a
	r[29] = *p + len(x)
	return r
}

// T has a method that is called through reflection.
type T struct {
	a, b int
	s    string
}

// Method uses the receiver and its arguments.
//
//go:noinline
func (t T) Method(x int, y float32) (float32, int) { return y + float32(t.b), t.a + x + len(t.s) }

//go:noinline
func through(swap func(int, string) (string, int), n int) (string, int) { return swap(n, "text") }

func main() {
	swap := func(in []reflect.Value) []reflect.Value { return []reflect.Value{in[1], in[0]} }
	var f func(int, string) (string, int)
	reflect.ValueOf(&f).Elem().Set(reflect.MakeFunc(reflect.TypeOf(f), swap))
	total := 0
	for i := 0; i < 300; i++ {
		args := []reflect.Value{reflect.ValueOf(i), reflect.ValueOf("str"), reflect.ValueOf(2.5), reflect.ValueOf([]byte("b"))}
		args = append(args, reflect.Zero(reflect.TypeOf((*error)(nil)).Elem()))
		out := reflect.ValueOf(target).Call(args)
		total += int(out[0].Int()) + out[1].Len()
		t := reflect.ValueOf(T{i, 2, "three"})
		out = t.Method(0).Call([]reflect.Value{reflect.ValueOf(4), reflect.ValueOf(float32(0.5))})
		total += int(out[0].Float()*2) + int(out[1].Int())
		// As a function value: through reflect.methodValueCall.
		m := t.Method(0).Interface().(func(int, float32) (float32, int))
		x, y := m(5, 1.5)
		total += int(x) + y
		s, n := through(f, i)
		total += len(s) + n
		out = reflect.ValueOf(wide).Call([]reflect.Value{reflect.ValueOf([30]int{28: i}), reflect.ValueOf(&n), reflect.ValueOf(1)})
		total += int(out[0].Index(28).Int() + out[0].Index(29).Int())
	}
	fmt.Println(total)
}
