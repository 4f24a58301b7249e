// Starts itself as a child process, several times and from several goroutines; the parent is hooked, the children are
// not, and nothing of the hooks may reach them.
//
// hook: main.start
// hook: os/exec.(*Cmd).Start
// hook: os.StartProcess
// event: main.start 6
// event: os/exec.(*Cmd).Start 6
// event: os.StartProcess 6

package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
)

//go:noinline
func start(n int) (string, error) {
	command := exec.Command("/proc/self/exe", "child", fmt.Sprint(n))
	command.Stdin = strings.NewReader(fmt.Sprintf("input %d", n))
	command.Env = append(os.Environ(), fmt.Sprint("CHILD=", n))
	out, err := command.Output()
	return string(out), err
}

func child() {
	text := make([]byte, 100)
	n, _ := os.Stdin.Read(text)
	fmt.Printf("child %s: %s, %s", os.Args[2], text[:n], os.Getenv("CHILD"))
	if os.Args[2] == "5" {
		os.Exit(5)
	}
}

func main() {
	if len(os.Args) > 2 && os.Args[1] == "child" {
		child()
		return
	}
	results := make([]chan string, 6)
	for i := range results {
		results[i] = make(chan string)
		go func(i int) {
			out, err := start(i)
			results[i] <- fmt.Sprint(out, " | ", err)
		}(i)
	}
	for i := range results {
		fmt.Println(<-results[i])
	}
}
