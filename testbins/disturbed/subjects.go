package main

import (
	"sync/atomic"
	"unsafe"
)

// node is a tree on the heap.
type node struct {
	sum, count  int
	left, right *node
	name        string
}

//go:noinline
func plant(depth, seed int) *node {
	n := &node{sum: seed, name: "node"}
	if depth > 0 {
		n.left, n.right = plant(depth-1, seed*3+1), plant(depth-1, seed*5+2)
	}
	return n
}

// check is a checksum of the tree. It does not look at counts.
func (n *node) check() int {
	if n == nil {
		return 1
	}
	return n.sum*31 + n.left.check()*7 + n.right.check()*11 + len(n.name)
}

var (
	shared    = plant(4, 1)
	sharedSum = shared.check()
)

// churn allocates objects of the sizes in use.
//
//go:noinline
func churn() {
	for i := 0; i < 20; i++ {
		if plant(3, i).check() == 0 {
			sink++
		}
	}
}

// A subject prepares arguments, calls the function of its name, and says whether everything is as it should be. Two
// goroutines may run it at once.
type subject struct {
	name string
	run  func(seed int) bool
}

var subjects = []*subject{
	{"leaf", runLeaf}, {"nosplit", runNosplit}, {"small", runSmall}, {"medium", runMedium}, {"huge", runHuge},
	{"many", runMany}, {"pointer", runPointer}, {"closure", runClosure}, {"method", runMethod}, {"floats", runFloats},
	{"assembly", runAssembly}, {"asmleaf", runAsmleaf}, {"recoverer", runRecoverer}, {"defers", runDefers},
	{"variadic", runVariadic}, {"wide", runWide},
}

// locals is what a caller keeps on its stack around the call, with pointers into it.
type locals struct {
	words [6]uintptr
	first *uintptr
	self  *locals
	tree  *node
}

// hide keeps the compiler from seeing that a pointer to the stack is stored, and thus from moving what it points to to
// the heap.
//
//go:nosplit
//go:noinline
func hide(p unsafe.Pointer) unsafe.Pointer {
	x := uintptr(p)
	return unsafe.Pointer(x ^ 0)
}

//go:noinline
func (l *locals) fill(seed int) {
	for i := range l.words {
		l.words[i] = uintptr(seed*1000 + i)
	}
	l.first = (*uintptr)(hide(unsafe.Pointer(&l.words[0])))
	l.self = (*locals)(hide(unsafe.Pointer(l)))
	l.tree = shared
}

//go:noinline
func (l *locals) intact(seed int) bool {
	for i, word := range l.words {
		if word != uintptr(seed*1000+i) {
			return false
		}
	}
	return l.first == &l.words[0] && l.self == l && l.tree == shared && l.tree.sum == 1
}

// leaf has neither frame nor stack check.
//
//go:noinline
func leaf(a, b, c int) int { return a*b + (c*7 ^ b) - a }

func runLeaf(seed int) bool {
	var l locals
	l.fill(seed)
	r := leaf(seed, 5, 6)
	return r == seed*5+(42^5)-seed && l.intact(seed)
}

//go:nosplit
//go:noinline
func half(n int) int { return n / 2 }

// nosplit has a frame and calls, without a stack check.
//
//go:nosplit
//go:noinline
func nosplit(p *node, n int) int { return half(n) + p.sum + half(p.sum) }

func runNosplit(seed int) bool {
	var l locals
	l.fill(seed)
	r := nosplit(shared, 2*seed)
	return r == seed+1 && l.intact(seed)
}

//go:noinline
func small(p *node, n int) int {
	act()
	return p.sum + n
}

func runSmall(seed int) bool {
	var l locals
	l.fill(seed)
	r := small(shared, seed)
	return r == seed+1 && l.intact(seed)
}

//go:noinline
func fill(words []int, n int) {
	for i := range words {
		words[i] = i * n
	}
}

//go:noinline
func total(words []int) int {
	sum := 0
	for _, word := range words {
		sum += word
	}
	return sum
}

// medium has a frame larger than StackSmall, and a pointer into it.
//
//go:noinline
func medium(p *node, n int) int {
	var room [40]int
	q := &room[n&31]
	fill(room[:], n)
	act()
	*q++
	return total(room[:]) + p.sum
}

func runMedium(seed int) bool {
	var l locals
	l.fill(seed)
	r := medium(shared, seed)
	return r == seed*40*39/2+2 && l.intact(seed)
}

// huge has a frame larger than StackBig.
//
//go:noinline
func huge(p *node, n int) int {
	var room [1200]int
	q := &room[n&31]
	fill(room[:], n)
	act()
	*q++
	return total(room[:]) + p.sum
}

func runHuge(seed int) bool {
	var l locals
	l.fill(seed)
	r := huge(shared, seed)
	return r == seed*1200*1199/2+2 && l.intact(seed)
}

// many has more arguments and results than registers, pointers among those on the stack.
//
//go:noinline
func many(a, b int, s string, x [6]int, p *node, c, d, e, f int, q *node, y float64) (int, string, [6]int, *node, int, int, int, float64, *node) {
	act()
	x[a&3] += q.sum
	return a + c, s[1:], x, p, b + d, e, f, y * 2, q
}

