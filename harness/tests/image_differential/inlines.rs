//! Inline trees against DWARF: how often which function was inlined, and into which.
//!
//! Two readers: `debug/dwarf` of Go, for the sums by name, and `gimli`, for the calls of each function. The compiler writes
//! one entry of an inline tree and one `DW_TAG_inlined_subroutine` per inlined call (`cmd/internal/obj/dwarf.go`,
//! `cmd/compile/internal/dwarfgen/dwinl.go`), from Go 1.10 on the latter; a call inlined into an inlined call counts for the
//! function whose code it is part of.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use gimli::{AttributeValue, EndianSlice, LittleEndian, UnitOffset};
use gondwana_engine::image::Image;
use object::{Object, ObjectSection};

use crate::bench::Oracle;
use crate::functions::line_table_name;

/// Method wrappers whose inlined calls DWARF leaves out, up to 1.20.
const WITHOUT_DWARF: u64 = 8;

/// By name: the number of copies in the whole program.
pub(crate) fn copies(image: &Image<'_>, oracle: &Oracle) {
    let version = image.version();
    if version.minor < 12 {
        return;
    }
    let found = image.inlined_copies();
    let (ours, theirs): (u64, u64) = (
        found.values().map(|&copies| u64::from(copies)).sum(),
        oracle.inlined.values().sum(),
    );
    assert!(theirs > 500, "{version}: {theirs} inlined calls");
    let without_dwarf = if version.minor < 21 { WITHOUT_DWARF } else { 0 };
    assert!(
        (theirs..=theirs + without_dwarf).contains(&ours),
        "{version}: {ours}, DWARF has {theirs}"
    );
    // DWARF names instances of generic functions apart.
    let mut by_name: HashMap<String, u64> = HashMap::new();
    for (name, copies) in &oracle.inlined {
        *by_name.entry(line_table_name(version, name)).or_default() += copies;
    }
    for (name, theirs) in by_name {
        let ours = found.get(name.as_str()).copied().map_or(0, u64::from);
        assert!(
            (theirs..=theirs + without_dwarf).contains(&ours),
            "{version}: {ours} of {name}, DWARF has {theirs}"
        );
    }
}

/// The names of the calls that were inlined into the function at an address, each with its number.
type Calls = BTreeMap<u64, BTreeMap<String, u64>>;

/// By function: the same callees as often, for every function that DWARF describes.
pub(crate) fn calls(image: &Image<'_>, data: &[u8]) {
    let version = image.version();
    let theirs = from_dwarf(data, &|name| line_table_name(version, name));
    let inlined: u64 = theirs.values().flat_map(BTreeMap::values).sum();
    if version.minor < 10 {
        assert_eq!(
            inlined, 0,
            "{version}: DWARF has inlined calls from 1.10 on"
        );
        println!("{version}: inlined calls are not compared: DWARF has none");
        return;
    }
    let (mut compared, mut without_dwarf, mut wrong) = (0, Vec::new(), Vec::new());
    for function in image.functions() {
        let mut ours: BTreeMap<String, u64> = BTreeMap::new();
        for name in image.inlined_into(function) {
            *ours.entry(name.to_owned()).or_default() += 1;
        }
        match theirs.get(&function.entry.get()) {
            Some(theirs) if ours == *theirs => compared += ours.values().sum::<u64>(),
            // A method of `*T` that calls that of `T`, made by the compiler.
            Some(theirs) if theirs.is_empty() && function.name.contains("(*") => {
                without_dwarf.push(function.name);
            }
            Some(theirs) => wrong.push(format!("{}: {ours:?}, DWARF {theirs:?}", function.name)),
            None if ours.is_empty() => {}
            None => without_dwarf.push(function.name),
        }
    }
    println!(
        "{version}: {compared} inlined calls agree; method wrappers whose calls DWARF leaves out: {}",
        without_dwarf.len()
    );
    assert!(
        wrong.is_empty(),
        "{version}: {} functions:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(9)].join("\n")
    );
    let allowed = if version.minor < 21 { WITHOUT_DWARF } else { 0 };
    assert!(
        without_dwarf.len() as u64 <= allowed,
        "{version}: {without_dwarf:?}"
    );
    assert_eq!(
        compared, inlined,
        "{version}: calls of functions that are not in the line table"
    );
    assert!(compared > 500, "{version}: {compared} inlined calls");
}

