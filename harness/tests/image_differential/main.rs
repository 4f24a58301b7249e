//! `Image::parse` against independent readers, on real programs: functions against the ELF symbol table and `go tool nm`,
//! structure offsets and inlined calls against DWARF, build information against `debug/buildinfo`, stack depths against the
//! code.
//!
//! `GONDWANA_GO=1.5,1.21.13` chooses the versions, `GONDWANA_GO=all` takes every minor version's last patch.

mod bench;
mod depths;
mod functions;
mod inlines;
mod structures;

use gondwana_engine::image::{Image, ImageKind, VersionSource};
use gondwana_harness::build::Mode;
use gondwana_harness::toolchain::chosen;

use bench::{Bench, EVERYDAY, Oracle};

#[test]
fn every_version_agrees_with_symbols_dwarf_and_code() {
    let bench = Bench::new();
    for version in chosen(&EVERYDAY).unwrap() {
        let program = bench.build(version, Mode::Static);
        let oracle = bench.ask(&program);
        let nm = bench::nm(&bench, version, &program);
        let data = std::fs::read(&program).unwrap();
        let image = Image::parse(&data).unwrap();
        assert_eq!(
            (image.version(), image.kind()),
            (version, ImageKind::Executable)
        );
        assert_eq!(image.tls_g(), Some(-8), "{version}");
        assert!(image.last_moduledatap().is_some(), "{version}");
        functions::compare(&image, oracle.symbols.as_deref().unwrap_or_default());
        functions::compare(&image, &nm);
        structures::compare(&image, &oracle);
        structures::descriptors(&image, &oracle);
        build_information(&image, &oracle);
        inlines::copies(&image, &oracle);
        inlines::calls(&image, &data);
        depths::check(&image);
    }
}

fn build_information(image: &Image<'_>, oracle: &Oracle) {
    let build = image.build_info();
    if oracle.go_version.is_empty() {
        assert_eq!(build.source, VersionSource::Variable, "{}", image.version());
        return;
    }
    assert_eq!(build.source, VersionSource::BuildInfo);
    assert_eq!(
        (build.version_text, build.modinfo.as_str()),
        (&*oracle.go_version, &*oracle.modinfo)
    );
}

#[test]
fn other_forms_of_the_same_program_say_the_same() {
    let bench = Bench::new();
    for version in chosen(&EVERYDAY).unwrap() {
        let data = std::fs::read(bench.build(version, Mode::Static)).unwrap();
        let image = Image::parse(&data).unwrap();
        let functions = |image: &Image<'_>| -> Vec<_> {
            image
                .functions()
                .iter()
                .map(|function| (function.name.to_owned(), function.size))
                .collect()
        };
        let expected = functions(&image);
        // Without section headers nothing is missing.
        let mut headless = data.clone();
        headless[0x28..0x30].fill(0);
        headless[0x3c..0x40].fill(0);
        let other = Image::parse(&headless).unwrap();
        assert_eq!(
            functions(&other),
            expected,
            "{version} without section headers"
        );
        assert!(!other.sections().headers && image.sections().symbols);
        assert_eq!(other.inlined_copies(), image.inlined_copies());

        let stripped = std::fs::read(bench.build(version, Mode::Stripped)).unwrap();
        let other = Image::parse(&stripped).unwrap();
        assert_eq!(functions(&other), expected, "{version} stripped");
        assert!(!other.sections().symbols && !other.sections().dwarf);
        if version.minor < 8 {
            continue;
        }
        let pie = std::fs::read(bench.build(version, Mode::Pie)).unwrap();
        let other = Image::parse(&pie).unwrap();
        assert_eq!(other.kind(), ImageKind::Pie, "{version}");
        assert_eq!(other.tls_g(), Some(-8), "{version}");
        assert_eq!(
            other.build_info().version_text,
            image.build_info().version_text
        );
        // Up to 1.14 it is linked with runtime/cgo, and calls of the dynamic linker may come and go; nearly all is equal.
        let names: std::collections::HashSet<_> = other
            .functions()
            .iter()
            .map(|function| function.name)
            .collect();
        let missing: Vec<_> = image
            .functions()
            .iter()
            .map(|one| one.name)
            .filter(|one| !names.contains(one))
            .collect();
        assert!(missing.len() < 16, "{version}: {missing:?}");
    }
}
