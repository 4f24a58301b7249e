//! The synthetic module of a [`Plan`] -> text for people: every field of its `runtime.moduledata` and every table.
//!
//! Reads the bytes that would be written by the layouts of the program's Go version, as the runtime does
//! (`runtime/symtab.go`). Judges nothing, that is [`crate::verify`]; what cannot be read is shown as `?`. Places in the
//! module are offsets from its start (`+0x…`), places in trampolines such from theirs (`code+0x…`), so that the listing does
//! not depend on where they lie.

use std::fmt::Write as _;

use super::{Plan, WriteKind};
use crate::addr::LinkAddr;
use crate::golang::{Facts, ModuleLayout, PclntabGeneration};
use crate::image::PcValues;

/// Bytes of an entry of `findfunctab` (`runtime/symtab.go`, `findfuncbucket`): an index, then one byte per sub-bucket.
const BUCKET: usize = 4 + 16;

/// The listing; one line if nothing is hooked.
#[must_use]
pub fn render_module(plan: &Plan, facts: &Facts) -> String {
    let write_of = |kind| plan.writes.iter().find(|write| write.kind == kind);
    let (Some(span), Some(module), Some(code)) = (
        plan.module,
        write_of(WriteKind::Module),
        write_of(WriteKind::Code),
    ) else {
        return "no module: nothing is hooked\n".to_owned();
    };
    let mut listing = Listing {
        out: String::new(),
        facts,
        bytes: &module.new,
        data: (module.at.get(), module.at.get() + module.new.len() as u64),
        code: (code.at.get(), code.at.get() + code.new.len() as u64),
        moduledata: span.moduledata.offset_from(module.at).unwrap_or_default() as usize,
    };
    listing.moduledata();
    listing.header();
    listing.functions();
    listing.find_func_tab();
    listing.out
}

/// How a field of `moduledata` is read.
#[derive(Clone, Copy)]
enum Form {
    Word,
    Byte,
    Slice,
    /// `int32` length, padding, pointer.
    Bitvector,
}

/// The fields that are known, under their names in `runtime/symtab.go`.
fn fields(layout: &ModuleLayout) -> Vec<(u32, &'static str, Form)> {
    use Form::{Bitvector, Byte, Slice, Word};
    let always = [
        (layout.filetab, "filetab", Slice),
        (layout.pclntable, "pclntable", Slice),
        (layout.ftab, "ftab", Slice),
        (layout.findfunctab, "findfunctab", Word),
        (layout.minpc, "minpc", Word),
        (layout.maxpc, "maxpc", Word),
        (layout.text, "text", Word),
        (layout.etext, "etext", Word),
        (layout.noptrdata, "noptrdata", Word),
        (layout.data, "data", Word),
        (layout.bss, "bss", Word),
        (layout.noptrbss, "noptrbss", Word),
        (layout.end, "end", Word),
        (layout.modulename, "modulename", Word),
        (layout.gcdatamask, "gcdatamask", Bitvector),
        (layout.gcbssmask, "gcbssmask", Bitvector),
        (layout.next, "next", Word),
    ];
    let sometimes = [
        (layout.pc_header, "pcHeader", Word),
        (layout.funcnametab, "funcnametab", Slice),
        (layout.cutab, "cutab", Slice),
        (layout.pctab, "pctab", Slice),
        (layout.rodata, "rodata", Word),
        (layout.gofunc, "gofunc", Word),
        (layout.epclntab, "epclntab", Word),
        (layout.textsectmap, "textsectmap", Slice),
        (layout.hasmain, "hasmain", Byte),
        (layout.bad, "bad", Byte),
    ];
    let mut fields = always.to_vec();
    fields.extend(
        sometimes
            .iter()
            .filter_map(|&(at, name, form)| Some((at?, name, form))),
    );
    fields.sort_by_key(|&(at, ..)| at);
    fields
}

struct Listing<'p> {
    out: String,
    facts: &'p Facts,
    bytes: &'p [u8],
    /// Start and end of the module, of the trampolines.
    data: (u64, u64),
    code: (u64, u64),
    /// Offset of the `moduledata`.
    moduledata: usize,
}

