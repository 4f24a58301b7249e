//! [`Image`] on synthetic programs of every version, and on what is no such program.

use super::testing::{Synthetic, SyntheticFunction};
use super::*;
use crate::golang::{NEWEST, OLDEST};

fn every_version() -> impl Iterator<Item = Synthetic> {
    (OLDEST..=NEWEST).flat_map(|minor| {
        let fixed = Synthetic::new(GoVersion::new(minor, 3));
        [fixed.clone(), Synthetic { pie: true, ..fixed }]
    })
}

fn parse(file: &[u8]) -> Image<'_> {
    Image::parse(file).unwrap_or_else(|error| panic!("{error}"))
}

fn refuse(file: &[u8]) -> ImageError {
    match Image::parse(file) {
        Ok(image) => panic!("parsed as a program of {}", image.version()),
        Err(error) => error,
    }
}

#[test]
fn every_version_is_read_in_both_forms() {
    for program in every_version() {
        let file = program.build();
        let image = parse(&file);
        let what = format!("{} pie {}", program.version, program.pie);
        assert_eq!(image.version(), program.version, "{what}");
        assert_eq!(
            image.kind(),
            if program.pie {
                ImageKind::Pie
            } else {
                ImageKind::Executable
            },
            "{what}"
        );
        let names: Vec<_> = image
            .functions()
            .iter()
            .map(|function| function.name)
            .collect();
        assert_eq!(
            names,
            ["runtime.schedinit", "main.f", "main.main"],
            "{what}"
        );
        let f = image.functions_named("main.f").next().unwrap();
        assert_eq!(
            (f.size, f.args, f.has_args_map, f.has_locals_map),
            (16, Some(24), true, true),
            "{what}"
        );
        assert_eq!(image.text().0.checked_add(16), Some(f.entry), "{what}");
        assert_eq!(image.bytes(f.entry, 2), Some(&[0x64, 0x48][..]), "{what}");
        assert_eq!(image.tls_g(), Some(-8), "{what}");
        let steps: Vec<_> = image.pcsp(f).collect();
        assert_eq!(steps, [(f.entry.checked_add(16).unwrap(), 0)], "{what}");
        let last = image.last_moduledatap().unwrap();
        assert_eq!(
            image.pointer(last),
            Some(image.first_moduledata().get()),
            "{what}"
        );
        assert_eq!(
            image.moduledata_word(0),
            Some(image.pclntab().get()),
            "{what}"
        );
        let copies = image.inlined_copies();
        let expected = if program.version.minor >= 9 { 2 } else { 0 };
        assert_eq!(copies.len(), expected, "{what}");
        assert_eq!(
            copies.get("main.small").copied().unwrap_or(0),
            (expected / 2) as u32,
            "{what}"
        );
        let from_blob = image.build_info().source == VersionSource::BuildInfo;
        assert_eq!(from_blob, program.version.minor >= 13, "{what}");
        assert_eq!(
            image.build_info().modinfo.path(),
            from_blob.then_some("main"),
            "{what}"
        );
    }
}

#[test]
fn a_pc_is_found_between_entry_and_end() {
    let file = Synthetic::new(GoVersion::new(21, 0)).build();
    let image = parse(&file);
    let (start, end) = image.text();
    let name = |at: Option<LinkAddr>| image.function_at(at.unwrap()).map(|function| function.name);
    assert_eq!(name(start.checked_sub(1)), None);
    assert_eq!(name(start.checked_add(15)), Some("runtime.schedinit"));
    assert_eq!(name(start.checked_add(16)), Some("main.f"));
    assert_eq!(name(end.checked_sub(1)), Some("main.main"));
    assert_eq!(name(Some(end)), None);
}

