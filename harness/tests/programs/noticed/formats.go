package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io/ioutil"
	"runtime"
	"strings"
)

// varint reads a number in groups of seven bits, the low ones first.
func varint(data []byte) (value uint64, rest []byte) {
	for shift := uint(0); len(data) > 0; shift += 7 {
		b := data[0]
		data = data[1:]
		value |= uint64(b&0x7f) << shift
		if b < 0x80 {
			break
		}
	}
	return value, data
}

// fields reads a message of a protocol buffer.
func fields(message []byte, each func(tag, value uint64, content []byte)) {
	for len(message) > 0 {
		var key, value uint64
		key, message = varint(message)
		value, message = varint(message)
		var content []byte
		if key&7 == 2 {
			content, message = message[:value], message[value:]
		}
		each(key>>3, value, content)
	}
}

// numbers reads a list of numbers.
func numbers(list []byte) (all []uint64) {
	for len(list) > 0 {
		var value uint64
		value, list = varint(list)
		all = append(all, value)
	}
	return all
}

type frame struct {
	function string
	line     uint64
}

// sample is a stack of a profile, the innermost frame first, and how often it was seen.
type sample struct {
	stack []frame
	times uint64
}

// samples reads a profile: in the form of github.com/google/pprof/proto/profile.proto, or as text, which it was up to 1.8.
func samples(packed []byte) (all []sample) {
	unpacked, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return listed(string(packed))
	}
	profile, _ := ioutil.ReadAll(unpacked)
	type line struct{ function, line uint64 }
	var messages [][]byte
	var texts []string
	names, places := map[uint64]uint64{}, map[uint64][]line{}
	fields(profile, func(tag, _ uint64, content []byte) {
		var id, name uint64
		var in []line
		switch tag {
		case 2: // sample
			messages = append(messages, content)
		case 4: // location
			fields(content, func(tag, value uint64, content []byte) {
				if tag == 1 {
					id = value
				} else if tag == 4 {
					var l line
					fields(content, func(tag, value uint64, _ []byte) {
						if tag == 1 {
							l.function = value
						} else if tag == 2 {
							l.line = value
						}
					})
					in = append(in, l)
				}
			})
			places[id] = in
		case 5: // function
			fields(content, func(tag, value uint64, _ []byte) {
				if tag == 1 {
					id = value
				} else if tag == 2 {
					name = value
				}
			})
			names[id] = name
		case 6: // string
			texts = append(texts, string(content))
		}
	})
	for _, message := range messages {
		var one sample
		fields(message, func(tag, value uint64, content []byte) {
			list := numbers(content)
			if content == nil {
				list = []uint64{value} // short lists are not packed
			}
			if tag == 1 {
				for _, location := range list {
					for _, l := range places[location] {
						one.stack = append(one.stack, frame{texts[names[l.function]], l.line})
					}
				}
			} else if tag == 2 && one.times == 0 {
				one.times = list[0]
			}
		})
		all = append(all, one)
	}
	return all
}

// listed reads a profile that gives, behind an `@` in each line, the addresses of a stack.
func listed(text string) (all []sample) {
	for _, record := range strings.Split(text, "\n") {
		at := strings.Index(record, "@ ")
		if at < 0 {
			continue
		}
		var one sample
		for _, word := range strings.Fields(record[at+2:]) {
			var pc uintptr
			fmt.Sscanf(word, "0x%x", &pc)
			if f := runtime.FuncForPC(pc); f != nil {
				one.stack = append(one.stack, frame{f.Name(), 0})
			}
		}
		all = append(all, one)
	}
	return all
}

// longest counts the frames of main.hit, and of hooks, in the stack of an execution trace that has most of them; -1 if the form is not
// known. From 1.22 on batches hold all of one kind; before, an event is a byte of kind and number of arguments.
func longest(trace []byte) (own, hooks int) {
	var minor int
	if n, _ := fmt.Sscanf(string(trace[:16]), "go 1.%d trace", &minor); n == 0 || minor < 9 {
		return -1, -1
	}
	trace = trace[16:]
	stack := func(arguments []uint64) {
		mine, theirs := 0, 0
		for i := 2; i+3 < len(arguments); i += 4 {
			if f := runtime.FuncForPC(uintptr(arguments[i])); f == nil {
			} else if f.Name() == "main.hit" {
				mine++
			} else if strings.HasPrefix(f.Name(), "gondwana.hook:") {
				theirs++
			}
		}
		if mine > own {
			own, hooks = mine, theirs
		}
	}
	const eventStack, eventString = 3, 37
	for minor < 22 && len(trace) > 0 {
		kind, arguments := trace[0]&0x3f, int(trace[0]>>6)+1
		trace = trace[1:]
		size := uint64(0)
		if kind == eventString {
			_, trace = varint(trace)
			size, trace = varint(trace)
		} else if arguments < 4 {
			for ; arguments > 0; arguments-- {
				_, trace = varint(trace)
			}
		} else {
			size, trace = varint(trace)
		}
		if kind == eventStack {
			stack(numbers(trace[:size]))
		}
		trace = trace[size:]
	}
	const batch, stacks = 1, 2
	for minor >= 22 && len(trace) > 0 {
		kind := trace[0]
		trace = trace[1:]
		if kind != batch {
			continue // the end of a generation
		}
		var size uint64
		for i := 0; i < 4; i++ {
			size, trace = varint(trace)
		}
		data := trace[:size]
		trace = trace[size:]
		if data[0] != stacks {
			continue
		}
		for data = data[1:]; len(data) > 0; {
			var frames uint64
			arguments := make([]uint64, 2)
			data = data[1:] // eventStack
			arguments[0], data = varint(data)
			frames, data = varint(data)
			for i := uint64(0); i < 4*frames; i++ {
				var value uint64
				value, data = varint(data)
				arguments = append(arguments, value)
			}
			stack(arguments)
		}
	}
	return own, hooks
}
