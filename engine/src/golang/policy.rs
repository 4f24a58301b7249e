//! Functions of the Go runtime and its neighbours that must never run under an inserted frame, by version range.
//!
//! Data, and look-ups on it; it never looks at code. How the list came to be: in the sources of the last patch of
//! every minor release, 1.5 to 1.27, each Go function (linux/amd64 files, tests left out) whose body calls
//! `getcallersp`, `getcallerfp`, `getargp`, `setcallerpc` or, from 1.24, their `internal/runtime/sys` forms was listed
//! with the releases that have it; the `getcallerpc` users were read one by one and left out where the value only feeds
//! the race detector, msan, asan or a trace. `getclosureptr` is harmless: a hook leaves RDX alone. Assembly was read
//! for stack switches and for registers that are live against the ABI. Each row names the deciding file.
//!
//! `gondwana-harness policy verify` finds these users in the source of each toolchain and wants a rule for each, or a row of
//! [`HARMLESS`] that says why none is needed. It wants each rule to meet a name in the line table of a program that the
//! toolchain builds, or a symbol of its source as linkname calls it: what is inlined, or not linked into that program, is in
//! no line table.
//!
//! A row also covers what the compiler derives from the function: closures (`f.func1`, `f.gowrap2`), method values
//! (`f-fm`) and range-over-func bodies (`f-range1`).

mod harmless;
mod newest;
mod patchers;
mod rules;

use super::{Abi, GoVersion};

pub use harmless::{HARMLESS, Harmless};
pub use newest::{LISTED_PACKAGES, NEWEST_NAMES, is_listed, is_new};
pub use patchers::{PATCHERS, Patcher, patcher_of};
pub use rules::RULES;

/// Why a function must not be framed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Ground {
    /// It records or compares its caller's PC, SP or frame pointer.
    CallerFrame,
    /// It leaves on another stack or with another g than it was entered with, or is a stack's outermost frame.
    StackSwitch,
    /// Registers that the ABI calls free are live at its entry or exit.
    Registers,
    /// It runs in a forked child before `exec`, or pops its own return address.
    ForkChild,
    /// Only the entry can be observed: it does not return, or the program sees who called it.
    EntryOnly,
    /// It runs on the signal stack while g still names the interrupted goroutine, or was injected by a signal.
    Signal,
}

/// One row: `name` (a trailing `*` matches any rest) in Go 1.`from` to 1.`to`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Name as the line table has it.
    pub name: &'static str,
    /// First minor release.
    pub from: u16,
    /// Last minor release; [`u16::MAX`] if the newest known one still has it.
    pub to: u16,
    /// Why.
    pub ground: Ground,
    /// What it does there, and the Go source file that says so.
    pub source: &'static str,
}

impl Rule {
    /// Whether a function of this name, or what the compiler derived it from, is meant, whatever the version.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        let base = derived_from(name);
        matches(self.name, name) || (base != name && matches(self.name, base))
    }
}

/// The row that forbids a frame on the function of this name, if there is one.
#[must_use]
pub fn forbidden(version: GoVersion, name: &str) -> Option<&'static Rule> {
    // Every row names a function of these packages or an assembly symbol without package: most names end here.
    let listed = [
        "runtime",
        "internal/synctest.",
        "syscall.",
        "reflect.",
        "os.",
        "internal/runtime/",
    ];
    if name.contains('.') && !listed.iter().any(|package| name.starts_with(package)) {
        return None;
    }
    RULES
        .iter()
        .filter(|rule| (rule.from..=rule.to).contains(&version.minor))
        .find(|rule| rule.covers(name))
}

