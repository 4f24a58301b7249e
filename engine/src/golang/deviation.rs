//! What a program can notice of hooks although they are harmless: stable codes, and sets of them.
//!
//! Which releases show what is data: [`super::tables::DEVIATIONS`]. A set belongs to a program, not to one hook: all hooks
//! of a program are made alike.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::codes::codes;

codes! {
    /// Stable codes; never renamed, only added. `Display` and serde give the same kebab-case form.
    pub enum Deviation {
        CallersPlusOne = "callers+1": "A hooked call is one frame more in runtime.Callers, and so in profiles, execution traces and the lines of logs.",
        Tracebacks = "tracebacks": "Every printed traceback shows the frames of hooks, those of runtime.Stack too.",
        SystemTracebacks = "system-tracebacks": "At GOTRACEBACK=system or crash, the tracebacks that end a program show the frames of hooks.",
        ThrowTraceback = "throw-traceback": "After a throw or a fatal signal, SIGQUIT too, the traceback of the goroutine that it hit shows the frames of hooks.",
        ThrowTracebacks = "throw-tracebacks": "After a throw or a fatal signal, SIGQUIT too, the tracebacks of all other goroutines show the frames of hooks.",
        FatalErrorTraceback = "fatal-error-traceback": "After a fatal error of the program's own making, as concurrent map writes, the traceback of its goroutine shows the frames of hooks.",
        CpuProfileLine = "cpu-profile-line": "A CPU profile's sample that falls into a hook names the line behind the call instead of the line of the call.",
        TraceDepth = "trace-depth": "Stacks in execution traces reach less deep: the frames of hooks count among those that are kept (128).",
        BlockProfileFrames = "block-profile-frames": "Block and mutex profiles show the frames of hooks.",
        BlockProfileDepth = "block-profile-depth": "Stacks in block and mutex profiles reach less deep: the frames of hooks count among those that are kept (32, from 1.23 on 128).",
        StackUse = "stack-use": "A hooked call takes more stack while it runs, so that stacks grow earlier.",
        RaceReports = "race-reports": "Reports of the race detector name the hook in place of the line that called the hooked function.",
    }
}

impl Deviation {
    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// A set of deviations. `Display` gives the codes with spaces between them, serde a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Deviations(u16);

impl Deviations {
    /// The empty set.
    pub const NONE: Self = Self(0);

    pub(super) const fn with(self, deviation: Deviation) -> Self {
        Self(self.0 | deviation.bit())
    }

    /// Whether `deviation` is in it.
    #[must_use]
    pub const fn contains(self, deviation: Deviation) -> bool {
        self.0 & deviation.bit() != 0
    }

    /// Those in it, in the order of [`Deviation::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Deviation> {
        let all = Deviation::ALL.iter().copied();
        all.filter(move |&deviation| self.contains(deviation))
    }

    /// Their codes.
    #[must_use]
    pub fn codes(self) -> Vec<String> {
        self.iter().map(|deviation| deviation.to_string()).collect()
    }
}

impl fmt::Display for Deviations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, deviation) in self.iter().enumerate() {
            let space = if index > 0 { " " } else { "" };
            write!(f, "{space}{deviation}")?;
        }
        Ok(())
    }
}

impl Serialize for Deviations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::golang::tables::DEVIATIONS;
    use crate::golang::{Facts, GoVersion, NEWEST, OLDEST};

    #[test]
    fn codes_are_kebab_case_and_explained() {
        let mut seen = HashSet::new();
        for &deviation in Deviation::ALL {
            let text = deviation.to_string();
            assert_eq!(
                serde_json::to_value(deviation).unwrap(),
                serde_json::json!(text)
            );
            // A number of frames is not lower-case text.
            let bytes = text.strip_suffix("+1").unwrap_or(&text).bytes();
            assert!(
                bytes.clone().all(|b| b.is_ascii_lowercase() || b == b'-'),
                "{text}"
            );
            assert!(
                deviation.explain().ends_with('.') && !deviation.explain().contains('\n'),
                "{text}"
            );
            assert!(seen.insert(text), "twice");
        }
    }

    #[test]
    fn every_code_has_one_row_and_every_row_a_source() {
        let rows: Vec<Deviation> = DEVIATIONS.iter().map(|row| row.deviation).collect();
        assert_eq!(rows, Deviation::ALL);
        for row in &DEVIATIONS {
            assert!(row.source.contains(".go"), "{}", row.deviation);
        }
    }

    /// `1.5 to 1.9, from 1.19 on`, of a row.
    fn releases(when: &[crate::golang::tables::Change<()>]) -> String {
        let mut parts = Vec::new();
        for (index, change) in when.iter().enumerate() {
            if change.value.is_none() {
                continue;
            }
            let first = change.since.minor;
            parts.push(match when.get(index + 1) {
                Some(end) => format!("1.{first} to 1.{}", end.since.minor - 1),
                None if first == OLDEST => "all".to_owned(),
                None => format!("from 1.{first} on"),
            });
        }
        parts.join(", ")
    }

    #[test]
    fn the_documents_have_the_rows() {
        let document = include_str!("../../docs/STREAM.md");
        let readme = include_str!("../../../README.md");
        for row in &DEVIATIONS {
            let when = releases(row.when);
            let only = if row.race { ", with `-race`" } else { "" };
            let (code, explain) = (row.deviation, row.deviation.explain());
            let line = format!("| `{code}` | {when}{only} | {explain} |\n");
            assert!(document.contains(&line), "STREAM.md lacks {line}");
            let short = format!("| `{code}` | {when}{only} |");
            assert!(readme.contains(&short), "README.md lacks {short}");
        }
    }

    #[test]
    fn a_set_is_what_the_rows_of_a_release_say() {
        let of = |minor, race| {
            let facts = Facts::for_version(GoVersion::new(minor, 0)).unwrap();
            facts.deviations(race)
        };
        assert_eq!(
            of(9, false).to_string(),
            "callers+1 tracebacks system-tracebacks throw-traceback throw-tracebacks fatal-error-traceback \
             trace-depth block-profile-frames block-profile-depth stack-use"
        );
        assert_eq!(
            serde_json::to_value(of(17, false)).unwrap(),
            serde_json::json!([
                "system-tracebacks",
                "throw-traceback",
                "fatal-error-traceback",
                "cpu-profile-line",
                "stack-use"
            ])
        );
        for minor in OLDEST..=NEWEST {
            assert!(of(minor, true).contains(Deviation::RaceReports));
            assert!(!of(minor, false).contains(Deviation::RaceReports));
        }
    }
}
