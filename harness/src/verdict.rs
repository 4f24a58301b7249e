//! The checks of each section -> its [`Conclusion`]; the sections -> the [`Verdict`]. The rules stand here and nowhere else.
//!
//! A section agrees if checks of it agreed and none diverged or was left open: agreement in one section says nothing about
//! another. Only where checks are many and alike, as in the section of relocation, may one in a hundred be inconclusive.

use serde::{Deserialize, Serialize};

/// Inconclusive checks of a hundred that a section of many alike checks lets pass.
const INCONCLUSIVE_PERCENT: u64 = 1;

/// Answers, counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Checks that agreed.
    pub agreed: u64,
    /// Checks that diverged.
    pub diverged: u64,
    /// Checks that could not be completed.
    pub inconclusive: u64,
}

impl Counts {
    /// Counts one answer.
    pub fn add(&mut self, answer: &crate::oracle::Answer) {
        use crate::oracle::Answer;
        match answer {
            Answer::Agree => self.agreed += 1,
            Answer::Diverge(_) => self.diverged += 1,
            Answer::Inconclusive(_) => self.inconclusive += 1,
        }
    }

    /// All checks.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.agreed + self.diverged + self.inconclusive
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.agreed += other.agreed;
        self.diverged += other.diverged;
        self.inconclusive += other.inconclusive;
    }
}

/// Which checks a section holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A few, each of its own matter: every one must be conclusive.
    Each,
    /// Very many alike: one in a hundred may be inconclusive.
    Alike,
}

/// What a section says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "conclusion", content = "why", rename_all = "kebab-case")]
pub enum Conclusion {
    /// The hooks are harmless in what it looks at.
    Agrees,
    /// They are not.
    Diverges(String),
    /// It could not be seen.
    Undecided(String),
}

impl Conclusion {
    /// Applies the rules. `open`: what else the section should have seen and has not.
    #[must_use]
    pub fn of(counts: Counts, kind: Kind, open: &[String]) -> Self {
        let Counts {
            agreed,
            diverged,
            inconclusive,
        } = counts;
        let total = counts.total();
        let allowed = match kind {
            Kind::Each => 0,
            Kind::Alike => total * INCONCLUSIVE_PERCENT,
        };
        if diverged > 0 {
            Self::Diverges(format!("{diverged} of {total} checks diverged"))
        } else if inconclusive * 100 > allowed {
            let limit = match kind {
                Kind::Each => String::new(),
                Kind::Alike => format!(", more than {INCONCLUSIVE_PERCENT} %"),
            };
            Self::Undecided(format!(
                "{inconclusive} of {total} checks were inconclusive{limit}"
            ))
        } else if !open.is_empty() {
            Self::Undecided(open.join("; "))
        } else if agreed == 0 {
            Self::Undecided("nothing was checked".to_owned())
        } else {
            Self::Agrees
        }
    }
}

/// Whether the hooks of a program may be used.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "verdict", content = "reasons", rename_all = "kebab-case")]
pub enum Verdict {
    /// They are harmless as far as could be seen: every section agrees.
    Qualified,
    /// They are not: the sections that diverge, and why.
    NotQualified(Vec<String>),
    /// Nothing diverged, and these sections could not be decided, for these reasons.
    Undecided(Vec<String>),
}

impl Verdict {
    /// Applies the rules to the sections, by name.
    #[must_use]
    pub fn of<'s>(sections: impl IntoIterator<Item = (&'s str, &'s Conclusion)>) -> Self {
        let (mut bad, mut open, mut any) = (Vec::new(), Vec::new(), false);
        for (name, conclusion) in sections {
            any = true;
            match conclusion {
                Conclusion::Agrees => {}
                Conclusion::Diverges(why) => bad.push(format!("{name}: {why}")),
                Conclusion::Undecided(why) => open.push(format!("{name}: {why}")),
            }
        }
        if !bad.is_empty() {
            Self::NotQualified(bad)
        } else if !open.is_empty() {
            Self::Undecided(open)
        } else if !any {
            Self::Undecided(vec!["nothing was checked".to_owned()])
        } else {
            Self::Qualified
        }
    }

    /// The exit status that says it: 0 qualified, 1 not, or not decided.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Qualified => 0,
            Self::NotQualified(_) | Self::Undecided(_) => 1,
        }
    }

    /// Why the program is not qualified; nothing if it is.
    #[must_use]
    pub fn reasons(&self) -> &[String] {
        match self {
            Self::Qualified => &[],
            Self::NotQualified(reasons) | Self::Undecided(reasons) => reasons,
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = match self {
            Self::Qualified => return f.write_str("qualified"),
            Self::NotQualified(_) => "NOT qualified",
            Self::Undecided(_) => "undecided",
        };
        write!(f, "{word}: {}", self.reasons().join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(agreed: u64, diverged: u64, inconclusive: u64) -> Counts {
        Counts {
            agreed,
            diverged,
            inconclusive,
        }
    }

    #[test]
    fn a_section_needs_its_own_conclusive_agreement() {
        let of = |agreed, diverged, inconclusive, kind| {
            Conclusion::of(counts(agreed, diverged, inconclusive), kind, &[])
        };
        assert_eq!(of(3, 0, 0, Kind::Each), Conclusion::Agrees);
        assert_eq!(of(99, 0, 1, Kind::Alike), Conclusion::Agrees);
        for (agreed, inconclusive, kind) in [
            (1000, 1, Kind::Each),
            (98, 1, Kind::Alike),
            (0, 0, Kind::Each),
            (0, 0, Kind::Alike),
        ] {
            let found = of(agreed, 0, inconclusive, kind);
            assert!(matches!(found, Conclusion::Undecided(_)), "{found:?}");
        }
        for kind in [Kind::Each, Kind::Alike] {
            let found = of(1_000_000, 1, 0, kind);
            assert!(matches!(found, Conclusion::Diverges(_)), "{found:?}");
        }
        let open = Conclusion::of(
            counts(9, 0, 0),
            Kind::Each,
            &["hook `f` never fired".into()],
        );
        assert_eq!(
            open,
            Conclusion::Undecided("hook `f` never fired".to_owned())
        );
    }

    #[test]
    fn ten_thousand_checks_of_one_section_dilute_nothing_of_another() {
        let relocation = Conclusion::of(counts(10_700, 0, 0), Kind::Alike, &[]);
        let output = Conclusion::of(counts(1, 0, 2), Kind::Each, &[]);
        let verdict = Verdict::of([("relocation", &relocation), ("output", &output)]);
        assert_eq!(
            verdict,
            Verdict::Undecided(vec!["output: 2 of 3 checks were inconclusive".to_owned()])
        );
        assert_eq!(verdict.exit_status(), 1);
    }

    #[test]
    fn what_diverges_is_said_before_what_is_open() {
        let (good, open) = (Conclusion::Agrees, Conclusion::Undecided("why".into()));
        let bad = Conclusion::Diverges("1 of 2 checks diverged".into());
        let all = Verdict::of([("a", &good), ("b", &open), ("c", &bad)]);
        assert_eq!(all.to_string(), "NOT qualified: c: 1 of 2 checks diverged");
        assert_eq!(all.exit_status(), 1);
        assert_eq!(Verdict::of([("a", &good)]), Verdict::Qualified);
        assert_eq!(Verdict::Qualified.exit_status(), 0);
        assert_eq!(Verdict::of([]).exit_status(), 1);
    }
}