/// `pattern`, in which each `*` stands for any run of characters.
fn matches(pattern: &str, name: &str) -> bool {
    // The name must begin as the pattern does, and end where it does.
    let Some((head, tail)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let (middle, end) = tail.rsplit_once('*').unwrap_or(("", tail));
    let rest = name
        .strip_prefix(head)
        .and_then(|rest| rest.strip_suffix(end));
    let Some(mut rest) = rest else {
        return false;
    };
    for part in middle.split('*') {
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

/// The function that the compiler derived `name` from: `runtime.f` of `runtime.f.func1.2`, `runtime.f-fm`,
/// `runtime.f-range1`, `runtime.f.gowrap1`, `runtime.f.deferwrap1`, `runtime.f·dwrap·1` (`cmd/compile`, closure names).
#[must_use]
pub fn derived_from(name: &str) -> &str {
    let mut base = name;
    loop {
        let numbered = |text: &str, prefix: &str| {
            text.strip_prefix(prefix)
                .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
        };
        let cut = if let Some((head, tail)) = base.rsplit_once('.')
            && ["func", "gowrap", "deferwrap", ""]
                .iter()
                .any(|prefix| numbered(tail, prefix))
        {
            head
        } else if let Some((head, tail)) = base.rsplit_once('-')
            && (tail == "fm" || numbered(tail, "range"))
        {
            head
        } else if let Some((head, _)) = base.split_once("·dwrap·") {
            head
        } else {
            return base;
        };
        base = cut;
    }
}

/// The flag bit of functions that are a stack's outermost frame (`TOPFRAME`, `internal/abi/symtab.go`), 1.17+.
const FLAG_TOP_FRAME: u8 = 1;
/// The flag bit of functions that write SP in ways that no table describes (`SPWRITE`), 1.17+.
const FLAG_SP_WRITE: u8 = 2;
/// The flag bit of assembly functions, 1.18+.
const FLAG_ASM: u8 = 4;

/// What `_func.flag` says against a frame.
#[must_use]
pub fn forbidding_flag(version: GoVersion, flags: u8) -> Option<&'static str> {
    match flags {
        _ if version.minor < 17 => None,
        flags if flags & FLAG_TOP_FRAME != 0 => Some("TOPFRAME"),
        flags if flags & FLAG_SP_WRITE != 0 => Some("SPWRITE"),
        _ => None,
    }
}

/// Whether a function is assembly: its flag says so from 1.18 on; before, assembly has no locals map, unless it says
/// `NO_LOCAL_POINTERS`, which only functions do that are refused for other reasons.
#[must_use]
pub fn is_assembly(version: GoVersion, flags: u8, has_locals_map: bool) -> bool {
    !has_locals_map || (version.minor >= 18 && flags & FLAG_ASM != 0)
}

/// Whether an assembly function follows ABI0.
///
/// From 1.17 on the assembler adds `FUNCDATA_ArgsPointerMaps` to ABI0 functions with a Go declaration, and to no other
/// (`cmd/internal/obj/plist.go`, `Flushplist`). Before, it did so only for names without package (`·f`), so that a
/// declared argument size is the second sign: bodies shared through registers are declared `$0-0`.
#[must_use]
pub fn assembly_is_abi0(compiled: Abi, has_args_map: bool, args: u32) -> bool {
    has_args_map || (compiled == Abi::Abi0 && args > 0)
}

/// Whether the function belongs to the runtime or what it is made of. Its assembly calls its own assembly with values in
/// registers that ABI0 lets the callee destroy: `clone` keeps the new thread's function in R12 across `settls` and
/// `stackcheck` (`runtime/sys_linux_amd64.s`), so that a trampoline there ends the program.
#[must_use]
pub fn is_runtime_package(name: &str) -> bool {
    RUNTIME_PACKAGES
        .iter()
        .any(|package| name.starts_with(package))
}

/// How names begin in the runtime and what it is made of.
pub const RUNTIME_PACKAGES: [&str; 5] = [
    "runtime.",
    "runtime/internal/",
    "internal/runtime/",
    "internal/bytealg.",
    "internal/cpu.",
];

/// Names of the line table that stand for data in the text segment: the build ID, bounds of the
/// FIPS module (`cmd/link/internal/ld`: `textbuildid`, `fips140.go`).
#[must_use]
pub fn is_pseudo(name: &str) -> bool {
    PSEUDO.contains(&name)
}

/// All of these names.
pub const PSEUDO: [&str; 7] = [
    "go.buildid",
    "go:textfipsstart",
    "go:textfipsend",
    "go:buildid",
    "runtime.text",
    "runtime.etext",
    "go.link.pkghashbytes",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_hold_in_their_versions_only() {
        let ground =
            |minor, name: &str| forbidden(GoVersion::new(minor, 0), name).map(|rule| rule.ground);
        assert_eq!(ground(8, "runtime.selectgo"), Some(Ground::CallerFrame));
        assert_eq!(ground(9, "runtime.selectgo"), None);
        assert_eq!(ground(27, "runtime.panicBounds"), Some(Ground::Registers));
        assert_eq!(ground(27, "runtime.allocm"), None);
        assert_eq!(ground(27, "main.gopanic"), None);
        assert_eq!(ground(13, "gosave"), Some(Ground::StackSwitch));
        assert_eq!(
            ground(21, "runtime/internal/syscall.Syscall6"),
            Some(Ground::ForkChild)
        );
    }

    #[test]
    fn what_the_compiler_derives_is_covered() {
        for name in [
            "runtime.gopanic.func1",
            "runtime.gopanic.func1.2",
            "runtime.gopanic-fm",
            "runtime.gopanic.gowrap1",
        ] {
            assert!(forbidden(GoVersion::new(22, 0), name).is_some(), "{name}");
        }
        assert_eq!(derived_from("main.f.func1.2"), "main.f");
        assert_eq!(derived_from("main.f-range12"), "main.f");
        assert_eq!(derived_from("main.f·dwrap·3"), "main.f");
        assert_eq!(derived_from("main.function"), "main.function");
    }

    #[test]
    fn stars_match_any_run() {
        assert!(matches("a*c", "abbc") && matches("a*", "a") && matches("a", "a"));
        assert!(matches("a*c", "abcbc") && matches("a*b*c", "axbxbcc") && !matches("ab*ba", "aba"));
        assert!(!matches("a*c", "abcd") && !matches("a", "ab") && !matches("a*c", "b"));
    }

    #[test]
    fn rows_are_sound() {
        for rule in RULES {
            assert!(rule.from >= 5 && rule.from <= rule.to, "{}", rule.name);
            assert!(rule.source.contains('('), "{} names no source", rule.name);
        }
    }
}