impl Listing<'_> {
    fn line(&mut self, line: &str) {
        self.out.push_str(line.trim_end());
        self.out.push('\n');
    }

    fn number(&self, at: usize, len: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(len)?)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |value, &byte| value << 8 | u64::from(byte)),
        )
    }

    fn field(&self, offset: u32, len: usize) -> Option<u64> {
        self.number(self.moduledata.checked_add(offset as usize)?, len)
    }

    /// A number; one that is a place in the module or in the trampolines as such.
    fn place(&self, value: Option<u64>) -> String {
        let Some(value) = value else {
            return "?".to_owned();
        };
        if (self.data.0..self.data.1).contains(&value) {
            format!("+{:#x}", value - self.data.0)
        } else if (self.code.0..=self.code.1).contains(&value) {
            format!("code+{:#x}", value - self.code.0)
        } else {
            format!("{value:#x}")
        }
    }

    /// Where in the module a pointer leads.
    fn follow(&self, offset: Option<u32>) -> Option<usize> {
        let value = self.field(offset?, 8)?;
        usize::try_from(value.checked_sub(self.data.0)?).ok()
    }

    fn moduledata(&mut self) {
        let layout = self.facts.module;
        self.line(&format!(
            "moduledata at +{:#x}, {:#x} bytes:",
            self.moduledata, layout.size
        ));
        let mut shown = 0;
        for (at, name, form) in fields(layout) {
            let word = |offset| self.field(at + offset, 8);
            let (len, text) = match form {
                Form::Word => (8, self.place(word(0))),
                Form::Byte => (1, self.place(self.field(at, 1))),
                Form::Slice => {
                    let [len, cap] = [8, 16].map(|offset| self.place(word(offset)));
                    (24, format!("{}, len {len}, cap {cap}", self.place(word(0))))
                }
                Form::Bitvector => {
                    let n = self.place(self.field(at, 4));
                    (16, format!("{}, n {n}", self.place(word(8))))
                }
            };
            self.others(shown, at);
            self.line(&format!("  {at:#05x} {name:<12} {text}"));
            shown = at + len;
        }
        self.others(shown, layout.size);
    }

    /// What is not zero between two fields that are shown.
    fn others(&mut self, from: u32, to: u32) {
        for at in from..to {
            if let Some(value @ 1..) = self.field(at, 1) {
                self.line(&format!("  {at:#05x} (no name)    {value:#x}"));
            }
        }
    }

    /// The head of the line table (`runtime/symtab.go`, `pcHeader`; before 1.16 it has no offsets).
    fn header(&mut self) {
        let layout = self.facts.module;
        let Some(at) = self.follow(Some(layout.pc_header.unwrap_or(layout.pclntable))) else {
            return self.line("line table: ?");
        };
        let part = |offset, len| self.place(self.number(at + offset, len));
        let mut text = format!(
            "line table at +{at:#x}: magic {}, padding {}, minLC {}, ptrSize {}, nfunc {}",
            part(0, 4),
            part(4, 2),
            part(6, 1),
            part(7, 1),
            part(8, 8)
        );
        let names: &[&str] = match self.facts.pclntab {
            PclntabGeneration::Go1_2 => &[],
            PclntabGeneration::Go1_16 => {
                &["nfiles", "funcname", "cu", "filetab", "pctab", "pclntable"]
            }
            PclntabGeneration::Go1_18 | PclntabGeneration::Go1_20 => &[
                "nfiles",
                "textStart",
                "funcname",
                "cu",
                "filetab",
                "pctab",
                "pclntable",
            ],
        };
        for (index, name) in names.iter().enumerate() {
            let _ = write!(text, ", {name} {}", part(16 + 8 * index, 8));
        }
        self.line(&text);
    }

    /// The function table and, for each of its entries, the record.
    fn functions(&mut self) {
        let layout = self.facts.module;
        let (Some(ftab), Some(records)) = (
            self.follow(Some(layout.ftab)),
            self.follow(Some(layout.pclntable)),
        ) else {
            return self.line("ftab: ?");
        };
        let width = if self.facts.func.entry_is_offset {
            4
        } else {
            8
        };
        let count = self.field(layout.ftab + 8, 8).unwrap_or(0);
        self.line(&format!("ftab at +{ftab:#x}:"));
        let most = self.bytes.len() / (2 * width);
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(most);
        let mut entries = Vec::new();
        for index in 0..count {
            let at = ftab + index * 2 * width;
            let entry = self.entry(self.number(at, width));
            let mut text = format!("  {}", self.place(entry));
            // The last one is where the last function ends.
            if index + 1 < count {
                let offset = self.number(at + width, width).unwrap_or(0);
                let record = records.saturating_add(offset as usize);
                let _ = write!(text, " -> +{record:#x}");
                entries.push((entry, record));
            } else {
                entries.push((entry, usize::MAX));
            }
            self.line(&text);
        }
        for pair in entries.windows(2) {
            let [(Some(start), record), (Some(end), _)] = pair else {
                self.line("function: ?");
                continue;
            };
            let size = u32::try_from(end.saturating_sub(*start)).unwrap_or(u32::MAX);
            self.function(*record, size);
        }
    }

    /// An address as the tables hold it: from 1.18 on as offset from `moduledata.text`.
    fn entry(&self, raw: Option<u64>) -> Option<u64> {
        match self.facts.func.entry_is_offset {
            true => self.field(self.facts.module.text, 8)?.checked_add(raw?),
            false => raw,
        }
    }

    /// One `runtime._func` (`runtime/runtime2.go`), with the tables that it names.
    fn function(&mut self, at: usize, size: u32) {
        let func = self.facts.func;
        let word = |offset: u32| self.number(at + offset as usize, 4);
        let entry = self.entry(self.number(at, if func.entry_is_offset { 4 } else { 8 }));
        let mut parts = vec![
            ("entry", self.place(entry)),
            ("name", self.name(word(func.name))),
            ("args", self.place(word(func.args))),
        ];
        if let Some(offset) = func.deferreturn {
            parts.push(("deferreturn", self.place(word(offset))));
        }
        parts.push(("pcfile", self.place(word(func.pcsp + 4))));
        parts.push(("pcln", self.place(word(func.pcsp + 8))));
        for (name, offset) in [("cuOffset", func.cu_offset), ("startLine", func.start_line)] {
            if let Some(offset) = offset {
                parts.push((name, self.place(word(offset))));
            }
        }
        let bytes =
            |offset: u32, is_wide| self.number(at + offset as usize, if is_wide { 4 } else { 1 });
        if let Some(offset) = func.func_id {
            parts.push(("funcID", self.place(bytes(offset, func.func_id_is_32_bits))));
        }
        if let Some(offset) = func.flag {
            parts.push(("flag", self.place(bytes(offset, false))));
        }
        let pcdata = word(func.npcdata).unwrap_or(0) as usize;
        let funcdata = bytes(func.nfuncdata, func.nfuncdata_is_32_bits).unwrap_or(0) as usize;
        let text: Vec<String> = parts
            .iter()
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        let pcsp = self.steps(word(func.pcsp), size);
        self.line(&format!("_func at +{at:#x}: {}", text.join(", ")));
        self.line(&format!("  pcsp        {pcsp}"));
        let most = self.bytes.len() / 4;
        let tables = at + func.size as usize;
        for index in 0..pcdata.min(most) {
            let steps = self.steps(self.number(tables + 4 * index, 4), size);
            self.line(&format!("  pcdata[{index}]   {steps}"));
        }
        let mut data = tables + 4 * pcdata.min(most);
        let width = if func.funcdata_is_offset { 4 } else { 8 };
        data = data.next_multiple_of(width);
        for index in 0..funcdata.min(most) {
            let map = self.stack_map(self.number(data + width * index, width));
            self.line(&format!("  funcdata[{index}] {map}"));
        }
    }

    /// The NUL-terminated name at an offset of the names.
    fn name(&self, offset: Option<u64>) -> String {
        let layout = self.facts.module;
        let name = || {
            let names = self.follow(Some(layout.funcnametab.unwrap_or(layout.pclntable)))?;
            let rest = self
                .bytes
                .get(names.checked_add(usize::try_from(offset?).ok()?)?..)?;
            let end = rest.iter().position(|&byte| byte == 0)?;
            Some(String::from_utf8_lossy(rest.get(..end)?).into_owned())
        };
        name().unwrap_or_else(|| "?".to_owned())
    }

    /// A pc-value table: `up to: value` for each step.
    fn steps(&self, offset: Option<u64>, size: u32) -> String {
        let layout = self.facts.module;
        if offset == Some(0) {
            return "no table".to_owned();
        }
        let table = || {
            let tables = self.follow(Some(layout.pctab.unwrap_or(layout.pclntable)))?;
            self.bytes
                .get(tables.checked_add(usize::try_from(offset?).ok()?)?..)
        };
        let Some(table) = table() else {
            return "?".to_owned();
        };
        PcValues::new(table, LinkAddr::new(0), size)
            .map(|(end, value)| format!("{:#x}: {value}", end.get()))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// A funcdata entry: a stack map of `n` bitmaps of `nbit` bits.
    fn stack_map(&self, raw: Option<u64>) -> String {
        let func = self.facts.func;
        let at = match raw {
            None => return "?".to_owned(),
            Some(0) if !func.funcdata_is_offset => return "absent".to_owned(),
            Some(offset) if func.funcdata_is_offset && offset == u64::from(u32::MAX) => {
                return "absent".to_owned();
            }
            Some(offset) if func.funcdata_is_offset => {
                let base = self
                    .facts
                    .module
                    .gofunc
                    .and_then(|field| self.field(field, 8));
                base.and_then(|base| base.checked_add(offset))
            }
            address => address,
        };
        let offset = at
            .and_then(|at| at.checked_sub(self.data.0))
            .and_then(|offset| usize::try_from(offset).ok());
        let word = |plus| offset.and_then(|offset| self.number(offset + plus, 4));
        format!(
            "{}: n {}, nbit {}",
            self.place(at),
            self.place(word(0)),
            self.place(word(4))
        )
    }

    /// The index of functions by address, one line per 4096 bytes of trampolines.
    fn find_func_tab(&mut self) {
        let Some(at) = self.follow(Some(self.facts.module.findfunctab)) else {
            return self.line("findfunctab: ?");
        };
        self.line(&format!("findfunctab at +{at:#x}:"));
        let size = self.code.1 - self.code.0;
        for bucket in 0..size.div_ceil(4096) as usize {
            let entry = at + bucket * BUCKET;
            let base = self.place(self.number(entry, 4));
            let subs: Vec<String> = (4..BUCKET)
                .map(|sub| self.place(self.number(entry + sub, 1)))
                .collect();
            self.line(&format!("  base {base}: {}", subs.join(" ")));
        }
    }
}
