//! The synthetic Go module: a `runtime.moduledata` with its line table, so that the runtime can unwind trampolines.
//!
//! Turns trampoline spans into bytes for [`crate::plan::Placement::data`]. Never reads the program's own tables but for
//! the layout facts. Source: `runtime/symtab.go` (`moduledata`, `findfunc`, `pcvalue`, `funcdata`), `cmd/link/internal/
//! ld/pcln.go`; what each field must hold when appended from outside: GO-COMPAT §2.3.
//!
//! Every trampoline is one function: `funcID` wrapper (elided from traces, looked through by `recover` from 1.26), flag
//! `ASM` and unsafe-point table (never preempted asynchronously), a total `pcsp`, a locals map without pointers.

use crate::addr::RunAddr;
use crate::golang::{Facts, ModuleLayout, PclntabGeneration};

/// One function of the module.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModuleFunction {
    /// Name for traces; must not start with `runtime.` or `reflect.` (`runtime/panic.go`, `panicCheck1`).
    pub name: String,
    /// First byte.
    pub start: RunAddr,
    /// One past the last byte, padding included: the next function's start.
    pub end: RunAddr,
    /// Bytes between SP and the return address as `(end offset from start, depth)` steps that cover `[start, end)`.
    pub depth: Vec<(u32, i32)>,
}

/// The module's bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ModuleImage {
    /// What goes to [`crate::plan::Placement::data`].
    pub bytes: Vec<u8>,
    /// Where the `moduledata` starts in it.
    pub moduledata: u32,
}

/// The module cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// No functions, or they do not follow one another.
    #[error("functions of the synthetic module do not follow one another at {0}")]
    Order(RunAddr),
    /// The tables outgrow their 32-bit offsets.
    #[error("the synthetic module is too large: {0} bytes")]
    Size(usize),
}

/// Size and reach of a findfunctab bucket (`runtime/symtab.go`, `findfuncbucket`).
const BUCKET_TEXT: u64 = 4096;
const SUB_BUCKETS: u64 = 16;
/// PCDATA value that forbids asynchronous preemption is given by the facts; this one is the start of every table.
const PC_VALUE_START: i32 = -1;

/// Makes the module for `functions` (ascending, without gaps), to be mapped at `data` and linked before `next`.
pub fn build(
    facts: &Facts,
    functions: &[ModuleFunction],
    data: RunAddr,
    next: u64,
) -> Result<ModuleImage, ModuleError> {
    let (first, last) = match functions {
        [] => return Err(ModuleError::Order(data)),
        [one] => (one, one),
        [first, .., last] => (first, last),
    };
    for pair in functions.windows(2) {
        if pair[0].end != pair[1].start {
            return Err(ModuleError::Order(pair[1].start));
        }
    }
    if let Some(empty) = functions.iter().find(|f| f.end <= f.start) {
        return Err(ModuleError::Order(empty.start));
    }
    let mut tables = Tables::default();
    let fields = match facts.pclntab {
        PclntabGeneration::Go1_2 => blob_1_2(&mut tables, facts, functions, data),
        PclntabGeneration::Go1_16 | PclntabGeneration::Go1_18 | PclntabGeneration::Go1_20 => {
            blob_1_16(&mut tables, facts, functions, data)
        }
    };
    let findfunctab = find_func_tab(&mut tables, functions, first.start, last.end);
    tables.align(16);
    let moduledata = tables.len();
    let mut md = Fields {
        bytes: vec![0; facts.module.size as usize],
        base: data.get(),
    };
    fields.write(&mut md, facts.module);
    md.pointer(facts.module.findfunctab, findfunctab);
    for (field, value) in [
        (facts.module.minpc, first.start),
        (facts.module.maxpc, last.end),
        (facts.module.text, first.start),
        (facts.module.etext, last.end),
    ] {
        md.word(field, value.get());
    }
    if let Some(gofunc) = facts.module.gofunc {
        md.pointer(gofunc, fields.stack_map);
    }
    // A later plugin open runs progToPointerMask over modules whose mask has no bytes (1.8 and later).
    md.pointer(facts.module.gcdatamask + 8, fields.stack_map);
    md.pointer(facts.module.gcbssmask + 8, fields.stack_map);
    if let Some(bad) = facts.module.bad {
        md.byte(bad, 1);
    }
    md.word(facts.module.next, next);
    tables.bytes.extend_from_slice(&md.bytes);
    if tables.bytes.len() > i32::MAX as usize {
        return Err(ModuleError::Size(tables.bytes.len()));
    }
    Ok(ModuleImage {
        bytes: tables.bytes,
        moduledata,
    })
}

/// The growing bytes.
#[derive(Default)]
struct Tables {
    bytes: Vec<u8>,
}

