//! The checks of a program -> [`Verdict`]. The rules stand here and nowhere else.
//!
//! Qualified means: nothing diverged, every pattern that was asked for fired, every function's relocation was seen to
//! complete in some state, and at most one check in a hundred was inconclusive.

use serde::{Deserialize, Serialize};

/// Inconclusive checks of a hundred that are let pass.
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

/// What is known of a program when everything has run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Evidence {
    /// All answers.
    pub counts: Counts,
    /// Functions whose relocation never completed in any state.
    pub unproven: Vec<String>,
    /// Patterns that were asked for of which no function was ever entered.
    pub never_fired: Vec<String>,
}

/// Whether the hooks of a program may be used.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "verdict", content = "reasons", rename_all = "kebab-case")]
pub enum Verdict {
    /// They are harmless as far as could be seen.
    Qualified,
    /// They are not, or it was not seen: every reason.
    NotQualified(Vec<String>),
}

impl Verdict {
    /// Applies the rules.
    #[must_use]
    pub fn of(evidence: &Evidence) -> Self {
        let counts = evidence.counts;
        let mut reasons = Vec::new();
        if counts.diverged > 0 {
            reasons.push(format!(
                "{} of {} checks diverged",
                counts.diverged,
                counts.total()
            ));
        }
        if counts.inconclusive * 100 > counts.total() * INCONCLUSIVE_PERCENT {
            reasons.push(format!(
                "{} of {} checks were inconclusive, more than {INCONCLUSIVE_PERCENT} %",
                counts.inconclusive,
                counts.total()
            ));
        }
        if counts.total() == 0 {
            reasons.push("nothing was checked".to_owned());
        }
        if let Some(first) = evidence.unproven.first() {
            reasons.push(format!(
                "no state completed for {} functions, {first} for one",
                evidence.unproven.len()
            ));
        }
        for pattern in &evidence.never_fired {
            reasons.push(format!("hook `{pattern}` never fired"));
        }
        if reasons.is_empty() {
            Self::Qualified
        } else {
            Self::NotQualified(reasons)
        }
    }

    /// The exit status that says it: 0 qualified, 1 not.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Qualified => 0,
            Self::NotQualified(_) => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(agreed: u64, diverged: u64, inconclusive: u64) -> Evidence {
        Evidence {
            counts: Counts {
                agreed,
                diverged,
                inconclusive,
            },
            ..Evidence::default()
        }
    }

    #[test]
    fn each_rule_alone_disqualifies() {
        assert_eq!(Verdict::of(&evidence(99, 0, 1)), Verdict::Qualified);
        let unproven = Evidence {
            unproven: vec!["f".into()],
            ..evidence(9, 0, 0)
        };
        let silent = Evidence {
            never_fired: vec!["main.*".into()],
            ..evidence(9, 0, 0)
        };
        for bad in [
            evidence(1000, 1, 0),
            evidence(98, 0, 1),
            evidence(0, 0, 0),
            unproven,
            silent,
        ] {
            let verdict = Verdict::of(&bad);
            assert_eq!(verdict.exit_status(), 1, "{bad:?}");
            assert!(
                matches!(verdict, Verdict::NotQualified(reasons) if reasons.len() == 1),
                "{bad:?}"
            );
        }
    }
}
