//! Cells of the matrix -> their reports.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};

use super::cell::{self, Bench, CellReport, Prepared};
use super::{Cell, render};
use crate::cells;
use crate::cells::kept::{Kept, Key};

/// What a run of many cells found.
pub type Finished = cells::run::Finished<Cell, CellReport>;

/// Name and version of the form of the matrix's `report.json`; the version is raised with every change of it.
pub const SCHEMA: &str = "gondwana.matrix/2";

/// The form of `report.json`.
#[derive(serde::Serialize)]
pub struct Document<'a> {
    schema: &'static str,
    seconds: f64,
    reused: usize,
    cells: Vec<&'a CellReport>,
}

impl Finished {
    /// What `report.json` holds.
    #[must_use]
    pub fn document(&self) -> Document<'_> {
        Document {
            schema: SCHEMA,
            seconds: self.elapsed.as_secs_f64(),
            reused: self.reused,
            cells: self.reports.iter().map(|(_, report)| report).collect(),
        }
    }
}

impl cells::Report for CellReport {
    fn is_good(&self) -> bool {
        self.is_good()
    }

    fn summary(&self) -> String {
        render::outcome(self)
    }

    fn seconds(&self) -> f64 {
        self.seconds
    }
}

/// Runs the cells, `jobs` at a time; each has its directory below `out`. With `kept`, cells that were finished before are
/// not run again.
///
/// # Errors
/// When a directory cannot be written. A cell that cannot be built is a failure of that cell.
pub fn run(
    bench: &Bench,
    cells: &[Cell],
    jobs: usize,
    kept: Option<&Kept>,
    out: &Path,
) -> Result<Finished> {
    std::fs::create_dir_all(out).with_context(|| format!("create {}", out.display()))?;
    Ok(cells::run::run(cells, jobs, |&cell, progress| {
        one(bench, cell, kept, out, progress)
    }))
}

/// One cell from the beginning to its report, and whether an earlier run has made that.
fn one(
    bench: &Bench,
    cell: Cell,
    kept: Option<&Kept>,
    out: &Path,
    progress: &dyn Fn(&str),
) -> (CellReport, bool) {
    let begun = Instant::now();
    progress("building");
    let finish = || -> Result<(CellReport, bool)> {
        let prepared = match cell::prepare(bench, cell)? {
            Ok(prepared) => prepared,
            Err(report) => return Ok((report, false)),
        };
        let key = kept.map(|kept| key(kept, bench, &prepared)).transpose()?;
        if let (Some(kept), Some(key)) = (kept, &key)
            && let Some(report) = kept.get(key)
        {
            return Ok((report, true));
        }
        let mut report = check(bench, &prepared, out, progress)?;
        report.seconds = begun.elapsed().as_secs_f64();
        if let (Some(kept), Some(key)) = (kept, &key) {
            kept.put(key, &report)?;
        }
        Ok((report, false))
    };
    let (mut report, reused) =
        finish().unwrap_or_else(|error| (CellReport::broken(cell, &error), false));
    if !bench.any_share {
        cell::judge(&bench.matrix, cell, &mut report);
    }
    (report, reused)
}

/// What the test programs promise, what is left out, and the seed decide the result besides the program.
fn key(kept: &Kept, bench: &Bench, prepared: &Prepared) -> Result<Key> {
    let cell = prepared.cell;
    let data = format!(
        "{:?} {:?} {:?} {}",
        prepared.cases,
        prepared.skipped,
        bench.matrix.refused(cell.mode),
        bench.seed
    );
    kept.key(&cell.to_string(), &prepared.program, &data)
}

fn check(
    bench: &Bench,
    prepared: &Prepared,
    out: &Path,
    progress: &dyn Fn(&str),
) -> Result<CellReport> {
    let cell = prepared.cell;
    let place = out.join(format!("{}-{}", cell.go, cell.mode));
    let report = cell::check(bench, prepared, &place, progress)?;
    // Empty where everything is good.
    let _ = std::fs::remove_dir(&place);
    Ok(report)
}