impl Tables {
    fn len(&self) -> u32 {
        self.bytes.len() as u32
    }

    fn align(&mut self, to: usize) {
        let len = self.bytes.len().next_multiple_of(to);
        self.bytes.resize(len, 0);
    }

    fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    fn set_u32(&mut self, at: u32, value: u32) {
        if let Some(place) = self.bytes.get_mut(at as usize..at as usize + 4) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }

    fn set_u64(&mut self, at: u32, value: u64) {
        if let Some(place) = self.bytes.get_mut(at as usize..at as usize + 8) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }
}

/// The bytes of the `moduledata`; offsets given to [`Fields::pointer`] are from the start of the data mapping.
struct Fields {
    bytes: Vec<u8>,
    base: u64,
}

impl Fields {
    fn word(&mut self, at: u32, value: u64) {
        if let Some(place) = self.bytes.get_mut(at as usize..at as usize + 8) {
            place.copy_from_slice(&value.to_le_bytes());
        }
    }

    fn byte(&mut self, at: u32, value: u8) {
        if let Some(place) = self.bytes.get_mut(at as usize) {
            *place = value;
        }
    }

    fn pointer(&mut self, at: u32, offset: u32) {
        self.word(at, self.base.wrapping_add(u64::from(offset)));
    }

    fn slice(&mut self, at: u32, span: Span) {
        self.pointer(at, span.at);
        self.word(at + 8, u64::from(span.len));
        self.word(at + 16, u64::from(span.len));
    }
}

/// A Go slice: where it starts in the data mapping, and how many elements it has.
#[derive(Clone, Copy, Default)]
struct Span {
    at: u32,
    len: u32,
}

/// Where the line table's parts came to lie.
#[derive(Default)]
struct LineTable {
    header: u32,
    funcnametab: Span,
    cutab: Span,
    filetab: Span,
    pctab: Span,
    pclntable: Span,
    ftab: Span,
    stack_map: u32,
}

impl LineTable {
    fn write(&self, md: &mut Fields, layout: &ModuleLayout) {
        if let Some(at) = layout.pc_header {
            md.pointer(at, self.header);
        }
        for (at, span) in [
            (layout.funcnametab, self.funcnametab),
            (layout.cutab, self.cutab),
            (layout.pctab, self.pctab),
            (Some(layout.filetab), self.filetab),
            (Some(layout.pclntable), self.pclntable),
            (Some(layout.ftab), self.ftab),
        ] {
            if let Some(at) = at {
                md.slice(at, span);
            }
        }
    }
}

/// Appends a pc-value table (`runtime/symtab.go`, `step`): pairs of zig-zag value delta and pc delta, then 0. Equal
/// neighbours are merged, because a zero value delta would end the table.
fn pc_value_table(out: &mut Vec<u8>, steps: &[(u32, i32)]) {
    let mut value = PC_VALUE_START;
    let mut from = 0;
    let mut steps = steps.iter().peekable();
    while let Some(&(mut end, next)) = steps.next() {
        while let Some(&&(later, same)) = steps.peek() {
            if same != next {
                break;
            }
            end = later;
            steps.next();
        }
        let delta = next.wrapping_sub(value);
        uvarint(out, ((delta << 1) ^ (delta >> 31)) as u32);
        uvarint(out, end - from);
        (value, from) = (next, end);
    }
    out.push(0);
}

fn uvarint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The locals map of every trampoline: one bitmap of no bits (`runtime/symtab.go`, `stackmap`).
const STACK_MAP: [u32; 2] = [1, 0];

/// The pc-value tables of one function, as offsets from `base`.
struct PcTables {
    pcsp: u32,
    unsafe_point: Option<u32>,
}

/// Appends the pc-value tables of all functions; offsets are from `base`, never 0.
fn pc_tables(
    tables: &mut Tables,
    facts: &Facts,
    functions: &[ModuleFunction],
    base: u32,
) -> Vec<PcTables> {
    functions
        .iter()
        .map(|function| {
            let pcsp = tables.len() - base;
            pc_value_table(&mut tables.bytes, &function.depth);
            let unsafe_point = facts.unsafe_point.map(|(_, value)| {
                let at = tables.len() - base;
                let size = function.end.offset_from(function.start).unwrap_or_default() as u32;
                pc_value_table(&mut tables.bytes, &[(size, value)]);
                at
            });
            PcTables { pcsp, unsafe_point }
        })
        .collect()
}

/// The eight bytes that every line table begins with: magic, two zeros, instruction quantum, pointer size.
fn header_start(tables: &mut Tables, generation: PclntabGeneration) {
    tables.u32(generation.magic());
    tables.bytes.extend_from_slice(&[0, 0, 1, 8]);
}

