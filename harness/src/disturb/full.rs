//! The full set: the shapes of `testbins/disturbed` × Go versions × scenarios, each a run of `gondwana-harness disturb` of
//! its own, since a machine that is copied wants a process with one thread.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result, bail};
use gondwana_engine::golang::GoVersion;
use serde::{Deserialize, Serialize};

use super::kind::Kind;
use super::matrix::{Counts, Matrix, NOTHING};

/// A subject of `testbins/disturbed`: its name there, and the function to hook.
pub const SUBJECTS: [(&str, &str); 16] = [
    ("leaf", "main.leaf"),
    ("nosplit", "main.nosplit"),
    ("small", "main.small"),
    ("medium", "main.medium"),
    ("huge", "main.huge"),
    ("many", "main.many"),
    ("pointer", "main.pointer"),
    ("closure", "main.capture.func1"),
    ("method", "main.value.method"),
    ("floats", "main.floats"),
    ("assembly", "main.assembly"),
    ("asmleaf", "main.asmleaf"),
    ("recoverer", "main.recoverer"),
    ("defers", "main.defers"),
    ("variadic", "main.variadic"),
    ("wide", "main.wide"),
];

/// How the call is found.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// With a large stack; garbage is collected while the program runs.
    Roomy,
    /// With as little stack as a call can have: the stack grows under the hook's frame, or the hook steps aside.
    Tight,
    /// With a large stack; the world stands still while garbage is collected.
    Stopped,
    /// With a large stack; all threads share one ring, as those beyond the first 256 do.
    Shared,
}

impl Scenario {
    /// All.
    pub const ALL: [Self; 4] = [Self::Roomy, Self::Tight, Self::Stopped, Self::Shared];

    /// `GODEBUG`: each collection is checked against a second one, and freed memory is overwritten (from 1.12 on; versions
    /// ignore what they do not know). `gcstoptheworld=2` is not used: 1.18 to 1.21 do not survive it.
    #[must_use]
    pub const fn environment(self) -> &'static str {
        match self {
            Self::Roomy | Self::Tight | Self::Shared => "GODEBUG=gccheckmark=1,clobberfree=1",
            Self::Stopped => "GODEBUG=gccheckmark=1,clobberfree=1,gcstoptheworld=1",
        }
    }

    /// The kinds that it changes anything for, of these; of all if there are none.
    #[must_use]
    pub fn kinds_of(self, only: &[Kind]) -> Vec<Kind> {
        let kinds: &[Kind] = match self {
            Self::Roomy | Self::Tight | Self::Shared => &Kind::ALL,
            Self::Stopped => &[Kind::Gc, Kind::Shrink, Kind::Sigurg],
        };
        let wanted = |kind: &Kind| only.is_empty() || only.contains(kind);
        kinds.iter().copied().filter(wanted).collect()
    }
}

impl std::fmt::Display for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Roomy => "roomy",
            Self::Tight => "tight",
            Self::Stopped => "stopped",
            Self::Shared => "shared",
        })
    }
}

/// One run to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    /// Go version.
    pub version: GoVersion,
    /// The program.
    pub program: PathBuf,
    /// Name of the subject and the function to hook.
    pub subject: (&'static str, &'static str),
    /// How.
    pub scenario: Scenario,
    /// The disturbances.
    pub kinds: Vec<Kind>,
}

/// What one run gave.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// Go version.
    pub version: String,
    /// The subject.
    pub subject: String,
    /// How.
    pub scenario: Scenario,
    /// Instructions that the call executes of its hook.
    pub steps: usize,
    /// Counts of all cells.
    pub counts: Counts,
    /// Counts by kind.
    pub kinds: BTreeMap<Kind, Counts>,
    /// Unhooked runs that were disturbed, and how many of them diverged or could not be decided.
    pub controls: (usize, usize),
    /// The first cells that diverged or were inconclusive.
    pub findings: Vec<String>,
}

impl Row {
    /// Whether something diverged or could not be decided.
    #[must_use]
    pub const fn is_bad(&self) -> bool {
        self.counts.diverge + self.counts.inconclusive > 0 || self.controls.1 > 0
    }
}

