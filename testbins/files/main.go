// System calls: files, pipes, directories; the thread leaves its processor inside hooked functions, which may be running
// on another one when it comes back.
//
// hook: main.copyAll
// hook: main.pipe
// hook: os.(*File).Read
// hook: os.(*File).Write
// hook: syscall.read
// hook: syscall.write
// event: main.copyAll 50
// event: main.pipe 50
// event: os.(*File).Read >=150
// event: os.(*File).Write >=100

package main

import (
	"fmt"
	"io/ioutil"
	"os"
	"path/filepath"
	"sync"
)

//go:noinline
func copyAll(from, to string) int {
	in, err := os.Open(from)
	check(err)
	defer in.Close()
	out, err := os.Create(to)
	check(err)
	defer out.Close()
	total, buffer := 0, make([]byte, 1000)
	for {
		n, err := in.Read(buffer)
		if n == 0 || err != nil {
			return total
		}
		n, err = out.Write(buffer[:n])
		check(err)
		total += n
	}
}

//go:noinline
func pipe(n int) int {
	r, w, err := os.Pipe()
	check(err)
	go func() {
		w.Write(make([]byte, n))
		w.Close()
	}()
	b, err := ioutil.ReadAll(r)
	check(err)
	r.Close()
	return len(b)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	dir, err := ioutil.TempDir("", "files")
	check(err)
	defer os.RemoveAll(dir)
	source := filepath.Join(dir, "source")
	check(ioutil.WriteFile(source, make([]byte, 2500), 0600))
	totals := make([]int, 50)
	var group sync.WaitGroup
	for i := range totals {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			totals[i] = copyAll(source, filepath.Join(dir, fmt.Sprint(i))) + pipe(100*i)
		}(i)
	}
	group.Wait()
	sum := 0
	for _, t := range totals {
		sum += t
	}
	names, err := ioutil.ReadDir(dir)
	check(err)
	fmt.Println(sum, len(names))
}
