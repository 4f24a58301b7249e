//! The function table and its `_func` records -> [`Function`]s. Source: `runtime/runtime2.go` (`_func`),
//! `runtime/symtab.go` (`findfunc`, `funcdata`, `funcname`).

use crate::addr::LinkAddr;
use crate::golang::{Facts, FuncLayout};

use super::elf::Elf;
use super::error::{ImageError, ImageErrorCode};
use super::moduledata::Module;
use super::read::{i32_at, u8_at, u32_at, u64_at};
use super::{Function, limits};

/// FUNCDATA index of the argument pointer maps, in every version.
const ARGS_POINTER_MAPS: u32 = 0;
/// FUNCDATA index of the local pointer maps, in every version.
const LOCALS_POINTER_MAPS: u32 = 1;

/// Stands for a name that is not UTF-8. The compiler writes none; [`super::Image::name_bytes`] has the real bytes.
pub const NOT_UTF8: &str = "<name is not UTF-8>";

fn corrupt(at: LinkAddr, found: impl Into<String>, expected: &'static str) -> ImageError {
    ImageError::new(ImageErrorCode::CorruptTable, at, found, expected)
}

/// Reads names out of the name table, within a budget: names that share bytes must not cost quadratic time.
pub(super) struct Names<'d> {
    table: &'d [u8],
    budget: usize,
}

impl<'d> Names<'d> {
    pub(super) fn new(module: &Module<'d>, file_len: usize) -> Self {
        Self {
            table: module.names,
            budget: file_len.saturating_mul(limits::NAME_BYTES_PER_INPUT_BYTE),
        }
    }

    /// The bytes of the name at `offset`, without the final zero.
    pub(super) fn bytes(&mut self, offset: u32) -> Option<&'d [u8]> {
        let bytes = self.table.get(usize::try_from(offset).ok()?..)?;
        let bytes = bytes.get(..self.budget.min(bytes.len()))?;
        let name = bytes.get(..memchr::memchr(0, bytes)?)?;
        self.budget -= name.len();
        Some(name)
    }

    /// The name at `offset`.
    pub(super) fn text(&mut self, offset: u32) -> Option<&'d str> {
        self.bytes(offset)
            .map(|name| std::str::from_utf8(name).unwrap_or(NOT_UTF8))
    }
}

/// One `_func` record, read field by field.
#[derive(Clone, Copy)]
pub(super) struct Record<'d> {
    layout: &'static FuncLayout,
    /// From the record's start to the end of the table.
    bytes: &'d [u8],
    at: LinkAddr,
}

impl<'d> Record<'d> {
    /// The record at `offset` in the module's records.
    pub(super) fn at_offset(
        module: &Module<'d>,
        layout: &'static FuncLayout,
        offset: u64,
    ) -> Option<Self> {
        let bytes = module.records.get(usize::try_from(offset).ok()?..)?;
        Some(Self {
            layout,
            bytes,
            at: module.records_at.checked_add(offset)?,
        })
    }

    /// The record at an address.
    pub(super) fn at_address(
        module: &Module<'d>,
        layout: &'static FuncLayout,
        at: LinkAddr,
    ) -> Option<Self> {
        Self::at_offset(module, layout, at.offset_from(module.records_at)?)
    }

    fn u32(&self, offset: u32) -> Option<u32> {
        u32_at(self.bytes, offset as usize)
    }

    fn u8(&self, offset: u32) -> Option<u8> {
        u8_at(self.bytes, offset as usize)
    }

    fn entry(&self, elf: &Elf<'d>, module: &Module<'d>) -> Option<LinkAddr> {
        if self.layout.entry_is_offset {
            return module.text.checked_add(u64::from(self.u32(0)?));
        }
        let raw = u64_at(self.bytes, 0)?;
        Some(LinkAddr::new(
            elf.relocations.addend_at(self.at).unwrap_or(raw),
        ))
    }

    pub(super) fn name_offset(&self) -> Option<u32> {
        self.u32(self.layout.name)
    }

    fn args(&self) -> Option<i32> {
        i32_at(self.bytes, self.layout.args as usize)
    }

    fn func_id(&self) -> Option<u8> {
        // Where it is 32 bits wide its values still fit into the low byte.
        self.layout
            .func_id
            .map_or(Some(0), |offset| self.u8(offset))
    }

    fn flags(&self) -> Option<u8> {
        self.layout.flag.map_or(Some(0), |offset| self.u8(offset))
    }

    fn deferreturn(&self) -> Option<u32> {
        self.layout
            .deferreturn
            .map_or(Some(0), |offset| self.u32(offset))
    }

    /// Offset of the pc-to-SP-delta table; 0 for none.
    pub(super) fn pcsp(&self) -> Option<u32> {
        self.u32(self.layout.pcsp)
    }

    pub(super) fn npcdata(&self) -> Option<u32> {
        self.u32(self.layout.npcdata)
    }

    pub(super) fn nfuncdata(&self) -> Option<u32> {
        if self.layout.nfuncdata_is_32_bits {
            self.u32(self.layout.nfuncdata)
        } else {
            self.u8(self.layout.nfuncdata).map(u32::from)
        }
    }

    /// Offset of PCDATA table `index`; 0 for none.
    pub(super) fn pcdata(&self, index: u32) -> Option<u32> {
        if index >= self.npcdata()? {
            return Some(0);
        }
        self.u32(self.layout.size.checked_add(index.checked_mul(4)?)?)
    }

