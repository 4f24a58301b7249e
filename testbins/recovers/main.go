// recover() in every place where it works and in those where it must not: in hooked deferred functions, methods,
// method values, closures, wrappers; in functions that a deferred function calls; nested and repeated panics.
//
// hook: main.*
// event: main.direct 101
// event: main.withDirect 100
// event: main.T.Value 40
// event: main.(*T).Pointer 60
// event: main.indirect 100
// event: main.viaHelper 100
// event: main.helper 100
// event: main.nested 100
// event: main.again 100
// event: main.rethrow 0 abandoned 100
// event: main.thrower >=0 abandoned >=1000

package main

import "fmt"

var log = map[string]int{}

//go:noinline
func note(where string, v interface{}) { log[fmt.Sprint(where, ": ", v)]++ }

//go:noinline
func thrower(v interface{}) {
	if v != nil {
		panic(v)
	}
}

//go:noinline
func direct() { note("direct", recover()) }

//go:noinline
func withDirect() (n int) {
	defer direct()
	n = 7
	thrower("d")
	return 8
}

// T has methods that recover.
type T struct{ name string }

// Value has a generated pointer wrapper.
//
//go:noinline
func (t T) Value() { note("value "+t.name, recover()) }

// Pointer is called directly, through an interface and through embedding.
//
//go:noinline
func (t *T) Pointer() { note("pointer "+t.name, recover()) }

// U promotes the methods of T through wrappers.
type U struct {
	pad int
	*T
}

type pointerer interface{ Pointer() }
type valuer interface{ Value() }

//go:noinline
func withMethods(t *T, which int) {
	// Go 1.5 does not recover through a method value: what is left arrives here.
	defer func() { note("left", recover()) }()
	switch which {
	case 0:
		defer t.Value()
	case 1:
		defer t.Pointer()
	case 2:
		f := t.Value // a method value: through a generated closure
		defer f()
	case 3:
		f := t.Pointer
		defer f()
	case 4:
		var i pointerer = t
		defer i.Pointer()
	case 5:
		var i valuer = t // pointer wrapper of a value method
		defer i.Value()
	case 6:
		var i pointerer = U{1, t} // promoted
		defer i.Pointer()
	case 7:
		var i valuer = &U{1, t}
		defer i.Value()
	case 8:
		f := (*T).Pointer // a method expression
		defer f(t)
	case 9:
		f := pointerer.Pointer
		defer f(U{2, t})
	}
	thrower(which)
}

// helper is called by a deferred function: its recover returns nil and the panic goes on.
//
//go:noinline
func helper() interface{} { return recover() }

//go:noinline
func indirect() {
	if v := helper(); v != nil {
		panic("recover worked one call too deep")
	}
	note("indirect", recover())
}

//go:noinline
func viaHelper() {
	defer indirect()
	thrower("h")
}

//go:noinline
func nested() {
	defer func() { note("outer", recover()) }()
	defer func() {
		defer func() { note("inner", recover()) }()
		thrower("second")
	}()
	thrower("first")
}

//go:noinline
func rethrow() {
	defer func() {
		v := recover()
		thrower(fmt.Sprint("re-", v))
	}()
	thrower("thrown")
}

//go:noinline
func again() {
	defer func() { note("again", recover()) }()
	rethrow()
}

// replaced panics while panicking: the second replaces the first.
//
//go:noinline
func replaced() {
	defer func() { note("replaced", recover()) }()
	defer func() { thrower("new") }()
	thrower("old")
}

//go:noinline
func inLoop() {
	for i := 0; i < 3; i++ {
		func() {
			defer func() { note("loop", recover()) }()
			thrower(i)
		}()
	}
}

// notPanicking must see nil.
//
//go:noinline
func notPanicking() {
	defer direct()
	note("plain", recover())
}

func main() {
	t := &T{"t"}
	for i := 0; i < 100; i++ {
		if got := withDirect(); got != 7 {
			fmt.Println("withDirect", got)
		}
		if i < 10 {
			for which := 0; which < 10; which++ {
				withMethods(t, which)
			}
		}
		viaHelper()
		nested()
		again()
		replaced()
		inLoop()
		if i == 0 {
			notPanicking()
		}
	}
	keys := []string{}
	for k := range log {
		keys = append(keys, k)
	}
	for i := range keys {
		for j := i; j > 0 && keys[j] < keys[j-1]; j-- {
			keys[j], keys[j-1] = keys[j-1], keys[j]
		}
	}
	for _, k := range keys {
		fmt.Println(k, log[k])
	}
}
