//! A line table and the first `runtime.moduledata` -> [`Module`]: the tables that all look-ups read.
//!
//! `firstmoduledata` is found in every version as a word of writable data that points at a line table; a hit counts
//! only if the fields around it agree with that table. Source: `runtime/symtab.go` (`moduledata`,
//! `moduledataverify1`), `cmd/link/internal/ld/symtab.go`.

use crate::addr::LinkAddr;
use crate::golang::{Facts, ModuleLayout, PclntabGeneration};

use super::elf::Elf;
use super::error::{ImageError, ImageErrorCode};
use super::pclntab::{self, Candidate};
use super::read::{u32_at, u64_at};
use super::{gccgo, limits};

/// The first module's tables, checked against each other.
pub(super) struct Module<'d> {
    pub(super) generation: PclntabGeneration,
    /// `runtime.firstmoduledata`.
    pub(super) at: LinkAddr,
    /// The line table's header.
    pub(super) pclntab: LinkAddr,
    /// Base of entry offsets (1.18 and later).
    pub(super) text: LinkAddr,
    pub(super) minpc: LinkAddr,
    pub(super) maxpc: LinkAddr,
    /// What name offsets count in.
    pub(super) names: &'d [u8],
    /// What offsets of pc-value tables count in.
    pub(super) pcvalues: &'d [u8],
    /// What function table entries count in: the `_func` records.
    pub(super) records: &'d [u8],
    /// Address of [`Module::records`].
    pub(super) records_at: LinkAddr,
    /// Address of the function table.
    pub(super) functab_at: LinkAddr,
    /// The function table, its end entry included.
    pub(super) functab: &'d [u8],
    /// Entries of the function table, the end entry not counted.
    pub(super) count: usize,
}

fn corrupt(at: LinkAddr, found: impl Into<String>, expected: &'static str) -> ImageError {
    ImageError::new(ImageErrorCode::CorruptTable, at, found, expected)
}

impl<'d> Module<'d> {
    /// Finds the first module.
    pub(super) fn find(elf: &Elf<'d>) -> Result<Self, ImageError> {
        let candidates = pclntab::candidates(elf);
        let at_candidate = |value: u64| {
            candidates
                .binary_search_by_key(&value, |one| one.at.get())
                .ok()
        };
        let mut first_error = None;
        let hits = elf
            .writable_words(|value| at_candidate(value).is_some())
            .take(limits::MODULES);
        for (at, value) in hits {
            let Some(&candidate) = at_candidate(value).and_then(|index| candidates.get(index))
            else {
                continue;
            };
            match Self::read(elf, at, candidate) {
                Ok(module) => return Ok(module),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error
            .unwrap_or_else(|| gccgo::what_else(elf, candidates.first().map(|one| one.at))))
    }

    /// A module whose line table has another magic number than the toolchain's, and that number.
    pub(super) fn with_other_magic(elf: &Elf<'d>) -> Option<(LinkAddr, u32)> {
        let mut tables: Vec<(LinkAddr, u32)> = pclntab::without_magic(elf).collect();
        tables.sort_unstable();
        let find = |value: u64| tables.binary_search_by_key(&value, |one| one.0.get()).ok();
        let hits = elf.writable_words(|value| find(value).is_some());
        hits.take(limits::MODULES).find_map(|(at, value)| {
            let &(table, magic) = tables.get(find(value)?)?;
            let reads = |generation| {
                let candidate = Candidate {
                    at: table,
                    generation,
                };
                Self::read(elf, at, candidate).is_ok()
            };
            let reads = PclntabGeneration::ALL.into_iter().any(reads);
            reads.then_some((table, magic))
        })
    }

    /// Reads the module at `at` and checks it against the line table that its first word points to.
    fn read(elf: &Elf<'d>, at: LinkAddr, table: Candidate) -> Result<Self, ImageError> {
        let Candidate {
            at: pclntab,
            generation,
        } = table;
        let layout = match Facts::for_version(generation.oldest()) {
            Ok(facts) => facts.module,
            Err(error) => return Err(corrupt(at, error.to_string(), "a known version")),
        };
        let fields = Fields { elf, at };
        let minpc = fields.address(layout.minpc, "minpc")?;
        let maxpc = fields.address(layout.maxpc, "maxpc")?;
        let text = fields.address(layout.text, "text")?;
        let code = maxpc
            .offset_from(minpc)
            .and_then(|len| elf.bytes(minpc, usize::try_from(len).ok()?));
        if code.is_none_or(<[u8]>::is_empty) || !elf.is_code(minpc) {
            return Err(corrupt(
                at,
                format!("code from {minpc} to {maxpc}"),
                "a range of code in the file",
            ));
        }
        let (records_at, records) = fields.slice(layout.pclntable, 1, "pclntable")?;
        let names = match layout.funcnametab {
            Some(field) => fields.slice(field, 1, "funcnametab")?.1,
            None => records,
        };
        let pcvalues = match layout.pctab {
            Some(field) => fields.slice(field, 1, "pctab")?.1,
            None => records,
        };
        let (functab_at, functab, count) = fields.functab(layout, generation)?;
        let expected = elf.pointer(pclntab.checked_add(8).unwrap_or(pclntab));
        if expected != Some(count as u64) {
            let found = format!("{expected:x?} functions, but {count:#x} in moduledata at {at}");
            return Err(corrupt(pclntab, found, "the same number"));
        }
        let module = Self {
            generation,
            at,
            pclntab,
            text,
            minpc,
            maxpc,
            names,
            pcvalues,
            records,
            records_at,
            functab_at,
            functab,
            count,
        };
        let ends = (module.entry(elf, 0), module.entry(elf, count));
        if ends != (Some(minpc), Some(maxpc)) {
            let found = format!("functions from {:x?} to {:x?}", ends.0, ends.1);
            return Err(corrupt(
                functab_at,
                found,
                "the range minpc to maxpc of the module data",
            ));
        }
        Ok(module)
    }

    /// Whether function table entries are 32-bit offsets.
    fn has_offsets(generation: PclntabGeneration) -> bool {
        generation >= PclntabGeneration::Go1_18
    }

    /// The entry address in function table entry `index`; that of `count` is the end of the last function.
    pub(super) fn entry(&self, elf: &Elf<'d>, index: usize) -> Option<LinkAddr> {
        if Self::has_offsets(self.generation) {
            let offset = u32_at(self.functab, index.checked_mul(8)?)?;
            self.text.checked_add(u64::from(offset))
        } else {
            let offset = index.checked_mul(16)?;
            let raw = u64_at(self.functab, offset)?;
            let at = self.functab_at.checked_add(offset as u64)?;
            Some(LinkAddr::new(elf.relocations.addend_at(at).unwrap_or(raw)))
        }
    }

    /// The offset of the `_func` record in function table entry `index`; `None` for the gap mark of 1.14 to 1.17.
    pub(super) fn record_offset(&self, index: usize) -> Option<u64> {
        if Self::has_offsets(self.generation) {
            u32_at(self.functab, index.checked_mul(8)?.checked_add(4)?).map(u64::from)
        } else {
            u64_at(self.functab, index.checked_mul(16)?.checked_add(8)?)
                .filter(|&offset| offset != u64::MAX)
        }
    }
}

/// The fields of one `moduledata`.
struct Fields<'e, 'd> {
    elf: &'e Elf<'d>,
    at: LinkAddr,
}

impl<'d> Fields<'_, 'd> {
    fn address(&self, offset: u32, name: &str) -> Result<LinkAddr, ImageError> {
        let field = self.at.checked_add(u64::from(offset));
        field
            .and_then(|field| self.elf.address(field))
            .ok_or_else(|| {
                corrupt(
                    self.at,
                    format!("end of data before moduledata.{name}"),
                    "module data",
                )
            })
    }

