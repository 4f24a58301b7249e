//! Why bytes are not a Go program that can be hooked: [`ImageError`].

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::addr::{FileOffset, LinkAddr};

/// Stable codes; never renamed, only added. `Display` and serde give the kebab-case form.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageErrorCode {
    /// The file does not begin as an ELF file does.
    NotElf,
    /// A 32-bit ELF file.
    Elf32Bit,
    /// An ELF file for another machine (or another byte order).
    WrongMachine,
    /// An object file, a core dump, or something else that is no program.
    NotExecutable,
    /// A table of the ELF file contradicts itself.
    CorruptElf,
    /// The file ends before what its headers promise.
    Truncated,
    /// Nothing of the Go toolchain is in it.
    NotGo,
    /// Built with gccgo, which has neither.
    Gccgo,
    /// Compressed, so that nothing can be told of what is inside.
    Packed,
    /// A shared library or plugin.
    NotMainProgram,
    /// A C program with a Go library in it (`-buildmode=c-archive`).
    CArchive,
    /// A Go program whose runtime lies in a shared library (`-linkshared`).
    Linkshared,
    /// Go, but without a line table and module data of the toolchain's form.
    Obfuscated,
    /// The Go version could not be found.
    UnknownVersion,
    /// The Go version is not one of those that are known.
    UnsupportedVersion,
    /// A table of the Go runtime contradicts itself.
    CorruptTable,
    /// The Go version is not known, and the program does not prove to be built like the known version next to it.
    UnprovenVersion,
    /// Linked with a library by which the program rewrites its own functions while it runs.
    SelfPatching,
}

impl ImageErrorCode {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::NotElf,
        Self::Elf32Bit,
        Self::WrongMachine,
        Self::NotExecutable,
        Self::CorruptElf,
        Self::Truncated,
        Self::NotGo,
        Self::Gccgo,
        Self::Packed,
        Self::NotMainProgram,
        Self::CArchive,
        Self::Linkshared,
        Self::Obfuscated,
        Self::UnknownVersion,
        Self::UnsupportedVersion,
        Self::CorruptTable,
        Self::UnprovenVersion,
    ];

    /// The kebab-case form.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotElf => "not-elf",
            Self::Elf32Bit => "elf32-bit",
            Self::WrongMachine => "wrong-machine",
            Self::NotExecutable => "not-executable",
            Self::CorruptElf => "corrupt-elf",
            Self::Truncated => "truncated",
            Self::NotGo => "not-go",
            Self::Gccgo => "gccgo",
            Self::Packed => "packed",
            Self::NotMainProgram => "not-main-program",
            Self::CArchive => "c-archive",
            Self::Linkshared => "linkshared",
            Self::Obfuscated => "obfuscated",
            Self::UnknownVersion => "unknown-version",
            Self::UnsupportedVersion => "unsupported-version",
            Self::CorruptTable => "corrupt-table",
            Self::UnprovenVersion => "unproven-version",
            Self::SelfPatching => "self-patching",
        }
    }
}

impl fmt::Display for ImageErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The position that an error speaks of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// In the file.
    File(FileOffset),
    /// In the loaded image.
    Address(LinkAddr),
}

impl From<FileOffset> for Place {
    fn from(at: FileOffset) -> Self {
        Self::File(at)
    }
}

impl From<LinkAddr> for Place {
    fn from(at: LinkAddr) -> Self {
        Self::Address(at)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(at) => write!(f, "file offset {at}"),
            Self::Address(at) => write!(f, "address {at}"),
        }
    }
}

/// Why bytes are not a Go program that can be hooked. One line; says where, what was found and what was expected.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{code}: {}", self.message())]
pub struct ImageError {
    code: ImageErrorCode,
    place: Place,
    found: String,
    expected: &'static str,
}

impl ImageError {
    pub(crate) fn new(
        code: ImageErrorCode,
        place: impl Into<Place>,
        found: impl Into<String>,
        expected: &'static str,
    ) -> Self {
        Self {
            code,
            place: place.into(),
            found: one_line(found.into()),
            expected,
        }
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> ImageErrorCode {
        self.code
    }

    /// The text without the code, for where that stands beside it.
    #[must_use]
    pub fn message(&self) -> String {
        let Self {
            place,
            found,
            expected,
            ..
        } = self;
        format!("{found} at {place}; expected {expected}")
    }

    /// Where it was found.
    #[must_use]
    pub const fn place(&self) -> Place {
        self.place
    }
}

/// Names out of a program may hold anything.
fn one_line(text: String) -> String {
    if text.contains(char::is_control) {
        text.replace(char::is_control, "?")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serde_and_display_agree() {
        for code in ImageErrorCode::ALL {
            assert_eq!(
                serde_json::to_value(code).unwrap(),
                serde_json::Value::from(code.as_str())
            );
        }
    }

    #[test]
    fn an_error_is_one_line() {
        let error = ImageError::new(
            ImageErrorCode::Truncated,
            FileOffset::new(64),
            "8 bytes",
            "56 bytes",
        );
        assert_eq!(
            error.to_string(),
            "truncated: 8 bytes at file offset 0x40; expected 56 bytes"
        );
        let place = FileOffset::new(64);
        let named = ImageError::new(
            ImageErrorCode::CorruptTable,
            place,
            "main.\n\x1bf",
            "a name",
        );
        assert!(named.to_string().contains("main.??f at"), "{named}");
    }
}
