//! Unhooked runs and a hooked one -> [`Judged`]: what is the same, what is flaky, what is a known deviation, and what is
//! not as it must be.
//!
//! Runs are compared test by test, by outcome and by the lines that each wrote. A test whose unhooked runs differ is flaky:
//! its outcome decides nothing, and of its output only distress counts. Never runs anything.

use std::collections::{BTreeMap, BTreeSet};

use super::Deviation;
use super::output::{NO_TEST, Outcome, Output, top};
use crate::executor::native::process::End;

/// One run of a package's tests.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// How the process ended.
    pub end: End,
    /// What its output says.
    pub output: Output,
    /// The top-level tests that were asked for; all, if none are named.
    pub only: BTreeSet<String>,
}

impl Run {
    fn covers(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.contains(top(name))
    }
}

/// A test that differs, as is known of it.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Known {
    /// The test.
    pub test: String,
    /// How it differs.
    pub what: String,
    /// Why.
    pub why: String,
}

/// What a comparison found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Judged {
    /// Tests that passed in every run.
    pub passed: u64,
    /// Tests that were skipped in every run.
    pub skipped: u64,
    /// Tests that failed in every run in the same way.
    pub failed: u64,
    /// Tests whose unhooked runs differ.
    pub flaky: BTreeSet<String>,
    /// Top-level tests with the same outcomes whose unhooked runs wrote different lines.
    pub varying: BTreeSet<String>,
    /// Tests that differ as is known of them.
    pub known: Vec<Known>,
    /// Everything else that differs: the top-level test, and how.
    pub differing: Vec<(String, String)>,
    /// What is wrong besides.
    pub wrong: Vec<String>,
}

impl Judged {
    /// Whether everything is as it must be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.differing.is_empty() && self.wrong.is_empty()
    }

    /// All tests.
    #[must_use]
    pub fn tests(&self) -> u64 {
        self.passed + self.skipped + self.failed + self.flaky.len() as u64
    }

    /// The top-level tests that differ and must not, unless more unhooked runs show that they are flaky.
    #[must_use]
    pub fn doubtful(&self) -> BTreeSet<String> {
        let names = self.differing.iter().map(|(name, _)| name.clone());
        names.filter(|name| name != NO_TEST).collect()
    }
}

/// Judges a hooked run by unhooked ones, at least two of them whole.
#[must_use]
pub fn judge(unhooked: &[Run], hooked: &Run, deviations: &[&Deviation]) -> Judged {
    let mut judged = Judged::default();
    let mut shown = BTreeSet::new();
    let mut differs = |judged: &mut Judged, name: &str, what: String| {
        let test = top(name).to_owned();
        match deviations.iter().find(|known| known.tests.contains(&test)) {
            Some(known) => {
                shown.insert(test);
                judged.known.push(Known {
                    test: name.to_owned(),
                    what,
                    why: known.why.clone(),
                });
            }
            None => judged.differing.push((test, what)),
        }
    };
    let outcomes = Outcomes::of(unhooked);
    let mut names: BTreeSet<&str> = outcomes.names();
    names.extend(hooked.output.outcomes.keys().map(String::as_str));
    for name in names {
        let found = hooked.output.outcomes.get(name).copied();
        match outcomes.all_of(name).as_slice() {
            [same] if *same == found => match same {
                Some(Outcome::Pass | Outcome::Status(0)) => judged.passed += 1,
                Some(Outcome::Skip) => judged.skipped += 1,
                _ => judged.failed += 1,
            },
            [same] => {
                let text = |outcome: Option<Outcome>| {
                    outcome.map_or("not run".to_owned(), |outcome| outcome.to_string())
                };
                let what = format!("{name}: unhooked {}, hooked {}", text(*same), text(found));
                differs(&mut judged, name, what);
            }
            _ => {
                judged.flaky.insert(name.to_owned());
            }
        }
    }
    for test in tests_with_lines(unhooked, hooked) {
        let flaky = judged.flaky.iter().any(|name| top(name) == test);
        match compare_lines(test, unhooked, hooked, flaky) {
            Lines::Same => {}
            Lines::Varying => drop(judged.varying.insert(test.to_owned())),
            Lines::Differ(what) => differs(&mut judged, test, what),
        }
    }
    for known in deviations.iter().filter(|known| !known.sometimes) {
        let silent = known.tests.iter().filter(|test| {
            let ran = outcomes.all_of(test).as_slice() != [None];
            let skipped = outcomes.all_of(test).as_slice() == [Some(Outcome::Skip)];
            ran && !skipped && !shown.contains(*test)
        });
        judged.wrong.extend(
            silent.map(|test| format!("{test}: the known deviation did not show: {}", known.why)),
        );
    }
    ends(&mut judged, unhooked, hooked);
    judged
}

