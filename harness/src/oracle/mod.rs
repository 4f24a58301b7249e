//! Oracles: outcomes -> [`Answer`]. They compare, and never run anything.

use serde::{Deserialize, Serialize};

pub mod memory;
pub mod output;
pub mod relocation;
pub mod stream;

/// What an oracle says about one check.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Nothing that the oracle compares differs.
    Agree,
    /// Something differs: what, with both values.
    Diverge(String),
    /// The check could not be completed: why. Never a success.
    Inconclusive(String),
}

impl Answer {
    /// Whether it is [`Answer::Agree`].
    #[must_use]
    pub fn agrees(&self) -> bool {
        *self == Self::Agree
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Agree => f.write_str("agree"),
            Self::Diverge(what) => write!(f, "diverge: {what}"),
            Self::Inconclusive(why) => write!(f, "inconclusive: {why}"),
        }
    }
}

/// One check of an oracle that makes several.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// What was compared.
    pub what: String,
    /// What came out.
    pub answer: Answer,
}
