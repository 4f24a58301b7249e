// Calls main.unit once for each line of standard input, and says so.

package main

import (
	"bufio"
	"fmt"
	"os"
)

var sum int

//go:noinline
func unit(n int) {
	sum += n
}

func main() {
	fmt.Println("up")
	in := bufio.NewReader(os.Stdin)
	for n := 1; ; n++ {
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
		unit(n)
		fmt.Println("called")
	}
}
