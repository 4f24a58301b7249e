//! A [`Synthetic`] and the addresses of its segments -> their bytes: line table, module data, build information.

use crate::golang::tables::{MODULEDATA, Release};
use crate::golang::{BuildInfoForm, Facts, PclntabGeneration};

use super::{Synthetic, SyntheticFunction, put};

/// The three segments and where in them things lie.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) text: Vec<u8>,
    pub(super) rodata: Vec<u8>,
    pub(super) data: Vec<u8>,
    /// Address and size of the relocations and the dynamic section, in `rodata`.
    pub(super) rela: (u64, u64),
    pub(super) dynamic: (u64, u64),
}

/// Writes the segments of one program, at given addresses.
pub(super) struct Writer<'s> {
    pub(super) program: &'s Synthetic,
    pub(super) facts: &'s Facts,
    text_at: u64,
    pub(super) rodata_at: u64,
    data_at: u64,
    /// Addresses of words that hold an address, and that address.
    pub(super) relocations: Vec<(u64, u64)>,
    pub(super) parts: Parts,
}

impl<'s> Writer<'s> {
    pub(super) fn new(
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

    pub(super) fn write(mut self) -> Parts {
        let entries = self.text();
        let end = self.text_at + self.parts.text.len() as u64;
        // Two stack maps of no pointers, at the start of the funcdata area.
        let gofunc = self.append(&[1, 0, 0, 0, 0, 0, 0, 0], 8);
        let table = self.line_table(&entries, end, gofunc);
        let minpc = entries.first().map_or(end, |entry| entry.at);
        let buckets = self.buckets(&entries, minpc, end);
        let types = self.program.types.then(|| self.descriptors());
        let others = Others {
            gofunc,
            buckets,
            types,
        };
        self.data_segment(&table, minpc, end, &others);
        if self.program.pie {
            self.dynamic();
        }
        self.parts
    }

    /// The look-up table of functions: for each 4096 bytes the index of the function that is there at their start, and what
    /// to add to it for each 256 of them (`cmd/link/internal/ld/pcln.go`, `findfunctab`).
    fn buckets(&mut self, entries: &[Entry], minpc: u64, end: u64) -> u64 {
        let index_at = |at: u64| {
            entries
                .partition_point(|entry| entry.at <= at)
                .saturating_sub(1)
        };
        let mut table = Vec::new();
        for start in (minpc..end).step_by(4096) {
            let first = index_at(start);
            table.extend((first as u32).to_le_bytes());
            table.extend((0..16).map(|part| (index_at(start + 256 * part) - first) as u8));
        }
        self.append(&table, 4)
    }

    /// Lays the code out; gives the entries of the function table.
    fn text(&mut self) -> Vec<Entry> {
        let marks_gaps = self.facts.marks_gaps;
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
    pub(super) fn append(&mut self, bytes: &[u8], to: usize) -> u64 {
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
        head.resize(header_size, 0);
        if old {
            head.resize(header_size + functab_size, 0);
        }
        self.append(&head, 1);
        let names_at = self.append(&tables.names, if old { 8 } else { 1 });
        let pctab_at = self.append(&tables.pctab, 8);
        // File names: none, and a place for each compilation unit.
        let (units_at, files_at) = (self.append(&[0xff; 4], 4), self.append(b"?\0", 1));
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
        if !old {
            let offsets = [names_at, units_at, files_at, pctab_at, functab_at];
            let words = offsets.map(|at| (at - header).to_le_bytes()).concat();
            let offset = (header - self.rodata_at) as u32 + header_size as u32 - 40;
            put(&mut self.parts.rodata, offset, &words);
        }
        let end = self.rodata_at + self.parts.rodata.len() as u64;
        Tables {
            units_at,
            files_at,
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

    fn data_segment(&mut self, table: &Tables, minpc: u64, maxpc: u64, others: &Others) {
        let layout = self.facts.module;
        let mut module = vec![0u8; layout.size as usize];
        let mut words: Vec<(u32, u64)> = vec![(0, table.header)];
        let mut lengths: Vec<(u32, u64)> = Vec::new();
        let mut slice = |field: u32, start: u64, len: u64| {
            words.push((field, start));
            lengths.extend([(field + 8, len), (field + 16, len)]);
        };
        slice(layout.filetab, table.files_at, 2);
        if let Some(field) = layout.cutab {
            slice(field, table.units_at, 1);
        }
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
        let release = Release::from(self.program.version);
        let field = |name| MODULEDATA.offset(name, release);
        for name in ["gofunc", "rodata", "gcdata", "gcbss"] {
            words.extend(field(name).map(|field| (field, others.gofunc)));
        }
        words.push((layout.findfunctab, others.buckets));
        if let Some((types, etypes)) = others.types {
            words.extend(field("types").map(|field| (field, types)));
            words.extend(field("etypes").map(|field| (field, etypes)));
        }
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
        if self.facts.build_info == Some(BuildInfoForm::Inline) {
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
        let mut words = vec![
            7,
            rela_at,
            8,
            rela.len() as u64,
            9,
            24,
            0x6fff_fffb,
            0x0800_0000,
        ];
        if !self.program.libraries.is_empty() {
            let mut names = vec![0];
            for library in &self.program.libraries {
                words.extend([1, names.len() as u64]);
                names.extend(library.as_bytes());
                names.push(0);
            }
            words.extend([5, self.append(&names, 1)]);
        }
        words.extend([0, 0]);
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

/// Where things lie that only the module data names.
struct Others {
    gofunc: u64,
    buckets: u64,
    /// First and one past the last.
    types: Option<(u64, u64)>,
}

/// Where the tables lie.
struct Tables {
    header: u64,
    units_at: u64,
    files_at: u64,
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
