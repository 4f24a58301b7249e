//! Module data, line table header and look-up table of functions: whether their words agree with each other.
//! Source: `cmd/link/internal/ld/symtab.go` (`moduledata`), `cmd/link/internal/ld/pcln.go`, `runtime/symtab.go`.

use super::{release, unproven};
use crate::addr::LinkAddr;
use crate::golang::tables::{MODULEDATA, PC_HEADER};
use crate::image::Image;
use crate::image::error::ImageError;
use crate::image::read::{u8_at, u32_at};

/// Bytes of code that one bucket of `findfunctab` stands for, and that one of its sixteen parts does.
const BUCKET: u64 = 4096;
const PART: u64 = 256;
/// Bytes of a bucket: a 32-bit index and a difference for each part.
const BUCKET_SIZE: usize = 20;

/// The word of the module data at a field, `plus` bytes further; `None` where the version has no such field.
fn word(image: &Image<'_>, field: &str, plus: u32) -> Option<(LinkAddr, u64)> {
    let offset = MODULEDATA
        .offset(field, release(image))?
        .checked_add(plus)?;
    let at = image.module.at.checked_add(u64::from(offset))?;
    Some((at, image.elf.pointer(at)?))
}

/// Pointers lie in the program and in order, slices are as long as they can get, what the linker leaves empty is empty.
pub(super) fn words(image: &Image<'_>) -> Result<(), ImageError> {
    let at = image.module.at;
    let must = |field: &'static str, plus| {
        word(image, field, plus)
            .ok_or_else(|| unproven(at, format!("no moduledata.{field}"), "the whole structure"))
    };
    let (start, end) = image.elf.extent();
    let ascending = [
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
    ];
    for [low, high] in ascending {
        let ((at, below), (_, above)) = (must(low, 0)?, must(high, 0)?);
        let inside = below >= start.get() && above <= end.get();
        // Without coverage both counters are where other data ends, or null.
        if below > above || !(inside || below == 0) {
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
        let ((at, len), (_, capacity)) = (must(field, 8)?, must(field, 16)?);
        if len == 0 || len != capacity {
            let found = format!("moduledata.{field} with length {len:#x}, capacity {capacity:#x}");
            return Err(unproven(at, found, "a slice that is full"));
        }
    }
    for field in ["gcdata", "gcbss", "rodata", "gofunc", "findfunctab"] {
        let (at, value) = must(field, 0)?;
        if image.elf.bytes(LinkAddr::new(value), 1).is_none() {
            let found = format!("moduledata.{field} = {value:#x}");
            return Err(unproven(at, found, "the address of bytes in the file"));
        }
    }
    let empty = [
        ("pluginpath", 8),
        ("modulename", 8),
        ("gcdatamask", 0),
        ("gcdatamask", 8),
        ("gcbssmask", 0),
        ("gcbssmask", 8),
        ("typemap", 0),
        ("next", 0),
    ];
    for (field, plus) in empty {
        let (at, value) = must(field, plus)?;
        if value != 0 {
            let found = format!("moduledata.{field} + {plus} = {value:#x}");
            return Err(unproven(at, found, "0, as the linker leaves it"));
        }
    }
    let (at, flags) = must("hasmain", 0)?;
    // hasmain and bad are neighbours.
    if flags & 0xffff != 1 {
        let found = format!("moduledata.hasmain and bad = {:#x}", flags & 0xffff);
        return Err(unproven(at, found, "1 and 0"));
    }
    match image.last_moduledatap {
        Some(_) => Ok(()),
        None => Err(unproven(
            at,
            "no lastmoduledatap",
            "one word that points to the module data",
        )),
    }
}

/// The header's offsets lead where the module data's slices are.
pub(super) fn header(image: &Image<'_>) -> Result<(), ImageError> {
    let start = image.module.pclntab;
    let tables = [
        ("funcnameOffset", "funcnametab"),
        ("cuOffset", "cutab"),
        ("filetabOffset", "filetab"),
        ("pctabOffset", "pctab"),
        ("pclnOffset", "pclntable"),
    ];
    for (offset, field) in tables {
        let found = || {
            let at = start.checked_add(u64::from(PC_HEADER.offset(offset, release(image))?))?;
            let to = start.checked_add(image.elf.pointer(at)?)?;
            Some((at, to, word(image, field, 0)?.1))
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
pub(super) fn function_buckets(image: &Image<'_>) -> Result<(), ImageError> {
    let module = &image.module;
    let lost =
        |at: LinkAddr, found: String| unproven(at, found, "findfunctab to lead to each function");
    let Some((field, table)) = word(image, "findfunctab", 0) else {
        return Err(lost(module.at, "no moduledata.findfunctab".to_owned()));
    };
    let len = module.maxpc.offset_from(module.minpc).unwrap_or(0);
    let buckets = usize::try_from(len.div_ceil(BUCKET)).unwrap_or(usize::MAX);
    let bytes = buckets
        .checked_mul(BUCKET_SIZE)
        .and_then(|size| image.elf.bytes(LinkAddr::new(table), size))
        .ok_or_else(|| lost(field, format!("moduledata.findfunctab = {table:#x}")))?;
    for (index, function) in image.functions.iter().enumerate() {
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
        // The runtime goes on upwards from there, function by function; a part holds no more of them than bytes.
        let leads = start().is_some_and(|from| from <= index && index - from <= PART as usize);
        if !leads {
            let found = format!(
                "from index {:?} for function {index} at {}",
                start(),
                function.entry
            );
            return Err(lost(LinkAddr::new(table), found));
        }
    }
    Ok(())
}
