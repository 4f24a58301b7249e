//! A program's own type descriptors -> its structures: names, offsets, types and sizes of their fields.
//!
//! Never panics, never loops without bound and never allocates more than 16 times the bytes that a structure takes in the
//! program, on any bytes. Symbols and DWARF are not asked: descriptors are what the runtime and `reflect` read, so every
//! program carries them, stripped or not. A type has one if code that was kept refers to it (conversion to an interface,
//! allocation on the heap) or another descriptor does; the runtime's own `g`, `m`, `p`, `_panic` and `moduledata` always
//! have. Nothing here knows what a field means, nor whether a layout is the right one: [`TypeLayout`] says how descriptors
//! are written, and where that is wrong nothing is found.
//!
//! Types are found by looking at every place where a descriptor may stand: the lists of types that linkers write differ
//! from version to version, leave some out, and are themselves found by what descriptors are to prove.
//!
//! Source: `reflect/type.go`, `internal/abi/type.go`, `cmd/compile/internal/reflectdata/reflect.go`.

#[cfg(any(test, feature = "test-support"))]
pub mod check;
mod limits;
mod structure;
#[cfg(test)]
mod tests;
mod text;

use crate::addr::LinkAddr;
use crate::golang::TypeLayout;

pub use structure::{Field, Struct};

/// A program's memory as the loader leaves it, for a slide of 0.
pub trait Memory<'d> {
    /// The bytes from `at` on that the file gives that part of memory.
    fn bytes_from(&self, at: LinkAddr) -> Option<&'d [u8]>;
    /// The 8-byte word at `at`, relocations applied.
    fn pointer(&self, at: LinkAddr) -> Option<u64>;
    /// All parts of memory that the file gives bytes: start and bytes, disjoint.
    fn parts(&self) -> impl Iterator<Item = (LinkAddr, &'d [u8])>;
}

/// The descriptors of one module.
#[derive(Clone, Copy)]
pub struct Types<'m, M> {
    memory: &'m M,
    layout: &'static TypeLayout,
    /// What offsets of names count from: `moduledata.types`. Descriptors lie above it.
    base: Option<LinkAddr>,
}

/// The kind of structures (`reflect.Struct`), and the bits of the kind byte that hold a kind.
const STRUCT: u8 = 25;
const KIND_MASK: u8 = 31;
/// The bit of `tflag` that says that the text has a `*` in front (`tflagExtraStar`).
const EXTRA_STAR: u8 = 2;
/// Descriptors lie at multiples of this, and so do the fields of structures with pointers in them.
const ALIGNMENT: u64 = 8;

impl<'m, 'd, M: Memory<'d>> Types<'m, M> {
    /// The descriptors in `memory`, written as `layout` says. `base`: `moduledata.types`, where the version has it.
    #[must_use]
    pub const fn new(memory: &'m M, layout: &'static TypeLayout, base: Option<LinkAddr>) -> Self {
        Self {
            memory,
            layout,
            base,
        }
    }

    /// The structures of these full names (`net/http.Request`), in one pass over the program. Of structures with pointers
    /// only: others are aligned otherwise.
    #[must_use]
    pub fn structs<const N: usize>(&self, wanted: [&str; N]) -> [Option<Struct<'d>>; N] {
        let mut found = [const { None }; N];
        let mut tries = [0; N];
        for at in self.places() {
            let Some(text) = self.text(at) else {
                continue;
            };
            for ((name, slot), tries) in wanted.iter().zip(&mut found).zip(&mut tries) {
                if slot.is_some() || *tries >= limits::SAME_NAME || !self.is_called(at, text, name)
                {
                    continue;
                }
                *tries += 1;
                *slot = self.struct_at(at);
            }
            if found.iter().all(Option::is_some) {
                break;
            }
        }
        found
    }

    /// Where the descriptor of a structure with pointers may stand, by its three bytes that are the same in all of them.
    fn places(&self) -> impl Iterator<Item = LinkAddr> + use<'_, 'm, 'd, M> {
        let (kind, align) = (self.layout.kind as usize, self.layout.align as usize);
        let may_be = move |head: &[u8]| {
            head.get(kind)
                .is_some_and(|byte| byte & KIND_MASK == STRUCT)
                && head.get(align..align + 2) == Some(&[ALIGNMENT as u8; 2])
        };
        let parts = self.memory.parts().filter_map(|(start, bytes)| {
            // With a base, that one's segment from there on.
            let Some(base) = self.base else {
                return Some((start, bytes));
            };
            let from = usize::try_from(base.offset_from(start)?).ok()?;
            bytes.get(from..).map(|bytes| (base, bytes))
        });
        parts.flat_map(move |(start, bytes)| {
            let lead = start.get().wrapping_neg() % ALIGNMENT;
            (lead..bytes.len() as u64)
                .step_by(ALIGNMENT as usize)
                .filter_map(move |offset| {
                    may_be(bytes.get(offset as usize..)?).then(|| start.checked_add(offset))?
                })
        })
    }

    /// Whether the type at `at`, whose text is `text`, has this full name: texts have only the last part of the package's
    /// path, so that packages of equal names are told apart by what named types have besides.
    fn is_called(&self, at: LinkAddr, text: &[u8], name: &str) -> bool {
        let last = name.rfind('/').map_or(0, |slash| slash + 1);
        let package = name.rfind('.').and_then(|dot| name.get(..dot));
        name.as_bytes().get(last..) == Some(text)
            && package.map(str::as_bytes) == self.package(at).filter(|path| !path.is_empty())
    }

    /// The word at `at + offset`, as an address.
    fn address(&self, at: LinkAddr, offset: u32) -> Option<LinkAddr> {
        let at = at.checked_add(u64::from(offset))?;
        self.memory
            .pointer(at)
            .filter(|&value| value != 0)
            .map(LinkAddr::new)
    }

    /// A word that is no address.
    fn word(&self, at: LinkAddr, offset: u32) -> Option<u64> {
        let bytes = self.memory.bytes_from(at.checked_add(u64::from(offset))?)?;
        bytes.first_chunk().copied().map(u64::from_le_bytes)
    }

    fn byte(&self, at: LinkAddr, offset: u32) -> Option<u8> {
        let bytes = self.memory.bytes_from(at.checked_add(u64::from(offset))?)?;
        bytes.first().copied()
    }
}
