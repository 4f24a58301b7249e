//! Cells -> their reports, several at a time, with a line on standard error that says how far it is.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};
use std::io::{IsTerminal, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Report;

/// What a run of many cells found.
#[derive(Clone, Debug)]
pub struct Finished<C, R> {
    /// One report per cell, in the order of the cells.
    pub reports: Vec<(C, R)>,
    /// Cells whose report an earlier run has made.
    pub reused: usize,
    /// How long it took.
    pub elapsed: Duration,
}

/// Runs the cells, `jobs` at a time. `one` makes the report of a cell and says whether an earlier run has made it; it tells
/// what it is doing.
pub fn run<C, R>(
    cells: &[C],
    jobs: usize,
    one: impl Fn(&C, &dyn Fn(&str)) -> (R, bool) + Sync,
) -> Finished<C, R>
where
    C: Clone + Ord + Display + Send + Sync,
    R: Report + Send,
{
    let begun = Instant::now();
    let next = AtomicUsize::new(0);
    let progress = Progress::new(cells.len());
    let reports = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, cells.len().max(1)) {
            scope.spawn(|| {
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let (report, reused) = one(cell, &|what| progress.at(cell, what));
                    progress.done(cell, &report, reused);
                    lock(&reports).push((cell.clone(), report, reused));
                }
            });
        }
    });
    progress.clear();
    let mut reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    Finished {
        reused: reports.iter().filter(|(.., reused)| *reused).count(),
        reports: reports
            .into_iter()
            .map(|(cell, report, _)| (cell, report))
            .collect(),
        elapsed: begun.elapsed(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The line on standard error; where that is no terminal, one line per finished cell instead.
struct Progress<C> {
    total: usize,
    terminal: bool,
    state: Mutex<State<C>>,
}

struct State<C> {
    done: usize,
    failed: usize,
    now: BTreeMap<C, String>,
    shown: Option<Instant>,
}

/// How often the line is written anew.
const EVERY: Duration = Duration::from_millis(100);

impl<C: Clone + Ord + Display> Progress<C> {
    fn new(total: usize) -> Self {
        Self {
            total,
            terminal: std::io::stderr().is_terminal(),
            state: Mutex::new(State {
                done: 0,
                failed: 0,
                now: BTreeMap::new(),
                shown: None,
            }),
        }
    }

    fn at(&self, cell: &C, what: &str) {
        let mut state = lock(&self.state);
        state.now.insert(cell.clone(), what.to_owned());
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

    fn done(&self, cell: &C, report: &impl Report, reused: bool) {
        let mut state = lock(&self.state);
        state.now.remove(cell);
        state.done += 1;
        let failed = !report.is_good();
        state.failed += usize::from(failed);
        if failed || !self.terminal {
            let clear = if self.terminal { "\r\x1b[K" } else { "" };
            let reused = if reused { ", from an earlier run" } else { "" };
            let _ = writeln!(
                std::io::stderr(),
                "{clear}[{}/{}] {cell}: {} ({:.1} s{reused})",
                state.done,
                self.total,
                report.summary(),
                report.seconds()
            );
        }
    }

    fn clear(&self) {
        if self.terminal {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}
