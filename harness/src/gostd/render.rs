//! Reports of cells -> the table that people read in the terminal.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::cell::CellReport;
use super::run::Finished;
use crate::cells::Report as _;

/// How a cell ended, in a few words.
#[must_use]
pub fn summary_of(report: &CellReport) -> String {
    if !report.is_good() {
        return format!("FAILED: {}", report.reasons.join("; "));
    }
    if !report.was_run() {
        return "not run".to_owned();
    }
    format!(
        "{} tests the same, {} calls hooked",
        short(report),
        report.calls.entered
    )
}

/// What stands in the table for a cell that was not run.
pub const NOT_RUN: &str = "–";

/// What stands in the table: the tests that passed in every run, and what else there was.
pub(super) fn short(report: &CellReport) -> String {
    if !report.is_good() {
        return "FAILED".to_owned();
    }
    if !report.was_run() {
        return NOT_RUN.to_owned();
    }
    let mut text = report.passed.to_string();
    for (count, name) in [(report.known.len(), "known"), (report.flaky.len(), "flaky")] {
        if count > 0 {
            let _ = write!(text, ", {count} {name}");
        }
    }
    text
}

/// A number of calls, for people: `12 M`.
pub(super) fn calls(count: u64) -> String {
    match count {
        0..10_000 => count.to_string(),
        10_000..10_000_000 => format!("{} k", count / 1000),
        _ => format!("{} M", count / 1_000_000),
    }
}

/// The versions that are there, in their order.
pub(super) fn versions(finished: &Finished) -> Vec<&str> {
    let mut versions: Vec<&str> = Vec::new();
    for cell in finished.cells() {
        if versions.last() != Some(&cell.go.as_str()) {
            versions.push(&cell.go);
        }
    }
    versions
}

/// The rows of a table package × version; `None` where a package was not run on a version.
pub(super) fn rows(finished: &Finished) -> Vec<(&str, Vec<Option<&CellReport>>)> {
    let versions = versions(finished);
    let mut rows: BTreeMap<&str, Vec<Option<&CellReport>>> = BTreeMap::new();
    for cell in finished.cells() {
        let row = rows
            .entry(&cell.package)
            .or_insert_with(|| vec![None; versions.len()]);
        if let Some(index) = versions.iter().position(|go| *go == cell.go)
            && let Some(place) = row.get_mut(index)
        {
            *place = Some(cell);
        }
    }
    rows.into_iter().collect()
}

/// The run in one line.
#[must_use]
pub fn summary(finished: &Finished) -> String {
    let failed = finished.cells().filter(|cell| !cell.is_good()).count();
    let sum = |of: fn(&CellReport) -> u64| finished.cells().map(of).sum::<u64>();
    let (flaky, tests) = finished.flaky();
    format!(
        "{} cells in {:.0} s, {failed} failed, {} not run, {} from earlier runs; of {tests} tests {} passed the same, {} were skipped, {} failed the same, {} differed as is known of them, {flaky} were flaky ({:.2} %); {} calls hooked, {} spans",
        finished.reports.len(),
        finished.elapsed.as_secs_f64(),
        finished.not_run(),
        finished.reused,
        sum(|cell| cell.passed),
        sum(|cell| cell.skipped),
        sum(|cell| cell.failed),
        sum(|cell| cell.known.len() as u64),
        flaky as f64 * 100.0 / tests.max(1) as f64,
        calls(sum(|cell| cell.calls.entered)),
        calls(sum(|cell| cell.calls.spans)),
    )
}

/// Renders the table, every failure, and what is flaky or known.
#[must_use]
pub fn table(finished: &Finished) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, finished);
    text
}

fn write(out: &mut String, finished: &Finished) -> std::fmt::Result {
    write!(out, "{:<28}", "")?;
    for go in versions(finished) {
        write!(out, "{go:>20}")?;
    }
    writeln!(out)?;
    for (package, row) in rows(finished) {
        write!(out, "{package:<28}")?;
        for cell in row {
            write!(out, "{:>20}", cell.map_or(String::new(), short))?;
        }
        writeln!(out)?;
    }
    writeln!(
        out,
        "\ntests that passed unhooked and hooked; known: differ as testbins/std.toml says; flaky: differ unhooked; –: not run\n"
    )?;
    for line in notes(finished) {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "\n{}", summary(finished))
}

/// Everything that a table does not say, one line each; failures first.
pub(super) fn notes(finished: &Finished) -> Vec<String> {
    let mut lines = Vec::new();
    let label = |cell: &CellReport| format!("{} {}", cell.go, cell.package);
    for cell in finished.cells() {
        let reasons = cell.reasons.iter();
        lines.extend(reasons.map(|reason| format!("FAILED {}: {reason}", label(cell))));
    }
    let mut known: BTreeMap<(&str, &str, &str), Vec<&str>> = BTreeMap::new();
    for cell in finished.cells() {
        for one in &cell.known {
            let versions = known
                .entry((&cell.package, &one.test, &one.why))
                .or_default();
            if !versions.contains(&cell.go.as_str()) {
                versions.push(&cell.go);
            }
        }
    }
    for ((package, test, why), versions) in known {
        lines.push(format!(
            "known  {package} {test} ({}): {why}",
            versions.join(", ")
        ));
    }
    for cell in finished.cells() {
        for (word, names) in [
            ("flaky ", &cell.flaky),
            ("varies", &cell.varying),
            ("waits ", &cell.endless),
        ] {
            if !names.is_empty() {
                lines.push(format!("{word} {}: {}", label(cell), names.join(", ")));
            }
        }
    }
    lines
}
