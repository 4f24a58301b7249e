package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"io/ioutil"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// noises are the modes that only vary, by name.
var noises = map[string]mode{
	"took":     noisyTook,
	"digits":   noisyDigits,
	"rarely":   noisyRarely,
	"ids":      noisyIDs,
	"garbage":  noisyGarbage,
	"order":    noisyOrder,
	"maps":     noisyMaps,
	"serve":    noisyServe,
	"heap":     noisyHeap,
	"progress": noisyProgress,
	"nothing":  func(bool) {},
}

// How long it took, in the forms in which programs say it.
func noisyTook(bool) {
	work(noisyWork())
	fmt.Printf("Done in %dms\n", took()/time.Millisecond)
	fmt.Printf("elapsed: %v\n", took())
	fmt.Printf("elapsed: %v\n", took().Round(time.Millisecond))
	fmt.Printf("ok  \tpackage\t%.3fs\n", took().Seconds())
	fmt.Printf("%.1f seconds, %d us\n", took().Seconds(), took()/time.Microsecond)
	fmt.Println(time.Now())
	fmt.Println(time.Now().Format(time.RFC1123), time.Now().Unix())
	fmt.Println(time.Now().Format(time.Kitchen), time.Now().Format(time.StampMicro))
	fmt.Printf("[%6.3f] uptime\n", took().Seconds())
}

// Numbers that cross a number of digits, and a unit.
func noisyDigits(bool) {
	for i := 0; i < 10; i++ {
		n := number(1200)
		fmt.Printf("job %d took %v (%d us), %5d bytes\n", i, time.Duration(n)*time.Microsecond, n, n*9)
	}
	fmt.Println(time.Duration(990+number(20)) * time.Millisecond)
}

// A number and a line that are different once in ten runs.
func noisyRarely(bool) {
	retries := 0
	if number(10) == 0 {
		retries = 1
	}
	fmt.Println("answer", work(3), "after", retries, "retries")
}

// Ids, ports, addresses.
func noisyIDs(bool) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	fail(err)
	defer listener.Close()
	log.Printf("pid %d listens on %v", os.Getpid(), listener.Addr())
	fmt.Printf("commit %s, short %s, etag \"%s\"\n", id(40), id(7), id(8))
	fmt.Printf("%s-%s-%s-%s-%s\n", id(8), id(4), id(4), id(4), id(12))
	fmt.Printf("token %s\n", base64.StdEncoding.EncodeToString([]byte(id(16)+id(7))))
	fmt.Printf("token %s\n", base64.RawURLEncoding.EncodeToString([]byte(id(24))))
	fmt.Printf("at %p, %#x\n", &listener, number(1<<24))
	fmt.Printf("/tmp/build%d/x.go, /tmp/go-%s/y\n", number(1<<24), id(6))
	fmt.Println("answer", work(5))
}

// Numbers of the garbage collector.
func noisyGarbage(bool) {
	var all [][]byte
	for i := 0; i < 400; i++ {
		all = append(all, make([]byte, 1000+number(30000)))
		if len(all) > 20 {
			all = all[10:]
		}
		work(i)
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	fmt.Printf("%d collections, %.1f MiB in use, %d objects, paused for %v\n", stats.NumGC,
		float64(stats.HeapInuse)/(1<<20), stats.HeapObjects, time.Duration(stats.PauseTotalNs))
	fmt.Println("goroutines:", runtime.NumGoroutine())
}

// Goroutines that say different things, in any order, between a begin and an end.
func noisyOrder(bool) {
	fmt.Println("begin")
	var group sync.WaitGroup
	var lock sync.Mutex
	for i, name := range []string{"reader", "writer", "parser", "logger", "cleaner"} {
		group.Add(1)
		go func(i int, name string) {
			defer group.Done()
			for _, what := range []string{"starts", "works", "ends"} {
				pause()
				lock.Lock()
				fmt.Printf("%s %s: %d\n", name, what, work(i))
				lock.Unlock()
			}
		}(i, name)
	}
	group.Wait()
	fmt.Println("end")
}

// A map in the order in which it comes.
func noisyMaps(bool) {
	sizes := map[string]int{"a.go": 10, "b.go": 200, "c.go": 3000, "d.go": 40000, "e.go": 5}
	for name, size := range sizes {
		fmt.Printf("%s\t%d\n", name, size+work(1))
	}
}

// A heap that grows for a while and is collected now and then.
func noisyHeap(bool) {
	var all [][]byte
	for begun := time.Now(); time.Since(begun) < 1500*time.Millisecond; {
		part := make([]byte, 10000+number(50000))
		fill(part)
		all = append(all, part)
		if len(all) > 60 {
			all = all[number(50):]
		}
		work(len(all))
		time.Sleep(3 * time.Millisecond)
	}
	fmt.Println("done with", len(all))
}

// A line that is written over and over.
func noisyProgress(bool) {
	for i := 0; i <= 100; i += 5 {
		fmt.Printf("\r%3d%% %8.1f MB/s eta %v", i, float64(number(9000))/10, took().Round(time.Microsecond))
		work(i)
	}
	fmt.Println()
}

// A server that logs times.
func noisyServe(bool) {
	serve(func(n int) (int, int) { return http.StatusOK, work(n) })
}

// serve answers /N on the socket of the first argument until SIGTERM comes, and logs each request.
func serve(answer func(n int) (status, result int)) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	os.Remove(os.Args[2])
	listener, err := net.Listen("unix", os.Args[2])
	fail(err)
	handle := func(w http.ResponseWriter, r *http.Request) {
		begun := time.Now()
		n, _ := strconv.Atoi(strings.Trim(r.URL.Path, "/"))
		status, result := answer(n)
		w.WriteHeader(status)
		size, _ := fmt.Fprintln(w, result)
		log.Printf("%s %s %d %dB answer=%d %v", r.Method, r.URL.Path, status, size, result, time.Since(begun))
	}
	go http.Serve(listener, http.HandlerFunc(handle))
	log.Print("ready")
	<-signals
	listener.Close()
	log.Printf("served for %v", took())
}

// get asks for /0 to /N-1 below an address, and for what follows N as it is.
func get(args []string) {
	client := &http.Client{}
	base := args[0]
	if path := strings.TrimPrefix(base, "unix:"); path != base {
		dial := func(_, _ string) (net.Conn, error) { return net.Dial("unix", path) }
		client.Transport = &http.Transport{Dial: dial}
		base = "http://server"
	}
	n, err := strconv.Atoi(args[1])
	fail(err)
	var paths []string
	for i := 0; i < n; i++ {
		paths = append(paths, strconv.Itoa(i))
	}
	for _, path := range append(paths, args[2:]...) {
		response, err := client.Get(base + "/" + path)
		fail(err)
		_, err = io.Copy(ioutil.Discard, response.Body)
		fail(err)
		response.Body.Close()
	}
}

// noisyWork takes about as long as a small program.
func noisyWork() int {
	sum := 0
	for i := 0; i < 20000; i++ {
		sum += i * i
	}
	return sum % 100
}
