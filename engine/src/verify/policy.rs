//! Whether the hooked function may be touched at all: its name and flags against what is known of the Go runtime, and whether
//! the program reads or rewrites its own code.
//!
//! The rows are those of [`crate::golang::policy::RULES`], and the names those of the newest release, which are data; how a
//! name is compared with the rows is decided here again, by a matcher of its own.

use crate::golang::NEWEST;
use crate::golang::policy::{self, PSEUDO, RULES, Rule};
use crate::plan::{Plan, PlannedHook};

use super::program::Program;
use super::{Findings, Original, OriginalFunction, RejectionCode as Code};

/// `_func.flag` of a stack's outermost frame, and of a function that writes SP as no table says (`internal/abi/symtab.go`,
/// `FuncFlagTopFrame`, `FuncFlagSPWrite`, 1.17 and later; the byte is padding before).
const FLAGS: [(u8, &str); 2] = [(1, "TOPFRAME"), (2, "SPWRITE")];
/// The first minor release with [`FLAGS`].
const FLAGS_SINCE: u16 = 17;

/// Checks one hook.
pub(super) fn check(
    original: &dyn Original,
    program: &Program<'_>,
    plan: &Plan,
    hook: &PlannedHook,
    findings: &mut Findings,
) {
    let link = plan.placement.slide.link(hook.entry);
    let minor = original.version().minor;
    let reason = match original.function_at(link) {
        Some(function) => {
            objection(minor, &function).or_else(|| of_the_program(original, program, &function))
        }
        None => Some("no function".to_owned()),
    };
    if let Some(reason) = reason {
        findings.add(
            Code::Forbidden,
            hook.entry,
            format!("{}: {reason}", hook.name),
            "a function that may run under a frame",
        );
    }
}

fn objection(minor: u16, function: &OriginalFunction<'_>) -> Option<String> {
    if PSEUDO.contains(&function.name) {
        return Some("a mark in the text, no function".to_owned());
    }
    if let Some((_, name)) = FLAGS
        .iter()
        .find(|(bit, _)| minor >= FLAGS_SINCE && function.flags & bit != 0)
    {
        return Some(format!("flag {name}"));
    }
    rule(minor, function.name).map(|rule| format!("{}, {:?}", rule.source, rule.ground))
}

/// What speaks against it in this program.
fn of_the_program(
    original: &dyn Original,
    program: &Program<'_>,
    function: &OriginalFunction<'_>,
) -> Option<String> {
    if let Some(patcher) = program.patcher {
        return Some(format!("the program rewrites its own code: {patcher}"));
    }
    let size = u64::from(function.size);
    let end = function.entry.checked_add(size).unwrap_or(function.entry);
    if program.is_hashed(function.entry..end) {
        return Some("the program hashes this code".to_owned());
    }
    let newer = original
        .assumed_like()
        .is_some_and(|like| like.minor == NEWEST);
    let wrapper = original.facts().func_id_wrapper == Some(function.func_id);
    (newer && !wrapper && policy::is_new(function.name))
        .then(|| format!("go1.{NEWEST} has no such function"))
}

/// The row that is about this function or the one that the compiler made it of.
fn rule(minor: u16, name: &str) -> Option<&'static Rule> {
    let stem = stem(name);
    // A symbol without a package is assembly, of which the compiler makes nothing; nor is it a package's first word.
    let packaged = name.contains('.');
    RULES.iter().find(|rule| {
        let pattern = rule.name.as_bytes();
        rule.from <= minor
            && minor <= rule.to
            && packaged == rule.name.contains('.')
            && (fits(pattern, name.as_bytes()) || fits(pattern, stem.as_bytes()))
    })
}

/// Whether `name` is `pattern`, in which `*` is any run of bytes. The last `*` seen is tried with one byte more whenever the
/// rest does not fit.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut again: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                again = Some((p, n));
                p += 1;
            }
            Some(byte) if name.get(n) == Some(byte) => {
                p += 1;
                n += 1;
            }
            _ => {
                let Some((star, taken)) = again else {
                    return false;
                };
                again = Some((star, taken + 1));
                p = star + 1;
                n = taken + 1;
            }
        }
    }
    pattern
        .get(p..)
        .unwrap_or_default()
        .iter()
        .all(|&b| b == b'*')
}

/// The name without what the compiler appends for functions that it makes of one: literals (`.func1`, `.1`), wrappers of go
/// and defer statements (`.gowrap1`, `.deferwrap1`, `·dwrap·1`), method values (`-fm`), bodies of range loops (`-range1`).
fn stem(name: &str) -> &str {
    let name = name.find("·dwrap·").map_or(name, |at| &name[..at]);
    let mut rest = name;
    while let Some(at) = rest.rfind(['.', '-']) {
        let (head, tail) = rest.split_at(at);
        let word = tail[1..].trim_end_matches(|c: char| c.is_ascii_digit());
        let made = match tail.as_bytes().first() {
            Some(b'.') => matches!(word, "" | "func" | "gowrap" | "deferwrap"),
            _ => word == "range" || tail == "-fm",
        };
        if !made {
            break;
        }
        rest = head;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_whole_with_any_run_for_a_star() {
        for (pattern, name, is) in [
            ("a*c", "abcbc", true),
            ("a*c", "abcd", false),
            ("a*", "a", true),
            ("*", "", true),
            ("a", "ab", false),
            ("runtime.(*_panic).*", "runtime.(*_panic).nextFrame", true),
            ("x.*y", "x.ayby", true),
        ] {
            assert_eq!(
                fits(pattern.as_bytes(), name.as_bytes()),
                is,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn what_the_compiler_makes_of_a_function_is_held_against_its_rule() {
        for name in [
            "runtime.gopanic",
            "runtime.gopanic.func1",
            "runtime.gopanic.func1.2",
            "runtime.gopanic-fm",
            "runtime.gopanic.gowrap1",
            "runtime.gopanic·dwrap·3",
            "runtime.gopanic-range12.func1",
        ] {
            assert!(rule(22, name).is_some(), "{name}");
        }
        for name in [
            "main.gopanic",
            "runtime.gopanics",
            "runtime.allocm.func1",
            "gosaver.Save",
        ] {
            assert!(rule(22, name).is_none(), "{name}");
        }
        assert!(rule(8, "runtime.selectgo").is_some() && rule(9, "runtime.selectgo").is_none());
    }

    #[test]
    fn both_ways_to_ask_the_rows_agree() {
        use crate::golang::{GoVersion, policy::forbidden};
        for minor in 5..=27 {
            for known in RULES {
                for suffix in ["", ".func1", "-fm", "x"] {
                    let name = known.name.replace('*', "q") + suffix;
                    assert_eq!(
                        rule(minor, &name),
                        forbidden(GoVersion::new(minor, 0), &name),
                        "go1.{minor} {name}"
                    );
                }
            }
        }
    }
}