/// Go 1.2 to 1.15: header, functab, functions, names, tables and files in one blob; all offsets from its start.
fn blob_1_2(
    tables: &mut Tables,
    facts: &Facts,
    functions: &[ModuleFunction],
    data: RunAddr,
) -> LineTable {
    let count = functions.len() as u32;
    header_start(tables, facts.pclntab);
    tables.u64(u64::from(count));
    let ftab = tables.len();
    let mut starts = Vec::new();
    for function in functions {
        tables.u64(function.start.get());
        starts.push(tables.len());
        tables.u64(0);
    }
    tables.u64(functions.last().map_or(0, |f| f.end.get()));
    let file_offset = tables.len();
    tables.u32(0);
    tables.align(8);
    let stack_map = tables.len();
    STACK_MAP.into_iter().for_each(|word| tables.u32(word));
    let names = append_names(tables, functions, 0);
    let pcs = pc_tables(tables, facts, functions, 0);
    tables.align(4);
    // One element: the number of elements. No function names a file (pcfile is 0).
    let filetab = tables.len();
    tables.set_u32(file_offset, filetab);
    tables.u32(1);
    for (index, function) in functions.iter().enumerate() {
        tables.align(8);
        let record = tables.len();
        if let Some(&at) = starts.get(index) {
            tables.set_u64(at, u64::from(record));
        }
        append_func(
            tables,
            facts,
            function,
            names[index],
            &pcs[index],
            0,
            stack_map,
            data,
        );
    }
    let len = tables.len();
    LineTable {
        filetab: Span {
            at: filetab,
            len: 1,
        },
        pclntable: Span { at: 0, len },
        ftab: Span {
            at: ftab,
            len: count + 1,
        },
        stack_map,
        ..LineTable::default()
    }
}

/// Go 1.16 and later: a header of offsets, then names, compilation units, files, tables, functab with functions.
fn blob_1_16(
    tables: &mut Tables,
    facts: &Facts,
    functions: &[ModuleFunction],
    data: RunAddr,
) -> LineTable {
    let count = functions.len() as u32;
    // From 1.18 on entries are 32-bit offsets from moduledata.text, and the header has a field for that address.
    let narrow = facts.pclntab >= PclntabGeneration::Go1_18;
    let start = functions.first().map_or(0, |f| f.start.get());
    header_start(tables, facts.pclntab);
    tables.u64(u64::from(count));
    tables.u64(0); // nfiles
    if narrow {
        // Dropped (0) from 1.26 on; only moduledataverify1 and debuggers read it.
        tables.u64(if facts.pc_header_has_text_start {
            start
        } else {
            0
        });
    }
    let offsets = tables.len();
    (0..5).for_each(|_| tables.u64(0));

    let funcnametab = tables.len();
    tables.bytes.push(0);
    let names = append_names(tables, functions, funcnametab);
    let names_end = tables.len();
    tables.align(4);
    let cutab = tables.len();
    tables.u32(u32::MAX);
    let filetab = tables.len();
    tables.bytes.push(0);
    let pctab = tables.len();
    tables.bytes.push(0);
    let pcs = pc_tables(tables, facts, functions, pctab);
    let pctab_end = tables.len();
    tables.align(8);
    let stack_map = tables.len();
    STACK_MAP.into_iter().for_each(|word| tables.u32(word));

    let pclntable = tables.len();
    let mut starts = Vec::new();
    for function in functions {
        let entry = function.start.get();
        if narrow {
            tables.u32(entry.wrapping_sub(start) as u32);
            starts.push(tables.len());
            tables.u32(0);
        } else {
            tables.u64(entry);
            starts.push(tables.len());
            tables.u64(0);
        }
    }
    let end = functions.last().map_or(0, |f| f.end.get());
    if narrow {
        tables.u32(end.wrapping_sub(start) as u32);
    } else {
        tables.u64(end);
        tables.u64(0);
    }
    for (index, function) in functions.iter().enumerate() {
        tables.align(8);
        let record = tables.len() - pclntable;
        if let Some(&at) = starts.get(index) {
            tables.set_u32(at, record);
        }
        append_func(
            tables,
            facts,
            function,
            names[index],
            &pcs[index],
            start,
            stack_map,
            data,
        );
    }
    for (index, at) in [funcnametab, cutab, filetab, pctab, pclntable]
        .into_iter()
        .enumerate()
    {
        tables.set_u64(offsets + 8 * index as u32, u64::from(at));
    }
    LineTable {
        header: 0,
        funcnametab: Span {
            at: funcnametab,
            len: names_end - funcnametab,
        },
        cutab: Span { at: cutab, len: 1 },
        filetab: Span {
            at: filetab,
            len: 1,
        },
        pctab: Span {
            at: pctab,
            len: pctab_end - pctab,
        },
        pclntable: Span {
            at: pclntable,
            len: tables.len() - pclntable,
        },
        ftab: Span {
            at: pclntable,
            len: count + 1,
        },
        stack_map,
    }
}