/// The outcomes of each test in all unhooked runs that were asked for it.
struct Outcomes<'r> {
    runs: &'r [Run],
}

impl<'r> Outcomes<'r> {
    const fn of(runs: &'r [Run]) -> Self {
        Self { runs }
    }

    fn names(&self) -> BTreeSet<&'r str> {
        let runs = self.runs.iter();
        runs.flat_map(|run| run.output.outcomes.keys().map(String::as_str))
            .collect()
    }

    /// Each once; `None` where the run did not have it.
    fn all_of(&self, name: &str) -> Vec<Option<Outcome>> {
        let runs = self.runs.iter().filter(|run| run.covers(name));
        let found: BTreeSet<_> = runs
            .map(|run| run.output.outcomes.get(name).copied())
            .collect();
        found.into_iter().collect()
    }
}

fn tests_with_lines<'r>(unhooked: &'r [Run], hooked: &'r Run) -> BTreeSet<&'r str> {
    let runs = unhooked.iter().chain([hooked]);
    runs.flat_map(|run| run.output.lines.keys().map(String::as_str))
        .collect()
}

enum Lines {
    Same,
    /// Those of the unhooked runs differ, and nothing else was seen.
    Varying,
    Differ(String),
}

fn compare_lines(test: &str, unhooked: &[Run], hooked: &Run, flaky: bool) -> Lines {
    let runs: Vec<&Run> = unhooked.iter().filter(|run| run.covers(test)).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for run in &runs {
        for line in run.output.lines.get(test).into_iter().flatten() {
            *counts.entry(line).or_default() += 1;
        }
    }
    let varying = counts.values().any(|&count| count < runs.len());
    let empty = BTreeSet::new();
    let found = hooked.output.lines.get(test).unwrap_or(&empty);
    let distress = hooked.output.distress.get(test).unwrap_or(&empty);
    let is_new = |line: &&String| !counts.contains_key(line.as_str());
    let label = if test == NO_TEST {
        "output of no test"
    } else {
        test
    };
    if let Some(line) = distress.iter().find(is_new) {
        return Lines::Differ(format!("{label}: only hooked: {line:?}"));
    }
    if varying || flaky {
        return Lines::Varying;
    }
    if let Some(line) = found.iter().find(is_new) {
        return Lines::Differ(format!("{label}: only hooked: {line:?}"));
    }
    match counts.keys().find(|line| !found.contains(**line)) {
        Some(line) => Lines::Differ(format!("{label}: only unhooked: {line:?}")),
        None => Lines::Same,
    }
}

