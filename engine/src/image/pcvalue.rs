//! The pc-value tables of the line table: bytes -> steps (`runtime/symtab.go`, `step`; the same since 1.2).

use crate::addr::LinkAddr;

use super::read::uvarint;

/// The steps of one table: `(end, value)`, where `value` holds from the end of the step before (at first the
/// function's entry) up to `end`. Ends at the table's end mark, at the function's end, or where the bytes stop making
/// sense: there are never more steps than the function has bytes.
#[derive(Clone, Debug)]
pub(crate) struct PcValues<'d> {
    rest: &'d [u8],
    pc: LinkAddr,
    /// Steps that may still come.
    left: u32,
    end: Option<LinkAddr>,
    value: i32,
    first: bool,
}

impl<'d> PcValues<'d> {
    /// The table at the start of `bytes`, of the function of `size` bytes at `entry`.
    pub(crate) fn new(bytes: &'d [u8], entry: LinkAddr, size: u32) -> Self {
        let end = entry.checked_add(u64::from(size));
        Self {
            rest: bytes,
            pc: entry,
            left: size,
            end,
            value: -1,
            first: true,
        }
    }

    /// No steps at all.
    pub(super) fn empty() -> Self {
        Self::new(&[], LinkAddr::new(0), 0)
    }
}

impl Iterator for PcValues<'_> {
    type Item = (LinkAddr, i32);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let (value_delta, rest) = uvarint(self.rest)?;
        if value_delta == 0 && !self.first {
            self.left = 0;
            return None;
        }
        let (pc_delta, rest) = uvarint(rest)?;
        self.first = false;
        self.rest = rest;
        let zigzag = if value_delta & 1 != 0 {
            !(value_delta >> 1)
        } else {
            value_delta >> 1
        };
        self.value = self.value.wrapping_add(zigzag as i32);
        self.pc = self
            .pc
            .checked_add(u64::from(pc_delta))
            .filter(|&pc| Some(pc) <= self.end)?;
        Some((self.pc, self.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(bytes: &[u8]) -> Vec<(u64, i32)> {
        PcValues::new(bytes, LinkAddr::new(0x1000), 300)
            .map(|(pc, value)| (pc.get(), value))
            .collect()
    }

    #[test]
    fn a_table_starts_at_minus_one_and_ends_at_zero() {
        // 0 for 13 bytes, 8 for 4, 0x78 for 200, 0 for 1, end.
        let bytes = [2, 13, 16, 4, 0xe0, 1, 0xc8, 1, 0xef, 1, 1, 0, 99, 99];
        assert_eq!(
            steps(&bytes),
            [(0x100d, 0), (0x1011, 8), (0x10d9, 0x78), (0x10da, 0)]
        );
    }

    #[test]
    fn a_first_delta_of_zero_is_a_step() {
        assert_eq!(steps(&[0, 7, 2, 1, 0]), [(0x1007, -1), (0x1008, 0)]);
    }

    #[test]
    fn nonsense_ends_the_steps() {
        assert_eq!(steps(&[]), []);
        assert_eq!(steps(&[2]), []);
        assert_eq!(steps(&[2, 0x80]), []);
        let mut far = PcValues::new(&[2, 0xff, 0x7f, 2, 1, 0], LinkAddr::new(u64::MAX - 5), 300);
        assert_eq!(far.next(), None);
    }

    #[test]
    fn steps_end_with_the_function() {
        let past_the_end = PcValues::new(&[2, 4, 2, 4, 2, 4, 0], LinkAddr::new(0x1000), 8);
        assert_eq!(past_the_end.count(), 2);
        let standing_still = PcValues::new(&[2, 0, 2, 0, 2, 0, 2, 0], LinkAddr::new(0x1000), 3);
        assert_eq!(standing_still.count(), 3);
    }
}
