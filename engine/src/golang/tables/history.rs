//! A value and the Go releases at which it changed.

use crate::golang::GoVersion;

/// A release `go1.MINOR.PATCH`. Betas and release candidates count as the release that they became.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Release {
    /// The N of `go1.N`.
    pub minor: u16,
    /// The M of `go1.N.M`.
    pub patch: u16,
}

impl Release {
    /// `go1.MINOR.PATCH`.
    #[must_use]
    pub const fn new(minor: u16, patch: u16) -> Self {
        Self { minor, patch }
    }

    /// Whether it is `other` or a later one; `>=`, for constants.
    pub(in crate::golang) const fn reaches(self, other: Self) -> bool {
        self.minor > other.minor || (self.minor == other.minor && self.patch >= other.patch)
    }
}

impl From<GoVersion> for Release {
    fn from(version: GoVersion) -> Self {
        Self::new(version.minor, version.patch)
    }
}

/// From this release on, until the next change, the value is this; `None`: there is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change<T> {
    /// First release for which it holds.
    pub since: Release,
    /// The value.
    pub value: Option<T>,
}

/// From `go1.MINOR` on the value is this.
pub(super) const fn at<T: Copy>(minor: u16, value: T) -> Change<T> {
    at_patch(minor, 0, value)
}

/// From `go1.MINOR.PATCH` on the value is this.
pub(super) const fn at_patch<T: Copy>(minor: u16, patch: u16, value: T) -> Change<T> {
    Change {
        since: Release::new(minor, patch),
        value: Some(value),
    }
}

/// From `go1.MINOR` on there is no such thing.
pub(super) const fn gone<T: Copy>(minor: u16) -> Change<T> {
    gone_patch(minor, 0)
}

/// From `go1.MINOR.PATCH` on there is no such thing.
pub(super) const fn gone_patch<T: Copy>(minor: u16, patch: u16) -> Change<T> {
    Change {
        since: Release::new(minor, patch),
        value: None,
    }
}

/// The value that `changes`, oldest first, give for `release`.
pub(super) const fn value_in<T: Copy>(changes: &[Change<T>], release: Release) -> Option<T> {
    let mut value = None;
    let mut next = 0;
    while next < changes.len() && release.reaches(changes[next].since) {
        value = changes[next].value;
        next += 1;
    }
    value
}
