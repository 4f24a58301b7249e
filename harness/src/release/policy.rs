//! The sources of two toolchains -> which functions of the engine's policy came and went, and who looks at its caller
//! without a rule.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use gondwana_engine::golang::{GoVersion, policy};
use serde::Serialize;

use crate::layouts::source::Source;

/// The packages that rules of the policy name functions of; a release has some of them.
const PACKAGES: [&str; 9] = [
    "runtime",
    "runtime/internal/sys",
    "runtime/internal/syscall",
    "internal/runtime/sys",
    "internal/runtime/syscall",
    "internal/runtime/syscall/linux",
    "syscall",
    "reflect",
    "os",
];

/// What a function calls to see its caller (`internal/runtime/sys` from 1.24, `runtime` before).
const LOOKS: [&str; 5] = [
    "getcallersp(",
    "getcallerpc(",
    "getcallerfp(",
    "GetCallerSP(",
    "GetCallerPC(",
];

/// What the newer release changes about functions that must not get a frame.
#[derive(Clone, Default, Debug, Serialize)]
pub struct Policy {
    /// Rules that a function of the newer release meets, and none of the older one.
    pub appeared: Vec<String>,
    /// Rules that still cover the newer release and that none of its functions meets any more.
    pub vanished: Vec<String>,
    /// Functions that look at their caller, that no rule covers, and that did not do so before.
    pub uncovered: Vec<String>,
    /// Such functions in both releases: read before, and harmless.
    pub read_before: usize,
}

/// Compares two sources, the older one first.
pub(super) fn compare(
    old: (&mut Source<'_>, GoVersion),
    new: (&mut Source<'_>, GoVersion),
) -> Result<Policy> {
    let (before, after) = (Functions::of(old.0)?, Functions::of(new.0)?);
    let rules = |functions: &Functions, version: GoVersion| -> BTreeMap<&'static str, String> {
        let names = functions.all.iter();
        let met =
            names.filter_map(|name| Some((policy::forbidden(version, name)?.name, name.clone())));
        met.collect()
    };
    let (met_before, met_after) = (rules(&before, old.1), rules(&after, new.1));
    let only = |these: &BTreeMap<&'static str, String>, those: &BTreeMap<&'static str, String>| {
        let missing = these.iter().filter(|(rule, _)| !those.contains_key(*rule));
        missing
            .map(|(rule, name)| format!("{rule} ({name})"))
            .collect()
    };
    let uncovered = |functions: &Functions, version| -> BTreeSet<String> {
        let looking = functions.looking.iter();
        looking
            .filter(|name| policy::forbidden(version, name).is_none())
            .cloned()
            .collect()
    };
    let (old_looking, new_looking) = (uncovered(&before, old.1), uncovered(&after, new.1));
    // A rule that ends with the older release says itself that the function is gone.
    let mut vanished: Vec<String> = only(&met_before, &met_after);
    vanished.retain(|text| {
        policy::RULES
            .iter()
            .any(|rule| text.starts_with(&format!("{} (", rule.name)) && rule.to >= new.1.minor)
    });
    Ok(Policy {
        appeared: only(&met_after, &met_before),
        vanished,
        uncovered: new_looking.difference(&old_looking).cloned().collect(),
        read_before: new_looking.intersection(&old_looking).count(),
    })
}

/// The functions of a source.
#[derive(Default)]
struct Functions {
    /// Names as the line table has them.
    all: BTreeSet<String>,
    /// Those that look at their caller.
    looking: BTreeSet<String>,
}

impl Functions {
    fn of(source: &mut Source<'_>) -> Result<Self> {
        let mut out = Self::default();
        for package in PACKAGES {
            for (path, text) in source.files(package)? {
                if path.extension().is_some_and(|extension| extension == "s") {
                    out.all
                        .extend(text.lines().filter_map(|line| assembly(package, line)));
                } else {
                    out.go(package, &text);
                }
            }
        }
        Ok(out)
    }

    /// The functions of a Go file: gofmt puts `func` and the closing brace at the start of their lines.
    fn go(&mut self, package: &str, text: &str) {
        let mut current: Option<String> = None;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("func ") {
                current = declared(package, rest);
                self.all.extend(current.clone());
            } else if line == "}" {
                current = None;
            } else if let Some(name) = &current {
                let code = line.split("//").next().unwrap_or_default();
                if LOOKS.iter().any(|look| code.contains(look)) {
                    self.looking.insert(name.clone());
                }
            }
        }
    }
}

