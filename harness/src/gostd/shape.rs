//! A line of output -> its shape: the line without numbers, times, addresses and random texts, which differ from run to run
//! of the same program.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

/// What is masked, and what stands there instead; the first ones first.
#[allow(
    clippy::expect_used,
    reason = "the patterns are constants, and a test compiles them"
)]
static MASKS: LazyLock<[(Regex, &str); 6]> = LazyLock::new(|| {
    let mask = |pattern: &str, instead| (Regex::new(pattern).expect("a pattern"), instead);
    [
        // `0xc000012345`, and the arguments of frames in tracebacks: `0x1?`.
        mask(r"0x[0-9a-fA-F]+\??", "#p"),
        // `1.5ms`, `2m3s`, `1h0m0s`.
        mask(r"\b(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|µs|ms|s|m|h))+\b", "#t"),
        // Before digests, which the digits of a fraction look like, with the `e` of an exponent.
        mask(r"-?[0-9]+\.[0-9]+(?:e[+-][0-9]+)?", "#"),
        // Digests and random names; the same text as for a number, which they may happen to be.
        mask(r"\b[0-9a-f]{8,}\b", "#"),
        mask(r"-?[0-9]+(?:\.[0-9]+)?(?:e[+-][0-9]+)?", "#"),
        // Numbers are padded.
        mask(r"\s+", " "),
    ]
});

/// The shape of a line.
#[must_use]
pub fn shape(line: &str) -> String {
    let mut text = Cow::Borrowed(line.trim());
    for (pattern, instead) in MASKS.iter() {
        if let Cow::Owned(masked) = pattern.replace_all(&text, *instead) {
            text = Cow::Owned(masked);
        }
    }
    text.into_owned()
}

/// Texts that a program in distress writes, however its output varies otherwise.
const DISTRESS: [&str; 12] = [
    "panic:",
    "fatal error:",
    "unexpected fault address",
    "unexpected return pc",
    "unexpected signal",
    "traceback stuck",
    "traceback did not unwind",
    "[signal SIG",
    "SIGSEGV",
    "SIGILL",
    "bad pointer",
    "gondwana",
];

/// Whether a line speaks of a crash, or of hooks.
#[must_use]
pub fn is_distress(line: &str) -> bool {
    DISTRESS.iter().any(|word| line.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_run_to_run_is_masked_and_nothing_else() {
        for (line, masked) in [
            (
                "    x_test.go:12: took 1.5ms, then 2m3.1s\n",
                "x_test.go:#: took #t, then #t",
            ),
            ("main.f(0xc000012345, 0x1?)", "main.f(#p, #p)"),
            (
                "/tmp/TestX1234/001 at 127.0.0.1:4567",
                "/tmp/TestX#/# at #.#:#",
            ),
            ("id 1f00ba2e of face", "id # of face"),
            ("got -3, want 1e+10", "got #, want #"),
            ("r 0.5001 e 9.999999999998899e-05", "r # e #"),
            ("r 0.5003 e 0.00029999999999996696", "r # e #"),
            ("\t 7  of\t12", "# of #"),
            ("added decade", "added decade"),
        ] {
            assert_eq!(shape(line), masked, "{line}");
        }
        assert_ne!(shape("wrong answer"), shape("right answer"));
    }

    #[test]
    fn distress_is_seen() {
        assert!(is_distress(
            "fatal error: unexpected signal during runtime execution"
        ));
        assert!(!is_distress("    x_test.go:1: retrying"));
    }
}
