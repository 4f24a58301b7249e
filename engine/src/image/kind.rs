//! What kind of file this is: main program or library, race, cgo. Told by names of the runtime's own functions and by
//! the dynamic section, since build settings are missing in old versions.

use crate::addr::{FileOffset, LinkAddr};
use crate::golang::Facts;

use super::buildinfo;
use super::elf::Elf;
use super::error::{ImageError, ImageErrorCode};
use super::moduledata::Module;
use super::{Function, ImageKind};

/// Where the entry point stands in the ELF header (`e_entry`).
const ENTRY_FIELD: FileOffset = FileOffset::new(24);

/// The entry of a library that C code loads (`runtime/rt0_linux_amd64.s`); the linker leaves it out of programs.
const LIBRARY_ENTRY: &str = "_rt0_amd64_linux_lib";
/// The shared library of the standard library (`go install -buildmode=shared std`).
const SHARED_STD: &str = "libstd.so";

/// Refuses files that no program starts in, before anything else is asked of them: plugins have no Go version.
pub(super) fn has_entry(elf: &Elf<'_>, module: &Module<'_>) -> Result<(), ImageError> {
    if elf.is_code(elf.entry) {
        return Ok(());
    }
    Err(ImageError::new(
        ImageErrorCode::NotMainProgram,
        ENTRY_FIELD,
        library(elf, module),
        "a main program",
    ))
}

/// Which kind of library it is: as it was recorded (1.18 and later), else by the name of an entry.
fn library(elf: &Elf<'_>, module: &Module<'_>) -> &'static str {
    let mode = buildinfo::blob(elf).and_then(|info| info.modinfo.setting("-buildmode"));
    let has_library_entry =
        || memchr::memmem::find(module.names, format!("\0{LIBRARY_ENTRY}\0").as_bytes()).is_some();
    match mode.as_deref() {
        Some("plugin") => "a Go plugin (no entry point)",
        Some("shared") => "a shared library of Go packages (no entry point)",
        Some("c-shared") => "a C library written in Go (no entry point)",
        _ if has_library_entry() => "a C library written in Go (no entry point)",
        _ => "a Go plugin or shared library (no entry point)",
    }
}

/// Refuses programs whose runtime is not in them: it has the module data that counts, and the version.
pub(super) fn has_runtime(elf: &Elf<'_>, module: &Module<'_>) -> Result<(), ImageError> {
    if !elf.libraries.contains(&SHARED_STD) {
        return Ok(());
    }
    Err(ImageError::new(
        ImageErrorCode::Linkshared,
        module.at,
        format!("a program built with -linkshared: its runtime is in {SHARED_STD}"),
        "a program with its own runtime",
    ))
}

/// What the functions and the module data say.
pub(super) struct Evidence {
    /// `runtime.racefuncenter` (`runtime/race_amd64.s`) is linked only with `-race`.
    pub(super) race: bool,
    /// `crosscall2` (`runtime/cgo/asm_amd64.s`).
    pub(super) cgo: bool,
    /// The entry of a shared library (`runtime/rt0_linux_amd64.s`).
    library_entry: bool,
    main: bool,
    /// `moduledata.hasmain` (1.10 and later).
    has_main: Option<bool>,
    module: LinkAddr,
}

impl Evidence {
    /// One pass over the functions.
    pub(super) fn gather(
        elf: &Elf<'_>,
        module: &Module<'_>,
        facts: &Facts,
        functions: &[Function<'_>],
    ) -> Self {
        let has_main = facts.module.hasmain.and_then(|field| {
            let byte = elf.bytes(module.at.checked_add(u64::from(field))?, 1)?;
            byte.first().map(|&byte| byte != 0)
        });
        let mut found = Self {
            race: false,
            cgo: false,
            library_entry: false,
            main: false,
            has_main,
            module: module.at,
        };
        for function in functions {
            match function.name {
                "runtime.racefuncenter" => found.race = true,
                "crosscall2" => found.cgo = true,
                LIBRARY_ENTRY => found.library_entry = true,
                "main.main" => found.main = true,
                _ => {}
            }
        }
        found
    }

    /// How the kernel loads the file, or why it is no main program.
    pub(super) fn kind(&self, elf: &Elf<'_>) -> Result<ImageKind, ImageError> {
        let fail = |code, found| Err(ImageError::new(code, self.module, found, "a main program"));
        // Built with -buildmode=exe or pie, says the linker; before 1.10 a main.main must do, which libraries for C have too.
        if !self.has_main.unwrap_or(self.main && !self.library_entry) {
            return if self.library_entry && !elf.has_soname {
                let found = "a C program with a Go library in it (-buildmode=c-archive)";
                fail(ImageErrorCode::CArchive, found)
            } else {
                let found = "a shared library or plugin (no main function)";
                fail(ImageErrorCode::NotMainProgram, found)
            };
        }
        if !elf.is_dyn {
            return Ok(ImageKind::Executable);
        }
        // A static position-independent program has no interpreter; a shared library has neither of the two marks.
        let is_program =
            elf.has_interpreter || elf.says_pie || !(self.library_entry || elf.has_soname);
        if is_program {
            Ok(ImageKind::Pie)
        } else {
            let found = "a shared library (it has a library's entry)";
            fail(ImageErrorCode::NotMainProgram, found)
        }
    }
}
