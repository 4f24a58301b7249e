//! The pc-value tables of the line table: bytes -> steps (`runtime/symtab.go`, `step`; the same since 1.2).

use crate::addr::LinkAddr;

use super::read::uvarint;

/// The steps of one table: `(end, value)`, where `value` holds from the end of the step before (at first the
/// function's entry) up to `end`. Ends at the table's end mark, or where the bytes stop making sense.
#[derive(Clone, Debug)]
pub(super) struct PcValues<'d> {
    rest: &'d [u8],
    read: usize,
    pc: LinkAddr,
    value: i32,
    first: bool,
}

impl<'d> PcValues<'d> {
    /// The table at the start of `bytes`, of the function at `entry`.
    pub(super) fn new(bytes: &'d [u8], entry: LinkAddr) -> Self {
        Self {
            rest: bytes,
            read: 0,
            pc: entry,
            value: -1,
            first: true,
        }
    }

    /// No steps at all.
    pub(super) fn empty() -> Self {
        Self::new(&[], LinkAddr::new(0))
    }

    /// Bytes read so far.
    pub(super) fn read(&self) -> usize {
        self.read
    }
}

impl Iterator for PcValues<'_> {
    type Item = (LinkAddr, i32);

    fn next(&mut self) -> Option<Self::Item> {
        let (value_delta, rest) = uvarint(self.rest)?;
        if value_delta == 0 && !self.first {
            self.rest = &[];
            return None;
        }
        let (pc_delta, rest) = uvarint(rest)?;
        self.first = false;
        self.read += self.rest.len() - rest.len();
        self.rest = rest;
        let zigzag = if value_delta & 1 != 0 {
            !(value_delta >> 1)
        } else {
            value_delta >> 1
        };
        self.value = self.value.wrapping_add(zigzag as i32);
        self.pc = self.pc.checked_add(u64::from(pc_delta))?;
        Some((self.pc, self.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(bytes: &[u8]) -> Vec<(u64, i32)> {
        PcValues::new(bytes, LinkAddr::new(0x1000))
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
        let mut far = PcValues::new(&[2, 0xff, 0x7f, 2, 1, 0], LinkAddr::new(u64::MAX - 5));
        assert_eq!(far.next(), None);
    }
}
