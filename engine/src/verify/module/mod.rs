//! The synthetic module's bytes, read as the runtime of that Go version reads them.
//!
//! Starts at the `moduledata` and follows pointers; assumes no order of tables. Every field must hold what GO-COMPAT §2.3
//! demands, also where the runtime would not look now: `moduledataverify1`, plugins and debuggers may. What no rule reads
//! must be zero.

mod func;
mod pcvalue;
mod reader;

use std::fmt::Debug;

use crate::addr::RunAddr;
use crate::golang::{Facts, ModuleLayout, PclntabGeneration};
use crate::plan::Plan;

use super::writes::{Memory, loaded};
use super::{Findings, Original, RejectionCode as Code};
use reader::{Class, Reader, Slice, Unreadable};

/// Bytes of text per bucket of `findfunctab`, sub-buckets in it, size of the bucket's entry (`runtime/symtab.go`,
/// `findfuncbucket`).
const BUCKET: u64 = 4096;
const SUBBUCKETS: u64 = 16;
const BUCKET_SIZE: u64 = 4 + SUBBUCKETS;
/// What hook frames are called in traces; never `runtime.` or `reflect.` (GO-COMPAT §5.4).
const PREFIX: &str = "gondwana.";

/// The distance to the return address over one trampoline and the fillers behind it, as `(end, distance)` steps.
pub(super) type StackDepth = Vec<(u64, i32)>;

/// Where the parts of the module lie.
struct Tables {
    pclntable: Slice,
    names: Slice,
    pctab: Slice,
    text: RunAddr,
    gofunc: Option<RunAddr>,
}

/// Checks the module; the answer is what it says about the stack depth in each trampoline, by hook.
pub(super) fn check(
    original: &dyn Original,
    plan: &Plan,
    memory: &Memory,
    findings: &mut Findings,
) -> Vec<StackDepth> {
    let Some(module) = plan.module else {
        return Vec::new();
    };
    let mut reader = Reader::new(&memory.data);
    let mut run = Run {
        facts: original.facts(),
        layout: original.facts().module,
        base: module.moduledata,
        plan,
        reader: &mut reader,
        code: (memory.code.start, memory.code.end()),
        next: next(original, plan),
    };
    match run.all() {
        Ok(depths) => {
            if let Some((at, found)) = reader.unaccounted() {
                findings.add(
                    Code::Unaccounted,
                    at,
                    found,
                    "what a rule reads, or aligns the next",
                );
            }
            depths
        }
        Err(Unreadable {
            at,
            found,
            expected,
        }) => {
            findings.add(Code::Module, at, found, expected);
            Vec::new()
        }
    }
}

/// `firstmoduledata.next` before the plan.
fn next(original: &dyn Original, plan: &Plan) -> Option<u64> {
    let field = u64::from(original.facts().module.next);
    loaded(
        original,
        plan,
        original.first_moduledata().checked_add(field)?,
    )
}

fn expect<T: PartialEq + Debug>(
    at: RunAddr,
    what: &str,
    found: T,
    expected: T,
) -> Result<(), Unreadable> {
    if found == expected {
        return Ok(());
    }
    Err(Unreadable {
        at,
        found: format!("{what}: {found:x?}"),
        expected: format!("{expected:x?}"),
    })
}

struct Run<'r, 'a> {
    facts: &'r Facts,
    layout: &'r ModuleLayout,
    base: RunAddr,
    plan: &'r Plan,
    reader: &'r mut Reader<'a>,
    code: (RunAddr, RunAddr),
    next: Option<u64>,
}

