//! Finding the line table (`runtime.pcln`) in an ELF file by its first eight bytes.
//!
//! Section names are not asked: a line table inside `.data.rel.ro` has no section of its own, stripped files have no
//! sections, and a file may lie. A hit is only a candidate; [`super::moduledata`] decides. Source: `debug/gosym/pclntab.go`, `runtime/symtab.go` (`pcHeader`).

use memchr::memmem;

use crate::addr::LinkAddr;
use crate::golang::PclntabGeneration;

use super::elf::Elf;
use super::limits;
use super::read::{u32_at, u64_at};

/// Bytes 1 to 7 of every line table for amd64: the rest of the magic number, two zeros, `minLC` 1, pointer size 8.
const TAIL: [u8; 7] = [0xff, 0xff, 0xff, 0, 0, 1, 8];
/// The same without anything of the magic number.
const TAIL_OF_ANY: [u8; 4] = [0, 0, 1, 8];

/// Something that begins as a line table does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Candidate {
    pub(super) at: LinkAddr,
    pub(super) generation: PclntabGeneration,
}

/// All candidates by ascending address. The whole image is searched: older linkers put read-only data into the
/// executable segment, and a position-independent program has the table among its relocated data.
pub(super) fn candidates(elf: &Elf<'_>) -> Vec<Candidate> {
    let finder = memmem::Finder::new(&TAIL);
    let hits = elf.segments.iter().flat_map(|segment| {
        finder.find_iter(segment.data).filter_map(|tail| {
            let offset = tail.checked_sub(1)?;
            let first = *segment.data.get(offset)?;
            let at = segment.start.checked_add(offset as u64)?;
            let generation = PclntabGeneration::ALL
                .into_iter()
                .find(|one| one.magic() as u8 == first)?;
            (at.get() % 4 == 0).then_some(Candidate { at, generation })
        })
    });
    hits.take(limits::LINE_TABLES).collect()
}

/// Where something begins as a line table does but for its magic number, which it returns beside the address. The number of
/// functions behind it must fit into what follows: the four bytes alone are nothing rare.
pub(super) fn without_magic<'e>(elf: &'e Elf<'_>) -> impl Iterator<Item = (LinkAddr, u32)> + 'e {
    let hits = elf.segments.iter().flat_map(|segment| {
        memmem::find_iter(segment.data, &TAIL_OF_ANY).filter_map(|tail| {
            let offset = tail.checked_sub(4)?;
            let at = segment.start.checked_add(offset as u64)?;
            let magic = u32_at(segment.data, offset)?;
            let count = usize::try_from(u64_at(segment.data, offset + 8)?).ok()?;
            let rest = segment.data.len() - tail;
            (at.get() % 4 == 0 && (1..rest / 8).contains(&count)).then_some((at, magic))
        })
    });
    hits.take(limits::LINE_TABLES)
}
