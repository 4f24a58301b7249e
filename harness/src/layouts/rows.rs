//! A difference between a toolchain and the tables -> the line that the table needs, ready to paste.
//!
//! The lines look exactly as `engine/src/golang/tables/` has them.

use std::fmt::Write as _;

use gondwana_engine::golang::tables::{Change, Constant, Place, Release, Structure};

use super::compare::{Difference, What, name_of};

/// The lines for `differences`, those of one structure under a heading that names it.
#[must_use]
pub fn lines(
    structures: &[&Structure],
    constants: &[Constant],
    differences: &[Difference],
    release: Release,
) -> Vec<String> {
    let mut out = Vec::new();
    for structure in structures {
        let of_this: Vec<_> = differences
            .iter()
            .filter(|difference| difference.structure == structure.name)
            .collect();
        if !of_this.is_empty() {
            out.push(format!("// {} ({})", structure.name, structure.source));
        }
        for difference in of_this {
            out.extend(structure_lines(structure, difference, release));
        }
    }
    let of_constants: Vec<_> = differences
        .iter()
        .filter(|difference| difference.structure.is_empty())
        .collect();
    if !of_constants.is_empty() {
        out.push("// constants".to_owned());
    }
    for difference in of_constants {
        let constant = constants
            .iter()
            .find(|constant| name_of(constant) == difference.item);
        let value = match difference.found {
            What::Value(value) => Some(value),
            _ => None,
        };
        out.extend(
            constant
                .map(|constant| constant_line(constant, &changed(constant.value, release, value))),
        );
    }
    out
}

fn structure_lines(
    structure: &Structure,
    difference: &Difference,
    release: Release,
) -> Vec<String> {
    if difference.item == "size" {
        let size = match difference.found {
            What::Size(size) => Some(size),
            _ => None,
        };
        let history = history(&changed(structure.size, release, size));
        return vec![format!("    size: {history},")];
    }
    let found = match difference.found {
        What::Field(offset, width) => Some((offset, width)),
        _ => None,
    };
    let mut out = Vec::new();
    let mut placed = false;
    for field in structure
        .fields
        .iter()
        .filter(|field| field.path == difference.item)
    {
        let here = found.filter(|&(_, width)| width == field.width);
        placed |= here.is_some();
        let changes = changed(field.offset, release, here.map(|(offset, _)| offset));
        if changes != field.offset {
            out.push(field_line(field.path, field.width, &changes));
        }
    }
    if let Some((offset, width)) = found.filter(|_| !placed) {
        let changes = changed(&[], release, Some(offset));
        out.push(field_line(&difference.item, width, &changes));
    }
    out
}

/// A field's line.
#[must_use]
pub fn field_line(path: &str, width: u32, changes: &[Change<u32>]) -> String {
    format!("        field(\"{path}\", {width}, {}),", history(changes))
}

/// A constant's line.
#[must_use]
pub fn constant_line(constant: &Constant, changes: &[Change<i64>]) -> String {
    let history = history(changes);
    let name = constant.name;
    let call = match constant.places {
        [Place::After(old), Place::After(new)] => {
            format!("text(\"{name}\", \"{old}\", \"{new}\", {history})")
        }
        [
            Place::Declared("runtime", old),
            Place::Declared("internal/abi", _),
        ] => {
            format!("moved(\"{old}\", \"{name}\", {history})")
        }
        [Place::Declared(package, old), Place::Declared(_, new)] if old != new => {
            let kind = if package == "runtime" {
                "renamed"
            } else {
                "abi_renamed"
            };
            format!("{kind}(\"{old}\", \"{name}\", {history})")
        }
        [Place::Declared("runtime", _), _] => format!("runtime(\"{name}\", {history})"),
        [Place::Declared("internal/abi", _), _] => format!("abi(\"{name}\", {history})"),
        [Place::Declared(package, _), _] => {
            format!("in_package(\"{package}\", \"{name}\", {history})")
        }
        [Place::After(text), _] => format!("text(\"{name}\", \"{text}\", \"{text}\", {history})"),
    };
    if constant.race {
        format!("    with_race({call}),")
    } else {
        format!("    {call},")
    }
}