    /// Address of FUNCDATA `index`; `None` for none, and where the record ends too early.
    pub(super) fn funcdata(
        &self,
        elf: &Elf<'d>,
        gofunc: Option<LinkAddr>,
        index: u32,
    ) -> Option<LinkAddr> {
        if index >= self.nfuncdata()? {
            return None;
        }
        let start = self
            .layout
            .size
            .checked_add(self.npcdata()?.checked_mul(4)?)?;
        if self.layout.funcdata_is_offset {
            let offset = self
                .u32(start.checked_add(index.checked_mul(4)?)?)
                .filter(|&offset| offset != u32::MAX)?;
            return gofunc?.checked_add(u64::from(offset));
        }
        let at = self
            .at
            .checked_add(u64::from(start))?
            .align_up(8)?
            .checked_add(u64::from(index) * 8)?;
        let raw = u64_at(self.bytes, usize::try_from(at.offset_from(self.at)?).ok()?)?;
        let value = elf.relocations.addend_at(at).unwrap_or(raw);
        (value != 0).then_some(LinkAddr::new(value))
    }

    /// Whether the record and all it announces lie in the table.
    fn is_whole(&self) -> bool {
        let entry = if self.layout.funcdata_is_offset {
            4u64
        } else {
            8
        };
        let (Some(npcdata), Some(nfuncdata)) = (self.npcdata(), self.nfuncdata()) else {
            return false;
        };
        let fixed = u64::from(self.layout.size) + u64::from(npcdata) * 4;
        // Without funcdata the padding in front of them may be missing.
        let end = if nfuncdata == 0 {
            fixed
        } else {
            fixed + u64::from(nfuncdata) * entry
        };
        end <= self.bytes.len() as u64
    }
}

/// All functions, by ascending entry. `gofunc`: `moduledata.gofunc`, where the version has it.
pub(super) fn read<'d>(
    elf: &Elf<'d>,
    module: &Module<'d>,
    facts: &Facts,
    gofunc: Option<LinkAddr>,
    names: &mut Names<'d>,
) -> Result<Vec<Function<'d>>, ImageError> {
    let table_end = || corrupt(module.functab_at, "the end of the file", "a function table");
    let functions = (0..module.count)
        .filter(|&index| module.record_offset(index).is_some())
        .count();
    let mut out = Vec::with_capacity(functions);
    let mut next = module.entry(elf, 0).ok_or_else(table_end)?;
    for index in 0..module.count {
        let entry = next;
        next = module.entry(elf, index + 1).ok_or_else(table_end)?;
        let Some(offset) = module.record_offset(index) else {
            continue;
        };
        let at = module
            .records_at
            .checked_add(offset)
            .unwrap_or(module.records_at);
        let size = next
            .offset_from(entry)
            .and_then(|size| u32::try_from(size).ok())
            .ok_or_else(|| {
                corrupt(
                    module.functab_at,
                    format!("entry {index} at {entry}, the next at {next}"),
                    "ascending entries",
                )
            })?;
        let record = Record::at_offset(module, facts.func, offset)
            .filter(Record::is_whole)
            .ok_or_else(|| {
                corrupt(
                    at,
                    format!("a _func record of {entry} that ends past its table"),
                    "a whole one",
                )
            })?;
        if record.entry(elf, module) != Some(entry) {
            let found = format!("a _func record of {:x?}", record.entry(elf, module));
            return Err(corrupt(
                at,
                format!("{found} for the function at {entry}"),
                "the function's own",
            ));
        }
        let function = function(elf, gofunc, names, &record, entry, size);
        out.push(function.ok_or_else(|| {
            corrupt(at, format!("no name for the function at {entry}"), "a name")
        })?);
    }
    Ok(out)
}

/// The code of one function.
pub(super) struct Code<'d> {
    pub(super) entry: LinkAddr,
    pub(super) bytes: &'d [u8],
}

/// The code of the first function of this name, before the exact version is known: entries and names stand at the same
/// place in all versions of one generation, the rest of the record does not.
pub(super) fn code_named<'d>(elf: &Elf<'d>, module: &Module<'d>, name: &str) -> Option<Code<'d>> {
    let layout = Facts::for_version(module.generation.oldest()).ok()?.func;
    let mut names = Names::new(module, elf.file.held());
    let index = (0..module.count).find(|&index| {
        let record = module
            .record_offset(index)
            .and_then(|offset| Record::at_offset(module, layout, offset));
        let found = record.and_then(|record| names.bytes(record.name_offset()?));
        found == Some(name.as_bytes())
    })?;
    let entry = module.entry(elf, index)?;
    let len = module.entry(elf, index + 1)?.offset_from(entry)?;
    Some(Code {
        entry,
        bytes: elf.bytes(entry, usize::try_from(len).ok()?)?,
    })
}

fn function<'d>(
    elf: &Elf<'d>,
    gofunc: Option<LinkAddr>,
    names: &mut Names<'d>,
    record: &Record<'d>,
    entry: LinkAddr,
    size: u32,
) -> Option<Function<'d>> {
    Some(Function {
        name: names.text(record.name_offset()?)?,
        entry,
        size,
        args: u32::try_from(record.args()?).ok(),
        func_id: record.func_id()?,
        flags: record.flags()?,
        deferreturn: record.deferreturn()?,
        has_args_map: record.funcdata(elf, gofunc, ARGS_POINTER_MAPS).is_some(),
        has_locals_map: record.funcdata(elf, gofunc, LOCALS_POINTER_MAPS).is_some(),
        record: record.at,
    })
}
