//! The tables about Go versions against real toolchains: every structure, field and constant of every release.

use gondwana_engine::golang::tables::{
    CONSTANTS, Change, Constant, Field, Release, STRUCTURES, Structure,
};
use gondwana_harness::build::Builder;
use gondwana_harness::layouts::Measured;
use gondwana_harness::layouts::compare::{Difference, What, compare, name_of};
use gondwana_harness::toolchain::{CHOICE, PATCHES, Toolchains, chosen};

const EVERYDAY: [&str; 8] = ["1.5", "1.9", "1.13", "1.16", "1.17", "1.21", "1.25", "1.27"];

fn measure(version: gondwana_engine::golang::GoVersion) -> Measured {
    let toolchain = Toolchains::open().unwrap().get_version(version).unwrap();
    Measured::of(&toolchain, &Builder::open().unwrap()).unwrap()
}

#[test]
fn the_tables_agree_with_every_toolchain() {
    let mut versions = chosen(&EVERYDAY).unwrap();
    if std::env::var(CHOICE).is_ok_and(|all| all == "all") {
        versions.extend(PATCHES);
    }
    for version in versions {
        let compared = compare(STRUCTURES, CONSTANTS, &measure(version));
        let differences: Vec<String> = compared
            .differences
            .iter()
            .map(ToString::to_string)
            .collect();
        assert!(differences.is_empty(), "{version}: {differences:#?}");
        // Not vacuously.
        assert!(compared.structures >= 18, "{version}: {compared:?}");
        assert!(compared.fields >= 200, "{version}: {compared:?}");
        assert!(compared.constants >= 30, "{version}: {compared:?}");
    }
}

/// Each line of the tables, falsified one after the other, gives the one difference that names it.
#[test]
fn a_false_line_is_found_and_named() {
    let version = chosen(&["1.27"]).unwrap()[0];
    let measured = measure(version);
    let release = Release::from(version);
    let mut falsified = 0;
    for (index, structure) in STRUCTURES.iter().enumerate() {
        let wrong = |structure: Structure| {
            let mut all = STRUCTURES.to_vec();
            all[index] = Box::leak(Box::new(structure));
            compare(&all, CONSTANTS, &measured).differences
        };
        if let Some(size) = structure.size_in(release) {
            let found = wrong(Structure {
                size: from_the_start(size + 8),
                ..**structure
            });
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(
                (found[0].structure, found[0].item.as_str()),
                (structure.name, "size")
            );
            assert_eq!(found[0].expected, What::Size(size + 8));
            falsified += 1;
        }
        for (line, field) in structure.fields.iter().enumerate() {
            let Some((offset, width)) = structure.find(field.path, release) else {
                continue;
            };
            if width != field.width {
                continue;
            }
            let replaced = |field: Field| {
                let mut fields = structure.fields.to_vec();
                fields[line] = field;
                wrong(Structure {
                    fields: Box::leak(fields.into_boxed_slice()),
                    ..**structure
                })
            };
            let moved = replaced(Field {
                offset: from_the_start(offset + 1),
                ..*field
            });
            let wider = replaced(Field {
                width: width + 1,
                ..*field
            });
            for found in [moved, wider] {
                assert_eq!(found.len(), 1, "{found:?}");
                let Difference {
                    structure: name,
                    item,
                    found,
                    source,
                    ..
                } = &found[0];
                assert_eq!((*name, item.as_str()), (structure.name, field.path));
                assert_eq!(*found, What::Field(offset, width));
                assert_eq!(source, structure.source);
            }
            falsified += 2;
        }
    }
    for (index, constant) in CONSTANTS.iter().enumerate() {
        let Some(value) = constant.value_in(release) else {
            continue;
        };
        let mut all = CONSTANTS.to_vec();
        all[index] = Constant {
            value: from_the_start(value + 1),
            ..*constant
        };
        let found = compare(STRUCTURES, &all, &measured).differences;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].item, name_of(constant));
        assert_eq!(
            (found[0].expected, found[0].found),
            (What::Value(value + 1), What::Value(value))
        );
        falsified += 1;
    }
    assert!(falsified > 400, "{falsified}");
}

/// A field that Go has and a complete table lacks is found.
#[test]
fn a_missing_line_is_found() {
    let version = chosen(&["1.27"]).unwrap()[0];
    let measured = measure(version);
    let panics: &Structure = STRUCTURES
        .iter()
        .find(|structure| structure.name == "runtime._panic")
        .unwrap();
    assert!(panics.complete);
    let fields: Vec<Field> = panics
        .fields
        .iter()
        .filter(|field| field.path != "recovered")
        .copied()
        .collect();
    let shorter = Structure {
        fields: Box::leak(fields.into_boxed_slice()),
        ..*panics
    };
    let found = compare(&[&shorter], &[], &measured).differences;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].item.as_str(), found[0].expected),
        ("recovered", What::Absent)
    );
}

fn from_the_start<T: Copy>(value: T) -> &'static [Change<T>] {
    Box::leak(Box::new([Change {
        since: Release::new(5, 0),
        value: Some(value),
    }]))
}
