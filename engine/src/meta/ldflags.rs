//! The text of `-ldflags` -> the strings that its `-X` flags set. Source: `cmd/internal/quoted/quoted.go` (`Split`),
//! `cmd/link/internal/ld/data.go` (`addstrdata1`), package `flag`.

use crate::image::LinkerString;

/// The strings that `-X pkg.name=value` sets, in the order of the flags; a later one for the same variable wins.
#[must_use]
pub fn strings(ldflags: &str) -> Vec<LinkerString<'_>> {
    let mut found: Vec<LinkerString<'_>> = Vec::new();
    let mut fields = Fields(ldflags);
    while let Some(field) = fields.next() {
        let Some(flag) = field.strip_prefix("--").or_else(|| field.strip_prefix('-')) else {
            continue;
        };
        let setting = match flag.strip_prefix("X=") {
            Some(setting) => Some(setting),
            None if flag == "X" => fields.next(),
            None => None,
        };
        if let Some((name, value)) = setting.and_then(|setting| setting.split_once('=')) {
            found.retain(|other| other.name != name);
            found.push(LinkerString { name, value });
        }
    }
    found
}

/// Words between white space; a word may be quoted as a whole, without escapes.
struct Fields<'t>(&'t str);

impl<'t> Iterator for Fields<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        let is_space = |char| matches!(char, ' ' | '\t' | '\n' | '\r');
        let text = self.0.trim_start_matches(is_space);
        let first = text.chars().next()?;
        let (word, rest) = if matches!(first, '"' | '\'') {
            // The go command refuses an open quote, so none is recorded.
            text.get(1..)?.split_once(first)?
        } else {
            text.split_once(is_space).unwrap_or((text, ""))
        };
        self.0 = rest;
        Some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(ldflags: &str) -> Vec<(&str, &str)> {
        strings(ldflags)
            .iter()
            .map(|one| (one.name, one.value))
            .collect()
    }

    #[test]
    fn every_spelling_is_read() {
        let text =
            "-s -w -X main.a=1 -X=main.b=x=y --X main.c= '-X' 'main.d=Acme Inc' -X \"main.e=it's\"";
        let expected = [
            ("main.a", "1"),
            ("main.b", "x=y"),
            ("main.c", ""),
            ("main.d", "Acme Inc"),
            ("main.e", "it's"),
        ];
        assert_eq!(pairs(text), expected);
        assert_eq!(pairs("-X a.b=1 -X a.b=2"), [("a.b", "2")]);
    }

    #[test]
    fn other_flags_set_nothing() {
        for text in [
            "",
            "-X",
            "-X 'open",
            "-X nothing",
            "-extldflags '-X a=b'",
            "-Xa=b",
            "X=a=b",
            "-linkmode external",
        ] {
            assert_eq!(pairs(text), [], "{text}");
        }
    }
}
