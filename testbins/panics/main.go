// Panics that fly through hooked frames, from explicit panics and from the runtime; the frames between are abandoned.
//
// hook: main.descend
// hook: main.catch
// hook: main.fail
// hook: main.cleanup
// event: main.descend 0 abandoned 2178
// event: main.catch 198
// event: main.fail 0 abandoned 198
// event: main.cleanup 198

package main

import (
	"errors"
	"fmt"
	"strings"
)

var zero, many = 0, 99

//go:noinline
func fail(kind int, m map[string]int, s []int) int {
	switch kind {
	case 0:
		panic("a string")
	case 1:
		panic(errors.New("an error"))
	case 2:
		return s[many]
	case 3:
		return 1 / zero
	case 4:
		m["x"] = 1 // nil map
	case 5:
		var i interface{} = "text"
		return i.(int)
	case 6:
		return len(s[many:])
	case 7:
		return len(make([]int, zero-1))
	case 8:
		var c chan int
		close(c)
	}
	return 0
}

//go:noinline
func descend(depth, kind int) int {
	var room [64]byte
	room[depth&63] = byte(kind)
	if depth == 0 {
		return fail(kind, nil, nil)
	}
	return descend(depth-1, kind) + int(room[depth&63])
}

var cleaned int

//go:noinline
func cleanup(n int) { cleaned += n }

//go:noinline
func catch(kind int) (message string) {
	defer func() {
		switch v := recover().(type) {
		case nil:
			message = "nothing"
		case error:
			message = "error " + v.Error()
		default:
			message = fmt.Sprint(v)
		}
	}()
	defer cleanup(1)
	descend(10, kind)
	return "returned"
}

func main() {
	seen := map[string]int{}
	for round := 0; round < 22; round++ {
		for kind := 0; kind < 9; kind++ {
			m := catch(kind)
			if round == 0 {
				// Later versions say more: only the beginning is the same everywhere.
				words := strings.Fields(m)
				if len(words) > 4 {
					words = words[:4]
				}
				fmt.Println(kind, strings.Trim(strings.Join(words, " "), ":"))
			}
			seen[m]++
		}
	}
	fmt.Println(len(seen), "kinds,", cleaned, "cleaned up")
}
