// Ordinary library code under hooks: strings, bytes, maps, sorting, hashing, compression, JSON, formatting.
//
// hook: main.*
// hook: strings.Repeat
// hook: encoding/json*.Marshal
// hook: encoding/json*.Unmarshal
// hook: compress/flate.(*compressor).*
// hook: sort.Sort
// event: main.words 30
// event: main.hash 30
// event: main.document 30
// event: main.pack 30
// event: encoding/json*.Marshal >=30
// event: encoding/json*.Unmarshal >=30

package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/ioutil"
	"sort"
	"strings"
)

type byCount struct {
	keys   []string
	counts map[string]int
}

func (b byCount) Len() int      { return len(b.keys) }
func (b byCount) Swap(i, j int) { b.keys[i], b.keys[j] = b.keys[j], b.keys[i] }
func (b byCount) Less(i, j int) bool {
	x, y := b.keys[i], b.keys[j]
	return b.counts[x] > b.counts[y] || b.counts[x] == b.counts[y] && x < y
}

//go:noinline
func words(text string) []string {
	counts := map[string]int{}
	for _, w := range strings.Fields(text) {
		counts[strings.ToLower(strings.Trim(w, ",.;"))]++
	}
	b := byCount{counts: counts}
	for k := range counts {
		b.keys = append(b.keys, k)
	}
	sort.Sort(b)
	return b.keys
}

//go:noinline
func hash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Document is what goes through JSON.
type Document struct {
	Title string             `json:"title"`
	Tags  []string           `json:"tags,omitempty"`
	Sizes map[string]float64 `json:"sizes"`
	Next  *Document          `json:"next"`
}

//go:noinline
func document(i int, tags []string) string {
	d := &Document{"t", tags, map[string]float64{"a": float64(i) / 3, "b": 1e10}, &Document{Title: "end"}}
	text, err := json.Marshal(d)
	if err != nil {
		panic(err)
	}
	var back Document
	if err := json.Unmarshal(text, &back); err != nil {
		panic(err)
	}
	return fmt.Sprintf("%s %v %v %q", text, back.Sizes["a"], back.Sizes["b"], back.Next.Title)
}

//go:noinline
func pack(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(text))
	w.Close()
	r, err := gzip.NewReader(&b)
	if err != nil {
		panic(err)
	}
	out, err := ioutil.ReadAll(r)
	if err != nil || string(out) != text {
		panic("gzip")
	}
	return hash(string(out))
}

func main() {
	text := "The quick brown fox jumps over the lazy dog; the dog, being lazy, does not jump over the fox. "
	last := ""
	for i := 0; i < 30; i++ {
		long := strings.Repeat(text, i+1)
		keys := words(long)
		last = hash0(last, document(i, keys), pack(long), strings.Join(keys, " "))
	}
	fmt.Println(last)
}

func hash0(parts ...string) string { return fmt.Sprint(hash1(strings.Join(parts, "|"))) }

func hash1(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
