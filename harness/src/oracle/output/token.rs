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
    /// An identifier: a UUID, a digest, a text of hexadecimal digits or base64, or one in which digits and letters change.
    Id,
    /// A decimal number, or a short hexadecimal one.
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

    /// Whether it is a duration, measured or set.
    pub(super) fn is_duration(&self) -> bool {
        self.class == Class::Time && DURATION.is_match(self.text.trim_start())
    }

    /// Whether the two are durations of which one at least was measured: what was rounded may have no fraction.
    pub(super) fn is_measured_like(&self, other: &Self) -> bool {
        (self.is_measured() || other.is_measured()) && self.is_duration() && other.is_duration()
    }

    /// The hexadecimal digits that stand behind `0x`.
    pub(super) fn hex_digits(&self) -> Option<usize> {
        self.text.trim_start().strip_prefix("0x").map(str::len)
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

/// Moments and durations: a date with or without the time of day; a time of day; durations as Go prints them.
const TIME: &str = concat!(
    r"(?P<time>\b\d{4}[-/]\d\d[-/]\d\d(?:[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d\b)?)?",
    r"|\b\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?\b",
    r"|\b\d+(?:\.\d+)?\s?(?:ns|µs|μs|us|ms)\b",
    r"|\b(?:\d+h)?(?:\d+m)?\d+(?:\.\d+)?s\b)",
);
const ADDRESS: &str = r"(?P<address>\b0x[0-9a-fA-F]{6,}\b)";
/// A UUID, and hexadecimal digits.
const ID: &str = concat!(
    r"(?P<id>\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b",
    r"|\b[0-9a-f]{6,}\b|\b[0-9A-F]{6,}\b)",
);
/// What may be an id, with the signs of base64 and without.
const RUN: &str = r"(?P<run>\b[A-Za-z0-9_+/-]{5,}={0,2})";
const WORD: &str = r"(?P<run>\b[A-Za-z0-9]{5,}\b)";
const NUMBER: &str =
    r"(?P<number>\b0x[0-9a-fA-F]{1,5}\b|(?:\B[-+])?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)";

/// One alternative per class; the first that matches wins. Within a run that is no id the second one looks, within a word of
/// that which is none the third.
static TOKENS: LazyLock<[Regex; 3]> = LazyLock::new(|| {
    [
        compiled(&[TIME, ADDRESS, ID, RUN, NUMBER].join("|")),
        compiled(&[TIME, ADDRESS, ID, WORD, NUMBER].join("|")),
        compiled(&[TIME, ADDRESS, ID, NUMBER].join("|")),
    ]
});
static MEASURED: LazyLock<Regex> = LazyLock::new(|| {
    compiled(r"^(?:\d+(?:\.\d+)?\s?(?:ns|µs|μs|us|ms)|(?:\d+h)?(?:\d+m)?\d+\.\d+s)$")
});
static DURATION: LazyLock<Regex> = LazyLock::new(|| {
    compiled(r"^(?:\d+(?:\.\d+)?\s?(?:ns|µs|μs|us|ms)|(?:\d+h)?(?:\d+m)?\d+(?:\.\d+)?s)$")
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
    let (mut at, mut no_run, mut no_word) = (0, 0, 0);
    let [all, in_run, in_word] = &*TOKENS;
    loop {
        let (expression, until) = match at {
            at if at < no_word => (in_word, no_word),
            at if at < no_run => (in_run, no_run),
            _ => (all, usize::MAX),
        };
        let found = expression.captures_at(text, at);
        let Some(found) = found.filter(|found| found.get(0).is_some_and(|m| m.start() < until))
        else {
            if until == usize::MAX {
                break;
            }
            at = until;
            continue;
        };
        let (class, mut range) = class(&found);
        let Some(class) = class else {
            // What is none here may hold some that the next expression finds; the last one leaves nothing.
            if at < no_word {
                at = range.end;
            } else {
                at = range.start;
                let level = match until {
                    usize::MAX => &mut no_run,
                    _ => &mut no_word,
                };
                *level = range.end;
            }
            continue;
        };
        at = range.end;
        let before = text.get(done..range.start).unwrap_or_default();
        // A sign behind a bracket is a hyphen; behind a word it is none for the expression.
        let signed = text
            .get(range.clone())
            .is_some_and(|t| t.starts_with(['-', '+']));
        if signed && before.ends_with([')', ']']) {
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

/// The class that matched, if it is one, and where. Long numbers are numbers.
fn class(found: &regex::Captures<'_>) -> (Option<Class>, std::ops::Range<usize>) {
    let range = found.get(0).map_or(0..0, |m| m.range());
    let class = if found.name("time").is_some() {
        Some(Class::Time)
    } else if found.name("address").is_some() {
        Some(Class::Address)
    } else if let Some(text) = found.name("id").or_else(|| found.name("run")) {
        let text = text.as_str();
        if text.bytes().all(|b| b.is_ascii_digit()) {
            Some(Class::Number)
        } else {
            // Hexadecimal digits need no decimal one among them: of two thousand ids of eight digits one has none.
            let is_id = found.name("id").is_some() || looks_random(text);
            is_id.then_some(Class::Id)
        }
    } else {
        Some(Class::Number)
    };
    (class, range)
}

/// Whether nobody would have thought of it: digits and letters, or capitals and others, change all the time. Words, names
/// with a number behind them and paths do not look so.
fn looks_random(text: &str) -> bool {
    let kind = |b: u8| match b {
        b'0'..=b'9' => 0,
        b'a'..=b'z' => 1,
        b'A'..=b'Z' => 2,
        _ => 3,
    };
    let kinds: Vec<u8> = text.trim_end_matches('=').bytes().map(kind).collect();
    let changes = |test: &dyn Fn(u8, u8) -> bool| {
        let pairs = kinds.iter().zip(kinds.iter().skip(1));
        pairs.filter(|(a, b)| test(**a, **b)).count()
    };
    let has = |kind: u8| kinds.contains(&kind);
    let often = changes(&|a, b| a != b) * 20 >= kinds.len() * 9;
    match has(3) {
        true => kinds.len() >= 20 && has(0) && has(1) && has(2) && often,
        false => {
            changes(&|a, b| (a == 0) != (b == 0)) >= 2
                || kinds.len() >= 8 && has(1) && has(2) && often
        }
    }
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
            ("5de768d", Class::Id),
            ("e7f1d3", Class::Id),
            ("MDJjYWI4NmNmN2FmODFkZTk2ZTY4YTU=", Class::Id),
            ("N2I1NDkx_jJkNGFk-jdmNmQy", Class::Id),
            ("x2x4z", Class::Id),
            ("VbkZqTrwAx", Class::Id),
            ("0x1f", Class::Number),
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
            "ReadFromFile",
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
    fn a_name_with_a_number_keeps_its_words_whatever_the_number_of_digits() {
        let skeletons = |texts: &[&str]| {
            let made = texts.iter().map(|text| line(text).skeleton);
            made.collect::<std::collections::BTreeSet<String>>()
        };
        for texts in [
            [
                "/tmp/build7/x.go",
                "/tmp/build3331613/x.go",
                "/tmp/build16384783/x.go",
            ],
            ["x7.5 of", "x12345.5 of", "x1234567.5 of"],
            ["/tmp/go-3d2762/y", "/tmp/go-df493b/y", "/tmp/go-123456/y"],
            [
                "pod-7d9f8c6b5-x2x4z up",
                "pod-8d9f8c6b5-k4z2z up",
                "pod-5d9f8c6b51-x9f4z up",
            ],
            [
                "short 5de768d, etag",
                "short 8251827, etag",
                "short feacabd, etag",
            ],
            ["at 0xbfb9d0", "at 0xf9d0", "at 0x1aa592cf4460"],
        ] {
            assert_eq!(
                skeletons(&texts).len(),
                1,
                "{texts:?}: {:?}",
                skeletons(&texts)
            );
        }
        assert_eq!(line("worker12: 5").skeleton, format!("worker{HOLE}:{HOLE}"));
    }

    #[test]
    fn what_was_measured_is_told_from_what_was_set() {
        let of = |text: &str| line(text).tokens[0].is_measured();
        assert!(of("2ms") && of("1.25s") && of("1m0.5s") && of("3 µs"));
        assert!(!of("30s") && !of("5") && !of("11:38:29") && !of("2026-11-26"));
    }
}