/// `changes`, with `value` from `release` on until the next change.
fn changed<T: Copy + PartialEq>(
    changes: &[Change<T>],
    release: Release,
    value: Option<T>,
) -> Vec<Change<T>> {
    let (before, after): (Vec<_>, Vec<_>) = changes
        .iter()
        .filter(|change| change.since != release)
        .partition(|change| change.since < release);
    let this = Change {
        since: release,
        value,
    };
    let mut out: Vec<Change<T>> = Vec::new();
    for change in before
        .into_iter()
        .copied()
        .chain([this])
        .chain(after.into_iter().copied())
    {
        // What changes nothing is no change; there is nothing before the first.
        let last = out.last().and_then(|last| last.value);
        if last != change.value {
            out.push(change);
        }
    }
    out
}

fn history<T: Number>(changes: &[Change<T>]) -> String {
    let mut out = String::from("&[");
    for (index, Change { since, value }) in changes.iter().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        let Release { minor, patch } = since;
        // Writing into a string cannot fail.
        let _ = match (value, patch) {
            (Some(value), 0) => write!(out, "at({minor}, {})", value.text()),
            (Some(value), patch) => write!(out, "at_patch({minor}, {patch}, {})", value.text()),
            (None, 0) => write!(out, "gone({minor})"),
            (None, patch) => write!(out, "gone_patch({minor}, {patch})"),
        };
    }
    out.push(']');
    out
}

/// A number as the tables write it.
trait Number: Copy {
    fn text(self) -> String;
}

impl Number for u32 {
    fn text(self) -> String {
        self.to_string()
    }
}

impl Number for i64 {
    /// Magic numbers in hexadecimal.
    fn text(self) -> String {
        if self > i64::from(i32::MAX) {
            format!("{self:#x}")
        } else {
            self.to_string()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gondwana_engine::golang::tables::{CONSTANTS, STRUCTURES};

    /// The tables' own source, which the lines are pasted into.
    fn source() -> String {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../engine/src/golang/tables");
        let mut text = String::new();
        for entry in std::fs::read_dir(dir).unwrap() {
            text += &std::fs::read_to_string(entry.unwrap().path()).unwrap();
        }
        text
    }

    #[test]
    fn lines_are_written_as_the_tables_are() {
        let source = source();
        for structure in STRUCTURES {
            let size = format!("    size: {},", history(structure.size));
            assert!(source.contains(&size), "{}: {size}", structure.name);
            for field in structure.fields {
                let line = field_line(field.path, field.width, field.offset);
                assert!(source.contains(&line), "{}: {line}", structure.name);
            }
        }
        for constant in CONSTANTS {
            let line = constant_line(constant, constant.value);
            assert!(source.contains(&line), "{line}");
        }
    }

    #[test]
    fn a_change_goes_where_its_release_is() {
        let at = |minor, value| Change {
            since: Release::new(minor, 0),
            value,
        };
        let known = [at(5, Some(8u32)), at(20, Some(16))];
        let changed = |minor, value| history(&changed(&known, Release::new(minor, 0), value));
        assert_eq!(changed(28, Some(24)), "&[at(5, 8), at(20, 16), at(28, 24)]");
        assert_eq!(changed(28, None), "&[at(5, 8), at(20, 16), gone(28)]");
        assert_eq!(changed(28, Some(16)), "&[at(5, 8), at(20, 16)]");
        assert_eq!(changed(20, Some(8)), "&[at(5, 8)]");
        assert_eq!(changed(4, None), "&[at(5, 8), at(20, 16)]");
        assert_eq!(changed(9, Some(1)), "&[at(5, 8), at(9, 1), at(20, 16)]");
    }
}
