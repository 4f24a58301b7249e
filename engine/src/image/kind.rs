//! What kind of file this is: main program or library, race, cgo. Told by names of the runtime's own functions and by
//! the dynamic section, since build settings are missing in old versions.

use crate::addr::{FileOffset, LinkAddr};
use crate::golang::Facts;

use super::elf::Elf;
use super::error::{ImageError, ImageErrorCode};
use super::moduledata::Module;
use super::{Function, ImageKind};

/// Where the entry point stands in the ELF header (`e_entry`).
const ENTRY_FIELD: FileOffset = FileOffset::new(24);

/// Refuses files that no program starts in, before anything else is asked of them: plugins have no Go version.
pub(super) fn has_entry(elf: &Elf<'_>) -> Result<(), ImageError> {
    if elf.is_code(elf.entry) {
        return Ok(());
    }
    let found = "a shared library or plugin (no entry point)";
    Err(ImageError::new(
        ImageErrorCode::NotMainProgram,
        ENTRY_FIELD,
        found,
        "a main program",
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
                "_rt0_amd64_linux_lib" => found.library_entry = true,
                "main.main" => found.main = true,
                _ => {}
            }
        }
        found
    }

    /// How the kernel loads the file, or why it is no main program.
    pub(super) fn kind(&self, elf: &Elf<'_>) -> Result<ImageKind, ImageError> {
        let fail = |found| {
            Err(ImageError::new(
                ImageErrorCode::NotMainProgram,
                self.module,
                found,
                "a main program",
            ))
        };
        // Built with -buildmode=exe or pie, says the linker; before 1.10 a main.main must do.
        if self.has_main == Some(false) || (self.has_main.is_none() && !self.main) {
            return fail("a shared library or plugin (no main function)");
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
            fail("a shared library (it has a library's entry)")
        }
    }
}