func runMany(seed int) bool {
	var l locals
	l.fill(seed)
	ac, s, x, p, bd, e, f, y, q := many(seed, 2, "text", [6]int{1, 2, 3, 4, 5, 6}, shared.left, 4, 5, 6, 7, shared, 1.5)
	if ac != seed+4 || s != "ext" || p != shared.left || bd != 7 || e != 6 || f != 7 || y != 3 || q != shared {
		return false
	}
	x[seed&3]--
	return x == [6]int{1, 2, 3, 4, 5, 6} && l.intact(seed)
}

// pointer returns what it gets: a pointer into its caller's frame.
//
//go:noinline
func pointer(p *node) *node {
	act()
	p.count++
	return p
}

func runPointer(seed int) bool {
	var l locals
	l.fill(seed)
	on := node{sum: seed, left: shared} // on the stack: all that escapes is the result, which does not
	q := pointer(&on)
	q.count += 2
	return on.count == 3 && q.left == shared && uintptr(unsafe.Pointer(q)) == uintptr(unsafe.Pointer(&on)) && l.intact(seed)
}

// capture's closure finds its variables through the context register.
//
//go:noinline
func capture(p *node, k *int) func(int) *node {
	return func(n int) *node {
		act()
		*k += n + p.sum
		return p
	}
}

func runClosure(seed int) bool {
	var l locals
	l.fill(seed)
	k := 0
	f := capture(shared, &k)
	p := f(seed)
	return p == shared && k == seed+1 && l.intact(seed)
}

type value struct {
	n int
	p *node
	x [2]int
}

type methoder interface {
	method(n int) (*node, int)
}

// method is called through an interface, so by the wrapper that the compiler makes for *value.
//
//go:noinline
func (v value) method(n int) (*node, int) {
	act()
	return v.p, v.n + n + v.x[n&1]
}

//go:noinline
func box(seed int) methoder { return value{seed, shared, [2]int{3, 3}} }

func runMethod(seed int) bool {
	var l locals
	l.fill(seed)
	p, r := box(seed).method(4)
	return p == shared && r == seed+7 && l.intact(seed)
}

//go:noinline
func floats(a, b float64, c float32, n int, d complex128, p *node) (float64, float32, complex128, int) {
	act()
	return a*b + float64(n), c * 2, d + complex(a, b), n + p.sum
}

func runFloats(seed int) bool {
	var l locals
	l.fill(seed)
	a, b, c, n := floats(1.5, 4, 0.25, seed, complex(1, 2), shared)
	return a == 6+float64(seed) && b == 0.5 && c == complex(2.5, 6) && n == seed+1 && l.intact(seed)
}

// assembly has its arguments on the stack in every version, a frame and a stack check, and calls assembled.
func assembly(p *node, n int) int

//go:noinline
func assembled(p *node, n int) int {
	act()
	return p.sum + n
}

func runAssembly(seed int) bool {
	var l locals
	l.fill(seed)
	r := assembly(shared, seed)
	return r == seed+2 && l.intact(seed)
}

// asmleaf has its arguments on the stack in every version, a frame and no stack check, and calls nothing.
func asmleaf(p *node, n int) int

func runAsmleaf(seed int) bool {
	var l locals
	l.fill(seed)
	r := asmleaf(shared, seed)
	return r == seed+1 && l.intact(seed)
}

// recoverer recovers, as a deferred function.
//
//go:noinline
func recoverer(p *int32, n int) {
	v := recover()
	act()
	if v == "expected" {
		atomic.AddInt32(p, int32(n))
	}
}

//go:noinline
func panics(p *int32, n int) (r int) {
	defer recoverer(p, n)
	r = 5
	panic("expected")
}

func runRecoverer(seed int) bool {
	var l locals
	l.fill(seed)
	n := new(int32)
	r := panics(n, seed)
	return r == 5 && *n == int32(seed) && l.intact(seed)
}

//go:noinline
func addTo(p *int, n int) { *p += n }

// defers has deferred calls, of which one changes the result and some are made in a loop.
//
//go:noinline
func defers(p *node, n int) (r int) {
	defer func() { r += p.sum }()
	for i := 0; i < 3; i++ {
		defer addTo(&r, i)
	}
	act()
	return n
}

func runDefers(seed int) bool {
	var l locals
	l.fill(seed)
	r := defers(shared, seed)
	return r == seed+4 && l.intact(seed)
}

//go:noinline
func variadic(p *node, xs ...interface{}) (*node, int) {
	act()
	sum := len(xs)
	for _, x := range xs {
		switch v := x.(type) {
		case int:
			sum += v
		case string:
			sum += len(v)
		case *node:
			sum += v.sum
		}
	}
	return p, sum
}

func runVariadic(seed int) bool {
	var l locals
	l.fill(seed)
	p, r := variadic(shared, seed, "four", shared, nil)
	return p == shared && r == seed+9 && l.intact(seed)
}

// wide has more bytes of arguments than a caller has to leave stack: its hook needs as much again.
//
//go:noinline
func wide(x [110]int, p *node) int {
	act()
	x[3]++
	return total(x[:]) + p.sum
}

func runWide(seed int) bool {
	var l locals
	l.fill(seed)
	var x [110]int
	fill(x[:], seed)
	r := wide(x, shared)
	return r == seed*110*109/2+2 && x[3] == 3*seed && l.intact(seed)
}
