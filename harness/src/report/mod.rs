//! Everything that a qualification found, as data ([`Report`], `report.json`), as a table for people ([`table`]), and as
//! directories that hold what is needed to run a failing case again ([`case`]).

pub mod case;
pub mod table;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::oracle::{Answer, Finding};
use crate::verdict::{Counts, Verdict};

/// Name and version of the form of `report.json`; the version is raised with every change of it.
pub const SCHEMA: &str = "gondwana.report/3";

/// The report.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// The program.
    pub program: Program,
    /// The patterns that selected the hooks.
    pub patterns: Vec<String>,
    /// The groups of checks, in the order in which they were made.
    pub sections: Vec<Section>,
    /// The hooks of the hooked run, by id.
    pub hooks: Vec<Hook>,
    /// What the program can notice of hooks, as stable codes.
    pub deviations: Vec<String>,
    /// Functions that the patterns select and that cannot be hooked.
    pub refused: Vec<Refused>,
    /// What was not checked, and why.
    pub skipped: Vec<Skipped>,
    /// The verdict.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// The program that was qualified.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Program {
    /// Its file.
    pub path: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Its Go version.
    pub go: String,
    /// Functions in its line table.
    pub functions: u64,
    /// Those that can be hooked.
    pub hookable: u64,
}

/// One group of checks.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Section {
    /// `relocation`, `output`, `stream`.
    pub name: String,
    /// Its answers.
    #[serde(flatten)]
    pub counts: Counts,
    /// What else is to be known, for people.
    pub note: String,
    /// Every answer that is not agreement, up to a limit.
    pub failures: Vec<Failure>,
}

/// Failures that a section lists.
const LISTED: usize = 100;

/// An answer that is not agreement.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// What was checked.
    pub what: String,
    /// The answer.
    pub answer: Answer,
    /// The directory of the case, relative to the report's.
    pub case: Option<String>,
}

impl Section {
    /// A section of findings that one case explains.
    #[must_use]
    pub fn of_findings(name: &str, note: String, findings: &[Finding], case: Option<&str>) -> Self {
        let mut counts = Counts::default();
        findings
            .iter()
            .for_each(|finding| counts.add(&finding.answer));
        let failures = findings
            .iter()
            .filter(|finding| !finding.answer.agrees())
            .take(LISTED)
            .map(|finding| Failure {
                what: finding.what.clone(),
                answer: finding.answer.clone(),
                case: case.map(str::to_owned),
            })
            .collect();
        Self {
            name: name.to_owned(),
            counts,
            note,
            failures,
        }
    }
}

/// One hook.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hook {
    /// The function.
    pub name: String,
    /// `frame`.
    pub strategy: String,
    /// `abi0` or `abi-internal`.
    pub abi: String,
    /// Bytes of stack arguments and spill area.
    pub args: u32,
    /// Calls that got a frame.
    pub entered: u64,
    /// Calls with a span.
    pub spans: u64,
    /// Those, by the name of the hooked function during whose call they were made; the empty name: during no other's. A
    /// call is in nobody's count if the clocks of two CPUs leave open who made it.
    pub callers: BTreeMap<String, u64>,
    /// Places where the compiler inlined it: calls there are not seen.
    pub inlined: u32,
}

/// One refused function.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// The function.
    pub name: String,
    /// Stable code.
    pub code: String,
    /// For people.
    pub detail: String,
}

/// Something that was not checked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Skipped {
    /// What.
    pub what: String,
    /// How many.
    pub count: u64,
    /// Why.
    pub why: String,
}