/// What these runs say nothing about, a line each: a run of all its scenario's kinds of which none had an effect, and a kind
/// that had none in any run.
#[must_use]
pub fn undecided(rows: &[Row]) -> Vec<String> {
    let disturbs = |counts: &Counts| counts.disturbed() > 0;
    let idle = rows.iter().filter(|row| {
        row.kinds.len() == row.scenario.kinds_of(&[]).len() && !row.kinds.values().any(disturbs)
    });
    let idle = idle.map(|row| {
        format!(
            "{} {} {}: {NOTHING}",
            row.version, row.subject, row.scenario
        )
    });
    let kinds = Kind::ALL.into_iter().filter(|kind| {
        let mut counts = rows.iter().filter_map(|row| row.kinds.get(kind)).peekable();
        counts.peek().is_some() && !counts.any(disturbs)
    });
    let kinds = kinds.map(|kind| format!("{NOTHING} by {kind}"));
    let none = rows.is_empty().then(|| NOTHING.to_owned());
    none.into_iter().chain(idle).chain(kinds).collect()
}

/// Exit status that follows: 0 if nothing diverged, all could be decided and was disturbed, else 1.
#[must_use]
pub fn exit_status(rows: &[Row]) -> u8 {
    u8::from(rows.iter().any(Row::is_bad) || !undecided(rows).is_empty())
}

/// Name and version of the form of the JSON of all runs.
pub const SCHEMA: &str = "gondwana.disturb-set/1";

/// What `--full --json` prints.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Document<'r> {
    schema: &'static str,
    undecided: Vec<String>,
    runs: &'r [Row],
}

impl<'r> Document<'r> {
    /// These runs, under the name of their form.
    #[must_use]
    pub fn new(runs: &'r [Row]) -> Self {
        Self {
            schema: SCHEMA,
            undecided: undecided(runs),
            runs,
        }
    }
}

/// Findings kept of one run.
const KEPT: usize = 5;

impl Job {
    /// The command, without the harness's own name.
    #[must_use]
    pub fn arguments(&self, seed: u64, out: &Path) -> Vec<String> {
        let mut arguments = vec![
            "disturb".to_owned(),
            self.program.display().to_string(),
            "--hook".to_owned(),
            self.subject.1.to_owned(),
            "--seed".to_owned(),
            seed.to_string(),
            "--env".to_owned(),
            self.scenario.environment().to_owned(),
            "--out".to_owned(),
            out.display().to_string(),
            "--json".to_owned(),
        ];
        match self.scenario {
            Scenario::Roomy | Scenario::Stopped => {}
            Scenario::Tight => arguments.push("--tight".to_owned()),
            Scenario::Shared => arguments.push("--shared-ring".to_owned()),
        }
        for kind in &self.kinds {
            arguments.extend(["--only".to_owned(), kind.to_string()]);
        }
        arguments.extend(["--args".to_owned(), self.subject.0.to_owned()]);
        arguments
    }

    fn run(&self, harness: &Path, seed: u64, out: &Path) -> Result<Row> {
        let name = format!("{}-{}-{}", self.version, self.subject.0, self.scenario);
        let output = Command::new(harness)
            .args(self.arguments(seed, &out.join(&name)))
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .with_context(|| format!("run {}", harness.display()))?;
        if !matches!(output.status.code(), Some(0 | 1)) {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{name}: {}: {}", output.status, said.trim_end());
        }
        let matrix: Matrix = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("{name}: the matrix"))?;
        Ok(self.row(&matrix))
    }

    fn row(&self, matrix: &Matrix) -> Row {
        let kinds = self.kinds.iter();
        Row {
            version: self.version.to_string(),
            subject: self.subject.0.to_owned(),
            scenario: self.scenario,
            steps: matrix.steps,
            counts: matrix.counts(),
            kinds: kinds.map(|&kind| (kind, matrix.counts_of(kind))).collect(),
            controls: (matrix.controls.len(), matrix.bad_controls().count()),
            findings: matrix.findings().take(KEPT).collect(),
        }
    }
}

/// Makes all runs, `workers` at a time; `done` is told of each in turn.
///
/// # Errors
/// A run that fails as a tool; a divergence is no failure here.
pub fn run(
    harness: &Path,
    jobs: &[Job],
    seed: u64,
    out: &Path,
    workers: usize,
    done: impl Fn(&Row) + Sync,
) -> Result<Vec<Row>> {
    let next = Mutex::new(jobs.iter().enumerate());
    let rows = Mutex::new(BTreeMap::new());
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..workers.max(1) {
            scope.spawn(|| {
                while failed.lock().is_ok_and(|failed| failed.is_none()) {
                    let Some((index, job)) = next.lock().ok().and_then(|mut jobs| jobs.next())
                    else {
                        break;
                    };
                    match job.run(harness, seed, out) {
                        Ok(row) => {
                            done(&row);
                            if let Ok(mut rows) = rows.lock() {
                                rows.insert(index, row);
                            }
                        }
                        Err(error) => {
                            if let Ok(mut failed) = failed.lock() {
                                failed.get_or_insert(error);
                            }
                        }
                    }
                }
            });
        }
    });
    if let Some(error) = failed.into_inner().unwrap_or_default() {
        return Err(error);
    }
    Ok(rows
        .into_inner()
        .unwrap_or_default()
        .into_values()
        .collect())
}

