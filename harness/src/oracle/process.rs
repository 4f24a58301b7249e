//! Two unhooked runs and a hooked one -> [`Finding`]s: the program's output and end must not change.
//!
//! Where the two unhooked runs differ already, the program decides nothing: that comparison is inconclusive. But if they
//! differ in addresses only, as the report of a crash does in a position-independent program, the rest is compared.

use std::borrow::Cow;

use crate::executor::native::process::{End, Finished};
use crate::oracle::{Answer, Finding};

/// Hexadecimal digits of the shortest address: programs lie at 0x400000 or higher.
const ADDRESS_DIGITS: usize = 6;

/// Compares the end, both output streams and the load's end.
#[must_use]
pub fn judge(unhooked: [&Finished; 2], hooked: &Finished) -> Vec<Finding> {
    let [first, second] = unhooked;
    let end = |run: &Finished| run.end.to_string();
    let load = |run: &Finished| run.load.map_or(String::new(), |end| end.to_string());
    let mut findings = vec![
        Finding {
            what: "exit status".to_owned(),
            answer: if first.end == End::TimedOut && second.end == End::TimedOut {
                Answer::Inconclusive("the unhooked program did not end in time".to_owned())
            } else {
                compare(&end(first), &end(second), &end(hooked))
            },
        },
        Finding {
            what: "standard output".to_owned(),
            answer: compare(&first.stdout, &second.stdout, &hooked.stdout),
        },
        Finding {
            what: "standard error".to_owned(),
            answer: compare(&first.stderr, &second.stderr, &hooked.stderr),
        },
    ];
    if first.load.is_some() {
        findings.push(Finding {
            what: "load".to_owned(),
            answer: compare(&load(first), &load(second), &load(hooked)),
        });
    }
    findings
}

/// Whether the unhooked program ended with the exit status that is promised of it.
#[must_use]
pub fn judge_exit(promised: i32, unhooked: &Finished) -> Finding {
    Finding {
        what: "promised exit status".to_owned(),
        answer: match unhooked.end {
            End::Status(status) if status == promised => Answer::Agree,
            end => Answer::Diverge(format!("unhooked {end}, promised {promised}")),
        },
    }
}

fn compare(
    first: &(impl AsRef<[u8]> + ?Sized),
    second: &(impl AsRef<[u8]> + ?Sized),
    hooked: &(impl AsRef<[u8]> + ?Sized),
) -> Answer {
    let mut texts = [first.as_ref(), second.as_ref(), hooked.as_ref()].map(Cow::Borrowed);
    if texts[0] != texts[1] {
        texts = texts.map(|text| Cow::Owned(without_addresses(&text)));
    }
    let [first, second, hooked] = &texts;
    if first != second {
        let (line, a, b) = first_difference(first, second);
        return Answer::Inconclusive(format!(
            "two unhooked runs differ at line {line}: {a:?}, {b:?}"
        ));
    }
    if first != hooked {
        let (line, a, b) = first_difference(first, hooked);
        return Answer::Diverge(format!("line {line}: unhooked {a:?}, hooked {b:?}"));
    }
    Answer::Agree
}

/// The text with `0x…` for each hexadecimal number that is long enough for an address.
fn without_addresses(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = rest.strip_prefix(b"0x").unwrap_or_default();
        let count = digits.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        if count >= ADDRESS_DIGITS {
            out.extend("0x…".bytes());
            rest = digits.get(count..).unwrap_or_default();
        } else {
            out.push(byte);
            rest = after;
        }
    }
    out
}

/// Number of the first line that differs, and both.
fn first_difference(a: &[u8], b: &[u8]) -> (usize, String, String) {
    let lines = |bytes: &[u8]| -> Vec<String> {
        bytes
            .split(|&byte| byte == b'\n')
            .map(|line| String::from_utf8_lossy(line.get(..200).unwrap_or(line)).into_owned())
            .collect()
    };
    let (a, b) = (lines(a), lines(b));
    let at = (0..).find(|&i| a.get(i) != b.get(i)).unwrap_or(0);
    let line = |lines: &[String]| lines.get(at).cloned().unwrap_or_else(|| "(end)".to_owned());
    (at + 1, line(&a), line(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn run(stdout: &str, end: End) -> Finished {
        Finished {
            pid: 1,
            end,
            stdout: stdout.into(),
            stderr: Vec::new(),
            load: None,
            elapsed: Duration::ZERO,
        }
    }

    #[test]
    fn an_exit_status_that_was_not_promised_diverges() {
        assert!(judge_exit(2, &run("", End::Status(2))).answer.agrees());
        for end in [End::Status(66), End::Signal(2), End::TimedOut] {
            assert!(matches!(
                judge_exit(2, &run("", end)).answer,
                Answer::Diverge(_)
            ));
        }
    }

    #[test]
    fn the_same_three_times_agrees() {
        let same = run("a\nb\n", End::Status(0));
        assert!(
            judge([&same, &same], &same)
                .iter()
                .all(|f| f.answer.agrees())
        );
    }

    #[test]
    fn a_hooked_run_that_differs_diverges() {
        let (a, b) = (
            run("a\nb\n", End::Status(0)),
            run("a\nc\n", End::Signal(11)),
        );
        let findings = judge([&a, &a], &b);
        assert!(matches!(&findings[0].answer, Answer::Diverge(_)));
        let Answer::Diverge(what) = &findings[1].answer else {
            panic!("{findings:?}")
        };
        assert_eq!(what, "line 2: unhooked \"b\", hooked \"c\"");
        assert!(findings[2].answer.agrees());
    }

    #[test]
    fn addresses_count_where_they_are_the_same_each_time() {
        let at = |text: &str| run(text, End::Status(2));
        let (a, b) = (at("pc=0x55d0c000 r=0x1f\n"), at("pc=0x7fd0c123 r=0x1f\n"));
        let answer = |hooked| judge([&a, &b], &at(hooked))[1].answer.clone();
        assert!(answer("pc=0x561111110 r=0x1f\n").agrees());
        for other in [
            "pc=0x561111110 r=0x1e\n",
            "pc=0x5611 r=0x1f\n",
            "pc=0x561111110",
        ] {
            assert!(matches!(answer(other), Answer::Diverge(_)), "{other}");
        }
        let same = judge([&a, &a], &b)[1].answer.clone();
        assert!(matches!(same, Answer::Diverge(_)));
    }

    #[test]
    fn a_program_that_never_does_the_same_twice_decides_nothing() {
        let (a, b) = (run("1", End::Status(0)), run("2", End::Status(0)));
        let findings = judge([&a, &b], &a);
        assert!(matches!(&findings[1].answer, Answer::Inconclusive(_)));
        let slow = run("1", End::TimedOut);
        assert!(matches!(
            &judge([&slow, &slow], &slow)[0].answer,
            Answer::Inconclusive(_)
        ));
    }
}
