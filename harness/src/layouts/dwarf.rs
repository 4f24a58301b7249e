//! The DWARF of a Go program -> sizes and members of its structure types.
//!
//! Reads what the Go linker writes in every version (DWARF 2 to 5, `cmd/link/internal/ld/dwarf.go`): a named struct is a
//! `DW_TAG_structure_type` of that name at the top of some unit. Knows nothing about any structure, and nothing about
//! versions.

use std::borrow::Cow;
use std::collections::HashMap;

use anyhow::{Context, Result, bail};
use gimli::{AttributeValue, EndianSlice, LittleEndian, Unit, UnitOffset};
use object::{Object, ObjectSection};

type Slice<'d> = EndianSlice<'d, LittleEndian>;
type Dwarf<'d> = gimli::Dwarf<Slice<'d>>;

/// Types refer to types; deeper than this only in a file that lies.
const MAX_DEPTH: u32 = 64;

/// A structure type.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Struct {
    /// Bytes.
    pub size: u64,
    /// Members in order.
    pub members: Vec<Member>,
}

/// A member of a structure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its name; embedded structures are named after their type.
    pub name: String,
    /// Bytes from the start of the structure.
    pub offset: u64,
    /// Bytes that it takes.
    pub size: u64,
    /// Members of its own, where it is a structure itself.
    pub inner: Option<String>,
}

impl Struct {
    /// The member of this name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }
}

/// The structure types of a program by name.
#[derive(Clone, Default, Debug)]
pub struct Structs {
    by_name: HashMap<String, Struct>,
}

impl Structs {
    /// Reads the structures for which `wanted` says yes, and those inside them.
    ///
    /// # Errors
    /// No ELF file, no DWARF in it, or DWARF that cannot be read.
    pub fn read(file: &[u8], wanted: impl Fn(&str) -> bool) -> Result<Self> {
        let object = object::File::parse(file).context("read the program as an ELF file")?;
        let load = |id: gimli::SectionId| -> Result<Cow<'_, [u8]>> {
            match object.section_by_name(id.name()) {
                // Compressed from Go 1.11 on.
                Some(section) => section
                    .uncompressed_data()
                    .with_context(|| format!("unpack {}", id.name())),
                None => Ok(Cow::Borrowed(&[])),
            }
        };
        let sections = gimli::DwarfSections::load(load)?;
        let dwarf = sections.borrow(|section| EndianSlice::new(section, LittleEndian));
        Reader::open(&dwarf, wanted)?.finish()
    }

    /// The structure of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Struct> {
        self.by_name.get(name)
    }

    /// Offset and size of the member that a path such as `sched.sp` leads to.
    #[must_use]
    pub fn field(&self, structure: &str, path: &str) -> Option<(u64, u64)> {
        let mut within = self.get(structure)?;
        let mut base = 0u64;
        let mut steps = path.split('.').peekable();
        while let Some(step) = steps.next() {
            let member = within.member(step)?;
            base = base.checked_add(member.offset)?;
            if steps.peek().is_none() {
                return Some((base, member.size));
            }
            within = self.get(member.inner.as_deref()?)?;
        }
        None
    }

    /// Names of all structures, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.by_name.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}

/// Where a type is described.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    unit: usize,
    offset: UnitOffset,
}

struct Reader<'r, 'd> {
    dwarf: &'r Dwarf<'d>,
    units: Vec<Unit<Slice<'d>>>,
    roots: Vec<Place>,
    found: Structs,
}

impl<'r, 'd> Reader<'r, 'd> {
    /// Finds the wanted structures among the children of all units.
    fn open(dwarf: &'r Dwarf<'d>, wanted: impl Fn(&str) -> bool) -> Result<Self> {
        let mut units = Vec::new();
        let mut headers = dwarf.units();
        while let Some(header) = headers.next().context("read .debug_info")? {
            units.push(dwarf.unit(header).context("read a compilation unit")?);
        }
        if units.is_empty() {
            bail!("the program has no DWARF (.debug_info)");
        }
        let mut roots = Vec::new();
        for (index, unit) in units.iter().enumerate() {
            let mut cursor = unit.entries();
            while let Some(entry) = cursor.next_dfs().context("read .debug_info")? {
                if entry.tag() != gimli::DW_TAG_structure_type || entry.depth() != 1 {
                    continue;
                }
                if name_of(dwarf, unit, entry)?.is_some_and(|name| wanted(&name)) {
                    roots.push(Place {
                        unit: index,
                        offset: entry.offset(),
                    });
                }
            }
        }
        Ok(Self {
            dwarf,
            units,
            roots,
            found: Structs::default(),
        })
    }

    fn finish(mut self) -> Result<Structs> {
        for root in std::mem::take(&mut self.roots) {
            self.structure(root, 0)?;
        }
        Ok(self.found)
    }

