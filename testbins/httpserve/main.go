// An HTTP server that serves itself and ends: keep-alive connections, many at once, handlers that panic.
//
// hook: net/http.serverHandler.ServeHTTP
// hook: main.handle
// event: net/http.serverHandler.ServeHTTP 400
// event: main.handle 400

package main

import (
	"fmt"
	"io/ioutil"
	"net"
	"net/http"
	"strings"
	"sync"
)

//go:noinline
func handle(w http.ResponseWriter, r *http.Request) {
	body, err := ioutil.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	w.Header().Set("X-Path", r.URL.Path)
	if strings.HasSuffix(r.URL.Path, "9") {
		w.WriteHeader(404)
	}
	fmt.Fprintf(w, "%s %s %d", r.Method, r.URL.Path, len(body))
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go http.Serve(listener, http.HandlerFunc(handle))
	base := "http://" + listener.Addr().String()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
	var group sync.WaitGroup
	var mutex sync.Mutex
	statuses, size := map[int]int{}, 0
	for w := 0; w < 8; w++ {
		group.Add(1)
		go func(w int) {
			defer group.Done()
			for i := 0; i < 50; i++ {
				path := fmt.Sprintf("/w%d/%d", w, i)
				response, err := client.Post(base+path, "text/plain", strings.NewReader(strings.Repeat("x", i)))
				if err != nil {
					panic(err)
				}
				body, err := ioutil.ReadAll(response.Body)
				response.Body.Close()
				if err != nil || string(body) != fmt.Sprintf("POST %s %d", path, i) || response.Header.Get("X-Path") != path {
					panic(fmt.Sprint(path, err, string(body)))
				}
				mutex.Lock()
				statuses[response.StatusCode]++
				size += len(body)
				mutex.Unlock()
			}
		}(w)
	}
	group.Wait()
	fmt.Println(statuses[200], statuses[404], size)
}
