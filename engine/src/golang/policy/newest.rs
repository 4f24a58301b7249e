//! The functions of the runtime, of `syscall`, of `reflect` and of what they share in the newest known release.
//!
//! A version that is not known is taken to be like that release. What it has in these packages besides may be anything, also
//! a function that no frame may be under, so that it is refused. `newest.txt` is written by `gondwana-harness policy names`
//! from the source of every configuration (race detector, msan, asan, cgo, boringcrypto), and a test compares the two.
//!
//! The compiler's own additions count as what they were derived from: closures, method values, instances of generic
//! functions, initialisers. Wrappers of methods are not asked for: they are not in any source.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::OnceLock;

use super::derived_from;

/// Lines `PACKAGE:`, each followed by lines of names without it, sorted.
pub const NEWEST_NAMES: &str = include_str!("newest.txt");

/// Packages whose functions are listed: these, and those below the ones that end with a slash.
pub const LISTED_PACKAGES: [&str; 6] = [
    "internal/abi",
    "runtime",
    "runtime/internal/",
    "internal/runtime/",
    "syscall",
    "reflect",
];

/// Whether the functions of this package are listed.
#[must_use]
pub fn is_listed(package: &str) -> bool {
    LISTED_PACKAGES
        .iter()
        .any(|&listed| package == listed || (listed.ends_with('/') && package.starts_with(listed)))
}

/// Whether a function of this name is one of a listed package that the newest known release does not have.
#[must_use]
pub fn is_new(name: &str) -> bool {
    let plain = &without_type_arguments(name);
    let last = plain.rfind('/').map_or(0, |at| at + 1);
    let Some(dot) = plain.get(last..).and_then(|rest| rest.find('.')) else {
        return false;
    };
    let Some((package, rest)) = plain.split_at_checked(last + dot) else {
        return false;
    };
    if !is_listed(package) {
        return false;
    }
    let base = derived_from(plain);
    let known = names();
    // Initialisers, and the closures of package variables (`glob.` to 1.20, `init.` later).
    let made = [".init", ".map.init", ".glob"].iter().any(|made| {
        rest.strip_prefix(made)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    });
    !made && !known.contains(&**plain) && !known.contains(base) && !is_promoted(package, base)
}

/// Whether a type of `reflect` or `internal/abi` has it from the type of `internal/abi` inside it: such methods need no code of their own where
/// that comes first, and are not marked as wrappers then (`reflect.(*ptrType).NumMethod`).
fn is_promoted(package: &str, name: &str) -> bool {
    let Some((_, method)) = name.rsplit_once('.') else {
        return false;
    };
    matches!(package, "reflect" | "internal/abi")
        && name.contains("(*")
        && names().contains(&format!("internal/abi.(*Type).{method}"))
}

/// The name without what stands in brackets, which holds names of its own.
fn without_type_arguments(name: &str) -> Cow<'_, str> {
    if !name.contains('[') {
        return Cow::Borrowed(name);
    }
    let mut depth = 0_u32;
    let outside = name.chars().filter(|&letter| {
        depth += u32::from(letter == '[');
        let keep = depth == 0;
        depth = depth.saturating_sub(u32::from(letter == ']'));
        keep
    });
    Cow::Owned(outside.collect())
}

/// The names, in full.
fn names() -> &'static HashSet<String> {
    static NAMES: OnceLock<HashSet<String>> = OnceLock::new();
    NAMES.get_or_init(|| {
        let mut names = HashSet::new();
        let mut package = "";
        for line in NEWEST_NAMES.lines() {
            match line.strip_suffix(':') {
                Some(next) => package = next,
                None => names.extend(line.split(' ').map(|name| format!("{package}.{name}"))),
            }
        }
        names
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_newest_release_has_is_not_new() {
        for name in [
            "runtime.mallocgc",
            "runtime.gopanic.func1",
            "runtime.(*mheap).alloc",
            "runtime.init.0",
            "runtime.map.init.0",
            "runtime.goexit",
            "reflect.Value.Call",
            "reflect.(*ptrType).NumMethod",
            "internal/runtime/atomic.(*Uint32).Load",
            "internal/runtime/atomic.(*Pointer[go.shape.struct { runtime.x int }]).Load",
            "syscall.Syscall",
        ] {
            assert!(!is_new(name), "{name}");
        }
    }

    #[test]
    fn what_it_does_not_have_is_new_in_these_packages_only() {
        for name in [
            "runtime.brandNew",
            "runtime.brandNew.func1",
            "runtime.(*mheap).brandNew",
            "internal/runtime/brandnew.F",
            "syscall.BrandNew",
            "reflect.(*ptrType).BrandNew",
        ] {
            assert!(is_new(name), "{name}");
        }
        for name in [
            "main.brandNew",
            "runtime/pprof.BrandNew",
            "runtimes.F",
            "go:buildid",
            "gogo",
            "type:.eq.runtime.brandNew",
            "slices.Sort[runtime.brandNew]",
        ] {
            assert!(!is_new(name), "{name}");
        }
    }
}
