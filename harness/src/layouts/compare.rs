//! What a toolchain really has, and what the tables say -> the differences.

use std::fmt;

use gondwana_engine::golang::tables::{Constant, Field, Release, Structure};
use serde::Serialize;

use super::Measured;

/// Something that the tables and a toolchain do not agree about.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Difference {
    /// The structure; empty for a constant.
    pub structure: &'static str,
    /// Path of the field, `size` of the structure itself, or name of the constant.
    pub item: String,
    /// What the tables say.
    pub expected: What,
    /// What the toolchain has.
    pub found: What,
    /// Where Go declares it, below `src/`.
    pub source: String,
}

/// Where something is, or what its value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum What {
    /// There is no such thing.
    Absent,
    /// The size of a structure in bytes.
    Size(u32),
    /// A field: offset and width in bytes.
    Field(u32, u32),
    /// The value of a constant.
    Value(i64),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("nothing"),
            Self::Size(size) => write!(f, "{size} bytes"),
            Self::Field(offset, width) => write!(f, "{width} bytes at {offset}"),
            Self::Value(value) => write!(f, "{value}"),
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            structure,
            item,
            expected,
            found,
            source,
        } = self;
        if !structure.is_empty() {
            write!(f, "{structure} ")?;
        }
        write!(f, "{item}: found {found}, expected {expected} ({source})")
    }
}

/// What was compared, and what differs.
#[derive(Clone, Default, Debug, Serialize)]
pub struct Comparison {
    /// Structures that the toolchain or the tables have.
    pub structures: usize,
    /// Fields, likewise.
    pub fields: usize,
    /// Constants, likewise.
    pub constants: usize,
    /// The differences.
    pub differences: Vec<Difference>,
}

/// What was compared of one version: one element of what `layouts verify --json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    /// The version.
    pub version: String,
    /// What was compared.
    pub compared: Comparison,
    /// Lines that `engine/src/golang/tables` would need to agree.
    pub rows: Vec<String>,
}

/// Name and version of the form of the JSON.
pub const SCHEMA: &str = "gondwana.layouts/1";

/// What `layouts verify --json` prints.
#[derive(Clone, Debug, Serialize)]
pub struct Document<'v> {
    schema: &'static str,
    versions: &'v [Verified],
}

impl<'v> Document<'v> {
    /// These versions, under the name of their form.
    #[must_use]
    pub const fn new(versions: &'v [Verified]) -> Self {
        Self {
            schema: SCHEMA,
            versions,
        }
    }
}

/// Compares `measured` with what the tables say for its version.
#[must_use]
pub fn compare(
    structures: &[&Structure],
    constants: &[Constant],
    measured: &Measured,
) -> Comparison {
    let release = Release::from(measured.version);
    let mut out = Comparison::default();
    for structure in structures {
        out.structure(structure, measured, release);
    }
    for constant in constants {
        out.constant(constant, measured, release);
    }
    out
}

/// What differs between two toolchains: `expected` is what the older one has.
#[must_use]
pub fn between(
    structures: &[&Structure],
    constants: &[Constant],
    old: &Measured,
    new: &Measured,
) -> Vec<Difference> {
    let mut out = Comparison::default();
    for structure in structures {
        let size = |measured: &Measured| {
            let real = measured.structs.get(structure.name);
            real.map_or(What::Absent, |real| What::Size(saturating(real.size)))
        };
        out.note(structure, "size", size(old), size(new));
        let mut names: Vec<String> = paths(structure).map(str::to_owned).collect();
        for measured in [old, new] {
            let real = measured
                .structs
                .get(structure.name)
                .filter(|_| structure.complete);
            let members = real.into_iter().flat_map(|real| &real.members);
            names.extend(
                members
                    .filter(|member| holds(member))
                    .map(|member| member.name.clone()),
            );
        }
        names.sort();
        names.dedup();
        for name in &names {
            let (before, after) = (really(structure, name, old), really(structure, name, new));
            out.note(structure, name, before, after);
        }
    }
    for constant in constants {
        let value = |measured: &Measured| {
            let value = measured.constants.get(&(constant.name, constant.race));
            value.map_or(What::Absent, |&value| What::Value(value))
        };
        out.note_constant(constant, value(old), value(new));
    }
    out.differences
}

