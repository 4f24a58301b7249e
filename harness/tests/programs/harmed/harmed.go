package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"
)

// harms are the modes that are harmed, by name.
var harms = map[string]mode{
	"answer":     answer,
	"between":    between,
	"early-end":  earlyEnd,
	"early-stop": earlyStop,
	"goroutine":  goroutine,
	"doubled":    doubled,
	"leak":       leak,
	"signal":     missingSignal,
	"deadly":     deadlySignal,
	"status":     status,
	"swapped":    swapped,
	"exchanged":  exchanged,
	"truncated":  truncated,
	"warning":    warning,
	"summary":    summary,
	"shuffled":   shuffled,
	"mixed-up":   mixedUp,
	"empty-id":   emptyID,
	"lost-tail":  lostTail,
	"hang":       hang,
	"request":    request,
	"ticks":      ticks,
	"panics":     panics,
}

// A wrong answer on a line with a time.
func answer(harmed bool) {
	for i := 0; i < 20; i++ {
		result := work(i)
		if harmed && i == 13 {
			result += 100
		}
		log.Printf("request %d: answer %d in %v", i, result, took())
	}
}

// An answer that is wrong by one, between numbers that change.
func between(harmed bool) {
	for i := 0; i < 20; i++ {
		result := work(i)
		if harmed && i == 7 {
			result++
		}
		fmt.Printf("%d ns, %d of %d, heap %d, id %s\n", time.Now().UnixNano()%1000000, result, 20, number(5000), id(8))
	}
}

// An end before the end, with the same exit status.
func earlyEnd(harmed bool) {
	for i := 0; i < 20; i++ {
		log.Printf("step %d: %d", i, work(i))
		if harmed && i == 15 {
			os.Exit(0)
		}
	}
}

// A server that ends before it is told to, with the same output and exit status.
func earlyStop(harmed bool) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	fmt.Println("ready")
	if harmed {
		return
	}
	<-signals
}

// One goroutine of several is lost.
func goroutine(harmed bool) {
	var group sync.WaitGroup
	for worker := 0; worker < 6; worker++ {
		group.Add(1)
		go func(worker int) {
			defer group.Done()
			for step := 0; step < 4; step++ {
				result := work(10*worker + step)
				pause()
				if !harmed || worker != 3 {
					log.Printf("worker %d step %d: %d", worker, step, result)
				}
			}
		}(worker)
	}
	group.Wait()
}

// A line comes twice.
func doubled(harmed bool) {
	for i := 0; i < 20; i++ {
		log.Printf("line %d: %d", i, work(i))
		if harmed && i == 11 {
			log.Printf("line %d: %d", i, work(i))
		}
	}
}

var kept [][]byte

