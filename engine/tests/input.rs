//! What is read of a file tells the same as the whole file does: programs of all versions, cut off anywhere, damaged anywhere,
//! with tables behind what is loaded.

use std::io::Write as _;

use gondwana_engine::golang::{GoVersion, NEWEST, OLDEST};
use gondwana_engine::image::testing::Synthetic;
use gondwana_engine::image::{FileView, Image, Parts};
use gondwana_engine::input::{self, Symbols};

/// What is asked of an image here, or why it is none.
fn told<'d>(file: impl Into<FileView<'d>>) -> Result<String, String> {
    let image = Image::parse(file).map_err(|error| error.to_string())?;
    let functions: Vec<_> = image
        .functions()
        .iter()
        .map(|function| (function, image.pcsp(function).collect::<Vec<_>>()))
        .collect();
    Ok(format!(
        "{} {:?} {:?} {:?} {:?} {functions:?} {:?}",
        image.version(),
        image.build_info(),
        image.notes(),
        image.sections(),
        image.linker_strings(),
        image.last_moduledatap()
    ))
}

/// The file with these bytes, read.
struct Files(tempfile::NamedTempFile);

impl Files {
    fn new() -> Self {
        Self(tempfile::NamedTempFile::new().unwrap())
    }

    fn read(&mut self, bytes: &[u8]) -> Parts {
        let file = self.0.as_file_mut();
        file.set_len(0).unwrap();
        std::os::unix::fs::FileExt::write_all_at(file, bytes, 0).unwrap();
        file.flush().unwrap();
        input::read(self.0.path(), Symbols::Read).unwrap()
    }

    fn compare(&mut self, bytes: &[u8], what: &str) -> bool {
        let parts = self.read(bytes);
        assert_eq!(parts.len(), bytes.len() as u64, "{what}");
        for (offset, part) in parts.iter() {
            let at = offset as usize;
            assert!(bytes[at..at + part.len()] == *part, "{what}");
        }
        let whole = told(bytes);
        assert_eq!(told(&parts), whole, "{what}");
        whole.is_ok()
    }
}

fn programs() -> impl Iterator<Item = (String, Vec<u8>)> {
    (OLDEST..=NEWEST).flat_map(|minor| {
        [false, true].map(|pie| {
            let program = Synthetic {
                pie,
                ..Synthetic::new(GoVersion::new(minor, 1))
            };
            (format!("go1.{minor} pie {pie}"), program.build())
        })
    })
}

/// `program` with a symbol table, notes and their section headers at the end of `len` bytes more.
fn with_sections(program: &[u8], len: usize) -> Vec<u8> {
    let mut file = program.to_vec();
    file.resize(program.len() + len, 0x55);
    let names = b"\0.shstrtab\0.symtab\0.strtab\0.note.x\0.debug_info\0";
    let note = b"\x03\0\0\0\x08\0\0\0\x04\0\0\0Go\0\0the/id!!";
    let strings = b"\0main.version.str\0";
    let symbol = [0u8; 24];
    let mut headers = vec![0u8; 64];
    for (name, kind, link, bytes) in [
        (1u32, 3u32, 0u32, &names[..]),
        (11, 2, 3, &symbol),
        (19, 3, 0, strings),
        (27, 7, 0, note),
        (35, 1, 0, b"far too much"),
    ] {
        let offset = file.len() as u64;
        file.extend(bytes);
        headers.extend([name, kind].iter().flat_map(|word| word.to_le_bytes()));
        let words = [0, 0, offset, bytes.len() as u64];
        headers.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        headers.extend([link, 0].iter().flat_map(|word| word.to_le_bytes()));
        headers.extend([4u64, 24].iter().flat_map(|word| word.to_le_bytes()));
    }
    let at = file.len() as u64;
    file[0x28..0x30].copy_from_slice(&at.to_le_bytes());
    for (field, value) in [(0x3a, 64u16), (0x3c, 6), (0x3e, 1)] {
        file[field..field + 2].copy_from_slice(&value.to_le_bytes());
    }
    file.extend(headers);
    file
}

#[test]
fn every_version_is_told_as_by_the_whole_file() {
    let mut files = Files::new();
    for (what, program) in programs() {
        assert!(files.compare(&program, &what));
        let file = with_sections(&program, 1 << 20);
        assert!(files.compare(&file, &what));
        let parts = files.read(&file);
        let held: usize = parts.iter().map(|(_, bytes)| bytes.len()).sum();
        assert!(held < program.len() + (16 << 10), "{what}: {held} bytes");
        let image = Image::parse(&parts).unwrap();
        assert_eq!(image.notes().go_build_id, Some("the/id!!"), "{what}");
        let sections = image.sections();
        assert!(
            sections.headers && sections.symbols && sections.dwarf,
            "{what}"
        );
    }
}

#[test]
fn a_file_that_ends_anywhere_or_is_damaged_anywhere_is_told_as_the_whole_one() {
    let mut files = Files::new();
    let (mut parsed, mut refused) = (0, 0);
    let mut count = |is: bool| *if is { &mut parsed } else { &mut refused } += 1;
    for (what, program) in programs().step_by(15) {
        let file = with_sections(&program, 9000);
        for len in (0..file.len()).step_by(61) {
            count(files.compare(&file[..len], &format!("{what}, {len} bytes")));
        }
        let tables = program.len() + 9000..file.len();
        for at in (0..64 + 5 * 56).chain(tables) {
            for value in [0, 0xff] {
                let mut damaged = file.clone();
                damaged[at] = value;
                count(files.compare(&damaged, &format!("{what}, {value} at {at}")));
            }
        }
    }
    assert!(parsed > 500 && refused > 200, "{parsed} {refused}");
}

#[test]
fn symbols_are_read_for_whoever_asks() {
    let mut files = Files::new();
    let (_, program) = programs().last().unwrap();
    let file = with_sections(&program, 1 << 20);
    let with = files.read(&file);
    let without = input::read(files.0.path(), Symbols::Skip).unwrap();
    let held = |parts: &Parts| FileView::from(parts).held();
    assert!(held(&without) <= held(&with));
    assert!(Image::parse(&without).unwrap().sections().symbols);
}

#[test]
fn of_what_is_no_elf_file_four_bytes_are_read() {
    let mut files = Files::new();
    for bytes in [&b""[..], b"#!", b"#!/bin/sh\nexit\n"] {
        let parts = files.read(bytes);
        assert_eq!(parts.len(), bytes.len() as u64);
        assert_eq!(FileView::from(&parts).held(), bytes.len().min(4));
    }
}