/// The sum of all rows, as text: one line for each Go version, then the kinds.
#[must_use]
pub fn render(rows: &[Row]) -> String {
    let mut versions: Vec<&str> = Vec::new();
    for row in rows {
        if !versions.contains(&row.version.as_str()) {
            versions.push(&row.version);
        }
    }
    let mut text = format!(
        "{:<12}{:>9}{:>9}{:>11}{:>9}{:>11}{:>9}{:>14}\n",
        "version", "calls", "steps", "cells", "agree", "no effect", "diverge", "inconclusive"
    );
    let mut line = |name: &str, rows: &[&Row]| {
        let mut counts = Counts::default();
        for row in rows {
            counts.add_all(row.counts);
        }
        let steps: usize = rows.iter().map(|row| row.steps).sum();
        text.push_str(&format!(
            "{name:<12}{:>9}{steps:>9}{:>11}{:>9}{:>11}{:>9}{:>14}\n",
            rows.len(),
            counts.sum(),
            counts.agree,
            counts.no_effect,
            counts.diverge,
            counts.inconclusive
        ));
    };
    for version in versions {
        let of: Vec<&Row> = rows.iter().filter(|row| row.version == version).collect();
        line(version, &of);
    }
    line("all", &rows.iter().collect::<Vec<_>>());
    text.push('\n');
    for kind in Kind::ALL {
        let mut counts = Counts::default();
        for row in rows {
            counts.add_all(row.kinds.get(&kind).copied().unwrap_or_default());
        }
        text.push_str(&format!("{:<12}{counts}\n", kind.name()));
    }
    let controls: usize = rows.iter().map(|row| row.controls.0).sum();
    let bad: usize = rows.iter().map(|row| row.controls.1).sum();
    text.push_str(&format!(
        "controls    {controls} without hooks, {bad} of them not as undisturbed\n"
    ));
    for row in rows {
        for finding in &row.findings {
            text.push_str(&format!(
                "{} {} {}: {finding}\n",
                row.version, row.subject, row.scenario
            ));
        }
    }
    for why in undecided(rows) {
        text.push_str(&format!("undecided: {why}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(scenario: Scenario, kinds: &[(Kind, bool)]) -> Row {
        let counts = |&(kind, effect): &(Kind, bool)| {
            let counts = Counts {
                agree: u64::from(effect),
                no_effect: 3,
                ..Counts::default()
            };
            (kind, counts)
        };
        Row {
            version: "go1.21.0".to_owned(),
            subject: "small".to_owned(),
            scenario,
            steps: 1,
            counts: Counts::default(),
            kinds: kinds.iter().map(counts).collect(),
            controls: (0, 0),
            findings: Vec::new(),
        }
    }

    #[test]
    fn kinds_and_runs_without_an_effect_have_not_passed() {
        let all = |effect: bool| Kind::ALL.map(|kind| (kind, effect));
        let mut but_shrink = all(true);
        but_shrink[5].1 = false;
        assert_eq!(but_shrink[5].0, Kind::Shrink);
        for (rows, expected) in [
            (vec![row(Scenario::Roomy, &all(true))], vec![]),
            (vec![], vec!["nothing was disturbed"]),
            (
                vec![
                    row(Scenario::Roomy, &all(true)),
                    row(Scenario::Tight, &all(false)),
                ],
                vec!["go1.21.0 small tight: nothing was disturbed"],
            ),
            (
                vec![
                    row(Scenario::Roomy, &all(true)),
                    row(Scenario::Tight, &but_shrink),
                ],
                vec![],
            ),
            (
                vec![row(Scenario::Tight, &but_shrink)],
                vec!["nothing was disturbed by shrink"],
            ),
            (
                vec![
                    row(Scenario::Roomy, &[(Kind::Grow, false)]),
                    row(Scenario::Roomy, &[(Kind::Grow, true)]),
                ],
                vec![],
            ),
            (
                vec![row(Scenario::Roomy, &[(Kind::Grow, false)])],
                vec!["nothing was disturbed by grow"],
            ),
        ] {
            assert_eq!(undecided(&rows), expected);
            assert_eq!(exit_status(&rows), u8::from(!expected.is_empty()));
        }
    }
}
