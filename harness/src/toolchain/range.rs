//! Text such as `1.12..1.14`, `1.21..`, `..1.9`, `1.9.2,1.13` `all` or `patches` -> the Go versions that it selects.
//!
//! A range runs from minor version to minor version, both included, and selects the last patch of each; single
//! versions may be any release, known or not. It never selects less than the text says: a bound that is no known minor
//! version is an error.

use std::fmt;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use gondwana_engine::golang::GoVersion;

use super::versions::{LAST_PATCHES, NEWEST_MINOR, OLDEST_MINOR, PATCHES, last_patch, resolve};

/// Go versions to work on, oldest first, each once; at least one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GoRange {
    text: String,
    versions: Vec<GoVersion>,
}

impl GoRange {
    /// How the text is written, for the help of commands.
    pub const SYNTAX: &'static str = "A RANGE is a list of versions and of spans between minor versions: 1.9.2,1.13 or 1.12..1.14 or 1.21.. or ..1.9,1.27;
a minor version means its last patch; `latest` is the newest known one, `all` is all of them,
`patches` the patch releases around each change of a structure within a minor version.";

    /// The last patch of every known minor version.
    #[must_use]
    pub fn all() -> Self {
        Self {
            text: "all".to_owned(),
            versions: LAST_PATCHES.to_vec(),
        }
    }

    /// What it selects, oldest first.
    #[must_use]
    pub fn versions(&self) -> &[GoVersion] {
        &self.versions
    }
}

impl FromStr for GoRange {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut versions = Vec::new();
        for term in text.split(',').map(str::trim) {
            match term.split_once("..") {
                _ if term == "all" => versions.extend(LAST_PATCHES),
                _ if term == "patches" => versions.extend(PATCHES),
                _ if term == "latest" => versions.extend(last_patch(NEWEST_MINOR)),
                None => versions.push(resolve(term)?),
                Some((from, to)) => {
                    let from = bound(from, OLDEST_MINOR).with_context(|| format!("`{term}`"))?;
                    let to = bound(to, NEWEST_MINOR).with_context(|| format!("`{term}`"))?;
                    if from > to {
                        bail!("`{term}` ends before it starts");
                    }
                    versions.extend((from..=to).filter_map(last_patch));
                }
            }
        }
        versions.sort_unstable();
        versions.dedup();
        Ok(Self {
            text: text.to_owned(),
            versions,
        })
    }
}

impl fmt::Display for GoRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The minor version that one end of a span names; `open` where it names none.
fn bound(text: &str, open: u16) -> Result<u16> {
    if text.is_empty() {
        return Ok(open);
    }
    let version = resolve(text)?;
    if text.matches('.').count() != 1 || last_patch(version.minor) != Some(version) {
        bail!(
            "`{text}` is no end of a span; expected a minor version from 1.{OLDEST_MINOR} to 1.{NEWEST_MINOR}"
        );
    }
    Ok(version.minor)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(text: &str) -> String {
        let range: GoRange = text.parse().unwrap();
        let names: Vec<String> = range.versions().iter().map(ToString::to_string).collect();
        names.join(" ")
    }

    #[test]
    fn spans_lists_and_words() {
        assert_eq!(selected("1.12..1.14"), "go1.12.17 go1.13.15 go1.14.15");
        assert_eq!(selected("1.26.."), "go1.26.11 go1.27.4");
        assert_eq!(selected("..1.6"), "go1.5.4 go1.6.4");
        assert_eq!(selected("latest,1.9.2"), "go1.9.2 go1.27.4");
        assert_eq!(selected("1.13, 1.12..1.13"), "go1.12.17 go1.13.15");
        assert_eq!(selected("1.28.0"), "go1.28.0");
        assert_eq!(selected("go1.27rc1"), "go1.27rc1");
        let all: GoRange = "..".parse().unwrap();
        assert_eq!(all.versions(), GoRange::all().versions());
    }

    #[test]
    fn what_selects_less_than_it_says_is_refused() {
        let error = |text: &str| format!("{:#}", text.parse::<GoRange>().unwrap_err());
        assert_eq!(error("1.14..1.12"), "`1.14..1.12` ends before it starts");
        for bad in [
            "1.4..1.9",
            "1.20..1.28",
            "1.9.2..1.13",
            "1.5..1.9.7",
            "..latest",
        ] {
            assert!(
                error(bad).starts_with(&format!("`{bad}`: ")),
                "{}",
                error(bad)
            );
        }
        for bad in ["", ",", "1.5,", "...", "1.5..1.6..1.7", "newest"] {
            assert!(bad.parse::<GoRange>().is_err(), "{bad}");
        }
    }
}