/// The name in the line table of what `func` declares: `runtime.f`, `runtime.(*T).m`, `runtime.T.m`.
fn declared(package: &str, rest: &str) -> Option<String> {
    let (receiver, rest) = match rest.strip_prefix('(') {
        Some(receiver) => {
            let (receiver, rest) = receiver.split_once(')')?;
            let ty = receiver.rsplit(' ').next()?;
            (Some(ty), rest.trim_start())
        }
        None => (None, rest),
    };
    let name = rest.split(['(', '[']).next()?;
    Some(match receiver {
        None => format!("{package}.{name}"),
        Some(ty) => match ty.split('[').next()?.strip_prefix('*') {
            Some(ty) => format!("{package}.(*{ty}).{name}"),
            None => format!("{package}.{ty}.{name}"),
        },
    })
}

/// The name of what a `TEXT` line of assembly declares; symbols of a file (`name<>`) have no package.
fn assembly(package: &str, line: &str) -> Option<String> {
    let symbol = line.strip_prefix("TEXT")?.trim_start();
    let symbol = symbol.split("(SB)").next()?;
    let symbol = symbol.split('<').next()?;
    Some(match symbol.split_once('·') {
        None => symbol.to_owned(),
        Some(("", name)) => format!("{package}.{name}"),
        Some((other, name)) => format!("{}.{name}", other.replace('∕', "/")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_line_table() {
        let of = |rest| declared("runtime", rest).unwrap();
        assert_eq!(of("gopanic(e any) {"), "runtime.gopanic");
        assert_eq!(
            of("(p *_panic) start(pc uintptr) {"),
            "runtime.(*_panic).start"
        );
        assert_eq!(
            of("(s pageBits) get(i uint) uint {"),
            "runtime.pageBits.get"
        );
        assert_eq!(
            of("(x *Pointer[T]) Load() *T { return"),
            "runtime.(*Pointer).Load"
        );
        assert_eq!(of("f[T any](x T) {"), "runtime.f");
        let text = |line| assembly("runtime", line);
        assert_eq!(
            text("TEXT runtime·gogo(SB), NOSPLIT, $0-8").unwrap(),
            "runtime.gogo"
        );
        assert_eq!(
            text("TEXT ·asmcgocall(SB),NOSPLIT,$0-20").unwrap(),
            "runtime.asmcgocall"
        );
        assert_eq!(text("TEXT gogo<>(SB), NOSPLIT, $0").unwrap(), "gogo");
        assert_eq!(
            text("TEXT reflect·call<ABIInternal>(SB), NOSPLIT, $0").unwrap(),
            "reflect.call"
        );
        assert_eq!(text("\tCALL runtime·x(SB)"), None);
    }

    #[test]
    fn who_looks_at_its_caller_is_found() {
        let mut functions = Functions::default();
        functions.go(
            "runtime",
            "func f() {\n\tx := getcallersp()\n}\nfunc g() {\n\t// getcallersp()\n}\nfunc (t *T) m() {\n\tsys.GetCallerPC()\n}\n",
        );
        let looking: Vec<&str> = functions.looking.iter().map(String::as_str).collect();
        assert_eq!(looking, ["runtime.(*T).m", "runtime.f"]);
        assert_eq!(functions.all.len(), 3);
    }
}
