//! Cells -> their reports, and the verdict over all of them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::Cell;
use super::cell::{self, Bench, CellReport};
use super::subject::Subject;
use crate::cells;
use crate::cells::Report as _;
use crate::cells::kept::{Kept, Key};

/// What a run of many cells found.
pub type Finished = cells::run::Finished<Cell, CellReport>;

/// Name and version of the form of `report.json`; the version is raised with every change of it.
pub const SCHEMA: &str = "gondwana.std/1";
/// Flaky tests of a hundred that are let pass: of what is flaky nothing is known.
const FLAKY_PERCENT: u64 = 1;

/// The form of `report.json`.
#[derive(serde::Serialize)]
pub struct Document<'a> {
    schema: &'static str,
    hooks: &'a [String],
    seconds: f64,
    reused: usize,
    good: bool,
    cells: Vec<&'a CellReport>,
}

impl Finished {
    /// What `report.json` holds.
    #[must_use]
    pub fn document<'a>(&'a self, hooks: &'a [String]) -> Document<'a> {
        Document {
            schema: SCHEMA,
            hooks,
            seconds: self.elapsed.as_secs_f64(),
            reused: self.reused,
            good: self.is_good(),
            cells: self.cells().collect(),
        }
    }

    /// The reports.
    pub fn cells(&self) -> impl Iterator<Item = &CellReport> {
        self.reports.iter().map(|(_, report)| report)
    }

    /// Cells that were not run, for want of time.
    #[must_use]
    pub fn not_run(&self) -> usize {
        self.cells().filter(|cell| !cell.was_run()).count()
    }

    /// Flaky tests, and all tests.
    #[must_use]
    pub fn flaky(&self) -> (u64, u64) {
        let flaky = self.cells().map(|cell| cell.flaky.len() as u64).sum();
        (flaky, self.cells().map(CellReport::tests).sum())
    }

    /// Whether every cell is as it must be and few enough tests are flaky.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let (flaky, tests) = self.flaky();
        self.cells().all(|cell| cell.is_good()) && flaky * 100 <= tests * FLAKY_PERCENT
    }
}

/// Runs the cells, `jobs` at a time; what failed has its directory below `out`. With `kept`, cells that were finished before
/// are not run again; with `within`, none is begun after that time, and its report says that it was not run.
///
/// # Errors
/// When a directory cannot be written. A cell that cannot be built is a failure of that cell.
pub fn run(
    bench: &Bench,
    cells: &[Cell],
    jobs: usize,
    kept: Option<&Kept>,
    within: Option<Duration>,
    out: &Path,
) -> Result<Finished> {
    let begun = Instant::now();
    std::fs::create_dir_all(out).with_context(|| format!("create {}", out.display()))?;
    Ok(cells::run::run(cells, jobs, |cell, progress| {
        let is_late = within.is_some_and(|within| begun.elapsed() >= within);
        one(bench, cell, kept, is_late, out, progress)
            .unwrap_or_else(|error| (CellReport::broken(cell, &error), false))
    }))
}

/// One cell from the beginning to its report, and whether an earlier run has made that.
fn one(
    bench: &Bench,
    cell: &Cell,
    kept: Option<&Kept>,
    is_late: bool,
    out: &Path,
    progress: &dyn Fn(&str),
) -> Result<(CellReport, bool)> {
    let begun = Instant::now();
    // What an earlier run has finished is there at once, but for its build.
    if is_late && kept.is_none() {
        return Ok((CellReport::not_run(cell), false));
    }
    progress("building");
    let package = bench.definition.row(&cell.package);
    let package = package.with_context(|| format!("`{}` is none of the list", cell.package))?;
    let toolchain = bench.toolchains.get_version(cell.go)?;
    let mut subject = Subject::build(&toolchain, &bench.builder, package)?;
    let key = match kept {
        Some(kept) => Some((kept, key(kept, bench, cell, &subject)?)),
        None => None,
    };
    if let Some((kept, key)) = &key
        && let Some(report) = kept.get(key)
    {
        return Ok((report, true));
    }
    if is_late {
        return Ok((CellReport::not_run(cell), false));
    }
    let place = out.join(cell.to_string().replace([' ', '/'], "-"));
    let mut report = cell::check(bench, cell, &mut subject, &place, progress)?;
    report.seconds = begun.elapsed().as_secs_f64();
    if let Some((kept, key)) = &key {
        kept.put(key, &report)?;
    }
    Ok((report, false))
}

/// What is known of the cell and the hooks decide the result besides the binary.
fn key(kept: &Kept, bench: &Bench, cell: &Cell, subject: &Subject<'_>) -> Result<Key> {
    let deviations = bench.definition.deviations(cell);
    let data = format!("{deviations:?} {:?}", bench.patterns);
    kept.key(&format!("std {cell}"), subject.binary(), &data)
}
