//! Subjects -> [`Row`]s: so many trials of each, several at a time.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::subject::Subject;
use super::trial::{Trial, trial};
use crate::verdict::Verdict;

/// Trials of a hundred that must say what is true.
pub const WANTED_PERCENT: u64 = 99;
/// Trials of a row of which everything is kept if they say something else.
const KEPT: u64 = 5;

/// What came of the trials of one subject.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The program's name.
    #[serde(rename = "program")]
    pub name: String,
    /// The version of Go that built it.
    pub go: String,
    /// What was done to the run that was judged; nothing, if it must agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harm: Option<String>,
    /// Trials in which the verdict was `qualified`.
    pub agreed: u64,
    /// Trials in which it was `undecided`.
    pub undecided: u64,
    /// Trials in which it was `not qualified`.
    pub diverged: u64,
    /// Trials that could not be made.
    pub failed: u64,
    /// Unhooked runs of all trials.
    #[serde(rename = "unhooked_runs")]
    pub unhooked: u64,
    /// Seconds that all trials took together.
    pub seconds: f64,
    /// Why the first few trials said something that is not true.
    pub wrong: Vec<String>,
}

impl Row {
    fn of(subject: &Subject, harmed: bool) -> Self {
        Self {
            name: subject.entry.name.clone(),
            go: subject.go.to_string(),
            harm: subject.entry.harm.clone().filter(|_| harmed),
            agreed: 0,
            undecided: 0,
            diverged: 0,
            failed: 0,
            unhooked: 0,
            seconds: 0.0,
            wrong: Vec::new(),
        }
    }

    /// All trials.
    #[must_use]
    pub const fn trials(&self) -> u64 {
        self.agreed + self.undecided + self.diverged + self.failed
    }

    /// Trials that said what is true: a harmed run diverges, any other agrees.
    #[must_use]
    pub const fn right(&self) -> u64 {
        match self.harm {
            Some(_) => self.diverged,
            None => self.agreed,
        }
    }

    /// Whether enough of them did.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.trials() > 0 && self.right() * 100 >= self.trials() * WANTED_PERCENT
    }

    /// Counts one trial; whether it is one of the first that were wrong.
    fn add(&mut self, trial: &Result<Trial>, elapsed: Duration) -> bool {
        let before = self.right();
        let why = match trial {
            Ok(trial) => {
                self.unhooked += trial.settled.unhooked.len() as u64;
                match trial.verdict {
                    Verdict::Qualified => self.agreed += 1,
                    Verdict::Undecided(_) => self.undecided += 1,
                    Verdict::NotQualified(_) => self.diverged += 1,
                }
                let why = trial.why();
                if why.is_empty() {
                    "it agrees".to_owned()
                } else {
                    why
                }
            }
            Err(error) => {
                self.failed += 1;
                format!("failed: {error:#}")
            }
        };
        self.seconds += elapsed.as_secs_f64();
        let is_told = self.right() == before && (self.wrong.len() as u64) < KEPT;
        if is_told {
            self.wrong.push(why);
        }
        is_told
    }
}

/// Makes the trials of all subjects, `jobs` at a time; of harmed ones as many again with harm. What the first wrong trials
/// of a row wrote is kept below `keep`. `done` is told of each row that is complete.
pub fn run(
    subjects: &[Subject],
    trials: u64,
    jobs: usize,
    keep: Option<&Path>,
    done: impl Fn(&Row) + Sync,
) -> Vec<Row> {
    let rows: Vec<(&Subject, bool)> = subjects
        .iter()
        .flat_map(|subject| {
            let harmed = subject.entry.harm.as_ref().map(|_| (subject, true));
            [Some((subject, false)), harmed].into_iter().flatten()
        })
        .collect();
    let made: Vec<Mutex<Row>> = rows
        .iter()
        .map(|(subject, harmed)| Mutex::new(Row::of(subject, *harmed)))
        .collect();
    let per_row = usize::try_from(trials).unwrap_or(usize::MAX);
    let next = AtomicUsize::new(0);
    let worker = || {
        loop {
            // Relaxed: a counter, which orders nothing.
            let number = next.fetch_add(1, Ordering::Relaxed);
            let at = number / per_row.max(1);
            let (Some((subject, harmed)), Some(row)) = (rows.get(at), made.get(at)) else {
                return;
            };
            let begun = Instant::now();
            let trial = trial(subject, *harmed);
            let mut row = row.lock().unwrap_or_else(PoisonError::into_inner);
            let is_kept = row.add(&trial, begun.elapsed());
            if let (true, Some(dir), Ok(trial)) = (is_kept, keep, &trial) {
                let harmed = if *harmed { "-harmed" } else { "" };
                let name = format!("{}-{}{harmed}-{}", row.name, row.go, row.wrong.len());
                // What was found counts, kept or not.
                if let Err(error) = trial.keep(&dir.join(name.replace('/', "_"))) {
                    row.wrong.push(format!("not kept: {error:#}"));
                }
            }
            if row.trials() == trials {
                done(&row);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(worker);
        }
    });
    let rows = made.into_iter();
    rows.map(|row| row.into_inner().unwrap_or_else(PoisonError::into_inner))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(harm: Option<&str>, agreed: u64, undecided: u64, diverged: u64) -> Row {
        Row {
            name: "a".to_owned(),
            go: "go1.27".to_owned(),
            harm: harm.map(str::to_owned),
            agreed,
            undecided,
            diverged,
            failed: 0,
            unhooked: 0,
            seconds: 0.0,
            wrong: Vec::new(),
        }
    }

    #[test]
    fn undecided_is_neither_agreement_nor_a_catch() {
        assert!(row(None, 99, 1, 0).is_good() && row(Some("x"), 1, 0, 99).is_good());
        for bad in [
            row(None, 98, 2, 0),
            row(None, 98, 0, 2),
            row(None, 0, 0, 0),
            row(Some("x"), 0, 2, 98),
            row(Some("x"), 100, 0, 0),
        ] {
            assert!(!bad.is_good(), "{bad:?}");
        }
        let failed = Row {
            failed: 2,
            ..row(None, 98, 0, 0)
        };
        assert!(!failed.is_good());
    }

    #[test]
    fn what_cannot_be_run_is_wrong_and_told() {
        let mut row = row(None, 0, 0, 0);
        for _ in 0..9 {
            row.add(
                &Err(anyhow::anyhow!("no such file")),
                Duration::from_secs(1),
            );
        }
        assert_eq!((row.failed, row.wrong.len()), (9, 5));
        assert_eq!(row.wrong[0], "failed: no such file");
    }
}
