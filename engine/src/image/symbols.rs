//! The symbol table, where there is one -> the strings that `-ldflags=-X` put into variables.
//!
//! For each `-X pkg.name=value` the linker makes a symbol `pkg.name.str` that holds the value, and lets the variable point
//! to it (`cmd/link/internal/ld/data.go`, `addstrdata`, every version). No other Go variable points to a symbol of that
//! name, so the pair tells the setting where no other record of it is left (before 1.18, and with `-trimpath`).

use std::collections::HashMap;

use object::elf::{self, FileHeader64, SectionHeader64, Sym64};
use object::read::elf::{FileHeader, SectionHeader, Sym};
use object::{LittleEndian, pod};

use crate::addr::LinkAddr;

use super::elf::{Elf, text_at};
use super::file::FileView;
use super::limits;

const LE: LittleEndian = LittleEndian;
/// Bytes of a string header.
const STRING_HEADER: u64 = 16;

/// A string variable that the linker has set.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LinkerString<'d> {
    /// `pkg.name`, as `-X` took it.
    pub name: &'d str,
    /// Its value when the program starts.
    pub value: &'d str,
}

/// The strings, by name. Empty where there is no symbol table.
pub(super) fn linker_strings<'d>(elf: &Elf<'d>) -> Vec<LinkerString<'d>> {
    let Some((symbols, names)) = table(elf.file) else {
        return Vec::new();
    };
    let objects = || {
        symbols.iter().filter_map(|symbol| {
            let is_object = symbol.st_type() == elf::STT_OBJECT;
            is_object
                .then(|| text_at(names, u64::from(symbol.st_name(LE))))?
                .map(|name| (name, symbol))
        })
    };
    let values = objects().filter_map(|(name, symbol)| {
        let variable = name.strip_suffix(".str")?;
        Some((variable, LinkAddr::new(symbol.st_value(LE))))
    });
    let values: HashMap<&str, LinkAddr> = values.take(limits::LINKER_STRINGS).collect();
    if values.is_empty() {
        return Vec::new();
    }
    let variables = objects().filter_map(|(name, symbol)| {
        let &at = values
            .get(name)
            .filter(|_| symbol.st_size(LE) == STRING_HEADER)?;
        let variable = LinkAddr::new(symbol.st_value(LE));
        let len = elf.pointer(variable.checked_add(8)?)?;
        let bytes = elf.bytes(at, usize::try_from(len).ok()?)?;
        let value = std::str::from_utf8(bytes).ok()?;
        (elf.address(variable)? == at).then_some(LinkerString { name, value })
    });
    let mut found: Vec<_> = variables.take(limits::LINKER_STRINGS).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The symbols and the table of their names.
fn table(file: FileView<'_>) -> Option<(&[Sym64<LittleEndian>], &[u8])> {
    let header = FileHeader64::<LittleEndian>::parse(file).ok()?;
    let sections: &[SectionHeader64<LittleEndian>] = header.section_headers(LE, file).ok()?;
    let symbols = sections
        .iter()
        .find(|section| section.sh_type(LE) == elf::SHT_SYMTAB)?;
    let names = sections
        .get(symbols.sh_link(LE) as usize)?
        .data(LE, file)
        .ok()?;
    let bytes = symbols.data(LE, file).ok()?;
    let count = bytes.len() / size_of::<Sym64<LittleEndian>>();
    let (symbols, _) = pod::slice_from_bytes(bytes, count).ok()?;
    Some((symbols, names))
}
