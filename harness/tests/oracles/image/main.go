// Command image prints, as JSON, what Go's own libraries read from a program with symbols and DWARF: debug/elf,
// debug/dwarf and debug/buildinfo share no code with the engine.
package main

import (
	"debug/buildinfo"
	"debug/dwarf"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"log"
	"os"
	"strings"
)

type symbol struct {
	Address uint64 `json:"address"`
	Size    uint64 `json:"size"`
	Name    string `json:"name"`
}

type facts struct {
	GoVersion string                      `json:"go_version"`
	ModInfo   string                      `json:"modinfo"`
	Symbols   []symbol                    `json:"symbols"`
	Inlined   map[string]int              `json:"inlined"`
	Structs   map[string]map[string]int64 `json:"structs"`
	// Addresses of the symbols that name places of the runtime.
	Marks map[string]uint64 `json:"marks"`
	// Where the section .text begins.
	Text uint64 `json:"text"`
	// Offset of runtime.tlsg, the thread-local g, from the thread pointer; 0 if it has no symbol.
	TLS int64 `json:"tls"`
	// GNU build ID, in hexadecimal.
	GNU string `json:"gnu"`
}

var marks = map[string]bool{
	"runtime.pclntab": true, "runtime.firstmoduledata": true, "runtime.lastmoduledatap": true,
	"runtime.text": true, "runtime.etext": true, "runtime.maxstacksize": true,
}

var wanted = map[string]bool{
	"runtime.g": true, "runtime.m": true, "runtime._panic": true, "runtime.moduledata": true, "runtime._func": true,
	"runtime.p": true,
}

func main() {
	log.SetFlags(0)
	out := facts{Inlined: map[string]int{}, Structs: map[string]map[string]int64{}, Marks: map[string]uint64{}}
	path := os.Args[1]
	if info, err := buildinfo.ReadFile(path); err == nil {
		out.GoVersion = info.GoVersion
		// The first line is the Go version again.
		_, out.ModInfo, _ = strings.Cut(info.String(), "\n")
	}
	file, err := elf.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	symbols, _ := file.Symbols()
	for _, s := range symbols {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC && s.Section != elf.SHN_UNDEF {
			out.Symbols = append(out.Symbols, symbol{s.Value, s.Size, s.Name})
		}
		if marks[s.Name] {
			out.Marks[s.Name] = s.Value
		}
		if s.Name == "runtime.tlsg" {
			out.TLS = offset(file, s)
		}
	}
	if text := file.Section(".text"); text != nil {
		out.Text = text.Addr
	}
	if note := file.Section(".note.gnu.build-id"); note != nil {
		data, err := note.Data()
		if err != nil || len(data) < 16 {
			log.Fatal("broken GNU build ID: ", err)
		}
		out.GNU = hex.EncodeToString(data[16:])
	}
	if data, err := file.DWARF(); err == nil {
		readDWARF(data, &out)
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		log.Fatal(err)
	}
}

// offset is where the linker puts a thread-local symbol: x86-64 psABI, variant II of "ELF Handling For Thread-Local
// Storage": the block of the program ends at the thread pointer.
func offset(file *elf.File, s elf.Symbol) int64 {
	if elf.ST_TYPE(s.Info) != elf.STT_TLS {
		return 0
	}
	for _, p := range file.Progs {
		if p.Type == elf.PT_TLS {
			size := (p.Memsz + p.Align - 1) &^ (p.Align - 1)
			return int64(s.Value) - int64(size)
		}
	}
	return 0
}

func readDWARF(data *dwarf.Data, out *facts) {
	names := map[dwarf.Offset]string{}
	var origins []dwarf.Offset
	for r := data.Reader(); ; {
		e, err := r.Next()
		if err != nil {
			log.Fatal(err)
		}
		if e == nil {
			break
		}
		name, _ := e.Val(dwarf.AttrName).(string)
		switch e.Tag {
		case dwarf.TagSubprogram:
			names[e.Offset] = name
		case dwarf.TagInlinedSubroutine:
			if origin, ok := e.Val(dwarf.AttrAbstractOrigin).(dwarf.Offset); ok {
				origins = append(origins, origin)
			}
		case dwarf.TagStructType:
			if !wanted[name] {
				continue
			}
			t, err := data.Type(e.Offset)
			if err != nil {
				log.Fatal(err)
			}
			s := t.(*dwarf.StructType)
			fields := map[string]int64{"": s.ByteSize}
			for _, f := range s.Field {
				fields[f.Name] = f.ByteOffset
			}
			out.Structs[name] = fields
		}
	}
	for _, origin := range origins {
		out.Inlined[names[origin]]++
	}
}
