//! Inline trees -> how many copies of each function the compiler made (1.9 and later).
//!
//! A function's inline tree has one element per inlined call; its length is nowhere written, but the last element is
//! always used by some instruction (`cmd/internal/obj/pcln.go`, `pcinlineState.addBranch`: parents come before their
//! children), so the largest index in the PCDATA_InlTreeIndex table gives it.

use std::collections::HashMap;

use crate::addr::LinkAddr;
use crate::golang::{Facts, InlineLayout};

use super::Function;
use super::elf::Elf;
use super::functions::{Names, Record};
use super::moduledata::Module;
use super::pcvalue::PcValues;
use super::read::u32_at;

/// Number of inlined copies by name. Where trees of a hostile file share their bytes the walk stops early.
pub(super) fn copies<'d>(
    elf: &Elf<'d>,
    module: &Module<'d>,
    facts: &Facts,
    gofunc: Option<LinkAddr>,
    functions: &[Function<'d>],
) -> HashMap<&'d str, u32> {
    let mut by_name = HashMap::new();
    let Some(layout) = facts.inline else {
        return by_name;
    };
    let mut names = Names::new(module, elf.file.held());
    for (offset, copies) in by_name_offset(elf, module, facts, layout, gofunc, functions) {
        let Some(name) = names.text(offset) else {
            continue;
        };
        let count: &mut u32 = by_name.entry(name).or_default();
        *count = count.saturating_add(copies);
    }
    by_name
}

fn by_name_offset<'d>(
    elf: &Elf<'d>,
    module: &Module<'d>,
    facts: &Facts,
    layout: &InlineLayout,
    gofunc: Option<LinkAddr>,
    functions: &[Function<'d>],
) -> HashMap<u32, u32> {
    let mut counts: HashMap<u32, u32> = HashMap::new();
    // Trees do not overlap, so this many elements at most are in the file.
    let mut elements = elf.file.held() / layout.size as usize;
    for function in functions {
        for name in tree(elf, module, facts, layout, gofunc, function) {
            if elements == 0 {
                return counts;
            }
            elements -= 1;
            if let Some(name) = name {
                let count = counts.entry(name).or_default();
                *count = count.saturating_add(1);
            }
        }
    }
    counts
}

/// The names of the calls that were inlined into one function, in the order of its tree.
#[cfg(any(test, feature = "test-support"))]
pub(super) fn into<'d>(
    elf: &Elf<'d>,
    module: &Module<'d>,
    facts: &Facts,
    gofunc: Option<LinkAddr>,
    function: &Function<'d>,
) -> Vec<&'d str> {
    let Some(layout) = facts.inline else {
        return Vec::new();
    };
    let mut names = Names::new(module, elf.file.held());
    tree(elf, module, facts, layout, gofunc, function)
        .filter_map(|offset| names.text(offset?))
        .collect()
}

/// Offsets of the names in one function's tree.
pub(super) fn tree<'d>(
    elf: &Elf<'d>,
    module: &Module<'d>,
    facts: &Facts,
    layout: &InlineLayout,
    gofunc: Option<LinkAddr>,
    function: &Function<'d>,
) -> impl Iterator<Item = Option<u32>> + 'd {
    let (size, name) = (layout.size as usize, layout.name as usize);
    let found = || {
        let record = Record::at_address(module, facts.func, function.record)?;
        let tree = record.funcdata(elf, gofunc, layout.funcdata)?;
        let offset = record.pcdata(layout.pcdata).filter(|&offset| offset != 0)?;
        let table = module.pcvalues.get(offset as usize..)?;
        let indexes = PcValues::new(table, function.entry, function.size).map(|(_, index)| index);
        let last = usize::try_from(indexes.max()?).ok()?;
        Some((elf.bytes_from(tree)?, last.saturating_add(1)))
    };
    let (bytes, len) = found().unwrap_or_default();
    bytes
        .chunks_exact(size)
        .take(len)
        .map(move |element| u32_at(element, name))
}
