//! Everything that a qualification found, as data ([`Report`], `report.json`), as a table for people ([`table`]), and as
//! directories that hold what is needed to run a failing case again ([`case`]).

pub mod case;
pub mod table;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::oracle::{Answer, Finding};
use crate::verdict::{Conclusion, Counts, Kind, Verdict};

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
    /// `relocation`, `exit`, `output`, `stream`, `memory`.
    pub name: String,
    /// Its answers.
    #[serde(flatten)]
    pub counts: Counts,
    /// What follows from them.
    #[serde(flatten)]
    pub conclusion: Conclusion,
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
    /// A section of a few checks, in the parts in which they were made.
    #[must_use]
    pub fn of(name: &str, parts: &[Part<'_>]) -> Self {
        let mut counts = Counts::default();
        let (mut failures, mut notes, mut open) = (Vec::new(), Vec::new(), Vec::new());
        for part in parts {
            for finding in part.findings {
                counts.add(&finding.answer);
                if !finding.answer.agrees() && failures.len() < LISTED {
                    failures.push(Failure {
                        what: finding.what.clone(),
                        answer: finding.answer.clone(),
                        case: part.case.clone(),
                    });
                }
            }
            notes.extend((!part.note.is_empty()).then_some(part.note.as_str()));
            open.extend_from_slice(&part.open);
        }
        Self {
            name: name.to_owned(),
            counts,
            conclusion: Conclusion::of(counts, Kind::Each, &open),
            note: notes.join("; "),
            failures,
        }
    }
}

/// Checks of a section that were made together.
#[derive(Clone, Debug)]
pub struct Part<'p> {
    /// What is to be known of them, for people.
    pub note: String,
    /// The checks.
    pub findings: &'p [Finding],
    /// What they should have seen and have not.
    pub open: Vec<String>,
    /// The directory of the case that explains them.
    pub case: Option<String>,
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