impl Run<'_, '_> {
    fn all(&mut self) -> Result<Vec<StackDepth>, Unreadable> {
        let layout = self.layout;
        let (start, end) = self.code;
        for (name, field, value) in [
            ("minpc", layout.minpc, start),
            ("maxpc", layout.maxpc, end),
            ("text", layout.text, start),
            ("etext", layout.etext, end),
        ] {
            let found = self.word(field)?;
            expect(self.base, name, found, value.get())?;
        }
        let old = self.word(layout.next)?;
        expect(self.base, "next", Some(old), self.next)?;
        for (name, field, value) in [("hasmain", layout.hasmain, 0), ("bad", layout.bad, 1)] {
            if let Some(field) = field {
                let at = self.field(field)?;
                expect(at, name, self.reader.u8(at, Class::ModuleData)?, value)?;
            }
        }
        let count = self.plan.hooks.len() as u64;
        let pclntable = self.slice("pclntable", layout.pclntable, 1)?;
        let ftab_entry = if self.facts.func.entry_is_offset {
            8
        } else {
            16
        };
        let ftab = self.slice("ftab", layout.ftab, ftab_entry)?;
        expect(
            ftab.start,
            "entries in ftab",
            ftab.len / ftab_entry,
            count + 1,
        )?;
        let tables = match self.facts.pclntab {
            PclntabGeneration::Go1_2 => self.old_tables(pclntable, ftab, count)?,
            _ => self.new_tables(pclntable, ftab, count)?,
        };
        let (depths, maps) = self.functions(&tables, ftab)?;
        self.find_functions()?;
        for (name, field) in [
            ("gcdatamask", layout.gcdatamask),
            ("gcbssmask", layout.gcbssmask),
        ] {
            // bitvector: n, padding, bytedata. With n = 0 any pointer but nil will do; the one known to be good is asked for.
            let found = self.word(field)?;
            expect(self.base, name, found, 0)?;
            let pointer = self.word(field + 8)?;
            let known = maps.iter().any(|map| map.get() == pointer);
            expect(self.base, "a mask's bytedata is a locals map", known, true)?;
        }
        // All other fields: no data, no types, no sections, no name, no hashes, no plugin.
        self.reader
            .zeros(self.base, u64::from(layout.size), Class::ModuleData)?;
        Ok(depths)
    }

    fn field(&self, offset: u32) -> Result<RunAddr, Unreadable> {
        let whole = Slice {
            start: self.base,
            len: u64::from(self.layout.size),
        };
        whole.at(u64::from(offset), 1)
    }

    fn word(&mut self, offset: u32) -> Result<u64, Unreadable> {
        let at = self.field(offset)?;
        self.reader.u64(at, Class::ModuleData)
    }

    /// A Go slice in the `moduledata`: pointer, length, capacity.
    fn slice(&mut self, name: &str, field: u32, element: u64) -> Result<Slice, Unreadable> {
        let start = RunAddr::new(self.word(field)?);
        let len = self.word(field + 8)?;
        let capacity = self.word(field + 16)?;
        expect(self.base, name, capacity, len)?;
        let len = len.saturating_mul(element);
        Ok(Slice { start, len })
    }

    /// The first eight bytes of a header: magic, two zeros, quantum 1, pointers of 8 bytes.
    fn magic(&mut self, at: RunAddr) -> Result<(), Unreadable> {
        let magic = match self.facts.pclntab {
            PclntabGeneration::Go1_2 => 0xffff_fffbu64,
            PclntabGeneration::Go1_16 => 0xffff_fffa,
            PclntabGeneration::Go1_18 => 0xffff_fff0,
            PclntabGeneration::Go1_20 => 0xffff_fff1,
        };
        let found = self.reader.u64(at, Class::Header)?;
        expect(at, "header", found, magic | 1 << 48 | 8 << 56)
    }

