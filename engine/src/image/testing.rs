//! [`Synthetic`] -> the bytes of a small Go program, of any version, for tests: an ELF file with a line table, module
//! data and build information as the linker of that version writes them, and nothing else.
//!
//! Built from the same layout tables that the parser reads; that those are right is shown with real programs.

#![allow(
    clippy::indexing_slicing,
    reason = "a test's own bytes; a panic is a failed test"
)]

use crate::golang::{Facts, GoVersion, PclntabGeneration};

/// Base address of fixed executables; position-independent ones start at 0.
const BASE: u64 = 0x40_0000;
/// Distance between the addresses of segments beyond that between their bytes in the file.
const PAGE: u64 = 0x1000;

/// One function of a [`Synthetic`] program.
#[derive(Clone, Debug)]
pub struct SyntheticFunction {
    /// Its name.
    pub name: Vec<u8>,
    /// Its code; padded to a multiple of 16.
    pub code: Vec<u8>,
    /// `_func.args`.
    pub args: i32,
    /// Its pc-to-SP-delta table, encoded.
    pub pcsp: Vec<u8>,
    /// `_func.funcID`, where the version has one.
    pub func_id: u8,
    /// `_func.flag`, where the version has one.
    pub flags: u8,
    /// Whether it has pointer maps for arguments and locals.
    pub maps: bool,
    /// Names of the functions inlined into it.
    pub inlined: Vec<String>,
    /// Whether a gap of 16 bytes follows (marked in 1.14 to 1.17).
    pub gap_after: bool,
}

impl SyntheticFunction {
    /// A function with the given code and nothing special about it.
    #[must_use]
    pub fn new(name: &str, code: &[u8]) -> Self {
        Self {
            name: name.as_bytes().to_vec(),
            code: code.to_vec(),
            args: 0,
            pcsp: vec![2, 16, 0],
            func_id: 0,
            flags: 0,
            maps: true,
            inlined: Vec::new(),
            gap_after: false,
        }
    }
}

/// What a program shall look like.
#[derive(Clone, Debug)]
pub struct Synthetic {
    /// Decides about all layouts.
    pub version: GoVersion,
    /// What `runtime.buildVersion` says.
    pub version_text: String,
    /// Functions, in the order of their addresses.
    pub functions: Vec<SyntheticFunction>,
    /// Position-independent: `ET_DYN` with relative relocations.
    pub pie: bool,
    /// Module information, without its marks; `None`: no build information blob at all.
    pub modinfo: Option<String>,
    /// More strings in writable data, as headers like `runtime.buildVersion`.
    pub strings: Vec<String>,
}

impl Synthetic {
    /// A program of three functions: `runtime.schedinit`, `main.f` and `main.main`.
    #[must_use]
    pub fn new(version: GoVersion) -> Self {
        let mut f = SyntheticFunction::new(
            "main.f",
            &[0x64, 0x48, 0x8b, 0x0c, 0x25, 0xf8, 0xff, 0xff, 0xff, 0xc3],
        );
        f.args = 24;
        f.inlined = vec!["main.small".into(), "fmt.Println".into()];
        Self {
            version,
            version_text: version.to_string(),
            functions: vec![
                SyntheticFunction::new("runtime.schedinit", &[0xc3]),
                f,
                SyntheticFunction::new("main.main", &[0xe8, 0xeb, 0xff, 0xff, 0xff, 0xc3]),
            ],
            pie: false,
            modinfo: (version.minor >= 13).then(|| "path\tmain\n".into()),
            strings: Vec::new(),
        }
    }

    /// The file.
    ///
    /// # Panics
    /// If the version has no [`Facts`].
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let facts = Facts::for_version(self.version).expect("a known version");
        // Addresses depend on sizes, sizes not on addresses: lay out with zeros first.
        let sizes = Writer::new(self, &facts, [0; 3]).write();
        let base = if self.pie { 0 } else { BASE };
        let headers = 64 + 56 * PROGRAM_HEADERS;
        let (text, rodata) = (
            align(headers, 64),
            align(headers, 64) + sizes.text.len() as u64,
        );
        let data = align(rodata + sizes.rodata.len() as u64, 64);
        let offsets = [text, rodata, data];
        let addresses = [
            base + text + PAGE,
            base + rodata + 2 * PAGE,
            base + data + 3 * PAGE,
        ];
        let parts = Writer::new(self, &facts, addresses).write();
        file(self.pie, &parts, offsets, addresses)
    }
}

const PROGRAM_HEADERS: u64 = 5;

