//! How constants are written in the table, and where each stands in Go's source.

use super::history::{Change, Release, value_in};
use super::same;

/// An integer constant of Go's source.
#[derive(Clone, Copy, Debug)]
pub struct Constant {
    /// Its name; where it was renamed, the newest.
    pub name: &'static str,
    /// Whether this is its value in programs built with `-race`.
    pub race: bool,
    /// Where it is declared; the first place that a release has counts.
    pub places: [Place; 2],
    /// Its value; `None` where the release has no such constant.
    pub value: &'static [Change<i64>],
}

/// Where the value of a constant stands in Go's source.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// A constant declaration: package and name.
    Declared(&'static str, &'static str),
    /// In `runtime/symtab.go`, the expression after this text.
    After(&'static str),
}

use Place::{After, Declared};

/// In `runtime` up to 1.20, then in `internal/abi` under another name.
pub(super) const fn moved(
    old: &'static str,
    new: &'static str,
    value: &'static [Change<i64>],
) -> Constant {
    constant(
        new,
        Declared("runtime", old),
        Declared("internal/abi", new),
        value,
    )
}

/// In `runtime`, under an old and a new name.
pub(super) const fn renamed(
    old: &'static str,
    new: &'static str,
    value: &'static [Change<i64>],
) -> Constant {
    constant(
        new,
        Declared("runtime", old),
        Declared("runtime", new),
        value,
    )
}

/// In `internal/abi`, under an old and a new name.
pub(super) const fn abi_renamed(
    old: &'static str,
    new: &'static str,
    value: &'static [Change<i64>],
) -> Constant {
    let place = Declared("internal/abi", new);
    constant(new, Declared("internal/abi", old), place, value)
}

/// In `runtime`.
pub(super) const fn runtime(name: &'static str, value: &'static [Change<i64>]) -> Constant {
    in_package("runtime", name, value)
}

/// In `internal/abi`.
pub(super) const fn abi(name: &'static str, value: &'static [Change<i64>]) -> Constant {
    in_package("internal/abi", name, value)
}

/// In one package.
pub(super) const fn in_package(
    package: &'static str,
    name: &'static str,
    value: &'static [Change<i64>],
) -> Constant {
    let place = Declared(package, name);
    constant(name, place, place, value)
}

/// Not declared: compared with, in `runtime/symtab.go`, behind one of two texts.
pub(super) const fn text(
    name: &'static str,
    old: &'static str,
    new: &'static str,
    value: &'static [Change<i64>],
) -> Constant {
    constant(name, After(old), After(new), value)
}

/// The same in programs built with `-race`.
pub(super) const fn with_race(constant: Constant) -> Constant {
    Constant {
        race: true,
        ..constant
    }
}

const fn constant(
    name: &'static str,
    first: Place,
    second: Place,
    value: &'static [Change<i64>],
) -> Constant {
    Constant {
        name,
        race: false,
        places: [first, second],
        value,
    }
}

impl Constant {
    /// The value in `release`; `None` if it has no such constant.
    #[must_use]
    pub const fn value_in(&self, release: Release) -> Option<i64> {
        value_in(self.value, release)
    }
}

/// The value of the constant of this name in `release`.
///
/// # Panics
/// When there is no such constant in the table; in constants that is an error of the compiler.
pub(in crate::golang) const fn constant_in(
    name: &str,
    race: bool,
    release: Release,
) -> Option<i64> {
    let mut index = 0;
    while index < super::CONSTANTS.len() {
        let constant = &super::CONSTANTS[index];
        if constant.race == race && same(constant.name, name) {
            return constant.value_in(release);
        }
        index += 1;
    }
    panic!("the table has no such constant")
}
