//! The code that a program hashes itself, as `crypto/internal/fips140/check` finds it.
//!
//! From Go 1.24 on the linker puts the code of the FIPS module between the one-byte symbols `go:textfipsstart` and
//! `go:textfipsend`, and their addresses into `go:fipsinfo`, a structure in writable data that no stripping removes
//! (`cmd/link/internal/ld/fips140.go`, `loadfips`; the same in 1.24 to 1.27):
//!
//! ```text
//! +0   "\xff Go fipsinfo \xff\x00"
//! +16  sum, 32 bytes
//! +48  its own address
//! +56  start and end of text, then of read-only data, of data without pointers, and of data
//! ```
//!
//! Both marks are in the line table too. Where the two disagree, what either names is taken to be hashed.

use memchr::memmem;

use super::elf::{Elf, Segment};
use super::{Function, limits};
use crate::addr::LinkAddr;

/// How `go:fipsinfo` begins.
const MAGIC: &[u8; 16] = b"\xff Go fipsinfo \xff\x00";
/// Where it has its own address, and that of the first and of the last but one byte of text.
const SELF: u64 = 48;
const TEXT: [u64; 2] = [56, 64];

/// The ranges `[start, end)` of code that the program hashes, as many as were found.
pub(super) fn hashed_text(elf: &Elf<'_>, functions: &[Function<'_>]) -> Vec<(LinkAddr, LinkAddr)> {
    let mut ranges: Vec<_> = told(elf).chain(marked(functions)).collect();
    ranges.sort_unstable();
    ranges.dedup();
    ranges
}

/// What `go:fipsinfo` says.
fn told<'e>(elf: &'e Elf<'_>) -> impl Iterator<Item = (LinkAddr, LinkAddr)> + 'e {
    let finder = memmem::Finder::new(MAGIC);
    let starts = move |segment: &Segment<'_>| {
        let found: Vec<u64> = finder
            .find_iter(segment.data)
            .take(limits::FIPS_INFOS)
            .map(|offset| offset as u64)
            .collect();
        let start = segment.start;
        found
            .into_iter()
            .filter_map(move |offset| start.checked_add(offset))
    };
    elf.segments.iter().flat_map(starts).filter_map(|at| {
        let word = |offset| elf.address(at.checked_add(offset)?);
        let [start, end] = TEXT.map(word);
        let (start, end) = (start?, end?);
        (word(SELF)? == at && start < end && elf.is_code(start)).then_some((start, end))
    })
}

/// What lies between the marks of the line table.
fn marked(functions: &[Function<'_>]) -> Option<(LinkAddr, LinkAddr)> {
    let at = |name| Some(functions.iter().find(|f| f.name == name)?.entry);
    let (start, end) = (at("go:textfipsstart")?, at("go:textfipsend")?);
    (start < end).then_some((start, end))
}