fn align(value: u64, to: u64) -> u64 {
    value.div_ceil(to) * to
}

/// The three segments and where in them things lie.
#[derive(Default)]
struct Parts {
    text: Vec<u8>,
    rodata: Vec<u8>,
    data: Vec<u8>,
    /// Address and size of the relocations and the dynamic section, in `rodata`.
    rela: (u64, u64),
    dynamic: (u64, u64),
}

struct Writer<'s> {
    program: &'s Synthetic,
    facts: &'s Facts,
    text_at: u64,
    rodata_at: u64,
    data_at: u64,
    /// Addresses of words that hold an address, and that address.
    relocations: Vec<(u64, u64)>,
    parts: Parts,
}

impl<'s> Writer<'s> {
    fn new(
        program: &'s Synthetic,
        facts: &'s Facts,
        [text_at, rodata_at, data_at]: [u64; 3],
    ) -> Self {
        Self {
            program,
            facts,
            text_at,
            rodata_at,
            data_at,
            relocations: Vec::new(),
            parts: Parts::default(),
        }
    }

    fn write(mut self) -> Parts {
        let entries = self.text();
        let end = self.text_at + self.parts.text.len() as u64;
        // Two stack maps of no pointers, at the start of the funcdata area.
        let gofunc = self.append(&[1, 0, 0, 0, 0, 0, 0, 0], 8);
        let table = self.line_table(&entries, end, gofunc);
        self.data_segment(
            &table,
            entries.first().map_or(end, |entry| entry.at),
            end,
            gofunc,
        );
        if self.program.pie {
            self.dynamic();
        }
        self.parts
    }

    /// Lays the code out; gives the entries of the function table.
    fn text(&mut self) -> Vec<Entry> {
        let marks_gaps = (14..=17).contains(&self.program.version.minor);
        let mut entries = Vec::new();
        for (index, function) in self.program.functions.iter().enumerate() {
            entries.push(Entry {
                at: self.text_at + self.parts.text.len() as u64,
                function: Some(index),
            });
            self.parts.text.extend(&function.code);
            self.parts
                .text
                .resize(self.parts.text.len().next_multiple_of(16), 0xcc);
            if function.gap_after {
                if marks_gaps {
                    entries.push(Entry {
                        at: self.text_at + self.parts.text.len() as u64,
                        function: None,
                    });
                }
                self.parts.text.resize(self.parts.text.len() + 16, 0xcc);
            }
        }
        entries
    }

    /// Appends to the read-only segment; gives the address.
    fn append(&mut self, bytes: &[u8], to: usize) -> u64 {
        let rodata = &mut self.parts.rodata;
        rodata.resize(rodata.len().next_multiple_of(to), 0);
        let at = self.rodata_at + rodata.len() as u64;
        rodata.extend(bytes);
        at
    }

    fn line_table(&mut self, entries: &[Entry], end: u64, gofunc: u64) -> Tables {
        let generation = self.facts.pclntab;
        let old = generation == PclntabGeneration::Go1_2;
        let count = entries.len();
        let (half_entry, header_size) = match generation {
            PclntabGeneration::Go1_2 => (8, 16),
            PclntabGeneration::Go1_16 => (8, 0x40),
            _ => (4, 0x48),
        };
        // The end entry has only its first half; the old form has the file table's offset behind it.
        let functab_size = count * 2 * half_entry + half_entry + if old { 4 } else { 0 };
        let mut tables = StringTables::new(&self.program.functions);
        // The old form keeps all in one table, from whose start all offsets count.
        if old {
            let names = (header_size + functab_size).next_multiple_of(8);
            tables.name_base = names as u32;
            tables.pc_base = (names + tables.names.len()).next_multiple_of(8) as u32;
        }
        let trees = self.inline_trees(&tables);
        self.parts
            .rodata
            .resize(self.parts.rodata.len().next_multiple_of(64), 0);
        let header = self.rodata_at + self.parts.rodata.len() as u64;
        let mut head = [&generation.magic().to_le_bytes()[..], &[0, 0, 1, 8]].concat();
        head.extend((count as u64).to_le_bytes());
        // Offsets that only debuggers read stay zero.
        head.resize(header_size, 0);
        if old {
            head.resize(header_size + functab_size, 0);
        }
        self.append(&head, 1);
        let names_at = self.append(&tables.names, if old { 8 } else { 1 });
        let pctab_at = self.append(&tables.pctab, 8);
        let functab_at = if old {
            header + 16
        } else {
            self.append(&vec![0; functab_size], 8)
        };
        let base = if old { header } else { functab_at };
        let mut functab = Vec::new();
        for entry in entries {
            let record = entry
                .function
                .map(|index| self.record(entry.at, index, &tables, &trees, gofunc) - base);
            self.functab_address(functab_at, &mut functab, entry.at);
            let record = record.unwrap_or(u64::MAX).to_le_bytes();
            functab.extend(&record[..half_entry]);
        }
        self.functab_address(functab_at, &mut functab, end);
        let offset = (functab_at - self.rodata_at) as u32;
        put(&mut self.parts.rodata, offset, &functab);
        let end = self.rodata_at + self.parts.rodata.len() as u64;
        Tables {
            header,
            names: (names_at, tables.names.len()),
            pctab: (pctab_at, tables.pctab.len()),
            functab_at,
            records: (base, end - base),
            count,
        }
    }