    /// Up to 1.15 everything counts from the header, which `pclntable` starts with: count of functions, the functions, end
    /// pc, offset of the files.
    fn old_tables(
        &mut self,
        pclntable: Slice,
        ftab: Slice,
        count: u64,
    ) -> Result<Tables, Unreadable> {
        self.magic(pclntable.at(0, 16)?)?;
        let found = self.reader.u64(pclntable.at(8, 8)?, Class::Header)?;
        expect(pclntable.start, "nfunc", found, count)?;
        expect(
            pclntable.start,
            "ftab",
            ftab.start,
            pclntable.at(16, ftab.len)?,
        )?;
        let files = self.slice("filetab", self.layout.filetab, 4)?;
        let offset = self
            .reader
            .u64(ftab.at(16 * count + 8, 8)?, Class::FuncTab)?;
        expect(
            files.start,
            "filetab",
            files.start,
            pclntable.at(offset, files.len)?,
        )?;
        // element 0 is the number of elements; there are no files
        expect(files.start, "filetab", files.len, 4)?;
        expect(
            files.start,
            "files",
            self.reader.u32(files.start, Class::Files)?,
            1,
        )?;
        Ok(Tables {
            pclntable,
            names: pclntable,
            pctab: pclntable,
            text: self.code.0,
            gofunc: None,
        })
    }

    /// From 1.16 on the tables are apart, and the header says where.
    fn new_tables(
        &mut self,
        pclntable: Slice,
        ftab: Slice,
        count: u64,
    ) -> Result<Tables, Unreadable> {
        let layout = self.layout;
        let header = RunAddr::new(self.word(layout.pc_header.unwrap_or_default())?);
        let mut part = |name, field: Option<u32>, element| {
            self.slice(name, field.unwrap_or_default(), element)
        };
        let names = part("funcnametab", layout.funcnametab, 1)?;
        let units = part("cutab", layout.cutab, 4)?;
        let files = part("filetab", Some(layout.filetab), 1)?;
        let pctab = part("pctab", layout.pctab, 1)?;
        expect(ftab.start, "pclntable", pclntable.start, ftab.start)?;
        self.magic(header)?;
        let mut fields = vec![count, 0];
        if self.facts.pclntab >= PclntabGeneration::Go1_18 {
            let has_text = self.facts.pc_header_has_text_start;
            fields.push(if has_text { self.code.0.get() } else { 0 });
        }
        for table in [names, units, files, pctab, pclntable] {
            fields.push(table.start.get().wrapping_sub(header.get()));
        }
        for (i, expected) in (1u64..).zip(fields) {
            let whole = Slice {
                start: header,
                len: 0x48,
            };
            let found = self.reader.u64(whole.at(8 * i, 8)?, Class::Header)?;
            expect(header, &format!("pcHeader word {i}"), found, expected)?;
        }
        // offset 0 of names and of pc-value tables means "none"
        let first = self.reader.u8(names.at(0, 1)?, Class::Name)?;
        expect(names.start, "the first byte of funcnametab", first, 0)?;
        let first = self.reader.u8(pctab.at(0, 1)?, Class::PcValue)?;
        expect(pctab.start, "the first byte of pctab", first, 0)?;
        // one unit without files
        expect(units.start, "cutab", units.len, 4)?;
        let unit = self.reader.u32(units.start, Class::Files)?;
        expect(units.start, "cutab[0]", unit, u32::MAX)?;
        expect(files.start, "filetab", files.len, 1)?;
        let file = self.reader.u8(files.start, Class::Files)?;
        expect(files.start, "filetab", file, 0)?;
        let gofunc = match layout.gofunc {
            Some(field) => Some(RunAddr::new(self.word(field)?)),
            None => None,
        };
        Ok(Tables {
            pclntable,
            names,
            pctab,
            text: self.code.0,
            gofunc,
        })
    }

