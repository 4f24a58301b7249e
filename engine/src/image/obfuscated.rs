//! No module data of the toolchain's form: is it Go all the same?
//!
//! Obfuscators change what tools look for, not what the runtime needs: garble writes another magic number into the line
//! table and has the runtime look for that one (`internal/linker/patches`). What remains, best first: module data that
//! agrees with a table but for its magic number; build information; the Go build ID; sections that only the Go linker
//! makes. Names and versions in such a program mean nothing, so it is named and not read.

use crate::addr::{FileOffset, LinkAddr};

use super::buildinfo;
use super::elf::Elf;
use super::error::{ImageError, ImageErrorCode, Place};
use super::moduledata::Module;

/// The error for a program of the Go toolchain, if `elf` is one. `table`: a line table with a magic number of the
/// toolchain, to which no module data refers.
pub(super) fn evidence(elf: &Elf<'_>, table: Option<LinkAddr>) -> Option<ImageError> {
    let obfuscated = |place: Place, found: String| {
        let expected = "the line table that the Go toolchain writes";
        Some(ImageError::new(
            ImageErrorCode::Obfuscated,
            place,
            found,
            expected,
        ))
    };
    if let Some((at, magic)) = Module::with_other_magic(elf) {
        let found =
            format!("a Go program whose line table has another magic number, {magic:#010x}");
        return obfuscated(at.into(), found);
    }
    let start = Place::File(FileOffset::new(0));
    let witness = if buildinfo::blob(elf).is_some() {
        "Go build information".to_owned()
    } else if elf.notes.go_build_id.is_some() {
        "a Go build ID".to_owned()
    } else {
        format!("section {}", elf.sections.go?)
    };
    match table {
        // Up to 1.4 the runtime found its tables by symbols.
        Some(at) => Some(ImageError::new(
            ImageErrorCode::UnsupportedVersion,
            at,
            format!("{witness}, and a line table to which no module data refers"),
            "module data, as Go 1.5 and later have it",
        )),
        None => obfuscated(start, format!("{witness}, but no line table")),
    }
}
