//! No module data that can be read: what is the file then?
//!
//! gccgo has neither line table nor module data. Its programs either need the library `libgo`, or have it inside; then
//! its C files' own names, which its assertions print, are among the texts (`libgo/runtime/*.c`,
//! `libgo/runtime/go-assert.c`). Both survive `strip`.

use memchr::memmem;

use crate::addr::{FileOffset, LinkAddr};

use super::elf::Elf;
use super::error::{ImageError, ImageErrorCode};
use super::obfuscated;

/// The folder of the runtime library's C files, as `__FILE__` names it.
const LIBGO_SOURCE: &[u8] = b"/libgo/runtime/";
/// UPX's mark: the program is compressed and unpacks itself when it runs. It stands behind the program headers
/// (`src/p_lx_elf.cpp` of UPX, `struct l_info`).
const UPX: &[u8] = b"UPX!";
/// Where that is looked for: elsewhere it may be anybody's text.
const UPX_WITHIN: usize = 1024;

/// The error for a file in which no module data refers to a line table. `table`: something that looks like one.
pub(super) fn what_else(elf: &Elf<'_>, table: Option<LinkAddr>) -> ImageError {
    let start = FileOffset::new(0);
    let answer = |code, found| ImageError::new(code, start, found, "one built by the Go toolchain");
    if is_gccgo(elf) {
        return answer(ImageErrorCode::Gccgo, "a Go program built with gccgo");
    }
    if let Some(error) = obfuscated::evidence(elf, table) {
        return error;
    }
    let head = elf.file.head(UPX_WITHIN);
    if table.is_none() && memmem::find(head, UPX).is_some() {
        return answer(ImageErrorCode::Packed, "a program packed with UPX");
    }
    let expected = "a program built by the Go toolchain";
    match table {
        Some(at) => {
            let found = "a line table, but no module data that refers to it";
            ImageError::new(ImageErrorCode::NotGo, at, found, expected)
        }
        None => ImageError::new(ImageErrorCode::NotGo, start, "no Go line table", expected),
    }
}

fn is_gccgo(elf: &Elf<'_>) -> bool {
    elf.libraries
        .iter()
        .any(|name| name.starts_with("libgo.so"))
        || elf
            .segments
            .iter()
            .any(|segment| names_libgo_source(segment.data))
}

/// Whether the name of a C file of libgo stands in `bytes`: the folder alone may be a constant of a program like this one.
fn names_libgo_source(bytes: &[u8]) -> bool {
    memmem::find_iter(bytes, LIBGO_SOURCE).any(|at| {
        let rest = bytes.get(at + LIBGO_SOURCE.len()..).unwrap_or_default();
        let name = rest
            .iter()
            .take_while(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
        rest.get(name.count()..)
            .is_some_and(|end| end.starts_with(b".c\0"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_names_of_its_files_tell_libgo() {
        assert!(names_libgo_source(
            b"x\0../../../src/libgo/runtime/go-assert.c\0y"
        ));
        assert!(names_libgo_source(
            b"/libgo/runtime//libgo/runtime/proc.c\0"
        ));
        for other in [
            &b"/libgo/runtime/"[..],
            b"/libgo/runtime/UPX!",
            b"/libgo/runtime/proc.c",
            b"libgo/runtime/a.c\0",
        ] {
            assert!(!names_libgo_source(other), "{other:?}");
        }
    }
}