    /// The inline trees, in front of the line table; address of each function's.
    fn inline_trees(&mut self, tables: &StringTables) -> Vec<Option<u64>> {
        let Some(inline) = self.facts.inline else {
            return vec![None; tables.functions.len()];
        };
        let mut trees = Vec::new();
        for function in &tables.functions {
            let mut tree = Vec::new();
            for name in &function.inlined {
                let mut element = vec![0u8; inline.size as usize];
                put(
                    &mut element,
                    inline.name,
                    &(name + tables.name_base).to_le_bytes(),
                );
                tree.extend(element);
            }
            trees.push((!tree.is_empty()).then(|| self.append(&tree, 8)));
        }
        trees
    }

    /// Appends the `_func` record of one function; gives its address.
    fn record(
        &mut self,
        entry: u64,
        index: usize,
        tables: &StringTables,
        trees: &[Option<u64>],
        gofunc: u64,
    ) -> u64 {
        let layout = self.facts.func;
        let (function, offsets) = (&self.program.functions[index], &tables.functions[index]);
        let mut funcdata = vec![function.maps.then_some(gofunc); 2];
        let mut pcdata: Vec<u32> = Vec::new();
        if let (Some(inline), Some(tree)) = (self.facts.inline, trees[index]) {
            funcdata.resize(inline.funcdata as usize, None);
            funcdata.push(Some(tree));
            pcdata.resize(inline.pcdata as usize, 0);
            pcdata.push(offsets.tree_indexes + tables.pc_base);
        }
        let mut record = vec![0u8; layout.size as usize];
        if layout.entry_is_offset {
            put(
                &mut record,
                0,
                &((entry - self.text_at) as u32).to_le_bytes(),
            );
        } else {
            put(&mut record, 0, &entry.to_le_bytes());
        }
        put(
            &mut record,
            layout.name,
            &(offsets.name + tables.name_base).to_le_bytes(),
        );
        put(&mut record, layout.args, &function.args.to_le_bytes());
        put(
            &mut record,
            layout.pcsp,
            &(offsets.pcsp + tables.pc_base).to_le_bytes(),
        );
        put(
            &mut record,
            layout.npcdata,
            &(pcdata.len() as u32).to_le_bytes(),
        );
        record[layout.nfuncdata as usize] = funcdata.len() as u8;
        if let Some(at) = layout.func_id {
            record[at as usize] = function.func_id;
        }
        if let Some(at) = layout.flag {
            record[at as usize] = function.flags;
        }
        record.extend(pcdata.iter().flat_map(|offset| offset.to_le_bytes()));
        let at = self.append(&record, 8);
        if !layout.entry_is_offset {
            self.relocations.push((at, entry));
        }
        for data in funcdata {
            if layout.funcdata_is_offset {
                let offset = data.map_or(u32::MAX, |data| data.wrapping_sub(gofunc) as u32);
                self.append(&offset.to_le_bytes(), 4);
            } else {
                let word = self.append(&data.unwrap_or(0).to_le_bytes(), 8);
                self.relocations.extend(data.map(|data| (word, data)));
            }
        }
        at
    }

    /// Appends an address to the function table, in the form of the generation.
    fn functab_address(&mut self, functab_at: u64, functab: &mut Vec<u8>, address: u64) {
        if self.facts.pclntab >= PclntabGeneration::Go1_18 {
            functab.extend(((address - self.text_at) as u32).to_le_bytes());
        } else {
            self.relocations
                .push((functab_at + functab.len() as u64, address));
            functab.extend(address.to_le_bytes());
        }
    }

