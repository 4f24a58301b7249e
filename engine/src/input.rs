//! A file -> the parts of it that [`crate::image`] can make use of.
//!
//! These are the file's headers, what the kernel loads, and the few tables beside that (section headers, their names,
//! notes; symbols only where they are asked for). Debug information is never read, and neither is whatever follows: a file
//! of 6 GiB whose program takes 2 MiB costs 2 MiB. Decides nothing else: what is damaged here is an error there.

use std::fs::{File, OpenOptions};
use std::io;
use std::iter;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{LittleEndian, ReadRef};

use crate::image::{ELF_MAGIC, FileView, Parts};

const LE: LittleEndian = LittleEndian;
/// As much of every ELF file is read first.
const HEAD: u64 = 4096;
/// Most bytes that are read: more cannot be a program of the small code model, and would only fill the memory.
const LARGEST: u64 = 4 << 30;
/// Bytes of a table of headers or section names. Real ones have some kilobytes.
const HEADERS: u64 = 16 << 20;
/// Bytes of a note or of the dynamic section.
const SMALL: u64 = 1 << 20;
/// Sections and segments of notes.
const NOTES: usize = 64;
/// Bytes of the symbols and of their names, each.
const SYMBOLS: u64 = 512 << 20;
/// Parts that lie this near to each other are read as one.
const GAP: u64 = 4096;

/// Whether the symbol table is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Symbols {
    /// Only `inspect` asks for it.
    Read,
    /// Hooks do not need it.
    Skip,
}

/// Opens and reads a file.
///
/// # Errors
/// The kernel's, and `InvalidInput` for what is no regular file, or loads more than 4 GiB.
pub fn read(path: &Path, symbols: Symbols) -> io::Result<Parts> {
    // Without O_NONBLOCK, opening a pipe that nobody writes to takes for ever.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    read_file(&file, symbols)
}

/// The same for a file that is open. Of what is no ELF file, the first four bytes.
///
/// # Errors
/// As [`read`].
pub fn read_file(file: &File, symbols: Symbols) -> io::Result<Parts> {
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(refused("not a regular file".to_owned()));
    }
    let len = metadata.len();
    let magic = parts(file, len, iter::once(0..ELF_MAGIC.len() as u64))?;
    if FileView::from(&magic).head(ELF_MAGIC.len()) != ELF_MAGIC {
        return Ok(magic);
    }
    // The tables of headers say where the rest lies.
    let head = 0..HEAD;
    let first = parts(file, len, vec![head.clone()])?;
    let tables = tables(FileView::from(&first));
    let second = parts(file, len, [vec![head.clone()], tables.clone()].concat())?;
    let view = FileView::from(&second);
    let loaded = [vec![head], tables, loaded(view)].concat();
    // Names of sections are found by a section header, symbols by another.
    parts(file, len, [loaded, beside(view, symbols)].concat())
}

fn refused(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}

/// Reads these ranges, as far as the file goes.
fn parts(file: &File, len: u64, ranges: impl IntoIterator<Item = Range<u64>>) -> io::Result<Parts> {
    let ranges = merged(ranges.into_iter().collect(), len);
    let total: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    if total > LARGEST {
        return Err(refused(format!(
            "{total} bytes are loaded of it; at most {LARGEST} are read"
        )));
    }
    let mut parts = Parts::new(len);
    for range in ranges {
        let size = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
        let mut bytes = vec![0; size];
        file.read_exact_at(&mut bytes, range.start)?;
        parts.push(range.start, bytes);
    }
    Ok(parts)
}

/// Ascending, disjoint, inside the file.
fn merged(mut ranges: Vec<Range<u64>>, len: u64) -> Vec<Range<u64>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut out: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        let range = range.start..range.end.min(len);
        match out.last_mut() {
            _ if range.is_empty() => {}
            Some(last) if range.start <= last.end.saturating_add(GAP) => {
                last.end = last.end.max(range.end);
            }
            _ => out.push(range),
        }
    }
    out
}

fn range(offset: u64, size: u64, most: u64) -> Option<Range<u64>> {
    (size <= most).then(|| offset..offset.saturating_add(size))
}

/// The header of a 64-bit, little-endian file; of others nothing more is read.
fn header(view: FileView<'_>) -> Option<&FileHeader64<LittleEndian>> {
    let header: &FileHeader64<LittleEndian> = view.read_at(0).ok()?;
    (header.is_class_64() && header.is_little_endian()).then_some(header)
}

/// The tables of program and section headers.
fn tables(view: FileView<'_>) -> Vec<Range<u64>> {
    let Some(header) = header(view) else {
        return Vec::new();
    };
    let table = |at: u64, count: u64, size: u16| {
        let size = count.saturating_mul(u64::from(size));
        (at != 0).then(|| range(at, size, HEADERS)).flatten()
    };
    // Where the counts do not fit into the header they stand in the first section header.
    let first = header.e_shoff(LE);
    let sections = match header.e_shnum(LE) {
        0 => HEADERS / u64::from(header.e_shentsize(LE)).max(1),
        count => u64::from(count),
    };
    let programs = u64::from(header.e_phnum(LE));
    [
        table(header.e_phoff(LE), programs, header.e_phentsize(LE)),
        table(first, sections, header.e_shentsize(LE)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What the kernel and the loader read.
fn loaded(view: FileView<'_>) -> Vec<Range<u64>> {
    let programs = header(view).and_then(|header| header.program_headers(LE, view).ok());
    let mut notes = 0;
    let wanted = programs.unwrap_or_default().iter().filter_map(|program| {
        let (offset, size) = program.file_range(LE);
        match program.p_type(LE) {
            elf::PT_LOAD => range(offset, size, u64::MAX),
            elf::PT_DYNAMIC => range(offset, size, SMALL),
            elf::PT_NOTE => {
                notes += 1;
                range(offset, size, SMALL).filter(|_| notes <= NOTES)
            }
            _ => None,
        }
    });
    wanted.collect()
}

/// What linkers leave beside that.
fn beside(view: FileView<'_>, symbols: Symbols) -> Vec<Range<u64>> {
    let Some(header) = header(view) else {
        return Vec::new();
    };
    let sections = header.section_headers(LE, view).unwrap_or_default();
    let whole = |index: usize, most| {
        let (offset, size) = sections.get(index)?.file_range(LE)?;
        range(offset, size, most)
    };
    let names = header.section_strings_index(LE, view).ok();
    let mut wanted: Vec<_> = names
        .and_then(|index| whole(index.0, HEADERS))
        .into_iter()
        .collect();
    let of_kind = |kind| {
        let sections = sections.iter().enumerate();
        sections.filter(move |(_, section)| section.sh_type(LE) == kind)
    };
    wanted.extend(
        of_kind(elf::SHT_NOTE)
            .take(NOTES)
            .filter_map(|(index, _)| whole(index, SMALL)),
    );
    if symbols == Symbols::Read {
        let table = of_kind(elf::SHT_SYMTAB).next();
        wanted.extend(table.into_iter().flat_map(|(index, section)| {
            let names = section.sh_link(LE) as usize;
            [whole(index, SYMBOLS), whole(names, SYMBOLS)]
                .into_iter()
                .flatten()
        }));
    }
    wanted
}
