//! What a program says of its Go version is proved from its own bytes: of programs that are what they say, none is refused;
//! of those that are not, all whose layouts, marks or code differ.

use std::fs;

use gondwana_engine::addr::LinkAddr;
use gondwana_engine::golang::{Facts, GoVersion, NEWEST, OLDEST};
use gondwana_engine::image::{Image, ImageErrorCode};
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::matrix::Matrix;
use gondwana_harness::testbins;
use gondwana_harness::toolchain::{Toolchains, chosen, last_patch};

/// Different line tables, and the newest layouts.
const EVERYDAY: [&str; 4] = ["1.9", "1.13", "1.24", "1.27"];

fn build(version: GoVersion, program: &str, mode: Mode) -> anyhow::Result<Vec<u8>> {
    let toolchain = Toolchains::open()?.get_version(version)?;
    let file = Builder::open()?.build(&toolchain, &testbins::case(program)?.dir, mode)?;
    Ok(fs::read(file)?)
}

/// The program with every mention of its version replaced, as `-ldflags=-X=runtime.buildVersion=…` does; `None` where the
/// other text is longer.
fn named(file: &[u8], truth: &str, lie: &str) -> Option<Vec<u8>> {
    let mut lie = lie.as_bytes().to_vec();
    if lie.len() > truth.len() {
        return None;
    }
    // What follows a space is no part of the version.
    lie.resize(truth.len(), b' ');
    let mut file = file.to_vec();
    let mut at = 0;
    let matches = |bytes: &[u8]| bytes == truth.as_bytes();
    while let Some(next) = file[at..].windows(truth.len()).position(matches) {
        file[at + next..][..lie.len()].copy_from_slice(&lie);
        at += next + lie.len();
    }
    Some(file)
}

/// Every minor version, the patch releases at which something changes inside one, and one that is not known.
fn every_lie() -> impl Iterator<Item = String> {
    (OLDEST..=NEWEST + 1)
        .map(|minor| format!("go1.{minor}"))
        .chain(["go1.9.3", "go1.10.1"].map(str::to_owned))
}

