//! Reports of cells -> the table that people read in the terminal.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::cell::{CellReport, Outcome};
use super::run::Finished;
use crate::build::Mode;

/// How a cell ended, in a few words.
#[must_use]
pub fn outcome(report: &CellReport) -> String {
    match &report.outcome {
        Outcome::Qualified => {
            let share = report
                .program
                .as_ref()
                .map_or(0.0, |program| program.share());
            format!("qualified, {share:.1} % hookable")
        }
        Outcome::Failed { reasons } => format!("FAILED: {}", reasons.join("; ")),
        Outcome::Refused { code } => format!("refused ({code})"),
        Outcome::Skipped { why } => format!("skipped: {why}"),
    }
}

/// What stands in the table.
fn short(report: &CellReport) -> String {
    match &report.outcome {
        Outcome::Qualified => {
            let program = report.program.as_ref();
            let share = program.map_or(0.0, |program| program.share());
            let refused = program.map_or(0, |program| program.functions - program.hookable);
            format!("{share:.1}% {refused:>5}")
        }
        Outcome::Failed { .. } => match report.diverged() {
            0 => "FAILED".to_owned(),
            diverged => format!("DIVERGED {diverged}"),
        },
        Outcome::Refused { .. } => "refused".to_owned(),
        Outcome::Skipped { .. } => "-".to_owned(),
    }
}

/// The modes that are there, in their order.
pub(super) fn modes(finished: &Finished) -> Vec<Mode> {
    let there = |mode: &Mode| finished.reports.iter().any(|(cell, _)| cell.mode == *mode);
    Mode::ALL.into_iter().filter(there).collect()
}

/// The rows of a table version × mode; `None` where a version is not run in a mode.
pub(super) fn rows(finished: &Finished) -> Vec<(String, Vec<Option<&CellReport>>)> {
    let modes = modes(finished);
    let mut rows: BTreeMap<_, BTreeMap<Mode, &CellReport>> = BTreeMap::new();
    for (cell, report) in &finished.reports {
        rows.entry(cell.go).or_default().insert(cell.mode, report);
    }
    rows.into_iter()
        .map(|(go, row)| {
            let cells = modes.iter().map(|mode| row.get(mode).copied()).collect();
            (go.to_string(), cells)
        })
        .collect()
}

/// How often each of some texts occurs, the most frequent first.
fn counted<'a>(texts: impl Iterator<Item = (&'a str, u64)>) -> Vec<(&'a str, u64)> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for (text, count) in texts {
        *counts.entry(text).or_default() += count;
    }
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    counts
}

/// The numbers of the whole run.
pub(super) struct Totals<'a> {
    pub(super) qualified: usize,
    /// Cells that are not as they must be.
    pub(super) failed: usize,
    /// Cells whose program is refused as it must be.
    pub(super) refused: usize,
    /// Cells that were left out.
    pub(super) skipped: usize,
    /// Checks, not cells.
    pub(super) diverged: u64,
    /// Reasons for which cells were skipped.
    pub(super) whys: Vec<(&'a str, u64)>,
    /// Test programs that were left out of cells, by reason.
    pub(super) left_out: Vec<(String, u64)>,
    /// Refused functions by code.
    pub(super) codes: Vec<(&'a str, u64)>,
}

pub(super) fn totals(finished: &Finished) -> Totals<'_> {
    let reports = || finished.reports.iter().map(|(_, report)| report);
    let count = |is: fn(&Outcome) -> bool| reports().filter(|report| is(&report.outcome)).count();
    let left_out: Vec<String> = reports()
        .flat_map(|report| &report.skipped)
        .map(|program| format!("{}: {}", program.name, program.why))
        .collect();
    Totals {
        qualified: count(|outcome| matches!(outcome, Outcome::Qualified)),
        failed: count(|outcome| matches!(outcome, Outcome::Failed { .. })),
        refused: count(|outcome| matches!(outcome, Outcome::Refused { .. })),
        skipped: count(|outcome| matches!(outcome, Outcome::Skipped { .. })),
        diverged: reports().map(CellReport::diverged).sum(),
        whys: counted(reports().filter_map(|report| match &report.outcome {
            Outcome::Skipped { why } => Some((why.as_str(), 1)),
            _ => None,
        })),
        left_out: counted(left_out.iter().map(|text| (text.as_str(), 1)))
            .into_iter()
            .map(|(text, count)| (text.to_owned(), count))
            .collect(),
        codes: counted(
            reports()
                .filter_map(|report| report.program.as_ref())
                .flat_map(|program| &program.refused)
                .map(|(code, &count)| (code.as_str(), count)),
        ),
    }
}

/// Renders the table, what was left out and why, and every failure.
#[must_use]
pub fn table(finished: &Finished) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, finished);
    text
}

fn write(out: &mut String, finished: &Finished) -> std::fmt::Result {
    let modes = modes(finished);
    write!(out, "{:<10}", "")?;
    for mode in &modes {
        write!(out, "{:>14}", mode.to_string())?;
    }
    writeln!(out)?;
    for (go, row) in rows(finished) {
        write!(out, "{go:<10}")?;
        for cell in row {
            write!(out, "{:>14}", cell.map_or(String::new(), short))?;
        }
        writeln!(out)?;
    }
    writeln!(
        out,
        "\nqualified: share of hookable functions, and how many are refused; -: skipped; empty: not asked for\n"
    )?;
    let totals = totals(finished);
    for (cell, report) in &finished.reports {
        if let Outcome::Failed { reasons } = &report.outcome {
            for reason in reasons {
                writeln!(out, "{cell}: {reason}")?;
            }
        }
    }
    for (code, count) in &totals.codes {
        writeln!(out, "refused  {count:>9} functions: {code}")?;
    }
    for (why, count) in &totals.whys {
        writeln!(out, "skipped  {count:>9} cells: {why}")?;
    }
    for (what, count) in &totals.left_out {
        writeln!(out, "left out in {count:>6} cells: {what}")?;
    }
    writeln!(out, "\n{}", summary(finished))
}

/// The run in one line.
pub(super) fn summary(finished: &Finished) -> String {
    let totals = totals(finished);
    format!(
        "{} cells in {:.0} s: {} qualified, {} failed, {} refused as a whole, {} skipped; {} checks diverged; {} from earlier runs",
        finished.reports.len(),
        finished.elapsed.as_secs_f64(),
        totals.qualified,
        totals.failed,
        totals.refused,
        totals.skipped,
        totals.diverged,
        finished.reused
    )
}