#[test]
fn gap_marks_end_functions_where_the_version_has_them() {
    for mut program in every_version() {
        program.functions[1].gap_after = true;
        let file = program.build();
        let image = parse(&file);
        let marked = (14..=17).contains(&program.version.minor);
        let sizes: Vec<_> = image
            .functions()
            .iter()
            .map(|function| function.size)
            .collect();
        assert_eq!(
            sizes,
            [16, if marked { 16 } else { 32 }, 16],
            "{}",
            program.version
        );
        let gap = image.functions()[2].entry.checked_sub(8).unwrap();
        assert_eq!(
            image.function_at(gap).is_none(),
            marked,
            "{}",
            program.version
        );
    }
}

#[test]
fn fields_of_the_record_are_those_of_the_version() {
    for mut program in every_version() {
        program.functions[0] = SyntheticFunction {
            args: i32::MIN,
            func_id: 5,
            flags: 1,
            maps: false,
            pcsp: Vec::new(),
            ..SyntheticFunction::new("runtime.asm", &[0xc3])
        };
        let file = program.build();
        let image = parse(&file);
        let function = image.functions()[0];
        let (id, flags) = (
            image.facts().func.func_id.map_or(0, |_| 5),
            image.facts().func.flag.map_or(0, |_| 1),
        );
        assert_eq!(
            (function.func_id, function.flags),
            (id, flags),
            "{}",
            program.version
        );
        assert_eq!(
            (
                function.args,
                function.has_args_map,
                function.has_locals_map
            ),
            (None, false, false)
        );
    }
}

#[test]
fn a_name_that_is_not_utf8_costs_nothing_but_its_text() {
    let mut program = Synthetic::new(GoVersion::new(20, 1));
    program.functions[1].name = b"main.\xff\xfe".to_vec();
    let file = program.build();
    let image = parse(&file);
    let function = image.functions()[1];
    assert_eq!(function.name, NOT_UTF8);
    assert_eq!(image.name_bytes(&function), Some(&b"main.\xff\xfe"[..]));
}

#[test]
fn without_build_information_the_variable_tells_the_version() {
    for mut program in every_version() {
        program.modinfo = None;
        let file = program.build();
        let image = parse(&file);
        assert_eq!(image.version(), program.version);
        assert_eq!(image.build_info().source, VersionSource::Variable);
    }
}

#[test]
fn other_texts_that_look_like_versions_do_not_mislead() {
    for mut program in every_version() {
        program.modinfo = None;
        let minor = program.version.minor;
        let other = if minor == 17 {
            "go1.16.1".to_owned()
        } else {
            format!("go1.{}.99", minor)
        };
        program.strings = vec![other, "go2".into(), "go1.4.2".into()];
        // Nothing tells which it is.
        assert_eq!(
            refuse(&program.build()).code(),
            ImageErrorCode::UnknownVersion,
            "{}",
            program.version
        );
        if program.pie {
            continue;
        }
        // mov rax, [buildVersion]: what schedinit does.
        let same_length = |text: &String| "x".repeat(text.len());
        let mut probe = program.clone();
        probe.strings = program.strings.iter().map(same_length).collect();
        probe.functions[0].code = vec![0xc3; 8];
        let probe = probe.build();
        let image = parse(&probe);
        let variable = image.first_moduledata().get() + u64::from(image.facts().module.size) + 8;
        program.functions[0].code = [
            &[0x48, 0x8b, 0x04, 0x25][..],
            &(variable as u32).to_le_bytes(),
        ]
        .concat();
        assert_eq!(parse(&program.build()).version(), program.version);
    }
}

#[test]
fn two_offsets_of_g_are_none() {
    let mut program = Synthetic::new(GoVersion::new(13, 0));
    program.functions[2].code = vec![0x64, 0x48, 0x8b, 0x0c, 0x25, 0xf0, 0xff, 0xff, 0xff, 0xc3];
    assert_eq!(parse(&program.build()).tls_g(), None);
}

#[test]
fn functions_of_the_runtime_tell_the_build_mode() {
    let mut program = Synthetic::new(GoVersion::new(21, 0));
    assert!(!parse(&program.build()).is_race());
    for name in ["runtime.racefuncenter", "crosscall2"] {
        program
            .functions
            .push(SyntheticFunction::new(name, &[0xc3]));
    }
    let file = program.build();
    let image = parse(&file);
    assert!(image.is_race() && image.is_cgo());
}

