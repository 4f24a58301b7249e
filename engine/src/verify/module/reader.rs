//! Bytes of the synthetic module, read by address, with a note of which rule claimed each.

use crate::addr::RunAddr;
use crate::verify::writes::Mapping;

/// What a byte was read as. Bytes of one class never serve as another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Class {
    /// No rule has asked for it.
    Unclaimed,
    /// The `moduledata`.
    ModuleData,
    /// The header of the line table.
    Header,
    /// The table of functions.
    FuncTab,
    /// A `_func` with its offsets and funcdata.
    Func,
    /// The index of functions by address.
    FindFuncTab,
    /// Names.
    Name,
    /// pc-value tables.
    PcValue,
    /// Files and compilation units.
    Files,
    /// The map of pointers in locals.
    StackMap,
}

/// A range of the module's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Slice {
    pub(super) start: RunAddr,
    /// In bytes.
    pub(super) len: u64,
}

/// Why a read failed.
#[derive(Clone, Debug)]
pub(super) struct Unreadable {
    pub(super) at: RunAddr,
    pub(super) found: String,
    pub(super) expected: String,
}

/// The module's bytes.
pub(super) struct Reader<'a> {
    mapping: &'a Mapping<'a>,
    classes: Vec<Class>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(mapping: &'a Mapping<'a>) -> Self {
        Self {
            mapping,
            classes: vec![Class::Unclaimed; mapping.bytes.len()],
        }
    }

    fn index(&self, at: RunAddr) -> Option<usize> {
        usize::try_from(at.offset_from(self.mapping.start)?).ok()
    }

    /// `len` bytes at `at`, claimed for `class`. Only what tables share by design may be claimed twice.
    pub(super) fn claim(
        &mut self,
        at: RunAddr,
        len: u64,
        class: Class,
    ) -> Result<&'a [u8], Unreadable> {
        let shared = matches!(class, Class::Name | Class::PcValue | Class::StackMap);
        let range = self.index(at).and_then(|from| {
            let to = from.checked_add(usize::try_from(len).ok()?)?;
            Some((
                self.mapping.bytes.get(from..to)?,
                self.classes.get_mut(from..to)?,
            ))
        });
        let Some((bytes, classes)) = range else {
            return Err(Unreadable {
                at,
                found: format!("{class:?} of {len} bytes outside the module"),
                expected: "bytes of the module".to_owned(),
            });
        };
        for known in classes {
            if *known != Class::Unclaimed && !(shared && *known == class) {
                return Err(Unreadable {
                    at,
                    found: format!("{class:?} of {len} bytes over {known:?}"),
                    expected: "tables that do not overlap".to_owned(),
                });
            }
            *known = class;
        }
        Ok(bytes)
    }

    /// Claims what is not yet claimed of `[at, at+len)`, where zeros must stand.
    pub(super) fn zeros(&mut self, at: RunAddr, len: u64, class: Class) -> Result<(), Unreadable> {
        for i in 0..len {
            let Some(byte) = at.checked_add(i) else {
                break;
            };
            let unclaimed = self
                .index(byte)
                .and_then(|x| self.classes.get(x))
                .is_some_and(|known| *known == Class::Unclaimed);
            if unclaimed && self.u8(byte, class)? != 0 {
                return Err(Unreadable {
                    at: byte,
                    found: "a byte that is not zero".to_owned(),
                    expected: format!("zero in {class:?}"),
                });
            }
        }
        Ok(())
    }

    pub(super) fn u8(&mut self, at: RunAddr, class: Class) -> Result<u8, Unreadable> {
        let bytes = self.claim(at, 1, class)?;
        Ok(bytes.first().copied().unwrap_or_default())
    }

    pub(super) fn u32(&mut self, at: RunAddr, class: Class) -> Result<u32, Unreadable> {
        let bytes = self.claim(at, 4, class)?;
        Ok(bytes.try_into().map(u32::from_le_bytes).unwrap_or_default())
    }

    pub(super) fn u64(&mut self, at: RunAddr, class: Class) -> Result<u64, Unreadable> {
        let bytes = self.claim(at, 8, class)?;
        Ok(bytes.try_into().map(u64::from_le_bytes).unwrap_or_default())
    }

    /// The first run of bytes that no rule claimed and that is more than what aligns the next table: other than zeros, or
    /// longer than needed.
    pub(super) fn unaccounted(&self) -> Option<(RunAddr, String)> {
        let (mut at, classes) = (0, &self.classes);
        while let Some(gap) = classes
            .get(at..)?
            .iter()
            .position(|c| *c == Class::Unclaimed)
        {
            let start = at + gap;
            let rest = classes.get(start..)?;
            let len = rest.iter().take_while(|c| **c == Class::Unclaimed).count();
            let bytes = self.mapping.bytes.get(start..start + len)?;
            let end = self.mapping.start.get().wrapping_add((start + len) as u64);
            let aligns = [2, 4, 8, 16]
                .into_iter()
                .any(|align| end.is_multiple_of(align) && (len as u64) < align);
            if !aligns || bytes.iter().any(|&byte| byte != 0) {
                let shown = bytes.get(..len.min(16)).unwrap_or_default();
                let found = format!("{len} bytes {shown:02x?}");
                return Some((self.mapping.start.checked_add(start as u64)?, found));
            }
            at = start + len;
        }
        None
    }
}

impl Slice {
    /// The address `offset` bytes into the slice, if `len` bytes fit there.
    pub(super) fn at(&self, offset: u64, len: u64) -> Result<RunAddr, Unreadable> {
        let fits = offset.checked_add(len).is_some_and(|end| end <= self.len);
        let at = self.start.checked_add(offset).filter(|_| fits);
        at.ok_or_else(|| Unreadable {
            at: self.start,
            found: format!("{len} bytes at offset {offset:#x}"),
            expected: format!("inside the table of {:#x} bytes", self.len),
        })
    }
}
