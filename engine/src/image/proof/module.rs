//! Module data, line table header and look-up table of functions: whether their words agree with each other.
//! Source: `cmd/link/internal/ld/symtab.go` (`moduledata`), `cmd/link/internal/ld/pcln.go`, `runtime/symtab.go`.

use super::{Claim, unproven};
use crate::addr::LinkAddr;
use crate::golang::tables::{END_IS_LAST, LOOKS_BACK, MODULEDATA, PC_HEADER};
use crate::image::Image;
use crate::image::error::ImageError;
use crate::image::read::{u8_at, u32_at};

/// Bytes of code that one bucket of `findfunctab` stands for, and that one of its sixteen parts does.
const BUCKET: u64 = 4096;
const PART: u64 = 256;
/// Bytes of a bucket: a 32-bit index and a difference for each part.
const BUCKET_SIZE: usize = 20;

/// The address of a field of the module data, `plus` bytes further; `None` where the version has no such field.
fn place(image: &Image<'_>, claim: &Claim, field: &str, plus: u32) -> Option<LinkAddr> {
    let offset = MODULEDATA.offset(field, claim.release)?.checked_add(plus)?;
    image.module.at.checked_add(u64::from(offset))
}

/// The word there.
fn word(image: &Image<'_>, claim: &Claim, field: &str, plus: u32) -> Option<(LinkAddr, u64)> {
    let at = place(image, claim, field, plus)?;
    Some((at, image.elf.pointer(at)?))
}

/// Words of the module data that the linker fills, those of them that the version has.
struct Words<'i, 'd> {
    image: &'i Image<'d>,
    claim: &'i Claim,
}

impl Words<'_, '_> {
    /// Address and value; `None` where the version has no such field.
    fn get(&self, field: &str, plus: u32) -> Result<Option<(LinkAddr, u64)>, ImageError> {
        let Some(at) = place(self.image, self.claim, field, plus) else {
            return Ok(None);
        };
        let lost = || {
            let found = format!("no moduledata.{field}");
            unproven(at, found, "the whole structure")
        };
        let value = self.image.elf.pointer(at).ok_or_else(lost)?;
        Ok(Some((at, value)))
    }

    /// Two of them, where the version has both.
    fn pair(
        &self,
        [first, second]: [(&str, u32); 2],
    ) -> Result<Option<(LinkAddr, [u64; 2])>, ImageError> {
        let first = self.get(first.0, first.1)?;
        let second = self.get(second.0, second.1)?;
        Ok(first
            .zip(second)
            .map(|((at, first), (_, second))| (at, [first, second])))
    }
}

/// Pointers lie in the program and in order, slices are as long as they can get, what the linker leaves empty is empty.
pub(super) fn words(image: &Image<'_>, claim: &Claim) -> Result<(), ImageError> {
    let words = Words { image, claim };
    let (start, end) = image.elf.extent();
    for [low, high] in [
        ["text", "minpc"],
        ["minpc", "maxpc"],
        ["maxpc", "etext"],
        ["noptrdata", "enoptrdata"],
        ["data", "edata"],
        ["bss", "ebss"],
        ["noptrbss", "enoptrbss"],
        ["enoptrbss", "end"],
        ["types", "etypes"],
        ["covctrs", "ecovctrs"],
    ] {
        let Some((at, [below, above])) = words.pair([(low, 0), (high, 0)])? else {
            continue;
        };
        let inside = below >= start.get() && above <= end.get();
        // Without coverage both counters are where other data ends, or null.
        let ordered = below <= above || high == "end" && !END_IS_LAST.contains(&claim.release);
        if !ordered || !(inside || below == 0) {
            let found = format!("moduledata.{low} = {below:#x}, moduledata.{high} = {above:#x}");
            return Err(unproven(at, found, "addresses of the program, in order"));
        }
    }
    for field in [
        "funcnametab",
        "cutab",
        "filetab",
        "pctab",
        "pclntable",
        "ftab",
    ] {
        let Some((at, [len, capacity])) = words.pair([(field, 8), (field, 16)])? else {
            continue;
        };
        if len == 0 || len != capacity {
            let found = format!("moduledata.{field} with length {len:#x}, capacity {capacity:#x}");
            return Err(unproven(at, found, "a slice that is full"));
        }
    }
    for field in ["gcdata", "gcbss", "rodata", "gofunc", "findfunctab"] {
        let Some((at, value)) = words.get(field, 0)? else {
            continue;
        };
        if image.elf.bytes(LinkAddr::new(value), 1).is_none() {
            let found = format!("moduledata.{field} = {value:#x}");
            return Err(unproven(at, found, "the address of bytes in the file"));
        }
    }
    for (field, plus) in [
        ("pluginpath", 8),
        ("modulename", 8),
        ("gcdatamask", 0),
        ("gcdatamask", 8),
        ("gcbssmask", 0),
        ("gcbssmask", 8),
        ("typemap", 0),
        ("next", 0),
    ] {
        if let Some((at, value)) = words.get(field, plus)?.filter(|&(_, value)| value != 0) {
            let found = format!("moduledata.{field} + {plus} = {value:#x}");
            return Err(unproven(at, found, "0, as the linker leaves it"));
        }
    }
    marks(image, claim)?;
    match image.last_moduledatap {
        Some(_) => Ok(()),
        None => claim.missing(|| {
            unproven(
                image.module.at,
                "no lastmoduledatap",
                "one word that points to the module data",
            )
        }),
    }
}