    /// `ftab` in address order, one entry per trampoline and the end, and the records that it names.
    fn functions(
        &mut self,
        tables: &Tables,
        ftab: Slice,
    ) -> Result<(Vec<StackDepth>, Vec<RunAddr>), Unreadable> {
        let plan = self.plan;
        let (mut depths, mut maps) = (Vec::new(), Vec::new());
        let first = plan.hooks.first().map(|hook| hook.trampoline.start);
        expect(ftab.start, "the first function", first, Some(self.code.0))?;
        let ends = plan
            .hooks
            .iter()
            .skip(1)
            .map(|hook| hook.trampoline.start)
            .chain([self.code.1]);
        for ((i, hook), end) in (0u64..).zip(&plan.hooks).zip(ends) {
            let start = hook.trampoline.start;
            let (pc, offset) = self.ftab(ftab, i)?;
            expect(ftab.start, "ftab", pc, start.get())?;
            let at = tables.pclntable.at(offset, 1)?;
            let name = format!("{PREFIX}{}", hook.name);
            let size = end.offset_from(start).unwrap_or_default();
            let func = func::check(self.reader, self.facts, tables, at, &name, (start, size))?;
            depths.push(func.pcsp);
            maps.push(func.locals);
        }
        let last = plan.hooks.len() as u64;
        // The sentinel names no record; up to 1.15 the offset of the files stands there, and is read elsewhere.
        if self.facts.pclntab != PclntabGeneration::Go1_2 {
            let entry = if self.facts.func.entry_is_offset {
                8
            } else {
                16
            };
            let at = ftab.at(entry * last + entry / 2, entry / 2)?;
            self.reader.zeros(at, entry / 2, Class::FuncTab)?;
        }
        let end = if self.facts.func.entry_is_offset {
            let offset = self.reader.u32(ftab.at(8 * last, 4)?, Class::FuncTab)?;
            self.code.0.get().wrapping_add(u64::from(offset))
        } else {
            self.reader.u64(ftab.at(16 * last, 8)?, Class::FuncTab)?
        };
        expect(ftab.start, "the end of ftab", end, self.code.1.get())?;
        Ok((depths, maps))
    }

    /// Entry `i`: pc, and offset of the record from `pclntable`.
    fn ftab(&mut self, ftab: Slice, i: u64) -> Result<(u64, u64), Unreadable> {
        if self.facts.func.entry_is_offset {
            let pc = self.reader.u32(ftab.at(8 * i, 4)?, Class::FuncTab)?;
            let record = self.reader.u32(ftab.at(8 * i + 4, 4)?, Class::FuncTab)?;
            Ok((
                self.code.0.get().wrapping_add(u64::from(pc)),
                u64::from(record),
            ))
        } else {
            let pc = self.reader.u64(ftab.at(16 * i, 8)?, Class::FuncTab)?;
            let record = self.reader.u64(ftab.at(16 * i + 8, 8)?, Class::FuncTab)?;
            Ok((pc, record))
        }
    }

    /// `findfunctab`: each sub-bucket names the function that holds its first byte, so that the runtime's scan upward from
    /// there (`runtime/symtab.go`, `findfunc`) finds the function of every byte without stepping back, which 1.5 to 1.7 and
    /// 1.18 and later cannot. Sub-buckets behind the end name the last function.
    fn find_functions(&mut self) -> Result<(), Unreadable> {
        let table = RunAddr::new(self.word(self.layout.findfunctab)?);
        let (start, end) = self.code;
        let size = end.offset_from(start).unwrap_or_default();
        let buckets = size.div_ceil(BUCKET);
        let whole = Slice {
            start: table,
            len: buckets * BUCKET_SIZE,
        };
        let starts: Vec<u64> = self
            .plan
            .hooks
            .iter()
            .map(|hook| hook.trampoline.start.offset_from(start).unwrap_or_default())
            .collect();
        let holder = |pc: u64| {
            starts
                .partition_point(|&entry| entry <= pc)
                .saturating_sub(1)
        };
        for bucket in 0..buckets {
            let base = self
                .reader
                .u32(whole.at(bucket * BUCKET_SIZE, 4)?, Class::FindFuncTab)?;
            expect(table, "a bucket", base as usize, holder(bucket * BUCKET))?;
            for sub in 0..SUBBUCKETS {
                let at = whole.at(bucket * BUCKET_SIZE + 4 + sub, 1)?;
                let delta = self.reader.u8(at, Class::FindFuncTab)?;
                let pc = bucket * BUCKET + sub * (BUCKET / SUBBUCKETS);
                let found = base as usize + usize::from(delta);
                expect(at, "a sub-bucket", found, holder(pc))?;
            }
        }
        Ok(())
    }
}
