//! The notes of an ELF file -> the identifiers that linkers leave there.
//!
//! Note segments first; then note sections, if there are section headers: the Go linker's GNU build ID lies in no segment
//! of its own. A damaged note is as good as none. Source: System V gABI chapter 5 ("Note Section"); `cmd/link/internal/ld/elf.go`
//! (`elfwritegobuildid`, `addgnubuildid`), `cmd/internal/buildid/note.go`.

use object::LittleEndian;
use object::elf::{self, FileHeader64, ProgramHeader64, SectionHeader64};
use object::read::elf::{NoteIterator, ProgramHeader, SectionHeader};

use super::file::FileView;

const LE: LittleEndian = LittleEndian;
/// `ELF_NOTE_GOBUILDID_TAG` of the Go linker, with the name `Go`.
const GO_BUILD_ID: u32 = 4;
/// `NT_GNU_BUILD_ID`, with the name `GNU`.
const GNU_BUILD_ID: u32 = 3;

/// What the notes say.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Notes<'d> {
    /// The Go build ID, as `go tool buildid` prints it: four hashes of 20 characters between slashes, as a rule.
    pub go_build_id: Option<&'d str>,
    /// The GNU build ID: any bytes, 20 as a rule. The Go linker writes one from 1.24 on, other linkers in every version.
    pub gnu_build_id: Option<&'d [u8]>,
}

/// Reads all notes; the first of each kind counts.
pub(super) fn read<'d>(
    file: FileView<'d>,
    programs: &[ProgramHeader64<LittleEndian>],
    sections: &[SectionHeader64<LittleEndian>],
) -> Notes<'d> {
    let segments = programs
        .iter()
        .filter(|program| program.p_type(LE) == elf::PT_NOTE)
        .filter_map(|program| Some((program.p_align(LE), program.data(LE, file).ok()?)));
    let sections = sections
        .iter()
        .filter(|section| section.sh_type(LE) == elf::SHT_NOTE)
        .filter_map(|section| Some((section.sh_addralign(LE), section.data(LE, file).ok()?)));
    let mut found = Notes::default();
    for (align, bytes) in segments.chain(sections) {
        // Notes lie at multiples of 4 or 8. Up to Go 1.9 the section of the Go build ID asks for 32, and means 4.
        let align = if align == 8 { 8 } else { 4 };
        if let Ok(notes) = NoteIterator::new(LE, align, bytes) {
            take(notes, &mut found);
        }
    }
    found
}

fn take<'d>(notes: NoteIterator<'d, FileHeader64<LittleEndian>>, found: &mut Notes<'d>) {
    for note in notes.map_while(Result::ok) {
        match (note.name(), note.n_type(LE).0) {
            (b"Go", GO_BUILD_ID) if found.go_build_id.is_none() => {
                let text = std::str::from_utf8(note.desc()).ok();
                found.go_build_id = text.filter(|text| !text.is_empty());
            }
            (b"GNU", GNU_BUILD_ID) if found.gnu_build_id.is_none() => {
                found.gnu_build_id = Some(note.desc()).filter(|bytes| !bytes.is_empty());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One note as linkers write it: sizes, type, name with its zero, description, each padded to 4 bytes.
    fn note(name: &str, kind: u32, desc: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for word in [name.len() as u32 + 1, desc.len() as u32, kind] {
            out.extend(word.to_le_bytes());
        }
        for part in [[name.as_bytes(), &[0]].concat(), desc.to_vec()] {
            out.extend(&part);
            out.resize(out.len().next_multiple_of(4), 0);
        }
        out
    }

    fn notes(bytes: &[u8]) -> Notes<'_> {
        let mut found = Notes::default();
        if let Ok(notes) = NoteIterator::new(LE, 4, bytes) {
            take(notes, &mut found);
        }
        found
    }

    #[test]
    fn both_identifiers_are_found_among_others() {
        let bytes = [
            note("GNU", 1, &[0; 16]),
            note("Go", 1, b"not this"),
            note("Go", 4, b"a/b/c/d!!"),
            note("GNU", 3, &[1, 2, 0xff]),
            note("Go", 4, b"a second one"),
        ]
        .concat();
        let found = notes(&bytes);
        assert_eq!(found.go_build_id, Some("a/b/c/d!!"));
        assert_eq!(found.gnu_build_id, Some(&[1, 2, 0xff][..]));
    }

    #[test]
    fn damaged_notes_end_the_search() {
        let good = note("Go", 4, b"id");
        for len in 0..good.len() - 2 {
            assert_eq!(notes(&good[..len]), Notes::default(), "{len} bytes");
        }
        let mut long = [note("Go", 4, b"id"), note("GNU", 3, &[1])].concat();
        let second = good.len();
        long[second + 4..second + 8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(notes(&long).gnu_build_id, None);
        assert_eq!(notes(&long).go_build_id, Some("id"));
        assert_eq!(notes(&note("Go", 4, b"\xff\xfe")).go_build_id, None);
    }
}