/// The module has a main function and is not bad (1.10 and later).
fn marks(image: &Image<'_>, claim: &Claim) -> Result<(), ImageError> {
    for (field, expected) in [("hasmain", 1), ("bad", 0)] {
        let Some(at) = place(image, claim, field, 0) else {
            continue;
        };
        let byte = image.elf.bytes(at, 1).and_then(|bytes| bytes.first());
        if byte != Some(&expected) {
            let found = format!("moduledata.{field} = {byte:?}");
            return Err(unproven(at, found, "1 for hasmain, 0 for bad"));
        }
    }
    Ok(())
}

/// The header's offsets lead where the module data's slices are.
pub(super) fn header(image: &Image<'_>, claim: &Claim) -> Result<(), ImageError> {
    let start = image.module.pclntab;
    if PC_HEADER.size_in(claim.release).is_none() {
        return Ok(());
    }
    let tables = [
        ("funcnameOffset", "funcnametab"),
        ("cuOffset", "cutab"),
        ("filetabOffset", "filetab"),
        ("pctabOffset", "pctab"),
        ("pclnOffset", "pclntable"),
    ];
    for (offset, field) in tables {
        let found = || {
            let at = start.checked_add(u64::from(PC_HEADER.offset(offset, claim.release)?))?;
            let to = start.checked_add(image.elf.pointer(at)?)?;
            Some((at, to, word(image, claim, field, 0)?.1))
        };
        match found() {
            Some((_, to, pointer)) if to.get() == pointer => {}
            Some((at, to, pointer)) => {
                let found =
                    format!("pcHeader.{offset} leads to {to}, moduledata.{field} to {pointer:#x}");
                return Err(unproven(at, found, "the same address"));
            }
            None => {
                let found = format!("no pcHeader.{offset}");
                return Err(unproven(start, found, "the whole header"));
            }
        }
    }
    Ok(())
}

/// Looking each function up the way the runtime does leads to it.
pub(super) fn function_buckets(image: &Image<'_>, claim: &Claim) -> Result<(), ImageError> {
    let module = &image.module;
    let lost =
        |at: LinkAddr, found: String| unproven(at, found, "findfunctab to lead to each function");
    let table = module
        .at
        .checked_add(u64::from(image.facts.module.findfunctab))
        .and_then(|field| image.elf.address(field))
        .ok_or_else(|| lost(module.at, "no moduledata.findfunctab".to_owned()))?;
    let len = module.maxpc.offset_from(module.minpc).unwrap_or(0);
    let buckets = usize::try_from(len.div_ceil(BUCKET)).unwrap_or(usize::MAX);
    let bytes = buckets
        .checked_mul(BUCKET_SIZE)
        .and_then(|size| image.elf.bytes(table, size))
        .ok_or_else(|| lost(table, format!("{buckets} buckets that are not in the file")))?;
    let back = LOOKS_BACK.contains(&claim.release);
    // Gaps have entries too, where the version marks them.
    let entries = (0..module.count).filter(|&index| module.record_offset(index).is_some());
    // No pc is in an empty function: the one behind it is found.
    let occupied = entries
        .zip(&image.functions)
        .filter(|(_, one)| one.size > 0);
    for (index, function) in occupied {
        let start = || {
            let offset = function.entry.offset_from(module.minpc)?;
            let bucket = usize::try_from(offset / BUCKET)
                .ok()?
                .checked_mul(BUCKET_SIZE)?;
            let part = usize::try_from(offset % BUCKET / PART).ok()?;
            let base = u32_at(bytes, bucket)?;
            let delta = u8_at(bytes, bucket + 4 + part)?;
            Some(base as usize + usize::from(delta))
        };
        // The runtime goes on from there, function by function; a part holds no more of them than bytes.
        let leads = start()
            .is_some_and(|from| (back || from <= index) && index.abs_diff(from) <= PART as usize);
        if !leads {
            let found = format!(
                "from index {:?} for function {index} at {}",
                start(),
                function.entry
            );
            return Err(lost(table, found));
        }
    }
    Ok(())
}
