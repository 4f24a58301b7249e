//! Names of types, fields and packages: string headers up to 1.6 (`runtime/type.go`, `_type._string`), later bytes with a
//! length in front (`reflect/type.go`, `name`: flags, length, text).

use crate::addr::LinkAddr;

use super::{EXTRA_STAR, Memory, Types};

impl<'d, M: Memory<'d>> Types<'_, M> {
    /// The text of the type at `at`: `http.Request`.
    pub(super) fn text(&self, at: LinkAddr) -> Option<&'d [u8]> {
        let Some(tflag) = self.layout.tflag else {
            return self.string(self.address(at, self.layout.text)?);
        };
        let text = self.name(self.by_offset(at, self.layout.text)?)?;
        if self.byte(at, tflag)? & EXTRA_STAR != 0 {
            text.strip_prefix(b"*")
        } else {
            Some(text)
        }
    }

    /// The path of the package of the structure at `at`, if that is a named type.
    pub(super) fn package(&self, at: LinkAddr) -> Option<&'d [u8]> {
        if let Some(uncommon) = self.layout.uncommon {
            let uncommon = self.address(at, uncommon)?;
            return self.string(self.address(uncommon, self.layout.pkg_path)?);
        }
        let uncommon = at.checked_add(u64::from(self.layout.struct_size))?;
        self.name(self.by_offset(uncommon, self.layout.pkg_path)?)
    }

    /// The name of the field at `at`.
    pub(super) fn field_name(&self, at: LinkAddr) -> Option<&'d [u8]> {
        let name = self.address(at, self.layout.field_name);
        if self.layout.strings {
            // Embedded fields have none.
            return name.map_or(Some(b""), |name| self.string(name));
        }
        self.name(name?)
    }

    /// What the 32-bit offset from the base at `at + offset` leads to.
    fn by_offset(&self, at: LinkAddr, offset: u32) -> Option<LinkAddr> {
        let bytes = self.memory.bytes_from(at.checked_add(u64::from(offset))?)?;
        let from_base = bytes.first_chunk().copied().map(u32::from_le_bytes)?;
        self.base?.checked_add(u64::from(from_base))
    }

    /// The string whose header is at `at`.
    fn string(&self, at: LinkAddr) -> Option<&'d [u8]> {
        let len = usize::try_from(self.word(at, 8)?).ok()?;
        self.memory.bytes_from(self.address(at, 0)?)?.get(..len)
    }

    /// The text of the name at `at`.
    fn name(&self, at: LinkAddr) -> Option<&'d [u8]> {
        let bytes = self.memory.bytes_from(at)?.get(1..)?;
        let (len, rest) = if self.layout.name_varint {
            varint(bytes)?
        } else {
            let (len, rest) = bytes.split_first_chunk()?;
            (usize::from(u16::from_be_bytes(*len)), rest)
        };
        rest.get(..len)
    }
}

/// A length of at most three times seven bits, low ones first: the compiler writes no longer names.
fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().enumerate().take(3) {
        value |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}
