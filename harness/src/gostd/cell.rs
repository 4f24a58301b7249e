//! One [`Cell`] -> [`CellReport`]: the tests of a package, twice unhooked and once hooked; where the hooked run differs, those
//! tests unhooked again, until they are seen to be flaky or it is sure that they are not.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use gondwana_engine::golang::GoVersion;
use serde::{Deserialize, Serialize};

use super::Definition;
use super::judge::{Judged, Known, Run, judge};
use super::subject::{Calls, Subject};
use crate::build::Builder;
use crate::cells;
use crate::executor::native::hooked::Agent;
use crate::toolchain::Toolchains;

/// Unhooked runs of a test that differs, the two of everything included.
const RUNS: usize = 7;
/// Reasons that a report lists.
const SHOWN: usize = 40;

/// A package on a version.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Cell {
    /// The toolchain.
    pub go: GoVersion,
    /// The package, by its folder below `src`.
    pub package: String,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.go, self.package)
    }
}

/// What all cells share.
#[derive(Clone, Debug)]
pub struct Bench {
    /// Which cells there are, and what is known of them.
    pub definition: Definition,
    /// Where toolchains come from.
    pub toolchains: Toolchains,
    /// What builds.
    pub builder: Builder,
    /// What runs programs hooked.
    pub agent: Agent,
    /// The hooks.
    pub patterns: Vec<String>,
}

/// What was found out about one cell.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CellReport {
    /// The Go version, such as `go1.21.13`.
    pub go: String,
    /// The package.
    pub package: String,
    /// Everything that is not as it must be; nothing if all is.
    pub reasons: Vec<String>,
    /// Tests that passed in every run.
    pub passed: u64,
    /// Tests that were skipped in every run.
    pub skipped: u64,
    /// Tests that failed in every run in the same way.
    pub failed: u64,
    /// Tests whose unhooked runs differ.
    pub flaky: Vec<String>,
    /// Top-level tests with the same outcomes whose unhooked runs wrote different lines.
    pub varying: Vec<String>,
    /// Tests that differ hooked, as is known of them.
    pub known: Vec<Known>,
    /// Programs that do not end by themselves: they were not compared.
    pub endless: Vec<String>,
    /// What the streams of the hooked run say.
    pub calls: Calls,
    /// Unhooked runs that were made, of all tests or some.
    pub runs: usize,
    /// How long one unhooked run and the hooked one took, in seconds.
    pub unhooked: f64,
    /// Likewise.
    pub hooked: f64,
    /// How long everything took: with the build, unless the binary was there already.
    pub seconds: f64,
}

impl CellReport {
    fn new(cell: &Cell) -> Self {
        Self {
            go: cell.go.to_string(),
            package: cell.package.clone(),
            reasons: Vec::new(),
            passed: 0,
            skipped: 0,
            failed: 0,
            flaky: Vec::new(),
            varying: Vec::new(),
            known: Vec::new(),
            endless: Vec::new(),
            calls: Calls::default(),
            runs: 0,
            unhooked: 0.0,
            hooked: 0.0,
            seconds: 0.0,
        }
    }

    /// A cell that the tool could not do.
    #[must_use]
    pub fn broken(cell: &Cell, error: &anyhow::Error) -> Self {
        Self {
            reasons: vec![format!("{error:#}")],
            ..Self::new(cell)
        }
    }

    /// A cell for which there was no time.
    #[must_use]
    pub fn not_run(cell: &Cell) -> Self {
        Self::new(cell)
    }

    /// Whether anything is known of it.
    #[must_use]
    pub fn was_run(&self) -> bool {
        self.runs > 0 || !self.reasons.is_empty()
    }

    /// All its tests.
    #[must_use]
    pub fn tests(&self) -> u64 {
        self.passed + self.skipped + self.failed + (self.flaky.len() + self.known.len()) as u64
    }
}

impl cells::Report for CellReport {
    fn is_good(&self) -> bool {
        self.reasons.is_empty()
    }

    fn summary(&self) -> String {
        super::render::summary_of(self)
    }

    fn seconds(&self) -> f64 {
        self.seconds
    }
}

/// Makes the runs of a cell and judges them. The outputs of a cell that fails are kept below `out`; `progress` is told what
/// is being done.
///
/// # Errors
/// When the tool itself fails, or the program did not run hooked.
pub fn check(
    bench: &Bench,
    cell: &Cell,
    subject: &mut Subject<'_>,
    out: &Path,
    progress: &dyn Fn(&str),
) -> Result<CellReport> {
    let deviations = bench.definition.deviations(cell);
    let everything = BTreeSet::new();
    progress("unhooked");
    let endless = subject.settle()?;
    let begun = Instant::now();
    let first = subject.unhooked(&everything)?;
    let unhooked_seconds = begun.elapsed().as_secs_f64();
    progress("unhooked again");
    let mut unhooked = vec![first, subject.unhooked(&everything)?];
    progress("hooked");
    let begun = Instant::now();
    let (hooked, calls) = subject.hooked(&bench.agent, &bench.patterns)?;
    let hooked_seconds = begun.elapsed().as_secs_f64();
    let mut judged = judge(&unhooked, &hooked, &deviations);
    while unhooked.len() < RUNS {
        let doubtful = judged.doubtful();
        if doubtful.is_empty() {
            break;
        }
        progress(&format!("unhooked again: {} tests", doubtful.len()));
        unhooked.push(subject.unhooked(&doubtful)?);
        judged = judge(&unhooked, &hooked, &deviations);
    }
    if !judged.is_good() {
        keep(out, &unhooked, &hooked)?;
    }
    Ok(CellReport {
        endless,
        calls,
        runs: unhooked.len(),
        unhooked: unhooked_seconds,
        hooked: hooked_seconds,
        ..report(cell, judged, &calls)
    })
}

fn report(cell: &Cell, judged: Judged, calls: &Calls) -> CellReport {
    // What is wrong with the run as a whole explains the rest.
    let mut reasons = judged.wrong;
    reasons.extend(judged.differing.into_iter().map(|(_, what)| what));
    if calls.entered == 0 {
        reasons.push("no hook fired".to_owned());
    }
    let more = reasons.len().saturating_sub(SHOWN);
    reasons.truncate(SHOWN);
    if more > 0 {
        reasons.push(format!("and {more} more"));
    }
    CellReport {
        reasons,
        passed: judged.passed,
        skipped: judged.skipped,
        failed: judged.failed,
        flaky: judged.flaky.into_iter().collect(),
        varying: judged.varying.into_iter().collect(),
        known: judged.known,
        ..CellReport::new(cell)
    }
}

/// Writes down what each run's output says, line by line, for whoever looks at the failure.
fn keep(out: &Path, unhooked: &[Run], hooked: &Run) -> Result<()> {
    fs::create_dir_all(out).with_context(|| format!("create {}", out.display()))?;
    let numbered = unhooked.iter().enumerate();
    let named = numbered.map(|(number, run)| (format!("unhooked-{}", number + 1), run));
    for (name, run) in named.chain([("hooked".to_owned(), hooked)]) {
        let mut text = format!("{}\n", run.end);
        for (test, outcome) in &run.output.outcomes {
            text += &format!("{outcome} {test}\n");
        }
        for (test, lines) in &run.output.lines {
            text += &format!("\n{test}:\n");
            for line in lines {
                text += &format!("    {line}\n");
            }
        }
        let file = out.join(format!("{name}.txt"));
        fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    }
    Ok(())
}
