//! Names of functions -> the packages that they come from.
//!
//! Every function of the line table but those of C and of the compiler itself is called `import/path.Name`, in every
//! version; dots in the last element of the path are escaped (`cmd/internal/objabi/path.go`, `PathToPrefix`).

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Serialize;

use crate::image::{Function, NOT_UTF8};

/// Import paths, sorted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Packages {
    /// Of the Go distribution, as far as a path without a dot in its first element can tell.
    pub standard: BTreeSet<String>,
    /// `main`, and those of the program's own module; without module information those whose folder holds `vendor/`.
    pub own: BTreeSet<String>,
    /// All others. `vendor/` folders are taken off: the path is the one in the source.
    pub third_party: BTreeSet<String>,
}

impl Packages {
    /// Sorts the packages of all `functions`. `module`: path of the main module, if it is known.
    #[must_use]
    pub fn of(functions: &[Function<'_>], module: Option<&str>) -> Self {
        let mut all: BTreeSet<Cow<'_, str>> = BTreeSet::new();
        let mut previous = "";
        for function in functions {
            // Neighbours come from one package, as a rule.
            let prefix = prefix(function.name).unwrap_or_default();
            if prefix != previous {
                all.insert(unescape(prefix));
                previous = prefix;
            }
        }
        all.remove("");
        let mut roots: Vec<&str> = all
            .iter()
            .filter_map(|path| Some(path.split_once("/vendor/")?.0))
            .collect();
        roots.extend(module.filter(|module| !module.is_empty()));
        let mut found = Self::default();
        for path in &all {
            let is_below = |root: &&str| {
                path.strip_prefix(*root)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            let first = path.split('/').next().unwrap_or_default();
            if let Some((_, imported)) = path.rsplit_once("/vendor/") {
                found.third_party.insert(imported.to_owned());
            } else if path == "main" || roots.iter().any(is_below) {
                found.own.insert(path.to_string());
            } else if first.contains('.') {
                found.third_party.insert(path.to_string());
            } else {
                found.standard.insert(path.to_string());
            }
        }
        found
    }
}

/// The escaped import path in front of a function's name; `None` for names of C and of the compiler.
fn prefix(name: &str) -> Option<&str> {
    // Type arguments and interface literals hold paths of their own.
    let name = name.split(['[', '(', '{', ' ']).next()?;
    if ["type:", "type..", "go:", "go.", NOT_UTF8]
        .iter()
        .any(|made| name.starts_with(made))
    {
        return None;
    }
    let last = name.rfind('/').map_or(0, |at| at + 1);
    let dot = name.get(last..)?.find('.')?;
    name.get(..last + dot).filter(|path| !path.is_empty())
}

/// Takes back `PathToPrefix`: two hexadecimal digits after each percent sign.
fn unescape(prefix: &str) -> Cow<'_, str> {
    if !prefix.contains('%') {
        return Cow::Borrowed(prefix);
    }
    let mut out = Vec::with_capacity(prefix.len());
    let mut rest = prefix.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped.filter(|_| byte == b'%') {
            Some(escaped) => {
                out.push(escaped);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::LinkAddr;

    fn packages(names: &[&str], module: Option<&str>) -> Packages {
        let function = |name| Function {
            name,
            entry: LinkAddr::new(0),
            size: 0,
            args: None,
            func_id: 0,
            flags: 0,
            deferreturn: 0,
            has_args_map: false,
            has_locals_map: false,
            record: LinkAddr::new(0),
        };
        let functions: Vec<_> = names.iter().map(|&name| function(name)).collect();
        Packages::of(&functions, module)
    }

    #[test]
    fn the_package_ends_at_the_first_dot_after_the_last_slash() {
        let cases = [
            ("main.(*T).f.func1", Some("main")),
            ("net/http.(*conn).serve", Some("net/http")),
            ("gopkg.in/yaml%2ev2.Unmarshal", Some("gopkg.in/yaml%2ev2")),
            ("slices.Sort[[]example.com/x.T]", Some("slices")),
            ("main.(*Set[go.shape.struct { a/b.C }]).Add", Some("main")),
            ("type..eq.main.T", None),
            ("type:.hash.a/b.T", None),
            ("go:buildid", None),
            ("crosscall2", None),
            (".f", None),
        ];
        for (name, expected) in cases {
            assert_eq!(prefix(name), expected, "{name}");
        }
        assert_eq!(unescape("gopkg.in/yaml%2ev2"), "gopkg.in/yaml.v2");
        assert_eq!(unescape("a%2"), "a%2");
        assert_eq!(unescape("%zz%25"), "%zz%");
    }

    #[test]
    fn vendored_packages_are_of_third_parties() {
        let names = [
            "runtime.main",
            "vendor/golang.org/x/net/idna.init",
            "main.main",
            "example.com/app/store.Open",
            "example.com/app/vendor/github.com/x/y.Do",
            "example.com/application.F",
        ];
        let found = packages(&names, None);
        let list = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(" ");
        assert_eq!(
            list(&found.standard),
            "runtime vendor/golang.org/x/net/idna"
        );
        assert_eq!(list(&found.own), "example.com/app/store main");
        assert_eq!(
            list(&found.third_party),
            "example.com/application github.com/x/y"
        );
        let named = packages(&["tool/sub.F", "toolbox.F"], Some("tool"));
        assert_eq!(
            (list(&named.own), list(&named.standard)),
            ("tool/sub".into(), "toolbox".into())
        );
    }
}
