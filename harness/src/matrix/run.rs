//! Cells -> their reports, several at a time, with a line on standard error that says how far it is.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::cell::{self, Bench, CellReport, Outcome, Prepared};
use super::kept::Kept;
use super::{Cell, render};

/// What a run of many cells found.
#[derive(Debug)]
pub struct Finished {
    /// One report per cell, in the order of the cells.
    pub reports: Vec<(Cell, CellReport)>,
    /// Cells whose report an earlier run has made.
    pub reused: usize,
    /// How long it took.
    pub elapsed: Duration,
}

/// Name and version of the form of the matrix's `report.json`; the version is raised with every change of it.
pub const SCHEMA: &str = "gondwana.matrix/1";

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
    let begun = Instant::now();
    std::fs::create_dir_all(out).with_context(|| format!("create {}", out.display()))?;
    let next = AtomicUsize::new(0);
    let progress = Progress::new(cells.len());
    let reports = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, cells.len().max(1)) {
            scope.spawn(|| {
                while let Some(&cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (report, reused) = one(bench, cell, kept, out, &progress);
                    progress.done(cell, &report, reused);
                    lock(&reports).push((cell, report, reused));
                }
            });
        }
    });
    progress.clear();
    let mut reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.sort_by_key(|(cell, ..)| *cell);
    Ok(Finished {
        reused: reports.iter().filter(|(.., reused)| *reused).count(),
        reports: reports
            .into_iter()
            .map(|(cell, report, _)| (cell, report))
            .collect(),
        elapsed: begun.elapsed(),
    })
}

/// One cell from the beginning to its report, and whether an earlier run has made that.
fn one(
    bench: &Bench,
    cell: Cell,
    kept: Option<&Kept>,
    out: &Path,
    progress: &Progress,
) -> (CellReport, bool) {
    let begun = Instant::now();
    progress.at(cell, "building");
    let finish = || -> Result<(CellReport, bool)> {
        let prepared = match cell::prepare(bench, cell)? {
            Ok(prepared) => prepared,
            Err(report) => return Ok((report, false)),
        };
        if let Some(kept) = kept
            && let Some(report) = kept.get(bench, &prepared)?
        {
            return Ok((report, true));
        }
        let mut report = check(bench, &prepared, out, progress)?;
        report.seconds = begun.elapsed().as_secs_f64();
        if let Some(kept) = kept {
            kept.put(bench, &prepared, &report)?;
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

fn check(
    bench: &Bench,
    prepared: &Prepared,
    out: &Path,
    progress: &Progress,
) -> Result<CellReport> {
    let cell = prepared.cell;
    let place = out.join(format!("{}-{}", cell.go, cell.mode));
    let report = cell::check(bench, prepared, &place, |what| progress.at(cell, what))?;
    // Empty where everything is good.
    let _ = std::fs::remove_dir(&place);
    Ok(report)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The line on standard error; where that is no terminal, one line per finished cell instead.
struct Progress {
    total: usize,
    terminal: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    done: usize,
    failed: usize,
    now: BTreeMap<Cell, String>,
    shown: Option<Instant>,
}

/// How often the line is written anew.
const EVERY: Duration = Duration::from_millis(100);

impl Progress {
    fn new(total: usize) -> Self {
        Self {
            total,
            terminal: std::io::stderr().is_terminal(),
            state: Mutex::new(State::default()),
        }
    }

    fn at(&self, cell: Cell, what: &str) {
        let mut state = lock(&self.state);
        state.now.insert(cell, what.to_owned());
        if self.terminal && state.shown.is_none_or(|shown| shown.elapsed() >= EVERY) {
            state.shown = Some(Instant::now());
            let mut line = format!(
                "{}/{} cells, {} failed",
                state.done, self.total, state.failed
            );
            for (cell, what) in &state.now {
                let _ = write!(line, " | {cell}: {what}");
            }
            // Progress that cannot be shown is no reason to stop.
            let _ = write!(std::io::stderr(), "\r\x1b[K{line:.160}");
        }
    }

    fn done(&self, cell: Cell, report: &CellReport, reused: bool) {
        let mut state = lock(&self.state);
        state.now.remove(&cell);
        state.done += 1;
        let failed = matches!(report.outcome, Outcome::Failed { .. });
        state.failed += usize::from(failed);
        if failed || !self.terminal {
            let clear = if self.terminal { "\r\x1b[K" } else { "" };
            let reused = if reused { ", from an earlier run" } else { "" };
            let _ = writeln!(
                std::io::stderr(),
                "{clear}[{}/{}] {cell}: {} ({:.1} s{reused})",
                state.done,
                self.total,
                render::outcome(report),
                report.seconds
            );
        }
    }

    fn clear(&self) {
        if self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
