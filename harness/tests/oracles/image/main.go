// Command image prints, as JSON, what Go's own libraries read from a program with symbols and DWARF: debug/elf,
// debug/dwarf and debug/buildinfo share no code with the engine.
package main

import (
	"debug/buildinfo"
	"debug/dwarf"
	"debug/elf"
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
}

var wanted = map[string]bool{
	"runtime.g": true, "runtime.m": true, "runtime._panic": true, "runtime.moduledata": true, "runtime._func": true,
}

func main() {
	log.SetFlags(0)
	out := facts{Inlined: map[string]int{}, Structs: map[string]map[string]int64{}}
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
	}
	if data, err := file.DWARF(); err == nil {
		readDWARF(data, &out)
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		log.Fatal(err)
	}
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
