//! The descriptor of a structure -> [`Struct`]. What does not fit together is none.

use crate::addr::LinkAddr;

use super::{KIND_MASK, Memory, STRUCT, Types, limits};

/// A structure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Struct<'d> {
    /// Where its descriptor stands.
    pub at: LinkAddr,
    /// Bytes.
    pub size: u64,
    /// Its fields, by ascending offset.
    pub fields: Vec<Field<'d>>,
}

/// A field of a structure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Field<'d> {
    /// Its name; empty for embedded ones up to 1.8.
    pub name: &'d str,
    /// Bytes from the start of the structure.
    pub offset: u64,
    /// Bytes that it takes.
    pub size: u64,
    /// The kind of its type (`reflect.Kind`).
    pub kind: u8,
    /// The descriptor of its type.
    pub type_at: LinkAddr,
}

impl<'d> Struct<'d> {
    /// The field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field<'d>> {
        self.fields.iter().find(|field| field.name == name)
    }
}

impl<'d, M: Memory<'d>> Types<'_, M> {
    /// Offset and size of a field, given by the path to it through structures inside: `stack.lo`.
    pub fn place(&self, of: &Struct<'d>, path: &str) -> Option<(u64, u64)> {
        let Some((outer, rest)) = path.split_once('.') else {
            return of.field(path).map(|field| (field.offset, field.size));
        };
        let field = of.field(outer)?;
        // Each step takes a part of the path, so that there are no more steps than it has.
        let (offset, size) = self.place(&self.struct_at(field.type_at)?, rest)?;
        Some((field.offset.checked_add(offset)?, size))
    }

    /// The structure whose descriptor stands at `at`, if its fields lie in it one after the other.
    pub fn struct_at(&self, at: LinkAddr) -> Option<Struct<'d>> {
        if self.byte(at, self.layout.kind)? & KIND_MASK != STRUCT {
            return None;
        }
        let size = self.word(at, 0)?;
        let len = |offset| self.word(at, self.layout.struct_fields.checked_add(offset)?);
        let count = len(8)?;
        if count != len(16)? || count > limits::FIELDS {
            return None;
        }
        let mut fields = Vec::new();
        if count > 0 {
            let first = self.address(at, self.layout.struct_fields)?;
            let bytes = count.checked_mul(u64::from(self.layout.field_size))?;
            self.memory
                .bytes_from(first)?
                .get(..usize::try_from(bytes).ok()?)?;
            fields.reserve_exact(usize::try_from(count).ok()?);
            let mut end = 0;
            for index in 0..count {
                let at = first.checked_add(index * u64::from(self.layout.field_size))?;
                let field = self.field(at).filter(|field| field.offset >= end)?;
                end = field.offset.checked_add(field.size)?;
                fields.push(field);
            }
            (end <= size).then_some(())?;
        }
        Some(Struct { at, size, fields })
    }

    fn field(&self, at: LinkAddr) -> Option<Field<'d>> {
        let type_at = self.address(at, self.layout.field_type)?;
        let word = self.word(at, self.layout.field_offset)?;
        Some(Field {
            name: std::str::from_utf8(self.field_name(at)?).ok()?,
            offset: if self.layout.field_offset_shifted {
                word >> 1
            } else {
                word
            },
            size: self.word(type_at, 0)?,
            kind: self.byte(type_at, self.layout.kind)? & KIND_MASK,
            type_at,
        })
    }
}