#[test]
fn a_version_that_is_not_the_program_s_is_refused_where_anything_differs() {
    let (mut refused, mut alike) = (0, Vec::new());
    for truth in chosen(&EVERYDAY).unwrap() {
        let file = build(truth, "tiny", Mode::Static).unwrap();
        let image = Image::parse(&file).unwrap();
        let text = image.build_info().version_text;
        for lie in every_lie() {
            let version: GoVersion = lie.parse().unwrap();
            let (true, Some(file)) = (version.minor != truth.minor, named(&file, text, &lie))
            else {
                continue;
            };
            let differs = Facts::known_or_like(version) != Facts::for_version(truth);
            match Image::parse(&file) {
                Ok(_) if differs => panic!("{truth} passes as {lie}"),
                Ok(_) => alike.push((truth.minor, version.minor)),
                Err(error) => {
                    assert!(differs, "{truth} as {lie}: {error}");
                    assert_eq!(
                        error.code(),
                        ImageErrorCode::UnprovenVersion,
                        "{truth} as {lie}: {error}"
                    );
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 20, "{refused}");
    // What hooks use is the same in these; nothing of it can be told by bytes.
    let known = [(18, 19), (19, 18), (23, 24), (24, 23), (NEWEST, NEWEST + 1)];
    assert!(alike.iter().all(|pair| known.contains(pair)), "{alike:?}");
}

#[test]
fn the_reason_is_the_field_that_differs() {
    let file = build(last_patch(24).unwrap(), "tiny", Mode::Static).unwrap();
    let image = Image::parse(&file).unwrap();
    let text = image.build_info().version_text;
    for (lie, reason) in [
        (
            "go1.21.5",
            "runtime.moduledata of 584 bytes by its type descriptor, 592 by the tables of go1.21.5",
        ),
        (
            "go1.28.0",
            "runtime.moduledata of 584 bytes by its type descriptor, 568 by the tables of go1.27",
        ),
    ] {
        let file = named(&file, text, lie).unwrap();
        let error = Image::parse(&file).err().unwrap().to_string();
        assert!(error.contains(reason), "{error}");
    }
}

/// Toolchains that were changed without their number: structures whose fields lie otherwise.
#[test]
fn a_changed_structure_is_refused() {
    for version in chosen(&["1.13", "1.24"]).unwrap() {
        let file = build(version, "tiny", Mode::Static).unwrap();
        let image = Image::parse(&file).unwrap();
        let layout = image.facts().types;
        let offset_of =
            |at: LinkAddr| image.bytes(at, 8).unwrap().as_ptr() as usize - file.as_ptr() as usize;
        for (structure, field) in [
            ("runtime.g", "goid"),
            ("runtime.m", "gsignal"),
            ("runtime.moduledata", "ftab"),
        ] {
            let [Some(found)] = image.types().structs([structure]) else {
                panic!("{version}: no {structure}");
            };
            // The field and the next one change places.
            let index = found
                .fields
                .iter()
                .position(|one| one.name == field)
                .unwrap();
            let fields = found
                .at
                .checked_add(u64::from(layout.struct_fields))
                .unwrap();
            let array = LinkAddr::new(image.pointer(fields).unwrap());
            let name_of = |index: usize| {
                let before = index as u64 * u64::from(layout.field_size);
                let at = array.checked_add(before + u64::from(layout.field_name));
                offset_of(at.unwrap())
            };
            let mut changed = file.clone();
            for at in 0..8 {
                changed.swap(name_of(index) + at, name_of(index + 1) + at);
            }
            let error = match Image::parse(&changed) {
                Ok(_) => panic!("{version}: {structure}.{field} is not noticed"),
                Err(error) => error,
            };
            assert_eq!(error.code(), ImageErrorCode::UnprovenVersion, "{error}");
            let what = format!("{structure}.{field}: ");
            assert!(error.to_string().contains(&what), "{version}: {error}");
        }
    }
}

/// The programs of the sweep: as little as possible, and much of the standard library.
const PROGRAMS: [&str; 2] = ["tiny", "httpserve"];

/// Their `runtime.end` is not behind everything else.
#[test]
fn programs_of_the_oldest_linker_that_another_one_finished_are_what_they_say() {
    let file = build(last_patch(OLDEST).unwrap(), "tiny", Mode::Cgo).unwrap();
    Image::parse(&file).unwrap();
}

/// Every cell of the matrix, traps included. `GONDWANA_CELLS=TEXT` chooses those that have it in `VERSION MODE`.
#[test]
#[ignore = "builds some 450 programs: an hour, once they are built a minute"]
fn no_program_of_the_matrix_is_refused() {
    let choice = std::env::var("GONDWANA_CELLS").unwrap_or_default();
    let (mut proven, mut wrong) = (0, Vec::new());
    let matrix = Matrix::read().unwrap();
    for &cell in matrix.cells() {
        if !cell.to_string().contains(&choice) || cell.mode.missing_in(cell.go).is_some() {
            continue;
        }
        for program in PROGRAMS {
            let file = match build(cell.go, program, cell.mode) {
                Ok(file) => file,
                Err(error) => {
                    wrong.push(format!("{cell} {program}: {error:#}"));
                    continue;
                }
            };
            let library = cell.mode == Mode::CShared;
            match Image::parse(&file) {
                Ok(_) if library => wrong.push(format!("{cell} {program}: taken for a program")),
                Err(error) if !library || error.code() != ImageErrorCode::NotMainProgram => {
                    wrong.push(format!("{cell} {program}: {error}"));
                }
                _ => proven += 1,
            }
        }
    }
    println!("{proven} programs are what they say, {} wrong", wrong.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(proven > 0, "nothing was looked at");
}