    /// A slice of `len` elements of `size` bytes each, in the file.
    fn slice(
        &self,
        offset: u32,
        size: u64,
        name: &str,
    ) -> Result<(LinkAddr, &'d [u8]), ImageError> {
        let start = self.address(offset, name)?;
        let len = self.address(offset + 8, name)?.get();
        let bytes = len
            .checked_mul(size)
            .and_then(|len| self.elf.bytes(start, usize::try_from(len).ok()?));
        bytes.map(|bytes| (start, bytes)).ok_or_else(|| {
            let found = format!("moduledata.{name} = {start}, {len:#x} elements");
            corrupt(self.at, found, "a table in the file")
        })
    }

    /// The function table: address, bytes, number of functions.
    fn functab(
        &self,
        layout: &ModuleLayout,
        generation: PclntabGeneration,
    ) -> Result<(LinkAddr, &'d [u8], usize), ImageError> {
        let start = self.address(layout.ftab, "ftab")?;
        let len = self.address(layout.ftab + 8, "ftab")?.get();
        let fail = || {
            corrupt(
                self.at,
                format!("moduledata.ftab = {start}, {len:#x} entries"),
                "a table in the file",
            )
        };
        let count = usize::try_from(len)
            .ok()
            .and_then(|len| len.checked_sub(1))
            .filter(|&count| count > 0);
        // The end entry has only its first half.
        let size = count.and_then(|count| {
            let (entry, end) = if Module::has_offsets(generation) {
                (8, 4)
            } else {
                (16, 8)
            };
            count.checked_mul(entry)?.checked_add(end)
        });
        let bytes = size
            .and_then(|size| self.elf.bytes(start, size))
            .ok_or_else(fail)?;
        Ok((start, bytes, count.ok_or_else(fail)?))
    }
}

/// `runtime.lastmoduledatap`: the only word of writable data that holds the address of the first module, besides the
/// module itself. `None` if there is not exactly one.
pub(super) fn last_moduledatap(elf: &Elf<'_>, module: &Module<'_>) -> Option<LinkAddr> {
    let mut hits = elf.writable_words(|value| value == module.at.get());
    let (at, _) = hits.next()?;
    hits.next().is_none().then_some(at)
}
