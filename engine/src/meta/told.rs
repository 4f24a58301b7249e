//! A value, whether the file states it or it follows from something, and what from: [`Told`].

use std::borrow::Cow;

use serde::Serialize;

/// How a value is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// The toolchain or the user wrote this very value into the file.
    Recorded,
    /// It follows from other things in the file.
    Derived,
}

/// A value with its origin.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Told<T> {
    /// The value.
    pub value: T,
    /// How it is known.
    pub mark: Mark,
    /// Where it is recorded, or what it follows from; for people.
    pub evidence: Cow<'static, str>,
}

impl<T> Told<T> {
    /// A value that stands in the file.
    pub fn recorded(value: T, evidence: impl Into<Cow<'static, str>>) -> Self {
        Self {
            value,
            mark: Mark::Recorded,
            evidence: evidence.into(),
        }
    }

    /// A value that follows from `evidence`.
    pub fn derived(value: T, evidence: impl Into<Cow<'static, str>>) -> Self {
        Self {
            value,
            mark: Mark::Derived,
            evidence: evidence.into(),
        }
    }
}