type Slice<'d> = EndianSlice<'d, LittleEndian>;
type Unit<'d> = gimli::Unit<Slice<'d>>;

/// Every function with code that DWARF describes, and its inlined calls.
fn from_dwarf(file: &[u8], rename: &dyn Fn(&str) -> String) -> Calls {
    let object = object::File::parse(file).unwrap();
    let load = |id: gimli::SectionId| -> Result<Cow<'_, [u8]>, object::Error> {
        match object.section_by_name(id.name()) {
            // Compressed from Go 1.11 on.
            Some(section) => section.uncompressed_data(),
            None => Ok(Cow::Borrowed(&[])),
        }
    };
    let sections = gimli::DwarfSections::load(load).unwrap();
    let dwarf = sections.borrow(|section| EndianSlice::new(section, LittleEndian));
    let mut units = Vec::new();
    let mut headers = dwarf.units();
    while let Some(header) = headers.next().unwrap() {
        units.push(dwarf.unit(header).unwrap());
    }
    let names = Names {
        dwarf: &dwarf,
        units: &units,
    };
    let mut calls = Calls::new();
    for unit in &units {
        let mut entries = unit.entries();
        // The function with code that the entries belong to, and its depth in the tree.
        let mut inside: Option<(u64, isize)> = None;
        while let Some(entry) = entries.next_dfs().unwrap() {
            let depth = entry.depth();
            if inside.is_some_and(|(_, outer)| depth <= outer) {
                inside = None;
            }
            match entry.tag() {
                gimli::DW_TAG_subprogram => {
                    let low = entry.attr_value(gimli::DW_AT_low_pc);
                    if let Some(at) = low.and_then(|low| dwarf.attr_address(unit, low).unwrap()) {
                        inside = Some((at, depth));
                        calls.entry(at).or_default();
                    }
                }
                gimli::DW_TAG_inlined_subroutine => {
                    let (caller, _) = inside.expect("an inlined call in a function");
                    let origin = entry.attr_value(gimli::DW_AT_abstract_origin);
                    let name = rename(&names.at(unit, origin.unwrap()));
                    *calls.entry(caller).or_default().entry(name).or_default() += 1;
                }
                _ => {}
            }
        }
    }
    calls
}

struct Names<'n, 'd> {
    dwarf: &'n gimli::Dwarf<Slice<'d>>,
    units: &'n [Unit<'d>],
}

impl<'d> Names<'_, 'd> {
    /// The name of the entry that an attribute refers to.
    fn at(&self, unit: &Unit<'d>, reference: AttributeValue<Slice<'d>>) -> String {
        match reference {
            AttributeValue::UnitRef(offset) => self.of(unit, offset),
            AttributeValue::DebugInfoRef(offset) => {
                let holds = |unit: &&Unit<'d>| offset.to_unit_offset(&unit.header).is_some();
                let unit = self.units.iter().find(holds).unwrap();
                self.of(unit, offset.to_unit_offset(&unit.header).unwrap())
            }
            other => panic!("a reference: {other:?}"),
        }
    }

    fn of(&self, unit: &Unit<'d>, offset: UnitOffset) -> String {
        let entry = unit.entry(offset).unwrap();
        let name = entry.attr_value(gimli::DW_AT_name).unwrap();
        let text = self.dwarf.attr_string(unit, name).unwrap();
        String::from_utf8(text.to_vec()).unwrap()
    }
}
