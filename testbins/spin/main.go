// A compute loop: what the emulated processor is compared with the real one by. The argument is the number of rounds, of
// about ten instructions each.
//
// hook: main.spin
// event: main.spin 1
// args: 100000

package main

import (
	"fmt"
	"os"
	"strconv"
)

//go:noinline
func spin(rounds int) (sum uint64) {
	state := uint64(1)
	for i := 0; i < rounds; i++ {
		state ^= state << 13
		state ^= state >> 7
		state ^= state << 17
		if state&1 == 0 {
			sum += state
		} else {
			sum ^= state
		}
	}
	return sum
}

func main() {
	rounds, err := strconv.Atoi(os.Args[1])
	if err != nil {
		panic(err)
	}
	fmt.Println(spin(rounds))
}
