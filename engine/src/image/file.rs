//! The bytes of a file, all of them or the parts that were read -> ranges of them: [`FileView`].
//!
//! A program may lie in a small part of its file: debug information, or anything else, may follow what is loaded. What was
//! not read is not there for any question. Reads no file; [`crate::input`] decides which parts are read.

use std::ops::Range;

use object::ReadRef;

/// Parts of one file, each as it lies there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Parts {
    len: u64,
    /// Offset and bytes, by ascending offset; they do not overlap.
    parts: Vec<(u64, Vec<u8>)>,
}

impl Parts {
    /// None yet, of a file of `len` bytes.
    #[must_use]
    pub const fn new(len: u64) -> Self {
        Self {
            len,
            parts: Vec::new(),
        }
    }

    /// Adds the bytes at `offset`, which must lie behind all parts so far.
    pub fn push(&mut self, offset: u64, bytes: Vec<u8>) {
        let end = self.parts.last().map_or(0, end);
        debug_assert!(end <= offset, "parts in the order of their offsets");
        if end <= offset {
            self.parts.push((offset, bytes));
        }
    }

    /// Length of the file.
    #[must_use]
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether the file is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The parts, as offset and bytes.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.parts
            .iter()
            .map(|(offset, bytes)| (*offset, bytes.as_slice()))
    }

    fn get(&self, range: Range<u64>) -> Option<&[u8]> {
        let index = self.parts.partition_point(|part| end(part) < range.end);
        let (offset, bytes) = self.parts.get(index)?;
        let within = |at: u64| usize::try_from(at.checked_sub(*offset)?).ok();
        bytes.get(within(range.start)?..within(range.end)?)
    }
}

fn end((offset, bytes): &(u64, Vec<u8>)) -> u64 {
    offset.saturating_add(bytes.len() as u64)
}

/// What is there of a file.
#[derive(Clone, Copy, Debug)]
pub enum FileView<'d> {
    /// All of it.
    Whole(&'d [u8]),
    /// Some of it.
    Parts(&'d Parts),
}

impl<'d> FileView<'d> {
    /// Length of the file.
    #[must_use]
    pub fn len(self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Parts(parts) => parts.len,
        }
    }

    /// Whether the file is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Bytes that are there: what all work and memory is bounded by.
    #[must_use]
    pub fn held(self) -> usize {
        match self {
            Self::Whole(bytes) => bytes.len(),
            Self::Parts(parts) => parts.parts.iter().map(|(_, bytes)| bytes.len()).sum(),
        }
    }

    /// `len` bytes at `offset`, if they are there.
    #[must_use]
    pub fn get(self, offset: u64, len: u64) -> Option<&'d [u8]> {
        let range = offset..offset.checked_add(len)?;
        match self {
            Self::Whole(bytes) => {
                bytes.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
            }
            Self::Parts(parts) => parts.get(range),
        }
    }

    /// The first `len` bytes, or as many of them as are there.
    #[must_use]
    pub fn head(self, len: usize) -> &'d [u8] {
        let bytes = match self {
            Self::Whole(bytes) => bytes,
            Self::Parts(parts) => match parts.parts.first() {
                Some((0, bytes)) => bytes.as_slice(),
                _ => &[],
            },
        };
        bytes.get(..len).unwrap_or(bytes)
    }
}

impl<'d> From<&'d [u8]> for FileView<'d> {
    fn from(bytes: &'d [u8]) -> Self {
        Self::Whole(bytes)
    }
}

impl<'d> From<&'d Vec<u8>> for FileView<'d> {
    fn from(bytes: &'d Vec<u8>) -> Self {
        Self::Whole(bytes)
    }
}

impl<'d> From<&'d Parts> for FileView<'d> {
    fn from(parts: &'d Parts) -> Self {
        Self::Parts(parts)
    }
}

/// How the ELF reader asks.
impl<'d> ReadRef<'d> for FileView<'d> {
    fn len(self) -> Result<u64, ()> {
        Ok(FileView::len(self))
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'d [u8], ()> {
        if size == 0 {
            return Ok(&[]);
        }
        self.get(offset, size).ok_or(())
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'d [u8], ()> {
        let len = range.end.checked_sub(range.start).ok_or(())?;
        let bytes = self.get(range.start, len).ok_or(())?;
        let end = memchr::memchr(delimiter, bytes).ok_or(())?;
        bytes.get(..end).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_in_one_part_is_there() {
        let mut parts = Parts::new(1 << 40);
        parts.push(0, vec![1, 2, 3]);
        parts.push(16, vec![4, 5]);
        parts.push(18, vec![6]);
        let view = FileView::from(&parts);
        assert_eq!((view.len(), view.held()), (1 << 40, 6));
        assert_eq!(view.get(0, 3), Some(&[1, 2, 3][..]));
        assert_eq!(view.get(1, 1), Some(&[2][..]));
        assert_eq!(view.get(17, 1), Some(&[5][..]));
        assert_eq!(view.get(18, 1), Some(&[6][..]));
        for (offset, len) in [
            (2, 2),
            (15, 1),
            (17, 2),
            (19, 1),
            (u64::MAX, 1),
            (1 << 39, 8),
        ] {
            assert_eq!(view.get(offset, len), None, "{offset}+{len}");
        }
        assert_eq!(view.head(2), [1, 2]);
        assert_eq!(view.head(9), [1, 2, 3]);
        assert!(FileView::from(&Parts::new(0)).head(1).is_empty());
    }
}
