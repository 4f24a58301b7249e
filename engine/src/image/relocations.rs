//! The `DT_RELA` table -> the words that the loader sets to "slide + addend".
//!
//! Only `R_X86_64_RELATIVE` is kept: words with other relocations hold addresses of other files. Relative relocations
//! in `DT_RELR` form need no table: their addend stands in the word itself, which is its value for a slide of 0.

use object::elf::{self, Rela64};
use object::{LittleEndian, pod};

use crate::addr::LinkAddr;

const LE: LittleEndian = LittleEndian;

/// Relative relocations by address.
#[derive(Default)]
pub(super) struct Relocations<'d> {
    table: &'d [Rela64<LittleEndian>],
    /// Indexes of relative entries, by ascending offset: 4 bytes for each 24 of the file.
    order: Vec<u32>,
}

impl<'d> Relocations<'d> {
    pub(super) fn new(bytes: &'d [u8]) -> Self {
        let count = bytes.len() / size_of::<Rela64<LittleEndian>>();
        let table = pod::slice_from_bytes::<Rela64<LittleEndian>>(bytes, count)
            .map_or(&[][..], |(table, _)| table);
        let relative =
            |entry: &Rela64<LittleEndian>| entry.r_info.get(LE) as u32 == elf::R_X86_64_RELATIVE.0;
        let mut order = Vec::with_capacity(table.iter().filter(|entry| relative(entry)).count());
        order.extend(
            (0u32..)
                .zip(table)
                .filter(|(_, entry)| relative(entry))
                .map(|(index, _)| index),
        );
        let offset = |&index: &u32| {
            table
                .get(index as usize)
                .map(|entry| entry.r_offset.get(LE))
        };
        // Linkers sort them; GNU ld always, the Go linker nearly so.
        if !order.is_sorted_by_key(offset) {
            order.sort_unstable_by_key(offset);
        }
        Self { table, order }
    }

    fn entry(&self, index: u32) -> Option<(LinkAddr, u64)> {
        let entry = self.table.get(index as usize)?;
        Some((
            LinkAddr::new(entry.r_offset.get(LE)),
            entry.r_addend.get(LE) as u64,
        ))
    }

    /// The addend of the relocation at exactly `at`.
    pub(super) fn addend_at(&self, at: LinkAddr) -> Option<u64> {
        let below = |&index: &u32| self.entry(index).is_some_and(|(offset, _)| offset < at);
        let index = *self.order.get(self.order.partition_point(below))?;
        self.entry(index)
            .filter(|&(offset, _)| offset == at)
            .map(|(_, addend)| addend)
    }

    /// All of them, as `(address, addend)`, by ascending address.
    pub(super) fn iter(&self) -> impl Iterator<Item = (LinkAddr, u64)> {
        self.order.iter().filter_map(|&index| self.entry(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_relative_entries_are_found_in_any_order() {
        let mut bytes = Vec::new();
        for (offset, info, addend) in [
            (0x30u64, 8u64, 3u64),
            (0x10, 8, 1),
            (0x20, (5 << 32) | 1, 2),
        ] {
            bytes.extend(
                [offset, info, addend]
                    .iter()
                    .flat_map(|word| word.to_le_bytes()),
            );
        }
        bytes.extend([0xff; 7]); // not a whole entry
        let relocations = Relocations::new(&bytes);
        let found =
            [0x08, 0x10, 0x20, 0x30, 0x38].map(|at| relocations.addend_at(LinkAddr::new(at)));
        assert_eq!(found, [None, Some(1), None, Some(3), None]);
        assert_eq!(relocations.iter().count(), 2);
    }
}
