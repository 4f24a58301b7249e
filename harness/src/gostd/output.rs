//! What a test binary wrote to its standard output with `-test.v` -> the outcome of each test, and the shape of its output.
//!
//! Total: any bytes have outcomes, perhaps none. The lines of `testing` are those of `testing/testing.go` (`=== RUN`,
//! `--- PASS`, …); with `-test.v=test2json` (1.20 and later) a byte 0x16 stands before each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::shape::{is_distress, shape};
use crate::executor::native::process::End;

/// How one test ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It passed.
    Pass,
    /// It failed.
    Fail,
    /// It skipped itself.
    Skip,
    /// It began, and nothing more was heard of it.
    Unfinished,
    /// It is a program that ended with this status.
    Status(i32),
    /// It is a program that this signal ended.
    Signal(i32),
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pass => f.write_str("pass"),
            Self::Fail => f.write_str("fail"),
            Self::Skip => f.write_str("skip"),
            Self::Unfinished => f.write_str("unfinished"),
            Self::Status(status) => End::Status(*status).fmt(f),
            Self::Signal(signal) => End::Signal(*signal).fmt(f),
        }
    }
}

impl From<End> for Outcome {
    /// How a program ended, as an outcome.
    fn from(end: End) -> Self {
        match end {
            End::Status(status) => Self::Status(status),
            End::Signal(signal) => Self::Signal(signal),
            End::TimedOut => Self::Unfinished,
        }
    }
}

/// The name under which output stands that belongs to no test.
pub const NO_TEST: &str = "";

/// Everything that a run's output says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Output {
    /// Outcomes by the full name of the test: `TestX/sub`.
    pub outcomes: BTreeMap<String, Outcome>,
    /// The shapes of the lines that it wrote, by the name of the top-level test.
    pub lines: BTreeMap<String, BTreeSet<String>>,
    /// Of these lines, those that speak of a crash; not masked, the first of each shape.
    pub distress: BTreeMap<String, BTreeSet<String>>,
}

/// A line of `testing` itself: what it says, of which test.
#[allow(
    clippy::expect_used,
    reason = "the pattern is a constant, and a test compiles it"
)]
static RESULT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"--- (PASS|FAIL|SKIP): (\S+) \([0-9.]+s\)$").expect("a pattern"));

/// The test at the top: `TestX` of `TestX/sub`.
#[must_use]
pub fn top(name: &str) -> &str {
    name.split('/').next().unwrap_or(name)
}

impl Output {
    /// Reads what a test binary wrote.
    #[must_use]
    pub fn read(stdout: &[u8]) -> Self {
        let mut output = Self::default();
        let mut current = NO_TEST.to_owned();
        for line in stdout.split(|&byte| byte == b'\n' || byte == MARK) {
            let line = String::from_utf8_lossy(line);
            output.line(line.trim_end_matches('\r'), &mut current);
        }
        output
    }

    fn line(&mut self, line: &str, current: &mut String) {
        // Output that does not end its line stands before `---`.
        if let Some(found) = RESULT.captures(line) {
            let [what, name] = [1, 2].map(|group| found.get(group).map_or("", |m| m.as_str()));
            let outcome = match what {
                "PASS" => Outcome::Pass,
                "SKIP" => Outcome::Skip,
                _ => Outcome::Fail,
            };
            let before = line.get(..found.get(0).map_or(0, |m| m.start()));
            self.wrote(current, before.unwrap_or_default());
            self.outcomes.insert(name.to_owned(), outcome);
            // Up to 1.13 what a test logged follows its result.
            current.clear();
            current.push_str(top(name));
            return;
        }
        if let Some((before, rest)) = line.split_once("=== ")
            && let Some((verb, name)) = rest.split_once(' ')
            && ["RUN", "PAUSE", "CONT", "NAME"].contains(&verb)
        {
            self.wrote(current, before);
            let name = name.trim();
            if verb == "RUN" {
                self.outcomes
                    .entry(name.to_owned())
                    .or_insert(Outcome::Unfinished);
            }
            current.clear();
            current.push_str(top(name));
            return;
        }
        if !matches!(line, "PASS" | "FAIL") {
            self.wrote(current, line);
        }
    }

    /// Adds lines that no test is known to have written, such as those of standard error.
    pub fn add(&mut self, name: &str, text: &[u8]) {
        for line in text.split(|&byte| byte == b'\n') {
            self.wrote(name, &String::from_utf8_lossy(line));
        }
    }

    fn wrote(&mut self, name: &str, line: &str) {
        if line.trim().is_empty() {
            return;
        }
        let shape = shape(line);
        if is_distress(line) {
            let lines = self.distress.entry(name.to_owned()).or_default();
            lines.insert(shape.clone());
        }
        let lines = self.lines.entry(name.to_owned()).or_default();
        lines.insert(shape);
    }
}

/// What `testing` writes before its own lines when a program is to read them (`testing.marker`).
const MARK: u8 = 0x16;

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(text: &str) -> Vec<(String, Outcome)> {
        Output::read(text.as_bytes()).outcomes.into_iter().collect()
    }

    #[test]
    fn outcomes_of_old_and_new_versions_are_read() {
        let old = "=== RUN   TestA\n=== RUN   TestA/x\nno newline--- PASS: TestA (0.01s)\n    --- SKIP: TestA/x (0.00s)\n        a_test.go:3: not here\n=== RUN   TestB\n";
        let new = "\u{16}=== RUN   TestA\n\u{16}=== RUN   TestA/x\n\u{16}=== NAME  TestA\n    a_test.go:3: not here\nno newline\u{16}--- PASS: TestA (0.01s)\n\u{16}    --- SKIP: TestA/x (0.00s)\n\u{16}=== RUN   TestB\n";
        let expected = [
            ("TestA".to_owned(), Outcome::Pass),
            ("TestA/x".to_owned(), Outcome::Skip),
            ("TestB".to_owned(), Outcome::Unfinished),
        ];
        for text in [old, new] {
            assert_eq!(outcomes(text), expected, "{text}");
            let lines = &Output::read(text.as_bytes()).lines["TestA"];
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            assert_eq!(lines, ["a_test.go:#: not here", "no newline"], "{text}");
        }
        assert_eq!(
            outcomes("--- FAIL: TestC (0.00s)\nFAIL\n"),
            [("TestC".to_owned(), Outcome::Fail)]
        );
    }

    #[test]
    fn lines_that_look_similar_are_output() {
        let output = Output::read(b"=== RUN   TestA\n--- PASS: TestB\n=== x\nPASS of it\n\xff\n");
        assert_eq!(output.outcomes.len(), 1);
        assert_eq!(output.lines["TestA"].len(), 4);
        assert!(Output::read(b"").outcomes.is_empty());
    }

    #[test]
    fn distress_is_found_in_the_output_of_its_test() {
        let mut output = Output::read(b"=== RUN   TestA\npanic: x 1\npanic: x 2\n");
        output.add(NO_TEST, b"fatal error: y\nother\n");
        assert_eq!(output.distress["TestA"].len(), 1);
        assert_eq!(output.distress[NO_TEST].len(), 1);
    }
}
