//! `runtime.buildVersion` -> [`GoVersion`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A Go release, as `runtime.buildVersion` names it: `go1.21.13`, `go1.27rc1`, `go1.22.1 X:rangefunc`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct GoVersion {
    /// The N of `go1.N`.
    pub minor: u16,
    /// The M of `go1.N.M`; 0 for `go1.N`, betas and release candidates.
    pub patch: u16,
    /// Set for betas and release candidates, which sort before their release.
    pub pre: PreRelease,
}

/// Where a version stands before its release.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum PreRelease {
    /// Built from a state of the source between releases: `devel go1.N-HASH`, `go1.N-devel_HASH`.
    Devel,
    /// `go1.NbetaK`
    Beta(u16),
    /// `go1.NrcK`
    Candidate(u16),
    /// The release itself and its patches.
    Released,
}

impl GoVersion {
    /// The release `go1.MINOR.PATCH`.
    #[must_use]
    pub const fn new(minor: u16, patch: u16) -> Self {
        Self {
            minor,
            patch,
            pre: PreRelease::Released,
        }
    }
}

/// The text does not start with a Go version.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is not a Go version; expected something like `go1.21.13`")]
pub struct NotAVersion(String);

impl FromStr for GoVersion {
    type Err = NotAVersion;

    /// Reads `go1.N`, `go1.N.M`, `go1.NrcK`, `go1.NbetaK`, with or without the leading `go`, and the versions of builds
    /// between releases (`cmd/dist/build.go`, `findgoversion`); whatever follows after a space, `-` or `+` (experiments, vendor suffixes) is left to the caller.
    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let bad = || NotAVersion(text.chars().take(64).collect());
        // `devel +HASH`, up to 1.16, names no version.
        let (text, prefixed) = match text.strip_prefix("devel ") {
            Some(rest) if rest.starts_with("go") => (rest, true),
            _ => (text, false),
        };
        let (core, suffix) = match text.find([' ', '-', '+']) {
            Some(at) => text.split_at(at),
            None => (text, ""),
        };
        let devel = prefixed || suffix.starts_with("-devel");
        let core = core.strip_prefix("go").unwrap_or(core);
        let rest = core.strip_prefix("1.").ok_or_else(bad)?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let minor = rest[..digits].parse().map_err(|_| bad())?;
        let number = |tail: &str| tail.parse::<u16>().map_err(|_| bad());
        let (patch, pre) = match &rest[digits..] {
            "" if devel => (0, PreRelease::Devel),
            "" => (0, PreRelease::Released),
            tail if tail.starts_with('.') => (number(&tail[1..])?, PreRelease::Released),
            tail if tail.starts_with("rc") => (0, PreRelease::Candidate(number(&tail[2..])?)),
            tail if tail.starts_with("beta") => (0, PreRelease::Beta(number(&tail[4..])?)),
            _ => return Err(bad()),
        };
        Ok(Self { minor, patch, pre })
    }
}

impl fmt::Display for GoVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "go1.{}", self.minor)?;
        match (self.pre, self.patch) {
            (PreRelease::Devel, _) => f.write_str("-devel"),
            (PreRelease::Beta(n), _) => write!(f, "beta{n}"),
            (PreRelease::Candidate(n), _) => write!(f, "rc{n}"),
            // 1.21 and later are released as go1.N.0, earlier ones as go1.N.
            (PreRelease::Released, 0) if self.minor < 21 => Ok(()),
            (PreRelease::Released, patch) => write!(f, ".{patch}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_ordered() {
        let order = [
            "go1.5",
            "1.9.2",
            "go1.10.1",
            "devel go1.21-5e9fa0b Tue Jun 6",
            "go1.21beta1",
            "go1.21rc2",
            "go1.21.0",
            "go1.27.4 X:nodwarf5",
        ];
        let read: Vec<GoVersion> = order.iter().map(|text| text.parse().unwrap()).collect();
        assert!(read.is_sorted_by(|a, b| a < b), "{read:?}");
        assert_eq!(read[2].to_string(), "go1.10.1");
        assert_eq!(read[3].to_string(), "go1.21-devel");
        assert_eq!(
            "go1.28-devel_5e9fa0b Tue".parse(),
            Ok(GoVersion {
                pre: PreRelease::Devel,
                ..GoVersion::new(28, 0)
            })
        );
        assert_eq!(read[5].to_string(), "go1.21rc2");
    }

    #[test]
    fn other_text_is_refused() {
        for text in [
            "",
            "go",
            "go2.1",
            "devel +abc",
            "go1.",
            "go1.x",
            "go1.5.",
            "go1.5.99999999",
            "go1.21.1.1",
        ] {
            assert!(text.parse::<GoVersion>().is_err(), "{text}");
        }
    }
}