    fn data_segment(&mut self, table: &Tables, minpc: u64, maxpc: u64, gofunc: u64) {
        let layout = self.facts.module;
        let mut module = vec![0u8; layout.size as usize];
        let mut words: Vec<(u32, u64)> = vec![(0, table.header)];
        let mut lengths: Vec<(u32, u64)> = Vec::new();
        let mut slice = |field: u32, start: u64, len: u64| {
            words.push((field, start));
            lengths.push((field + 8, len));
        };
        if let (Some(names), Some(pctab)) = (layout.funcnametab, layout.pctab) {
            slice(names, table.names.0, table.names.1 as u64);
            slice(pctab, table.pctab.0, table.pctab.1 as u64);
        }
        slice(layout.pclntable, table.records.0, table.records.1);
        slice(layout.ftab, table.functab_at, table.count as u64 + 1);
        words.extend([
            (layout.minpc, minpc),
            (layout.maxpc, maxpc),
            (layout.text, minpc),
            (layout.etext, maxpc),
        ]);
        words.extend(layout.gofunc.map(|field| (field, gofunc)));
        if let Some(field) = layout.hasmain {
            module[field as usize] = 1;
        }
        for (at, length) in lengths {
            put(&mut module, at, &length.to_le_bytes());
        }
        let blob = self.blob();
        let data_at = self.data_at;
        let module_at = data_at + blob.len() as u64;
        for (at, value) in words {
            put(&mut module, at, &value.to_le_bytes());
            self.relocations.push((module_at + u64::from(at), value));
        }
        let mut data = [blob, module].concat();
        // lastmoduledatap
        self.relocations
            .push((data_at + data.len() as u64, module_at));
        data.extend(module_at.to_le_bytes());
        let strings: Vec<String> = [&self.program.version_text]
            .into_iter()
            .chain(&self.program.strings)
            .cloned()
            .collect();
        for text in strings {
            let at = self.append(text.as_bytes(), 1);
            self.relocations.push((data_at + data.len() as u64, at));
            data.extend(at.to_le_bytes());
            data.extend((text.len() as u64).to_le_bytes());
        }
        self.parts.data = data;
    }

    /// The build information blob, padded; in the pointer form it points behind the module data.
    fn blob(&mut self) -> Vec<u8> {
        let Some(modinfo) = &self.program.modinfo else {
            return Vec::new();
        };
        let start = b"\x30\x77\xaf\x0c\x92\x74\x08\x02\x41\xe1\xc1\x07\xe6\xd6\x18\xe6";
        let end = b"\xf9\x32\x43\x31\x86\x18\x20\x72\x00\x82\x42\x10\x41\x16\xd8\xf2";
        let framed = [start, modinfo.as_bytes(), end].concat();
        let mut blob = b"\xff Go buildinf:\x08".to_vec();
        if self.program.version.minor >= 18 {
            blob.push(2);
            blob.resize(32, 0);
            for text in [self.program.version_text.as_bytes(), &framed] {
                let len = text.len();
                blob.extend(if len < 0x80 {
                    vec![len as u8]
                } else {
                    vec![len as u8 | 0x80, (len >> 7) as u8]
                });
                blob.extend(text);
            }
        } else {
            blob.resize(32, 0);
            // Two string headers follow the blob at once: version and module information.
            for (index, text) in [self.program.version_text.as_bytes().to_vec(), framed]
                .into_iter()
                .enumerate()
            {
                let text_at = self.append(&text, 1);
                let header_at = self.data_at + blob.len() as u64;
                put(&mut blob, 16 + 8 * index as u32, &header_at.to_le_bytes());
                self.relocations
                    .push((self.data_at + 16 + 8 * index as u64, header_at));
                self.relocations.push((header_at, text_at));
                blob.extend(text_at.to_le_bytes());
                blob.extend((text.len() as u64).to_le_bytes());
            }
        }
        blob.resize(blob.len().next_multiple_of(16), 0);
        blob
    }

    /// Moves all addresses from their words into a relocation table.
    fn dynamic(&mut self) {
        let mut relocations = std::mem::take(&mut self.relocations);
        // The Go linker does not sort them.
        relocations.reverse();
        let mut rela = Vec::new();
        for &(at, value) in &relocations {
            rela.extend([at, 8, value].iter().flat_map(|word| word.to_le_bytes()));
            let (segment, base) = if at >= self.data_at && self.data_at != 0 {
                (&mut self.parts.data, self.data_at)
            } else {
                (&mut self.parts.rodata, self.rodata_at)
            };
            if base != 0 {
                put(segment, (at - base) as u32, &[0; 8]);
            }
        }
        let rela_at = self.append(&rela, 8);
        let words = [
            7,
            rela_at,
            8,
            rela.len() as u64,
            9,
            24,
            0x6fff_fffb,
            0x0800_0000,
            0,
            0u64,
        ];
        let dynamic: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let dynamic_at = self.append(&dynamic, 8);
        self.parts.rela = (rela_at, rela.len() as u64);
        self.parts.dynamic = (dynamic_at, dynamic.len() as u64);
    }
}