// A slow leak: some 3 MiB in a second and a half, while a little garbage comes and goes.
func leak(harmed bool) {
	for begun := time.Now(); time.Since(begun) < 1500*time.Millisecond; {
		garbage := make([]byte, 2<<10)
		garbage[work(len(kept))%len(garbage)] = 1
		for harmed && len(kept) < int(time.Since(begun)/(10*time.Millisecond)) {
			drop := make([]byte, 20<<10)
			fill(drop)
			kept = append(kept, drop)
		}
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Println("done")
}

func fill(bytes []byte) {
	for i := range bytes {
		bytes[i] = byte(i)
	}
}

// A signal is never seen.
func missingSignal(harmed bool) {
	usr, term := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	signal.Notify(usr, syscall.SIGUSR1)
	if harmed {
		signal.Ignore(syscall.SIGUSR1)
	}
	fmt.Println("ready")
	<-term
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	select {
	case <-usr:
		log.Print("SIGUSR1 came")
	case <-time.After(50 * time.Millisecond):
	}
	log.Print("stopped after ", took())
}

// A signal that should end the program does not.
func deadlySignal(harmed bool) {
	log.Print("going to die, pid ", os.Getpid())
	if harmed {
		signal.Ignore(syscall.SIGTERM)
	}
	syscall.Kill(os.Getpid(), syscall.SIGTERM)
	time.Sleep(20 * time.Millisecond)
}

// Another exit status.
func status(harmed bool) {
	log.Print("pid ", os.Getpid())
	if harmed {
		os.Exit(4)
	}
	os.Exit(3)
}

// Two lines have changed places.
func swapped(harmed bool) {
	lines := []string{"open", "read", "parse", "check", "write", "close"}
	if harmed {
		lines[2], lines[3] = lines[3], lines[2]
	}
	for _, line := range lines {
		log.Printf("%s after %v", line, took())
	}
}

// Two answers have changed places.
func exchanged(harmed bool) {
	for i := 0; i < 20; i++ {
		n := i
		if harmed && (i == 4 || i == 5) {
			n = 9 - i
		}
		log.Printf("answer %d", work(n))
	}
}

// The end of the last line is missing.
func truncated(harmed bool) {
	log.Print("begin ", took())
	last := fmt.Sprintf("%s done: %d\n", time.Now().Format(time.RFC3339Nano), work(9))
	if harmed {
		last = last[:len(last)-3]
	}
	os.Stdout.WriteString(last)
}

// A line on standard error that nobody else has.
func warning(harmed bool) {
	log.Print("answer ", work(5))
	fmt.Fprintln(os.Stderr, "note: took", took())
	if harmed {
		fmt.Fprintln(os.Stderr, "warning: connection reset by peer, trying again")
	}
}

// A wrong sum beside a time.
func summary(harmed bool) {
	sum := 0
	for i := 0; i < 50; i++ {
		sum += work(i)
	}
	if harmed {
		sum -= work(17)
	}
	fmt.Printf("50 calls, sum %d, in %v\n", sum, took())
}

// The lines of a goroutine, among those of others, come in another order than it wrote them.
func shuffled(harmed bool) {
	var group sync.WaitGroup
	var lock sync.Mutex
	for worker := 0; worker < 5; worker++ {
		group.Add(1)
		go func(worker int) {
			defer group.Done()
			for step := 0; step < 6; step++ {
				n := step
				if harmed && worker == 2 && (step == 3 || step == 4) {
					n = 7 - step
				}
				pause()
				lock.Lock()
				fmt.Printf("worker %d step %d: %d\n", worker, n, work(n))
				lock.Unlock()
			}
		}(worker)
	}
	group.Wait()
}

// Answers of two goroutines are given to the wrong one, in lines of any order.
func mixedUp(harmed bool) {
	var group sync.WaitGroup
	for worker := 0; worker < 8; worker++ {
		group.Add(1)
		go func(worker int) {
			defer group.Done()
			n := worker
			if harmed && (worker == 2 || worker == 6) {
				n = 8 - worker
			}
			pause()
			log.Printf("worker %d has %d", worker, work(n))
		}(worker)
	}
	group.Wait()
}

// An id is missing where another one stands each time.
func emptyID(harmed bool) {
	for i := 0; i < 5; i++ {
		of := id(16)
		if harmed && i == 3 {
			of = ""
		}
		log.Printf("request id=%s answer %d", of, work(i))
	}
}

// The last part of an output that is written at once is missing.
func lostTail(harmed bool) {
	var text strings.Builder
	for i := 0; i < 500; i++ {
		fmt.Fprintf(&text, "%s row %d %d\n", time.Now().Format("15:04:05.000"), i, work(i))
	}
	out := text.String()
	if harmed {
		out = out[:len(out)-len(out)/100]
	}
	os.Stdout.WriteString(out)
}

// It never ends.
func hang(harmed bool) {
	log.Print("answer ", work(3))
	if harmed {
		select {
		case <-time.After(time.Hour):
		}
	}
}

// One request of a server that logs times is answered wrongly, and logged so.
func request(harmed bool) {
	serve(func(n int) (int, int) {
		if harmed && n == 7 {
			return http.StatusOK, work(n) + 1
		}
		return http.StatusOK, work(n)
	})
}

// Far fewer lines than there should be of those whose number varies.
func ticks(harmed bool) {
	begun, n := time.Now(), 0
	for time.Since(begun) < 40*time.Millisecond {
		time.Sleep(2 * time.Millisecond)
		if n++; !harmed || n%8 == 0 {
			log.Print("tick")
		}
	}
	log.Print("answer ", work(4))
}

// A panic that another one recovers from, and says so in a line like others.
func panics(harmed bool) {
	for i := 0; i < 10; i++ {
		if err := guarded(i, harmed && i == 6); err != nil {
			log.Printf("job %d: %v", i, err)
		} else {
			log.Printf("job %d: fine", i)
		}
	}
}

func guarded(i int, harmed bool) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("recovered")
		}
	}()
	if work(i); harmed || i%3 == 2 {
		panic(i)
	}
	return nil
}

// took is a duration as a program measures it.
func took() time.Duration { return time.Since(start) }

var start = time.Now()

// id is a random text of hexadecimal digits.
func id(digits int) string {
	bytes := make([]byte, digits)
	_, err := rand.Read(bytes)
	fail(err)
	return fmt.Sprintf("%x", bytes)[:digits]
}

// number is a random one below limit.
func number(limit int) int {
	var bytes [4]byte
	_, err := rand.Read(bytes[:])
	fail(err)
	return (int(bytes[0]) | int(bytes[1])<<8 | int(bytes[2])<<16) % limit
}

// pause lets goroutines overtake each other.
func pause() { time.Sleep(time.Duration(number(300)) * time.Microsecond) }
