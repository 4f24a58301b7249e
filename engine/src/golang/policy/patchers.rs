//! Libraries by which a program rewrites its own functions while it runs.
//!
//! All of them write a jump over a function's first bytes, and keep or move a copy of what stood there: to call the
//! original (`mockey`'s `Origin`, `goom`, `gohook`, `hookingo`), or to put it back. Under a hook that copy is Gondwana's
//! jump, moved without its displacement being mended, or put back over a program that is no longer hooked. Which functions
//! will be patched is decided by data at run time, so that no function of such a program is safe to hook.
//!
//! What counts: a function in the line table of the package itself or of one below it, vendored or not, whether or not it
//! is ever called. What does not: a package that is imported only by its tests, or of which the linker kept nothing. Forks
//! under another import path are not known; each has to be added here.

/// One library.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Patcher {
    /// Import path; packages below it belong to it (major versions are such).
    pub path: &'static str,
    /// The file of the library that writes over functions.
    pub source: &'static str,
}

const fn patcher(path: &'static str, source: &'static str) -> Patcher {
    Patcher { path, source }
}

/// All of them.
pub const PATCHERS: &[Patcher] = &[
    patcher("bou.ke/monkey", "monkey.go (patchValue)"),
    patcher("github.com/bouk/monkey", "monkey.go (patchValue)"),
    patcher("github.com/go-kiss/monkey", "monkey.go (patchValue)"),
    patcher(
        "github.com/cch123/supermonkey",
        "patch.go; patches by bou.ke/monkey",
    ),
    patcher(
        "github.com/agiledragon/gomonkey",
        "modify_binary_linux.go (modifyBinary)",
    ),
    patcher(
        "github.com/bytedance/mockey",
        "internal/monkey/patch.go (PatchValue)",
    ),
    patcher(
        "github.com/undefinedlabs/go-mpatch",
        "patcher.go (applyPatch)",
    ),
    patcher(
        "github.com/jxskiss/gopkg/unsafe/monkey",
        "a fork of github.com/bouk/monkey",
    ),
    patcher(
        "github.com/jxskiss/gopkg/v2/unsafe/monkey",
        "a fork of github.com/bouk/monkey",
    ),
    patcher(
        "github.com/brahma-adshonor/gohook",
        "hook.go (hookFunction)",
    ),
    patcher("github.com/k2io/hookingo", "hook.go (Apply)"),
    patcher("github.com/fengyoulin/hookingo", "hook.go (Apply)"),
    patcher("github.com/tencent/goom", "internal/patch/patch.go"),
    patcher("git.code.oa.com/goom/mocker", "internal/patch/patch.go"),
    patcher(
        "github.com/Rookout/GoSDK",
        "pkg/services/instrumentation/hooker (native_hooker.go)",
    ),
];

/// The library that a function of this name belongs to.
#[must_use]
pub fn patcher_of(name: &str) -> Option<&'static Patcher> {
    // Type arguments hold paths of their own.
    let name = name.split(['[', '(', '{', ' ']).next()?;
    let path = name
        .rsplit_once("/vendor/")
        .map_or(name, |(_, vendored)| vendored);
    // Most names end here: no import path of the standard library or of `main` has a dot before its first slash.
    let (host, _) = path.split_once('/')?;
    if !host.contains('.') {
        return None;
    }
    PATCHERS.iter().find(|patcher| {
        path.strip_prefix(patcher.path)
            .is_some_and(|rest| rest.starts_with(['.', '/']))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_of_a_library_are_told_by_their_import_path() {
        let path = |name| patcher_of(name).map(|patcher| patcher.path);
        for (name, expected) in [
            ("github.com/bouk/monkey.Patch", "github.com/bouk/monkey"),
            ("bou.ke/monkey.patchValue", "bou.ke/monkey"),
            (
                "github.com/agiledragon/gomonkey/v2.(*Patches).ApplyFunc",
                "github.com/agiledragon/gomonkey",
            ),
            (
                "example.com/app/vendor/github.com/bytedance/mockey/internal/monkey.PatchValue",
                "github.com/bytedance/mockey",
            ),
            (
                "github.com/undefinedlabs/go-mpatch.init",
                "github.com/undefinedlabs/go-mpatch",
            ),
        ] {
            assert_eq!(path(name), Some(expected), "{name}");
        }
        for name in [
            "main.main",
            "net/http.(*Server).Serve",
            "github.com/bouk/monkeys.Feed",
            "github.com/agiledragon/gomonkey2/x.F",
            "example.com/bouk/monkey.Patch",
            "example.com/a.F[github.com/bouk/monkey.PatchGuard]",
            "type:.eq.github.com/bouk/monkey.PatchGuard",
        ] {
            assert_eq!(path(name), None, "{name}");
        }
    }

    #[test]
    fn no_library_is_listed_twice() {
        for (index, patcher) in PATCHERS.iter().enumerate() {
            assert!(!patcher.source.is_empty() && !patcher.path.ends_with('/'));
            let twice = PATCHERS[..index]
                .iter()
                .any(|other| other.path == patcher.path);
            assert!(!twice, "{}", patcher.path);
        }
    }
}
