//! The bytes of a Go binary -> [`Image`]: build information, functions and the places that hooks need.
//!
//! Never panics, never loops without bound and never allocates more than 16 times the input's length, on any bytes.

use crate::addr::{LinkAddr, Slide};
use crate::golang::{Facts, GoVersion};

/// How the kernel loads the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub enum ImageKind {
    /// `ET_EXEC`: the slide is 0.
    Executable,
    /// `ET_DYN` with an entry and a main module.
    Pie,
}

/// One function of the line table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Function<'d> {
    /// Name as the line table has it: `main.(*T).method`, `main.f[...]`. Not unique.
    pub name: &'d str,
    /// First instruction.
    pub entry: LinkAddr,
    /// Bytes up to the next function's entry (or the gap mark, or the end of text): padding included.
    pub size: u32,
    /// `_func.args`: bytes of stack arguments, results and (1.17+) spill area; `None` where unknown (0x80000000).
    pub args: Option<u32>,
    /// `_func.funcID`; 0 where the version has none.
    pub func_id: u8,
    /// `_func.flag`; 0 where the version has none.
    pub flags: u8,
    /// `_func.deferreturn`; 0 where the version has none or the function no defer.
    pub deferreturn: u32,
    /// Whether FUNCDATA_ArgsPointerMaps is present and not null.
    pub has_args_map: bool,
    /// Whether FUNCDATA_LocalsPointerMaps is present and not null: compiled by the Go compiler, not assembly.
    pub has_locals_map: bool,
    /// Link-time address of the `_func` record.
    pub record: LinkAddr,
}

/// A parsed Go program.
pub struct Image<'d> {
    pub(crate) data: &'d [u8],
}

/// Why bytes are not a Go program that can be hooked.
#[derive(Debug, thiserror::Error)]
#[error("not implemented")]
pub struct ImageError;

// The questions that the other rooms ask; every one is a look-up, not a scan, unless its text says otherwise.
impl<'d> Image<'d> {
    /// Parses a whole file.
    pub fn parse(data: &'d [u8]) -> Result<Self, ImageError> {
        let _ = data;
        Err(ImageError)
    }

    /// `runtime.buildVersion`.
    pub fn version(&self) -> GoVersion {
        todo!()
    }

    /// What holds for that version.
    pub fn facts(&self) -> &Facts {
        todo!()
    }

    /// How the kernel loads it.
    pub fn kind(&self) -> ImageKind {
        todo!()
    }

    /// Built with `-race`.
    pub fn is_race(&self) -> bool {
        todo!()
    }

    /// All functions, by ascending entry.
    pub fn functions(&self) -> &[Function<'d>] {
        todo!()
    }

    /// The function whose `[entry, entry+size)` holds `pc` (binary search).
    pub fn function_at(&self, pc: LinkAddr) -> Option<&Function<'d>> {
        let _ = pc;
        todo!()
    }

    /// Functions of exactly this name (scan).
    pub fn functions_named<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Function<'d>> {
        self.functions().iter().filter(move |f| f.name == name)
    }

    /// `len` bytes at a link-time address, if one loaded, file-backed segment holds them all.
    pub fn bytes(&self, at: LinkAddr, len: usize) -> Option<&'d [u8]> {
        let _ = (at, len);
        todo!()
    }

    /// The 8-byte word at `at` as the loader leaves it: relocations applied, for a slide of 0.
    pub fn pointer(&self, at: LinkAddr) -> Option<u64> {
        let _ = at;
        todo!()
    }

    /// `runtime.firstmoduledata`.
    pub fn first_moduledata(&self) -> LinkAddr {
        todo!()
    }

    /// `runtime.lastmoduledatap`, the variable.
    pub fn last_moduledatap(&self) -> Option<LinkAddr> {
        todo!()
    }

    /// `fs:`-relative offset of the thread-local g, decoded from code; `None` if none or more than one was found.
    pub fn tls_g(&self) -> Option<i32> {
        todo!()
    }

    /// Lowest and one past the highest address of the loadable segments.
    pub fn extent(&self) -> (LinkAddr, LinkAddr) {
        todo!()
    }

    /// The slide, given the entry point of the loaded program (`AT_ENTRY` of the auxiliary vector).
    pub fn slide_from_entry(&self, entry: crate::addr::RunAddr) -> Slide {
        let _ = entry;
        todo!()
    }

    /// The pc-to-SP-delta table of `function` as `(end, value)` steps: `value` holds below `end`.
    pub fn pcsp(
        &self,
        function: &Function<'d>,
    ) -> impl Iterator<Item = (LinkAddr, i32)> + use<'_, 'd> {
        let _ = function;
        std::iter::empty()
    }

    /// How many times each function was inlined into others, by name (1.9 and later; walks all inline trees).
    pub fn inlined_copies(&self) -> std::collections::HashMap<&'d str, u32> {
        todo!()
    }
}
