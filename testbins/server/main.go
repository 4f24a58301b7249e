// An HTTP server that stays until SIGTERM. `server [ADDRESS]` listens on the Unix socket of that path, by default
// server.sock in the current folder, or on a TCP address if it contains a colon; `server -load ADDRESS N` is the load:
// it makes N requests and prints what it got.
//
// hook: net/http.serverHandler.ServeHTTP
// hook: main.handle
// ready: ready
// stop: TERM
// event: net/http.serverHandler.ServeHTTP >=0
// event: main.handle >=0

package main

import (
	"fmt"
	"io/ioutil"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

//go:noinline
func handle(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "hello %s\n", r.URL.Path) }

func network(address string) string {
	if strings.Contains(address, ":") {
		return "tcp"
	}
	return "unix"
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

func serve(address string) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	if network(address) == "unix" {
		os.Remove(address)
	}
	listener, err := net.Listen(network(address), address)
	fail(err)
	go http.Serve(listener, http.HandlerFunc(handle))
	fmt.Println("ready")
	<-signals
	listener.Close()
	fmt.Println("bye")
}

func load(address string, n int) {
	dial := func(_, _ string) (net.Conn, error) { return net.Dial(network(address), address) }
	client := &http.Client{Transport: &http.Transport{Dial: dial}}
	size := 0
	for i := 0; i < n; i++ {
		response, err := client.Get(fmt.Sprintf("http://server/%d", i))
		fail(err)
		body, err := ioutil.ReadAll(response.Body)
		response.Body.Close()
		fail(err)
		size += len(body)
	}
	fmt.Println(n, "requests,", size, "bytes")
}

func main() {
	args := os.Args[1:]
	if len(args) == 3 && args[0] == "-load" {
		n, err := strconv.Atoi(args[2])
		fail(err)
		load(args[1], n)
		return
	}
	address := "server.sock"
	if len(args) > 0 {
		address = args[0]
	}
	serve(address)
}
