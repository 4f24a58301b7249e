//! Two toolchains -> what the newer one changes for an engine that hooks its programs.
//!
//! Layouts and constants are compared as measured, so that it works for versions that the tables do not know; what the
//! tables need is said besides. Machine code is compared in the same test program built by both. Nothing here is judged
//! harmless: whatever changed is listed.
//!
//! | part | what it compares |
//! |---|---|
//! | `forms` | how functions begin, and how the engine decides about them |
//! | `policy` | the functions that must not get a frame, and who looks at its caller |
//! | `render` | the report for people |

mod forms;
mod policy;
mod render;

use anyhow::{Context, Result};
use gondwana_engine::golang::GoVersion;
use gondwana_engine::golang::tables::{CONSTANTS, Release, STRUCTURES};
use serde::Serialize;

use crate::build::{Builder, Mode};
use crate::layouts::compare::{Difference, between, compare};
use crate::layouts::{Measured, PROGRAM, rows};
use crate::testbins;
use crate::toolchain::{LAST_PATCHES, PATCHES, Toolchain};

pub use forms::{Decisions, Form, Forms};
pub use policy::Policy;
pub use render::render;

/// What a release changes.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `gondwana.release-check/1`
    pub schema: &'static str,
    /// The release.
    pub version: String,
    /// What it was compared with.
    pub against: String,
    /// Structures, fields and constants; `expected` is what the older one has.
    pub layouts: Vec<Difference>,
    /// Lines that `engine/src/golang/tables` needs.
    pub rows: Vec<String>,
    /// How functions begin.
    pub forms: Forms,
    /// How the engine decides about functions that both programs have.
    pub decisions: Decisions,
    /// Functions that must not get a frame.
    pub policy: Policy,
}

/// Name and version of the report's form.
pub const SCHEMA: &str = "gondwana.release-check/1";

impl Report {
    /// Whether anything has to be looked at.
    #[must_use]
    pub fn changed(&self) -> bool {
        !(self.layouts.is_empty()
            && self.rows.is_empty()
            && self.forms.new.is_empty()
            && self.forms.gone.is_empty()
            && self.forms.unrecognised.is_empty()
            && self.decisions.goldens.is_empty()
            && self.policy.appeared.is_empty()
            && self.policy.vanished.is_empty()
            && self.policy.uncovered.is_empty())
    }
}

/// The newest release below `version` that is known: whose layouts are verified.
#[must_use]
pub fn before(version: GoVersion) -> Option<GoVersion> {
    let known = LAST_PATCHES.into_iter().chain(PATCHES);
    known.filter(|&known| known < version).max()
}

/// Compares two toolchains.
///
/// # Errors
/// A test program cannot be built or read; a source not be understood.
pub fn check(
    old: &Toolchain,
    new: &Toolchain,
    builder: &Builder,
    mut progress: impl FnMut(&str),
) -> Result<Report> {
    let mut measure = |toolchain: &Toolchain| {
        progress(&format!("{}: measuring", toolchain.version()));
        Measured::of(toolchain, builder).with_context(|| toolchain.version().to_string())
    };
    let (before, after) = (measure(old)?, measure(new)?);
    let to_tables = compare(STRUCTURES, CONSTANTS, &after);
    let release = Release::from(new.version());
    let case = testbins::case(PROGRAM)?;
    let program = |toolchain: &Toolchain| -> Result<Vec<u8>> {
        let path = builder.build(toolchain, &case.dir, Mode::Static)?;
        std::fs::read(&path).with_context(|| format!("read {}", path.display()))
    };
    let (old_program, new_program) = (program(old)?, program(new)?);
    progress("comparing machine code");
    let (forms, decisions) = forms::compare(&old_program, &new_program)?;
    progress("comparing sources");
    let policy = policy::compare(old, new)?;
    Ok(Report {
        schema: SCHEMA,
        version: new.version().to_string(),
        against: old.version().to_string(),
        layouts: between(STRUCTURES, CONSTANTS, &before, &after),
        rows: rows::lines(STRUCTURES, CONSTANTS, &to_tables.differences, release),
        forms,
        decisions,
        policy,
    })
}