#[test]
fn what_is_no_program_is_named() {
    let file = Synthetic::new(GoVersion::new(21, 0)).build();
    let patched = |at: usize, bytes: &[u8]| {
        let mut file = file.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        refuse(&file)
    };
    let cases = [
        (patched(0, b"\x7fEXE"), "not-elf"),
        (patched(4, &[1]), "elf32-bit"),
        (patched(5, &[2]), "wrong-machine"),
        (patched(16, &[1]), "not-executable"),
        (patched(18, &[183]), "wrong-machine"),
        (patched(54, &[55]), "corrupt-elf"),
        (patched(56, &[0]), "corrupt-elf"),
        (patched(32, &[0xff; 4]), "truncated"),
        (patched(24, &[0; 8]), "not-main-program"),
        (refuse(&[]), "not-elf"),
        (refuse(&file[..63]), "truncated"),
        (refuse(&file[..file.len() - 1]), "truncated"),
    ];
    for (error, code) in cases {
        assert_eq!(error.code().as_str(), code, "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }
    assert!(patched(18, &[183]).to_string().contains("arm64"));
}

#[test]
fn libraries_are_no_main_programs() {
    let at_hasmain = |program: &Synthetic| {
        let mut file = program.build();
        let image = parse(&file);
        let hasmain = image
            .first_moduledata()
            .checked_add(u64::from(image.facts().module.hasmain.unwrap()))
            .unwrap();
        let byte = image.bytes(hasmain, 1).unwrap().as_ptr() as usize - file.as_ptr() as usize;
        file[byte] = 0;
        refuse(&file)
    };
    for program in every_version().filter(|program| program.version.minor >= 10) {
        assert_eq!(
            at_hasmain(&program).code(),
            ImageErrorCode::NotMainProgram,
            "{}",
            program.version
        );
    }
    let mut old = Synthetic::new(GoVersion::new(8, 0));
    old.functions[2].name = b"main.other".to_vec();
    assert_eq!(refuse(&old.build()).code(), ImageErrorCode::NotMainProgram);
}

#[test]
fn versions_that_are_not_known_are_named() {
    for (text, code) in [
        ("go1.28.1", ImageErrorCode::UnprovenVersion),
        (
            "devel go1.28-abcdef Mon Jan 1",
            ImageErrorCode::UnprovenVersion,
        ),
        ("go1.28-devel_abcdef Mon", ImageErrorCode::UnprovenVersion),
        (
            "devel +abcdef Mon Jan 1",
            ImageErrorCode::UnsupportedVersion,
        ),
        ("nonsense", ImageErrorCode::UnknownVersion),
    ] {
        let mut program = Synthetic::new(GoVersion::new(27, 0));
        program.version_text = text.into();
        let error = refuse(&program.build());
        assert_eq!(error.code(), code, "{error}");
    }
}

#[test]
fn a_version_of_another_generation_is_a_contradiction() {
    let mut program = Synthetic::new(GoVersion::new(19, 0));
    program.version_text = "go1.21.1".into();
    assert_eq!(
        refuse(&program.build()).code(),
        ImageErrorCode::UnprovenVersion
    );
}

#[test]
fn other_files_without_a_line_table_are_told_apart() {
    let mut program = Synthetic::new(GoVersion::new(21, 0));
    program.modinfo = None;
    let mut file = program.build();
    let table = memchr::memmem::find(&file, &[0xf1, 0xff, 0xff, 0xff]).unwrap();
    // Magic number, marks and number of functions.
    file[table..table + 16].fill(0xee);
    assert_eq!(refuse(&file).code(), ImageErrorCode::NotGo);
    let mut gccgo = file.clone();
    let name = b"/libgo/runtime/proc.c\0";
    gccgo[table..table + name.len()].copy_from_slice(name);
    assert_eq!(refuse(&gccgo).code(), ImageErrorCode::Gccgo);
    let mut packed = file;
    let behind_headers = 64 + 5 * 56 + 4;
    packed[behind_headers..behind_headers + 4].copy_from_slice(b"UPX!");
    assert_eq!(refuse(&packed).code(), ImageErrorCode::Packed);
}

#[test]
fn a_line_table_inside_the_data_of_another_program_is_passed_over() {
    // What `go:embed` of a Go program looks like: the whole file in read-only data.
    let inner = Synthetic::new(GoVersion::new(16, 1)).build();
    let mut program = Synthetic::new(GoVersion::new(21, 0));
    program.strings = vec![String::new()];
    program
        .functions
        .insert(0, SyntheticFunction::new("main.embedded", &inner));
    let file = program.build();
    let image = parse(&file);
    assert_eq!(image.version(), GoVersion::new(21, 0));
    assert_eq!(image.functions().len(), 4);
}

/// What obfuscators do to the magic number, to all versions and forms.
#[test]
fn another_magic_number_hides_no_go_program() {
    for mut program in every_version() {
        // Not told by build information.
        program.modinfo = None;
        let mut file = program.build();
        let at = parse(&file).pclntab();
        let table = parse(&file).bytes(at, 4).unwrap().as_ptr().addr() - file.as_ptr().addr();
        file[table..table + 4].copy_from_slice(&0x1234_5678u32.to_le_bytes());
        let error = refuse(&file);
        let what = format!("{} pie {}: {error}", program.version, program.pie);
        assert_eq!(error.code(), ImageErrorCode::Obfuscated, "{what}");
        assert_eq!(error.place(), Place::Address(at), "{what}");
        assert!(error.to_string().contains("0x12345678"), "{what}");
        // The table's other marks gone, and one byte of the module's: nothing is left that tells Go.
        file[table + 4..table + 8].fill(0);
        assert_eq!(refuse(&file).code(), ImageErrorCode::NotGo, "{what}");
    }
}

#[test]
fn what_the_linker_leaves_beside_the_table_tells_go() {
    let mut program = Synthetic::new(GoVersion::new(21, 0));
    program.modinfo = None;
    let mut file = program.build();
    let at = parse(&file).pclntab();
    let table = parse(&file).bytes(at, 4).unwrap().as_ptr().addr() - file.as_ptr().addr();
    file[table..table + 16].fill(0xee);
    let error = refuse(&file).to_string();
    assert!(error.starts_with("not-go"), "no build information: {error}");

    let mut with_blob = program.clone();
    with_blob.modinfo = Some("path\tmain\n".into());
    let mut file = with_blob.build();
    let table = memchr::memmem::find(&file, &[0xf1, 0xff, 0xff, 0xff]).unwrap();
    file[table..table + 16].fill(0xee);
    let error = refuse(&file);
    assert_eq!(error.code(), ImageErrorCode::Obfuscated, "{error}");
}

#[test]
fn programs_without_a_runtime_of_their_own_are_told_by_how_they_were_built() {
    let shared = Synthetic {
        pie: true,
        libraries: vec!["libc.so.6".into(), "libstd.so".into()],
        ..Synthetic::new(GoVersion::new(17, 0))
    };
    assert_eq!(refuse(&shared.build()).code(), ImageErrorCode::Linkshared);
    let other = Synthetic {
        libraries: vec!["libc.so.6".into()],
        ..shared
    };
    assert_eq!(parse(&other.build()).libraries(), ["libc.so.6"]);

    // Up to 1.9 the main function alone does not tell.
    let mut old = Synthetic::new(GoVersion::new(8, 0));
    old.functions
        .push(SyntheticFunction::new("_rt0_amd64_linux_lib", &[0xc3]));
    let error = refuse(&old.build());
    assert_eq!(error.code(), ImageErrorCode::CArchive, "{error}");
}