/// Whether a member has a name and holds something.
fn holds(member: &super::dwarf::Member) -> bool {
    member.size > 0 && member.name != "_"
}

impl Comparison {
    fn structure(&mut self, structure: &Structure, measured: &Measured, release: Release) {
        let size = |size: Option<u32>| size.map_or(What::Absent, What::Size);
        let real = measured.structs.get(structure.name);
        let found = size(real.and_then(|real| u32::try_from(real.size).ok()));
        let expected = size(structure.size_in(release));
        if found == What::Absent && expected == What::Absent {
            return;
        }
        self.structures += 1;
        self.note(structure, "size", expected, found);
        for path in paths(structure) {
            let (expected, found) = (
                said(structure, path, release),
                really(structure, path, measured),
            );
            if expected != What::Absent || found != What::Absent {
                self.fields += 1;
            }
            self.note(structure, path, expected, found);
        }
        let Some(real) = real.filter(|_| structure.complete) else {
            return;
        };
        for member in &real.members {
            let listed = paths(structure).any(|path| path == member.name);
            if !listed && holds(member) {
                self.fields += 1;
                let found = really(structure, &member.name, measured);
                self.note(structure, &member.name, What::Absent, found);
            }
        }
    }

    fn constant(&mut self, constant: &Constant, measured: &Measured, release: Release) {
        let value = |value: Option<i64>| value.map_or(What::Absent, What::Value);
        let found = measured.constants.get(&(constant.name, constant.race));
        let (expected, found) = (value(constant.value_in(release)), value(found.copied()));
        if expected == What::Absent && found == What::Absent {
            return;
        }
        self.constants += 1;
        self.note_constant(constant, expected, found);
    }

    fn note_constant(&mut self, constant: &Constant, expected: What, found: What) {
        if expected != found {
            self.differences.push(Difference {
                structure: "",
                item: name_of(constant),
                expected,
                found,
                source: place_of(constant),
            });
        }
    }

    fn note(&mut self, structure: &Structure, item: &str, expected: What, found: What) {
        if expected != found {
            self.differences.push(Difference {
                structure: structure.name,
                item: item.to_owned(),
                expected,
                found,
                source: structure.source.to_owned(),
            });
        }
    }
}

/// The paths of a structure's fields, each once.
pub(super) fn paths(structure: &Structure) -> impl Iterator<Item = &'static str> {
    let fields: &'static [Field] = structure.fields;
    fields.iter().enumerate().filter_map(move |(index, field)| {
        let first = fields.iter().position(|other| other.path == field.path);
        (first == Some(index)).then_some(field.path)
    })
}

fn said(structure: &Structure, path: &str, release: Release) -> What {
    let place = structure.find(path, release);
    place.map_or(What::Absent, |(offset, width)| What::Field(offset, width))
}

fn really(structure: &Structure, path: &str, measured: &Measured) -> What {
    let place = measured.structs.field(structure.name, path);
    place.map_or(What::Absent, |(offset, width)| {
        What::Field(saturating(offset), saturating(width))
    })
}

fn saturating(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

/// The name of a constant, with what tells it from another of that name.
#[must_use]
pub fn name_of(constant: &Constant) -> String {
    let race = if constant.race { " with -race" } else { "" };
    format!("{}{race}", constant.name)
}

fn place_of(constant: &Constant) -> String {
    use gondwana_engine::golang::tables::Place;
    match constant.places[1] {
        Place::Declared(package, _) => package.to_owned(),
        Place::After(_) => "runtime/symtab.go".to_owned(),
    }
}