/// Appends the names, NUL-terminated; offsets are from `base`.
fn append_names(tables: &mut Tables, functions: &[ModuleFunction], base: u32) -> Vec<u32> {
    functions
        .iter()
        .map(|function| {
            let at = tables.len() - base;
            tables
                .bytes
                .extend(function.name.bytes().filter(|&byte| byte != 0));
            tables.bytes.push(0);
            at
        })
        .collect()
}

/// Appends one `runtime._func` (`runtime/runtime2.go`; GO-COMPAT §1.3) with its PCDATA and FUNCDATA.
#[allow(
    clippy::too_many_arguments,
    reason = "the parts of one record, used in one place per generation"
)]
fn append_func(
    tables: &mut Tables,
    facts: &Facts,
    function: &ModuleFunction,
    name: u32,
    pcs: &PcTables,
    text: u64,
    stack_map: u32,
    data: RunAddr,
) {
    const FUNCDATA: [bool; 2] = [false, true]; // Args absent, Locals present
    let absolute = facts.pclntab <= PclntabGeneration::Go1_16;
    if absolute {
        tables.u64(function.start.get());
    } else {
        tables.u32(function.start.get().wrapping_sub(text) as u32);
    }
    tables.u32(name);
    tables.u32(0); // args: nothing of the caller's is described here
    tables.u32(0); // deferreturn, or funcID (1.10.1-1.11), or the legacy frame size
    tables.u32(pcs.pcsp);
    tables.u32(0); // pcfile
    tables.u32(0); // pcln
    tables.u32(u32::from(pcs.unsafe_point.is_some()));
    let wrapper = facts.func_id_wrapper.unwrap_or(0);
    let flag = facts.func_flag_asm.unwrap_or(0);
    let tail = [wrapper, flag, 0, FUNCDATA.len() as u8];
    match facts.pclntab {
        PclntabGeneration::Go1_2 if facts.func_id_wrapper.is_none() => {
            tables.u32(FUNCDATA.len() as u32)
        }
        PclntabGeneration::Go1_2 => tables.bytes.extend_from_slice(&tail),
        PclntabGeneration::Go1_16 | PclntabGeneration::Go1_18 => {
            tables.u32(0); // cuOffset
            tables.bytes.extend_from_slice(&tail);
        }
        PclntabGeneration::Go1_20 => {
            tables.u32(0); // cuOffset
            tables.u32(0); // startLine
            tables.bytes.extend_from_slice(&tail);
        }
    }
    if let Some(at) = pcs.unsafe_point {
        tables.u32(at);
    }
    if absolute {
        tables.align(8);
        tables.u64(0);
        tables.u64(data.get().wrapping_add(u64::from(stack_map)));
    } else {
        tables.u32(u32::MAX);
        tables.u32(0); // offset from gofunc, which names the stack map itself
    }
}

/// Appends the look-up table of `runtime.findfunc`: per 4096 bytes of text the index of the function at its start, and
/// per 256 bytes how many more.
fn find_func_tab(
    tables: &mut Tables,
    functions: &[ModuleFunction],
    start: RunAddr,
    end: RunAddr,
) -> u32 {
    tables.align(4);
    let at = tables.len();
    let size = end.offset_from(start).unwrap_or_default();
    let index_at = |offset: u64| {
        let pc = start.get().wrapping_add(offset.min(size.saturating_sub(1)));
        functions
            .partition_point(|f| f.start.get() <= pc)
            .saturating_sub(1) as u32
    };
    for bucket in (0..size).step_by(BUCKET_TEXT as usize) {
        let base = index_at(bucket);
        tables.u32(base);
        for sub in 0..SUB_BUCKETS {
            // Trampolines are longer than 16 bytes, so that this never exceeds 255.
            let more = index_at(bucket + sub * (BUCKET_TEXT / SUB_BUCKETS)) - base;
            tables.bytes.push(more.min(255) as u8);
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_neighbours_never_make_a_zero_delta() {
        let mut out = Vec::new();
        pc_value_table(&mut out, &[(4, 0), (6, 0), (7, 8), (300, 0)]);
        // -1 -> 0 below 6, 0 -> 8 below 7, 8 -> 0 below 300, end.
        assert_eq!(out, [2, 6, 16, 1, 15, 0xa5, 0x02, 0]);
    }

    #[test]
    fn the_unsafe_point_table_is_one_step() {
        let mut out = Vec::new();
        pc_value_table(&mut out, &[(0x90, -2)]);
        assert_eq!(out, [1, 0x90, 1, 0]);
    }
}
