//! Text -> which functions to hook.
//!
//! A pattern is a function's name as the line table has it, in which `*` stands for any run of characters, `/` and `.`
//! included (and so for the star of `(*T)` too); every other character is literal, since Go names contain `(`, `[...]`
//! and `·`. A pattern that starts with `re:` is a regular expression, searched for anywhere in the name.

use std::collections::BTreeSet;

use regex::Regex;

use crate::image::Image;

/// Longest compiled form of a pattern, in bytes: far above any that a person writes, far below what slows a start.
const MAX_COMPILED: usize = 1 << 20;

/// How many names an error suggests.
const SUGGESTIONS: usize = 3;

/// Which functions to hook.
#[derive(Clone, Debug)]
pub struct HookSpec {
    /// The patterns, in the order given.
    pub patterns: Vec<Pattern>,
}

/// One pattern.
#[derive(Clone, Debug)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

/// Why a specification selects nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SpecError {
    /// No pattern at all.
    #[error("no hook pattern given")]
    Empty,
    /// The text behind `re:` is no regular expression.
    #[error("pattern `{pattern}` is no regular expression: {reason}")]
    BadRegex {
        /// The pattern, with its `re:`.
        pattern: String,
        /// What the regular expression compiler says, on one line.
        reason: String,
    },
    /// No function of the program has a name that matches.
    #[error("pattern `{pattern}` matches no function{}", hint(.nearest))]
    NoMatch {
        /// The pattern.
        pattern: String,
        /// Names that come close, best first.
        nearest: Vec<String>,
    },
}

fn hint(nearest: &[String]) -> String {
    match nearest {
        [] => String::new(),
        names => format!("; did you mean `{}`?", names.join("`, `")),
    }
}

impl Pattern {
    /// Reads one pattern.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        let source = match text.strip_prefix("re:") {
            Some(regex) => regex.to_owned(),
            None => {
                let literals: Vec<String> = text.split('*').map(regex::escape).collect();
                format!("^(?s:{})$", literals.join(".*"))
            }
        };
        let regex = regex::RegexBuilder::new(&source)
            .size_limit(MAX_COMPILED)
            .build()
            .map_err(|error| {
                let reason = error.to_string();
                let reason = reason
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim()
                    .trim_start_matches("error: ")
                    .to_owned();
                SpecError::BadRegex {
                    pattern: text.to_owned(),
                    reason,
                }
            })?;
        Ok(Self {
            text: text.to_owned(),
            regex,
        })
    }

    /// The pattern as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a function of this name is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }
}

impl HookSpec {
    /// Reads patterns.
    pub fn parse<S: AsRef<str>>(patterns: impl IntoIterator<Item = S>) -> Result<Self, SpecError> {
        let patterns = patterns
            .into_iter()
            .map(|text| Pattern::parse(text.as_ref()))
            .collect::<Result<Vec<_>, _>>()?;
        if patterns.is_empty() {
            return Err(SpecError::Empty);
        }
        Ok(Self { patterns })
    }

    /// Indices into [`Image::functions`] of the functions that any pattern means, ascending. Every pattern must mean
    /// one at least.
    pub fn select(&self, image: &Image<'_>) -> Result<Vec<usize>, SpecError> {
        let names: Vec<&str> = image
            .functions()
            .iter()
            .map(|function| function.name)
            .collect();
        self.select_names(&names)
    }

    /// [`HookSpec::select`] on bare names.
    pub fn select_names(&self, names: &[&str]) -> Result<Vec<usize>, SpecError> {
        let mut selected = BTreeSet::new();
        for pattern in &self.patterns {
            let mut any = false;
            for (index, name) in names.iter().enumerate() {
                if pattern.matches(name) {
                    any = true;
                    selected.insert(index);
                }
            }
            if !any {
                return Err(SpecError::NoMatch {
                    pattern: pattern.text.clone(),
                    nearest: nearest(&pattern.text, names),
                });
            }
        }
        Ok(selected.into_iter().collect())
    }
}

/// Names that share the most pairs of neighbouring letters with the pattern (Dice's coefficient), case ignored: one pass
/// over all names with a small table.
fn nearest(pattern: &str, names: &[&str]) -> Vec<String> {
    let wanted = pairs(pattern.strip_prefix("re:").unwrap_or(pattern));
    if wanted.is_empty() {
        return Vec::new();
    }
    let mut scored: Vec<(f64, &str)> = names
        .iter()
        .map(|&name| {
            let have = pairs(name);
            let shared = have.intersection(&wanted).count();
            (
                2.0 * shared as f64 / (have.len() + wanted.len()) as f64,
                name,
            )
        })
        .filter(|&(score, _)| score >= 0.5)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    scored.dedup_by_key(|&mut (_, name)| name);
    scored
        .into_iter()
        .take(SUGGESTIONS)
        .map(|(_, name)| name.to_owned())
        .collect()
}

fn pairs(text: &str) -> BTreeSet<(u8, u8)> {
    let lower = text.as_bytes();
    lower
        .iter()
        .zip(lower.iter().skip(1))
        .map(|(a, b)| (a.to_ascii_lowercase(), b.to_ascii_lowercase()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: &[&str] = &[
        "main.main",
        "main.(*T).Serve",
        "net/http.(*Server).Serve",
        "net/http.serverHandler.ServeHTTP",
        "main.Map[...]",
        "runtime.allocm",
    ];

    fn select(patterns: &[&str]) -> Result<Vec<usize>, SpecError> {
        HookSpec::parse(patterns)?.select_names(NAMES)
    }

    #[test]
    fn stars_match_any_run_and_the_rest_is_literal() {
        assert_eq!(select(&["main.main"]), Ok(vec![0]));
        assert_eq!(select(&["main.(*T).Serve"]), Ok(vec![1]));
        assert_eq!(select(&["*Serve"]), Ok(vec![1, 2]));
        assert_eq!(select(&["net/*HTTP", "main.main"]), Ok(vec![0, 3]));
        assert_eq!(select(&["main.Map[...]"]), Ok(vec![4]));
        assert!(matches!(
            select(&["main.mai."]),
            Err(SpecError::NoMatch { .. })
        ));
    }

    #[test]
    fn regular_expressions_search() {
        assert_eq!(select(&["re:^main\\.m"]), Ok(vec![0]));
        assert_eq!(select(&["re:Serve$"]), Ok(vec![1, 2]));
        let error = select(&["re:("]).unwrap_err().to_string();
        assert!(
            error.starts_with("pattern `re:(` is no regular expression: "),
            "{error}"
        );
        assert!(!error.contains('\n'), "{error}");
    }

    #[test]
    fn a_pattern_without_match_is_named_with_suggestions() {
        let error = select(&["main.main", "runtime.alocm"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "pattern `runtime.alocm` matches no function; did you mean `runtime.allocm`?"
        );
        assert_eq!(select(&[]), Err(SpecError::Empty));
        assert_eq!(
            select(&["zzz"]).unwrap_err().to_string(),
            "pattern `zzz` matches no function"
        );
    }
}
