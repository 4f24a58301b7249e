//! The oracle of `Image::parse`: on any bytes, the answers of an image agree with each other. Used by ordinary tests,
//! the fuzz target and whoever replays one of its inputs; a panic is the finding.

use crate::addr::LinkAddr;

use super::{Function, Image, Labels};

/// Parses `data` and asks everything. Whether it parsed.
///
/// # Panics
/// If two answers contradict each other.
pub fn check(data: &[u8]) -> bool {
    let image = match Image::parse(data) {
        Ok(image) => image,
        Err(error) => {
            let text = error.to_string();
            assert!(
                text.starts_with(error.code().as_str()) && !text.contains('\n'),
                "{text:?}"
            );
            return false;
        }
    };
    let functions = image.functions();
    assert!(functions.is_sorted_by_key(|function| function.entry));
    let (start, end) = image.text();
    let (low, high) = image.extent();
    assert!(low <= start && start < end && high > start);
    for function in functions {
        check_function(&image, function, start, end);
    }
    assert_eq!(image.function_at(end), None);
    assert_eq!(
        image.pointer(image.first_moduledata()),
        Some(image.pclntab().get())
    );
    assert_eq!(
        image.facts().pclntab,
        crate::golang::Facts::for_version(image.version())
            .map(|facts| facts.pclntab)
            .unwrap_or(image.facts().pclntab)
    );
    if let Some(last) = image.last_moduledatap() {
        assert_eq!(image.pointer(last), Some(image.first_moduledata().get()));
    }
    let copies: u64 = image
        .inlined_copies()
        .values()
        .map(|&copies| u64::from(copies))
        .sum();
    assert!(copies <= data.len() as u64);
    assert!(image.build_info().modinfo.lines().count() <= data.len());
    for string in image.linker_strings() {
        assert!(string.value.len() <= data.len(), "{}", string.name);
    }
    let structures = [
        "runtime.moduledata",
        "runtime.g",
        "runtime.m",
        "runtime._panic",
        "runtime.p",
    ];
    crate::types::check::check(&image.types(), structures);
    let labels = Labels::read(data).unwrap_or_else(|error| panic!("an image, but {error}"));
    assert_eq!(labels.notes, image.notes());
    assert_eq!(labels.libraries, image.libraries());
    true
}

fn check_function(image: &Image<'_>, function: &Function<'_>, start: LinkAddr, end: LinkAddr) {
    let after = function.entry.checked_add(u64::from(function.size));
    assert!(
        function.entry >= start && after.is_some_and(|after| after <= end),
        "{function:?}"
    );
    assert!(image.name_bytes(function).is_some(), "{function:?}");
    if function.size > 0 {
        let found = image.function_at(function.entry).map(|found| found.entry);
        assert_eq!(found, Some(function.entry), "{function:?}");
    }
    // Tables of different functions may overlap, so only their beginnings are walked.
    let steps = image.pcsp(function).take(64).map(|(at, _)| at);
    assert!(steps.is_sorted(), "{function:?}");
}
