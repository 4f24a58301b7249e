//! A program and the version that it names -> whether it is built as the tables say of that version.
//!
//! `runtime.buildVersion` is a string that anybody may set, and toolchains are changed without their number, so what hooks
//! use is proved from the program alone, for every program:
//!
//! | what | witness | room |
//! |---|---|---|
//! | fields of `g`, `m`, `_panic`, `moduledata`; whether `recover` compares `_panic.argp` | their type descriptors | `structures` |
//! | module data, line table header, look-up table of functions | their words agree with each other | `module` |
//! | records, pc-value tables, inline trees, funcIDs and flags | all decode; the runtime's own functions carry the marks | `functions` |
//! | where g is, `g.stackguard0`, the stack guard and what small frames may take of it | instructions | `code`, `guard` |
//! | fields of `g` and `m` that have no descriptor | instructions of the runtime | `code` |
//!
//! Never guesses, and never reads a field before its place is proved. What contradicts is an error, the first one. What is
//! missing is an error only where the version itself is not known: then there is nothing but the program's bytes. What
//! bytes cannot show is listed in `engine/docs/PROOF.md`.

mod code;
mod functions;
mod guard;
mod module;
mod structures;

use crate::addr::LinkAddr;
use crate::golang::tables::{CONSTANTS, Release};
use crate::golang::{Facts, GoVersion};
use crate::types::Types;

use super::Image;
use super::elf::Elf;
use super::error::{ImageError, ImageErrorCode};
use super::moduledata::Module;

/// What is to be proved of a program.
#[derive(Clone, Copy)]
pub(super) struct Claim {
    /// The version that the program names.
    version: GoVersion,
    /// The release whose tables are to hold.
    release: Release,
    /// Whether that version is not known, and the tables are those of the one next to it.
    assumed: bool,
    facts: Facts,
}

/// Which structures have a descriptor, and it says what the tables say.
#[derive(Clone, Copy)]
pub(super) struct Described {
    g: bool,
    m: bool,
}

impl Claim {
    /// That a program is as the tables have it for `version`, or for the known version next to it.
    pub(super) fn new(version: GoVersion, facts: Facts) -> Self {
        let like = Facts::like(version);
        Self {
            version,
            release: like.map_or_else(|| version.into(), |like| Release::new(like.minor, u16::MAX)),
            assumed: like.is_some(),
            facts,
        }
    }

    /// A constant of the tables.
    fn constant(&self, name: &str, race: bool) -> Option<i64> {
        let of_name = |race| {
            CONSTANTS
                .iter()
                .find(move |constant| constant.name == name && constant.race == race)
        };
        of_name(race)
            .or_else(|| of_name(false))?
            .value_in(self.release)
    }

    /// For messages: whose tables do not hold.
    fn tables(&self) -> String {
        match Facts::like(self.version) {
            Some(like) => format!("the tables of go1.{}", like.minor),
            None => format!("the tables of {}", self.version),
        }
    }

    /// What cannot be found is missing where the version is not known, and says nothing where it is.
    fn missing(&self, error: impl FnOnce() -> ImageError) -> Result<(), ImageError> {
        if self.assumed { Err(error()) } else { Ok(()) }
    }
}

/// The descriptors of the program, if it is written as `facts` say.
pub(super) fn types<'e, 'd>(
    elf: &'e Elf<'d>,
    module: &Module<'_>,
    facts: &Facts,
) -> Types<'e, Elf<'d>> {
    let base = facts
        .module
        .types
        .and_then(|field| elf.address(module.at.checked_add(u64::from(field))?));
    Types::new(elf, facts.types, base)
}

/// Before anything else is read: the generation of the line table and the layouts of the runtime's structures.
pub(super) fn layouts(
    elf: &Elf<'_>,
    module: &Module<'_>,
    claim: &Claim,
) -> Result<Described, ImageError> {
    if claim.facts.pclntab != module.generation {
        let found = format!(
            "a line table of generation {:?} in a program of {}",
            module.generation, claim.version
        );
        return Err(unproven(
            module.pclntab,
            found,
            "the generation of that version",
        ));
    }
    structures::prove(elf, module, claim)
}

/// The rest.
pub(super) fn prove(
    image: &Image<'_>,
    claim: &Claim,
    described: Described,
) -> Result<(), ImageError> {
    module::words(image, claim)?;
    module::header(image, claim)?;
    functions::tables(image, claim)?;
    functions::ids(image, claim)?;
    functions::inline_trees(image, claim)?;
    guard::stack_checks(image, claim)?;
    code::fields(image, claim, described)?;
    module::function_buckets(image, claim)
}

/// What does not hold: `what`, in a sentence with what was found.
fn unproven(at: LinkAddr, found: impl Into<String>, expected: &'static str) -> ImageError {
    ImageError::new(ImageErrorCode::UnprovenVersion, at, found, expected)
}