    /// Reads the structure at `place` and those inside it; returns its name.
    fn structure(&mut self, place: Place, depth: u32) -> Result<String> {
        if depth > MAX_DEPTH {
            bail!("structures lie more than {MAX_DEPTH} deep in each other");
        }
        let unit = &self.units[place.unit];
        let mut tree = unit.entries_tree(Some(place.offset))?;
        let root = tree.root()?;
        let name = name_of(self.dwarf, unit, root.entry())?.unwrap_or_default();
        if self.found.by_name.contains_key(&name) {
            return Ok(name);
        }
        let size = size_of(root.entry()).context("a structure without a size")?;
        let mut raw = Vec::new();
        let mut children = root.children();
        while let Some(child) = children.next()? {
            let entry = child.entry();
            if entry.tag() != gimli::DW_TAG_member {
                continue;
            }
            let member = name_of(self.dwarf, unit, entry)?.unwrap_or_default();
            let offset = member_offset(unit, entry)
                .with_context(|| format!("the place of {name}.{member}"))?;
            let ty = self.type_of(place.unit, entry.attr_value(gimli::DW_AT_type))?;
            raw.push((member, offset, ty));
        }
        // Entered before its members are: a structure may point to itself.
        let entry = Struct {
            size,
            members: Vec::new(),
        };
        self.found.by_name.insert(name.clone(), entry);
        let mut members = Vec::with_capacity(raw.len());
        for (member, offset, ty) in raw {
            let (size, inner) = self.measure(ty, depth + 1)?;
            members.push(Member {
                name: member,
                offset,
                size,
                inner,
            });
        }
        if let Some(structure) = self.found.by_name.get_mut(&name) {
            structure.members = members;
        }
        Ok(name)
    }

    /// Bytes of the type at `place`; and its name, if it is a structure.
    fn measure(&mut self, place: Place, depth: u32) -> Result<(u64, Option<String>)> {
        if depth > MAX_DEPTH {
            bail!("types lie more than {MAX_DEPTH} deep in each other");
        }
        let unit = &self.units[place.unit];
        let entry = unit.entry(place.offset)?;
        let size = size_of(&entry);
        Ok(match entry.tag() {
            gimli::DW_TAG_structure_type => {
                let name = self.structure(place, depth + 1)?;
                (size.context("a structure without a size")?, Some(name))
            }
            gimli::DW_TAG_typedef => {
                let of = self.type_of(place.unit, entry.attr_value(gimli::DW_AT_type))?;
                self.measure(of, depth + 1)?
            }
            // Functions are values here: one word.
            gimli::DW_TAG_pointer_type | gimli::DW_TAG_subroutine_type => (8, None),
            tag => {
                let what = || format!("a type ({tag}) without a size");
                (size.with_context(what)?, None)
            }
        })
    }

    fn type_of(&self, unit: usize, value: Option<AttributeValue<Slice<'d>>>) -> Result<Place> {
        match value {
            Some(AttributeValue::UnitRef(offset)) => Ok(Place { unit, offset }),
            Some(AttributeValue::DebugInfoRef(offset)) => {
                let found = self.units.iter().enumerate().find_map(|(index, unit)| {
                    let offset = offset.to_unit_offset(&unit.header)?;
                    Some(Place {
                        unit: index,
                        offset,
                    })
                });
                found.context("a reference to a type outside of all units")
            }
            other => bail!("a reference to a type in the form {other:?}"),
        }
    }
}

type Entry<'d> = gimli::DebuggingInformationEntry<Slice<'d>>;

fn name_of<'d>(
    dwarf: &Dwarf<'d>,
    unit: &Unit<Slice<'d>>,
    entry: &Entry<'d>,
) -> Result<Option<String>> {
    let Some(value) = entry.attr_value(gimli::DW_AT_name) else {
        return Ok(None);
    };
    let text = dwarf.attr_string(unit, value).context("read a name")?;
    Ok(Some(text.to_string_lossy().into_owned()))
}

fn size_of(entry: &Entry<'_>) -> Option<u64> {
    entry.attr_value(gimli::DW_AT_byte_size)?.udata_value()
}

/// A constant, or (up to Go 1.x with DWARF 2) the expression `DW_OP_consts N; DW_OP_plus`.
fn member_offset<'d>(unit: &Unit<Slice<'d>>, entry: &Entry<'d>) -> Option<u64> {
    match entry.attr_value(gimli::DW_AT_data_member_location)? {
        AttributeValue::Exprloc(expression) => {
            let mut operations = expression.operations(unit.encoding());
            match operations.next().ok()?? {
                gimli::Operation::SignedConstant { value } => u64::try_from(value).ok(),
                gimli::Operation::UnsignedConstant { value }
                | gimli::Operation::PlusConstant { value } => Some(value),
                _ => None,
            }
        }
        value => value.udata_value(),
    }
}