/// The process ends as its tests say, unhooked and hooked, and some test passes: without one nothing is compared.
fn ends(judged: &mut Judged, unhooked: &[Run], hooked: &Run) {
    let labelled = unhooked.iter().map(|run| ("unhooked", run));
    for (label, run) in labelled.chain([("hooked", hooked)]) {
        // `testing.M.Run` is 0 or 1.
        if !matches!(run.end, End::Status(0 | 1)) {
            judged.wrong.push(format!(
                "the tests did not run to their end {label}: {}",
                run.end
            ));
        }
    }
    // Where every test did the same, so did the process; a `TestMain` has an opinion of its own.
    let unhooked: BTreeSet<_> = unhooked
        .iter()
        .filter(|run| run.only.is_empty())
        .map(|run| run.end.to_string())
        .collect();
    let end = hooked.end.to_string();
    if judged.flaky.is_empty()
        && judged.known.is_empty()
        && judged.differing.is_empty()
        && !unhooked.contains(&end)
    {
        let unhooked: Vec<_> = unhooked.into_iter().collect();
        let unhooked = unhooked.join(", ");
        judged
            .wrong
            .push(format!("unhooked {unhooked}, hooked {end}"));
    }
    if judged.passed == 0 {
        judged.wrong.push("no test passed in all runs".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(text: &str) -> Run {
        Run {
            end: End::Status(0),
            output: Output::read(text.as_bytes()),
            only: BTreeSet::new(),
        }
    }

    fn known(test: &str, sometimes: bool) -> Deviation {
        Deviation {
            package: "p".to_owned(),
            tests: vec![test.to_owned()],
            minors: (0, u16::MAX),
            sometimes,
            why: "because".to_owned(),
        }
    }

    const GOOD: &str =
        "=== RUN   TestA\nline 1\n--- PASS: TestA (0.00s)\n--- SKIP: TestB (0.00s)\n";
    const BAD: &str = "=== RUN   TestA\nline 1\n--- FAIL: TestA (0.00s)\n--- SKIP: TestB (0.00s)\n";

    #[test]
    fn the_same_is_good_and_each_difference_is_not() {
        let good = run(GOOD);
        let judged = judge(
            &[good.clone(), good.clone()],
            &run(&GOOD.replace('1', "2")),
            &[],
        );
        assert!(judged.is_good(), "{judged:?}");
        assert_eq!((judged.passed, judged.skipped, judged.tests()), (1, 1, 2));
        for text in [
            BAD.to_owned(),
            GOOD.replace("--- SKIP: TestB (0.00s)\n", ""),
            GOOD.replace("line 1\n", ""),
            GOOD.replace("line 1\n", "line 1\nanother line\n"),
            format!("{GOOD}--- PASS: TestC (0.00s)\n"),
            format!("panic: x\n{GOOD}"),
            format!("{GOOD}=== RUN   TestD\n"),
        ] {
            let judged = judge(&[good.clone(), good.clone()], &run(&text), &[]);
            assert_eq!(judged.differing.len(), 1, "{text}: {judged:?}");
        }
        let crashed = Run {
            end: End::Signal(11),
            ..good.clone()
        };
        assert!(!judge(&[good.clone(), good.clone()], &crashed, &[]).is_good());
        assert!(!judge(&[good.clone(), crashed], &good, &[]).is_good());
        let empty = run("PASS\n");
        assert!(!judge(&[empty.clone(), empty.clone()], &empty, &[]).is_good());
    }

    #[test]
    fn unhooked_runs_that_differ_are_flaky_unless_only_hooked_there_is_distress() {
        let more = format!("{GOOD}--- PASS: TestC (0.00s)\n");
        let (good, bad) = (run(&more), run(&more.replace("PASS: TestA", "FAIL: TestA")));
        let judged = judge(&[good.clone(), bad.clone()], &good, &[]);
        assert!(
            judged.is_good() && judged.flaky.contains("TestA"),
            "{judged:?}"
        );
        let lines = run(&more.replace("line", "word"));
        let judged = judge(
            &[good.clone(), lines],
            &run(&more.replace("line", "mark")),
            &[],
        );
        assert!(
            judged.is_good() && judged.varying.contains("TestA"),
            "{judged:?}"
        );
        let distress = run(&more.replace("line", "fatal error: line"));
        assert!(!judge(&[good.clone(), bad], &distress, &[]).is_good());
    }

    #[test]
    fn more_runs_of_what_is_in_doubt_settle_it() {
        let more = format!("{GOOD}--- PASS: TestC (0.00s)\n");
        let (good, hooked) = (run(&more), run(&more.replace("PASS: TestA", "FAIL: TestA")));
        let judged = judge(&[good.clone(), good.clone()], &hooked, &[]);
        assert_eq!(judged.doubtful(), ["TestA".to_owned()].into());
        let third = Run {
            only: judged.doubtful(),
            ..run("=== RUN   TestA\nline 1\n--- FAIL: TestA (0.00s)\n")
        };
        let judged = judge(&[good.clone(), good, third], &hooked, &[]);
        assert!(judged.is_good() && judged.flaky.len() == 1, "{judged:?}");
    }

    #[test]
    fn a_known_deviation_is_let_pass_and_must_show() {
        let more = format!("{GOOD}--- PASS: TestC (0.00s)\n");
        let (good, bad) = (run(&more), run(&more.replace("PASS: TestA", "FAIL: TestA")));
        let both = [good.clone(), good.clone()];
        let judged = judge(&both, &bad, &[&known("TestA", false)]);
        assert!(judged.is_good() && judged.known.len() == 1, "{judged:?}");
        assert!(!judge(&both, &bad, &[&known("TestC", true)]).is_good());
        assert!(!judge(&both, &good, &[&known("TestA", false)]).is_good());
        assert!(judge(&both, &good, &[&known("TestA", true)]).is_good());
        // Not run, or skipped: nothing could show.
        assert!(
            judge(
                &both,
                &good,
                &[&known("TestB", false), &known("TestZ", false)]
            )
            .is_good()
        );
    }
}
