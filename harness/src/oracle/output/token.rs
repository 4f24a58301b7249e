//! A line of text -> its [`Line`]: the words that stay, and the tokens that may change from run to run, each of a [`Class`].
//!
//! Knows one line at a time and decides nothing: whether a token does change is learnt from unhooked runs
//! ([`super::model`]). Blanks in front of a token belong to it, since a longer number is padded with fewer of them.

use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

/// What a token that may change is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// A moment or a duration.
    Time,
    /// A hexadecimal number that is long enough for an address.
    Address,
    /// An identifier: a UUID, a digest, a long hexadecimal or base64 text.
    Id,
    /// A decimal number.
    Number,
}

/// Stands in a skeleton for each token.
pub(super) const HOLE: char = '\u{1}';
/// Stands in a text for what a mask of the user covers.
const COVERED: &str = "\u{2}";

/// One token.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Token {
    /// As it stands there, with the blanks before it.
    pub(super) text: String,
    /// What it is.
    pub(super) class: Class,
}

impl Token {
    /// Whether it is a duration below a second or with a fraction: somebody measured it, and hooks take time.
    pub(super) fn is_measured(&self) -> bool {
        self.class == Class::Time && MEASURED.is_match(self.text.trim_start())
    }
}

/// One line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Line {
    /// The line with a [`HOLE`] for each token.
    pub(super) skeleton: String,
    /// The tokens, in their order.
    pub(super) tokens: Vec<Token>,
}

/// One alternative per class, in the order of the groups; the first that matches wins.
static TOKENS: LazyLock<Regex> = LazyLock::new(|| {
    compiled(concat!(
        // Time: a date with or without the time of day; a time of day; durations as Go prints them.
        r"(?P<time>\b\d{4}[-/]\d\d[-/]\d\d(?:[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d\b)?)?",
        r"|\b\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?\b",
        r"|\b\d+(?:\.\d+)?\s?(?:ns|µs|μs|us|ms)\b",
        r"|\b(?:\d+h)?(?:\d+m)?\d+(?:\.\d+)?s\b",
        r")|(?P<address>\b0x[0-9a-fA-F]{6,}\b)",
        // Id: a UUID; hexadecimal digits that are too many for a word; base64 with all of its alphabet's parts.
        r"|(?P<id>\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b",
        r"|\b[0-9a-f]{8,}\b|\b[0-9A-F]{8,}\b",
        r"|\b[A-Za-z0-9_+/-]{20,}={0,2})",
        r"|(?P<number>[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)",
    ))
});
static MEASURED: LazyLock<Regex> = LazyLock::new(|| {
    compiled(r"^(?:\d+(?:\.\d+)?\s?(?:ns|µs|μs|us|ms)|(?:\d+h)?(?:\d+m)?\d+\.\d+s)$")
});

#[expect(
    clippy::expect_used,
    reason = "the expressions stand above; a test compiles them"
)]
fn compiled(expression: &str) -> Regex {
    Regex::new(expression).expect("a regular expression")
}

/// A text without what the user's masks cover.
pub(super) fn covered(text: &str, masks: &[Regex]) -> String {
    masks.iter().fold(text.to_owned(), |text, mask| {
        mask.replace_all(&text, COVERED).into_owned()
    })
}

/// Takes one line apart.
pub(super) fn line(text: &str) -> Line {
    let (mut skeleton, mut tokens, mut done) = (String::new(), Vec::new(), 0);
    for found in TOKENS.captures_iter(text) {
        let Some((class, mut range)) = class(&found) else {
            continue;
        };
        let before = text.get(done..range.start).unwrap_or_default();
        // A sign behind a word or a bracket is a hyphen.
        let signed = text
            .get(range.clone())
            .is_some_and(|t| t.starts_with(['-', '+']));
        if signed && before.ends_with(|c: char| c.is_alphanumeric() || c == ')' || c == ']') {
            range.start += 1;
        }
        let before = text.get(done..range.start).unwrap_or_default();
        let words = before.trim_end_matches([' ', '\t']);
        skeleton.push_str(words);
        skeleton.push(HOLE);
        tokens.push(Token {
            text: text
                .get(done + words.len()..range.end)
                .unwrap_or_default()
                .to_owned(),
            class,
        });
        done = range.end;
    }
    skeleton.push_str(text.get(done..).unwrap_or_default());
    Line { skeleton, tokens }
}

/// The group that matched. Long words are no ids, and long numbers are numbers.
fn class(found: &regex::Captures<'_>) -> Option<(Class, std::ops::Range<usize>)> {
    let group = |name| found.name(name).map(|m| m.range());
    if let Some(range) = group("time") {
        return Some((Class::Time, range));
    }
    if let Some(range) = group("address") {
        return Some((Class::Address, range));
    }
    if let (Some(range), Some(text)) = (group("id"), found.name("id")) {
        let text = text.as_str();
        let has = |test: fn(u8) -> bool| text.bytes().any(test);
        if text.bytes().all(|b| b.is_ascii_digit()) {
            return Some((Class::Number, range));
        }
        return has(|b| b.is_ascii_digit()).then_some((Class::Id, range));
    }
    group("number").map(|range| (Class::Number, range))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes(text: &str) -> Vec<(String, Class)> {
        let tokens = line(text).tokens.into_iter();
        tokens
            .map(|t| (t.text.trim().to_owned(), t.class))
            .collect()
    }

    #[test]
    fn each_class_is_known() {
        for (text, class) in [
            ("2026/11/26 11:38:29", Class::Time),
            ("2026-11-26T11:38:29.123456Z", Class::Time),
            ("2026-11-26T11:38:29+01:00", Class::Time),
            ("11:38:29.5", Class::Time),
            ("12.5ms", Class::Time),
            ("3 ms", Class::Time),
            ("117µs", Class::Time),
            ("1m2.5s", Class::Time),
            ("30s", Class::Time),
            ("0xc000012345", Class::Address),
            ("6ba7b810-9dad-11d1-80b4-00c04fd430c8", Class::Id),
            ("5f1d3c9a", Class::Id),
            ("12345678", Class::Number),
            ("-5", Class::Number),
            ("1.5e-7", Class::Number),
            ("0", Class::Number),
        ] {
            assert_eq!(classes(text), [(text.to_owned(), class)], "{text}");
            assert_eq!(classes(&format!("a {text}, b")), [(text.to_owned(), class)]);
        }
        for word in [
            "main.unit",
            "Content-Type",
            "internationalisation-of-words",
            "",
        ] {
            assert_eq!(classes(word), [], "{word}");
            assert_eq!(line(word).skeleton, word);
        }
    }

    #[test]
    fn words_stay_and_padding_goes_with_its_number() {
        let (a, b) = (line("n =   5 of x-7"), line("n = 125 of x-9"));
        assert_eq!(a.skeleton, b.skeleton);
        assert_eq!(a.skeleton, format!("n ={HOLE} of x-{HOLE}"));
        assert_eq!(a.tokens[0].text, "   5");
        assert_ne!(line("m = 5").skeleton, line("n = 5").skeleton);
    }

    #[test]
    fn what_was_measured_is_told_from_what_was_set() {
        let of = |text: &str| line(text).tokens[0].is_measured();
        assert!(of("2ms") && of("1.25s") && of("1m0.5s") && of("3 µs"));
        assert!(!of("30s") && !of("5") && !of("11:38:29") && !of("2026-11-26"));
    }
}