/// One entry of the function table; no function: a gap.
struct Entry {
    at: u64,
    function: Option<usize>,
}

/// Where the tables lie.
struct Tables {
    header: u64,
    names: (u64, usize),
    pctab: (u64, usize),
    functab_at: u64,
    records: (u64, u64),
    count: usize,
}

/// Names and pc-value tables of all functions; offset 0 of both means "none".
struct StringTables {
    names: Vec<u8>,
    pctab: Vec<u8>,
    functions: Vec<Offsets>,
    /// What is added to all offsets of names and of pc-value tables.
    name_base: u32,
    pc_base: u32,
}

/// Where one function's entries in [`StringTables`] begin.
struct Offsets {
    name: u32,
    pcsp: u32,
    inlined: Vec<u32>,
    tree_indexes: u32,
}

impl StringTables {
    fn new(functions: &[SyntheticFunction]) -> Self {
        fn add(table: &mut Vec<u8>, bytes: &[u8], end: &[u8]) -> u32 {
            let offset = table.len() as u32;
            table.extend(bytes);
            table.extend(end);
            offset
        }
        let (mut names, mut pctab) = (vec![0], vec![0]);
        let offsets = |function: &SyntheticFunction| Offsets {
            name: add(&mut names, &function.name, &[0]),
            pcsp: add(&mut pctab, &function.pcsp, &[]),
            inlined: function
                .inlined
                .iter()
                .map(|name| add(&mut names, name.as_bytes(), &[0]))
                .collect(),
            // One byte of code per inlined call: index 0, 1, 2, …
            tree_indexes: add(&mut pctab, &[2, 1].repeat(function.inlined.len()), &[0]),
        };
        let functions = functions.iter().map(offsets).collect();
        Self {
            names,
            pctab,
            functions,
            name_base: 0,
            pc_base: 0,
        }
    }
}

fn put(bytes: &mut [u8], at: u32, value: &[u8]) {
    bytes[at as usize..at as usize + value.len()].copy_from_slice(value);
}

fn file(pie: bool, parts: &Parts, offsets: [u64; 3], addresses: [u64; 3]) -> Vec<u8> {
    let mut out = vec![0u8; 64];
    out[..20].copy_from_slice(&[
        0x7f,
        b'E',
        b'L',
        b'F',
        2,
        1,
        1,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        if pie { 3 } else { 2 },
        0,
        62,
        0,
    ]);
    put(&mut out, 20, &1u32.to_le_bytes());
    put(&mut out, 24, &addresses[0].to_le_bytes());
    put(&mut out, 32, &64u64.to_le_bytes());
    put(&mut out, 52, &64u16.to_le_bytes());
    put(&mut out, 54, &56u16.to_le_bytes());
    put(&mut out, 56, &(PROGRAM_HEADERS as u16).to_le_bytes());
    let segments = [(&parts.text, 5u32), (&parts.rodata, 4), (&parts.data, 6)];
    for ((segment, flags), (offset, address)) in
        segments.iter().zip(offsets.into_iter().zip(addresses))
    {
        program_header(
            &mut out,
            1,
            *flags,
            [offset, address, segment.len() as u64, segment.len() as u64],
        );
    }
    let (dynamic, size) = parts.dynamic;
    let kind = if pie { 2 } else { 0 };
    program_header(
        &mut out,
        kind,
        4,
        [
            dynamic.saturating_sub(addresses[1]) + offsets[1],
            dynamic,
            size,
            size,
        ],
    );
    // PT_GNU_STACK, as every program has.
    program_header(&mut out, 0x6474_e551, 6, [0; 4]);
    for ((segment, _), offset) in segments.iter().zip(offsets) {
        out.resize(offset as usize, 0);
        out.extend(segment.iter());
    }
    out
}

fn program_header(
    out: &mut Vec<u8>,
    kind: u32,
    flags: u32,
    [offset, address, file, memory]: [u64; 4],
) {
    out.extend(kind.to_le_bytes());
    out.extend(flags.to_le_bytes());
    out.extend(
        [offset, address, address, file, memory, PAGE]
            .iter()
            .flat_map(|word| word.to_le_bytes()),
    );
}
