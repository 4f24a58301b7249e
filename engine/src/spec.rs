//! Text -> which functions to hook.
//!
//! A pattern is a function's name as the line table has it, in which `*` stands for any run of characters, `/` and `.`
//! included (and so for the star of `(*T)` too); every other character is literal, since Go names contain `(`, `[...]`
//! and `·`. A pattern that starts with `re:` is a regular expression, searched for anywhere in the name.

use std::collections::BTreeSet;
use std::fmt;

use regex::Regex;

use crate::image::Image;

/// Longest compiled form of a pattern, in bytes: far above any that a person writes, far below what slows a start.
const MAX_COMPILED: usize = 1 << 20;

/// How a pattern begins that is a regular expression.
const REGEX: &str = "re:";

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

/// What a specification comes to in one program: at least one function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Chosen {
    /// Indices into [`Image::functions`] of the functions that any pattern means, ascending.
    pub functions: Vec<usize>,
    /// Patterns that mean none, in the order given.
    pub unmatched: Vec<Unmatched>,
}

impl Chosen {
    /// The functions, where each pattern is to mean one at least.
    ///
    /// # Errors
    /// [`SpecError::NoMatch`] with the patterns that mean none.
    pub fn by_every_pattern(self) -> Result<Vec<usize>, SpecError> {
        match self.unmatched.is_empty() {
            true => Ok(self.functions),
            false => Err(SpecError::NoMatch(self.unmatched)),
        }
    }
}

/// A pattern that means no function of a program.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unmatched {
    /// The pattern.
    pub pattern: String,
    /// Names that come close, best first.
    pub nearest: Vec<String>,
}

impl fmt::Display for Unmatched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pattern `{}` matches no function", self.pattern)?;
        match self.nearest.as_slice() {
            [] => Ok(()),
            names => write!(f, "; did you mean `{}`?", names.join("`, `")),
        }
    }
}

/// Several of them on one line.
#[must_use]
pub fn unmatched_line(unmatched: &[Unmatched]) -> String {
    let texts: Vec<String> = unmatched.iter().map(ToString::to_string).collect();
    texts.join("; ")
}

/// Why a specification selects nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SpecError {
    /// No pattern at all.
    #[error("no hook pattern given")]
    Empty,
    /// A pattern without text, which is what a shell makes of a variable that is not set.
    #[error("an empty hook pattern: `*` means every function")]
    EmptyPattern,
    /// The text behind `re:` is no regular expression.
    #[error("pattern `{pattern}` is no regular expression: {reason}")]
    BadRegex {
        /// The pattern, with its `re:`.
        pattern: String,
        /// What the regular expression compiler says, on one line.
        reason: String,
    },
    /// No function of the program has a name that these match.
    #[error("{}", unmatched_line(.0))]
    NoMatch(Vec<Unmatched>),
}

impl Pattern {
    /// Reads one pattern.
    pub fn parse(text: &str) -> Result<Self, SpecError> {
        if text.is_empty() || text == REGEX {
            return Err(SpecError::EmptyPattern);
        }
        let source = match text.strip_prefix(REGEX) {
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

    /// The functions that any pattern means.
    ///
    /// # Errors
    /// [`SpecError::NoMatch`] if no pattern means any.
    pub fn select(&self, image: &Image<'_>) -> Result<Chosen, SpecError> {
        let names: Vec<&str> = image
            .functions()
            .iter()
            .map(|function| function.name)
            .collect();
        self.select_names(&names)
    }

    /// [`HookSpec::select`] on bare names.
    pub fn select_names(&self, names: &[&str]) -> Result<Chosen, SpecError> {
        let mut selected = BTreeSet::new();
        let mut unmatched = Vec::new();
        for pattern in &self.patterns {
            let matching = names
                .iter()
                .enumerate()
                .filter(|(_, name)| pattern.matches(name));
            let mut any = false;
            for (index, _) in matching {
                any = true;
                selected.insert(index);
            }
            if !any {
                unmatched.push(Unmatched {
                    pattern: pattern.text.clone(),
                    nearest: nearest(&pattern.text, names),
                });
            }
        }
        if selected.is_empty() {
            return Err(SpecError::NoMatch(unmatched));
        }
        Ok(Chosen {
            functions: selected.into_iter().collect(),
            unmatched,
        })
    }
}

/// Names that share the most pairs of neighbouring letters with the pattern (Dice's coefficient), case ignored: one pass
/// over all names with a small table.
fn nearest(pattern: &str, names: &[&str]) -> Vec<String> {
    let wanted = pairs(pattern.strip_prefix(REGEX).unwrap_or(pattern));
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

    fn choose(patterns: &[&str]) -> Result<Chosen, SpecError> {
        HookSpec::parse(patterns)?.select_names(NAMES)
    }

    fn select(patterns: &[&str]) -> Result<Vec<usize>, SpecError> {
        choose(patterns)?.by_every_pattern()
    }

    #[test]
    fn stars_match_any_run_and_the_rest_is_literal() {
        assert_eq!(select(&["main.main"]), Ok(vec![0]));
        assert_eq!(select(&["main.(*T).Serve"]), Ok(vec![1]));
        assert_eq!(select(&["*Serve"]), Ok(vec![1, 2]));
        assert_eq!(select(&["net/*HTTP", "main.main"]), Ok(vec![0, 3]));
        assert_eq!(select(&["main.Map[...]"]), Ok(vec![4]));
        assert!(matches!(select(&["main.mai."]), Err(SpecError::NoMatch(_))));
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
    fn patterns_without_match_are_named_with_suggestions_and_the_others_count() {
        let chosen = choose(&["main.main", "runtime.alocm", "zzz", "*Serve"]).unwrap();
        assert_eq!(chosen.functions, [0, 1, 2]);
        assert_eq!(
            unmatched_line(&chosen.unmatched),
            "pattern `runtime.alocm` matches no function; did you mean `runtime.allocm`?; \
             pattern `zzz` matches no function"
        );
        let strict = chosen.clone().by_every_pattern();
        assert_eq!(strict, Err(SpecError::NoMatch(chosen.unmatched)));
        assert_eq!(
            choose(&["zzz"]).unwrap_err().to_string(),
            "pattern `zzz` matches no function"
        );
    }

    #[test]
    fn nothing_means_nothing() {
        assert_eq!(select(&[]), Err(SpecError::Empty));
        for empty in ["", "re:"] {
            assert_eq!(select(&["*", empty]), Err(SpecError::EmptyPattern));
        }
    }
}
