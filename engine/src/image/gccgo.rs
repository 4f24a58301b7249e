//! No Go line table: what is the file then?
//!
//! gccgo has neither line table nor module data; it is told by the C names and the version text that its runtime
//! library `libgo` leaves in every program (`libgo/runtime/go-main.c`, `gcc/go/gofrontend`).

use memchr::memmem;

use crate::addr::{FileOffset, LinkAddr};

use super::elf::Elf;
use super::error::{ImageError, ImageErrorCode};

/// Names and texts that only gccgo programs have: the dynamic library, the version text, its symbols.
const GCCGO: [&[u8]; 4] = [
    b"\0libgo.so.",
    b" gccgo (",
    b"\0__go_init_main\0",
    b"\0__go_runtime_error\0",
];
/// UPX's mark: the program is compressed and unpacks itself when it runs.
const UPX: &[u8] = b"UPX!";

/// The error for a file in which no module data refers to a line table. `table`: something that looks like one.
pub(super) fn what_else(elf: &Elf<'_>, table: Option<LinkAddr>) -> ImageError {
    let has = |text: &[u8]| {
        elf.segments
            .iter()
            .any(|segment| memmem::find(segment.data, text).is_some())
    };
    let start = FileOffset::new(0);
    if let Some(at) = table {
        let found = "a line table, but no module data that refers to it";
        return ImageError::new(
            ImageErrorCode::NotGo,
            at,
            found,
            "a program built by the Go toolchain",
        );
    }
    if GCCGO.into_iter().any(has) {
        let found = "a Go program built with gccgo";
        return ImageError::new(
            ImageErrorCode::Gccgo,
            start,
            found,
            "one built by the Go toolchain",
        );
    }
    let found = if has(UPX) {
        "a program packed with UPX"
    } else {
        "no Go line table"
    };
    ImageError::new(
        ImageErrorCode::NotGo,
        start,
        found,
        "a program built by the Go toolchain",
    )
}
