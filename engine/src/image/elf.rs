//! The bytes of an ELF file -> [`Elf`]: loadable segments, relative relocations, what the dynamic section says.
//!
//! Only what the kernel and the loader read is trusted: the file header, program headers and the dynamic section.
//! Section headers are optional hints ([`Sections`]), and nothing here fails because of them. Of Go it knows nothing but the
//! names that its linker gives to sections.
//! Source: System V gABI chapters 4 and 5, x86-64 psABI ("Relocation Types").

use object::elf::{self, Dyn64, FileHeader64, ProgramHeader64};
use object::read::elf::{Dyn, FileHeader, ProgramHeader, SectionHeader};
use object::{LittleEndian, pod};

use crate::addr::{FileOffset, LinkAddr};
use crate::types::Memory;

use super::error::{ImageError, ImageErrorCode};
use super::file::FileView;
use super::limits;
use super::notes::{self, Notes};
use super::read::u64_at;
use super::relocations::Relocations;

const LE: LittleEndian = LittleEndian;
/// How every ELF file begins.
pub const ELF_MAGIC: [u8; 4] = elf::ELFMAG;

/// One `PT_LOAD` segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'d> {
    /// Address of its first byte.
    pub(super) start: LinkAddr,
    /// One past its last byte in memory.
    pub(super) end: LinkAddr,
    /// The bytes that the file gives it, from `start` on; the rest is zero.
    pub(super) data: &'d [u8],
    pub(super) writable: bool,
    pub(super) executable: bool,
}

/// What the section headers add, if there are any.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize)]
pub struct Sections {
    /// The file has section headers that can be read.
    pub headers: bool,
    /// It has a symbol table.
    pub symbols: bool,
    /// It has DWARF.
    pub dwarf: bool,
    /// The first section whose name only the Go linker gives.
    pub go: Option<&'static str>,
}

/// Names of sections that only the Go linker gives (`cmd/link/internal/ld/data.go`, `dodata`; `elf.go`).
const GO_SECTIONS: [&str; 7] = [
    ".gopclntab",
    ".data.rel.ro.gopclntab",
    ".gosymtab",
    ".data.rel.ro.gosymtab",
    ".go.buildinfo",
    ".go.module",
    ".note.go.buildid",
];

/// An ELF file for linux/amd64 that the kernel could load.
pub(super) struct Elf<'d> {
    /// The file, as far as it was read.
    pub(super) file: FileView<'d>,
    /// Loadable segments by ascending address; they do not overlap.
    pub(super) segments: Vec<Segment<'d>>,
    pub(super) relocations: Relocations<'d>,
    pub(super) entry: LinkAddr,
    /// `ET_DYN`.
    pub(super) is_dyn: bool,
    /// It names an interpreter (`PT_INTERP`).
    pub(super) has_interpreter: bool,
    /// `DT_FLAGS_1` has `DF_1_PIE`.
    pub(super) says_pie: bool,
    /// It has a `DT_SONAME`.
    pub(super) has_soname: bool,
    /// Names of the libraries that it needs (`DT_NEEDED`), in the order of the file.
    pub(super) libraries: Vec<&'d str>,
    pub(super) notes: Notes<'d>,
    pub(super) sections: Sections,
}

fn corrupt(at: u64, found: impl Into<String>, expected: &'static str) -> ImageError {
    ImageError::new(
        ImageErrorCode::CorruptElf,
        FileOffset::new(at),
        found,
        expected,
    )
}

impl<'d> Elf<'d> {
    pub(super) fn parse(file: FileView<'d>) -> Result<Self, ImageError> {
        let header = file_header(file)?;
        let programs = header.program_headers(LE, file).map_err(|error| {
            let phoff = header.e_phoff(LE);
            let entry = usize::from(header.e_phentsize(LE));
            if phoff < file.len() && entry != size_of::<ProgramHeader64<LittleEndian>>() {
                return corrupt(phoff, error.to_string(), "program headers of 56 bytes");
            }
            truncated(phoff, file, "program headers")
        })?;
        let segments = segments(file, programs)?;
        let mut elf = Self {
            file,
            segments,
            relocations: Relocations::default(),
            entry: LinkAddr::new(header.e_entry(LE)),
            is_dyn: header.e_type(LE) == elf::ET_DYN,
            has_interpreter: programs
                .iter()
                .any(|program| program.p_type(LE) == elf::PT_INTERP),
            says_pie: false,
            has_soname: false,
            libraries: Vec::new(),
            notes: notes::read(
                file,
                programs,
                header.section_headers(LE, file).unwrap_or_default(),
            ),
            sections: sections(file, header),
        };
        elf.read_dynamic(programs);
        Ok(elf)
    }

    /// Takes from the dynamic section what is needed of it. A dynamic section that cannot be read is as good as none:
    /// what it would have given is then missing where it is asked for.
    fn read_dynamic(&mut self, programs: &'d [ProgramHeader64<LittleEndian>]) {
        let Some(dynamic) = programs
            .iter()
            .find_map(|program| program.dynamic(LE, self.file).ok().flatten())
        else {
            return;
        };
        let (mut rela, mut rela_size, mut names) = (None, 0, None);
        for entry in dynamic {
            let value = entry.d_val(LE);
            match entry.d_tag(LE) {
                elf::DT_NULL => break,
                elf::DT_RELA => rela = Some(LinkAddr::new(value)),
                elf::DT_RELASZ => rela_size = value,
                elf::DT_STRTAB => names = self.bytes_from(LinkAddr::new(value)),
                elf::DT_SONAME => self.has_soname = true,
                elf::DT_FLAGS_1 => self.says_pie = value & elf::DF_1_PIE.0 != 0,
                _ => {}
            }
        }
        let table = rela.and_then(|at| self.bytes(at, usize::try_from(rela_size).ok()?));
        if let Some(table) = table {
            self.relocations = Relocations::new(table);
        }
        // The table of names may stand behind what refers to it.
        let needed = dynamic
            .iter()
            .take_while(|entry| entry.d_tag(LE) != elf::DT_NULL)
            .filter(|entry| entry.d_tag(LE) == elf::DT_NEEDED);
        let name = |entry: &Dyn64<LittleEndian>| text_at(names?, entry.d_val(LE));
        self.libraries = needed.filter_map(name).take(limits::LIBRARIES).collect();
    }

    fn segment_at(&self, at: LinkAddr) -> Option<&Segment<'d>> {
        let index = self.segments.partition_point(|segment| segment.end <= at);
        self.segments
            .get(index)
            .filter(|segment| segment.start <= at)
    }

    /// The file's bytes from `at` to the end of its segment's file-backed part.
    pub(super) fn bytes_from(&self, at: LinkAddr) -> Option<&'d [u8]> {
        let segment = self.segment_at(at)?;
        segment
            .data
            .get(usize::try_from(at.offset_from(segment.start)?).ok()?..)
    }

    /// `len` bytes at `at`, if one file-backed segment holds them all.
    pub(super) fn bytes(&self, at: LinkAddr, len: usize) -> Option<&'d [u8]> {
        self.bytes_from(at)?.get(..len)
    }

    /// The word at `at` as the loader leaves it, for a slide of 0.
    pub(super) fn pointer(&self, at: LinkAddr) -> Option<u64> {
        let raw = u64_at(self.bytes_from(at)?, 0)?;
        Some(self.relocations.addend_at(at).unwrap_or(raw))
    }

    /// The word at `at` as an address.
    pub(super) fn address(&self, at: LinkAddr) -> Option<LinkAddr> {
        self.pointer(at).map(LinkAddr::new)
    }

    /// Whether `at` lies in an executable segment.
    pub(super) fn is_code(&self, at: LinkAddr) -> bool {
        self.segment_at(at)
            .is_some_and(|segment| segment.executable)
    }

    /// Whether `at` lies in a writable segment.
    pub(super) fn is_writable(&self, at: LinkAddr) -> bool {
        self.segment_at(at).is_some_and(|segment| segment.writable)
    }

    /// Every aligned word of writable, file-backed data whose value (as the loader leaves it, for a slide of 0)
    /// `wanted` accepts, as `(address, value)`. Relocated words come after the others.
    pub(super) fn writable_words<'s, F>(
        &'s self,
        wanted: F,
    ) -> impl Iterator<Item = (LinkAddr, u64)> + use<'s, 'd, F>
    where
        F: Fn(u64) -> bool + Copy + 's,
    {
        let plain = self
            .segments
            .iter()
            .filter(|segment| segment.writable)
            .flat_map(move |segment| {
                // Segments start anywhere; words lie at multiples of 8.
                let lead = (segment.start.get().wrapping_neg() & 7) as usize;
                let words = segment
                    .data
                    .get(lead..)
                    .unwrap_or_default()
                    .chunks_exact(8)
                    .enumerate();
                words.filter_map(move |(index, word)| {
                    let value = u64::from_le_bytes(word.try_into().ok()?);
                    let at = segment.start.checked_add(lead as u64 + 8 * index as u64)?;
                    (wanted(value) && self.relocations.addend_at(at).is_none())
                        .then_some((at, value))
                })
            });
        let relocated = self.relocations.iter().filter(move |&(at, value)| {
            let is_writable = || self.segment_at(at).is_some_and(|segment| segment.writable);
            // Of several for one word the same one counts as everywhere else.
            let counts = || self.pointer(at) == Some(value);
            wanted(value) && at.get() % 8 == 0 && is_writable() && counts()
        });
        plain.chain(relocated)
    }

    /// Lowest and one past the highest address of the segments.
    pub(super) fn extent(&self) -> (LinkAddr, LinkAddr) {
        let start = self
            .segments
            .first()
            .map_or(LinkAddr::new(0), |segment| segment.start);
        let end = self
            .segments
            .last()
            .map_or(LinkAddr::new(0), |segment| segment.end);
        (start, end)
    }
}

impl<'d> Memory<'d> for Elf<'d> {
    fn bytes_from(&self, at: LinkAddr) -> Option<&'d [u8]> {
        Elf::bytes_from(self, at)
    }

    fn pointer(&self, at: LinkAddr) -> Option<u64> {
        Elf::pointer(self, at)
    }

    fn parts(&self) -> impl Iterator<Item = (LinkAddr, &'d [u8])> {
        self.segments
            .iter()
            .map(|segment| (segment.start, segment.data))
    }
}

/// The text at `offset` in a table of texts that end with a zero.
pub(super) fn text_at(table: &[u8], offset: u64) -> Option<&str> {
    let bytes = table.get(usize::try_from(offset).ok()?..)?;
    let bytes = bytes.get(..bytes.len().min(limits::NAME_LEN))?;
    std::str::from_utf8(bytes.get(..memchr::memchr(0, bytes)?)?).ok()
}

fn truncated(needed: u64, file: FileView<'_>, expected: &'static str) -> ImageError {
    let found = format!("end of file ({:#x} bytes)", file.len());
    ImageError::new(
        ImageErrorCode::Truncated,
        FileOffset::new(needed),
        found,
        expected,
    )
}

/// Checks that the file is for linux/amd64 and a program, with one answer per way of not being that.
fn file_header(file: FileView<'_>) -> Result<&FileHeader64<LittleEndian>, ImageError> {
    let data = file.head(size_of::<FileHeader64<LittleEndian>>());
    let fail = |code, at: u64, found: String, expected| {
        ImageError::new(code, FileOffset::new(at), found, expected)
    };
    if data.get(..4) != Some(&elf::ELFMAG[..]) {
        let found = format!("{:02x?}", data.get(..4).unwrap_or(data));
        return Err(fail(
            ImageErrorCode::NotElf,
            0,
            found,
            "an ELF file (7f 45 4c 46)",
        ));
    }
    match data.get(4) {
        Some(2) => {}
        Some(1) => {
            return Err(fail(
                ImageErrorCode::Elf32Bit,
                4,
                "a 32-bit ELF file".into(),
                "a 64-bit one",
            ));
        }
        Some(class) => return Err(corrupt(4, format!("ELF class {class}"), "1 or 2")),
        None => return Err(truncated(4, file, "an ELF header")),
    }
    let (header, _) = pod::from_bytes::<FileHeader64<LittleEndian>>(data)
        .map_err(|()| truncated(data.len() as u64, file, "an ELF header of 64 bytes"))?;
    if !header.is_little_endian() {
        return Err(fail(
            ImageErrorCode::WrongMachine,
            5,
            "a big-endian ELF file".into(),
            "x86-64",
        ));
    }
    match header.e_machine(LE) {
        elf::EM_X86_64 => {}
        other => {
            let found = match other {
                elf::EM_AARCH64 => "an arm64 program".to_owned(),
                elf::EM_RISCV => "a riscv64 program".to_owned(),
                elf::EM_PPC64 => "a ppc64 program".to_owned(),
                elf::EM_LOONGARCH => "a loong64 program".to_owned(),
                other => format!("a program for ELF machine {}", other.0),
            };
            return Err(fail(ImageErrorCode::WrongMachine, 18, found, "x86-64"));
        }
    }
    match header.e_type(LE) {
        elf::ET_EXEC | elf::ET_DYN => Ok(header),
        other => {
            let found = match other {
                elf::ET_REL => "an object file".to_owned(),
                elf::ET_CORE => "a core dump".to_owned(),
                other => format!("ELF type {}", other.0),
            };
            Err(fail(
                ImageErrorCode::NotExecutable,
                16,
                found,
                "an executable",
            ))
        }
    }
}

fn segments<'d>(
    file: FileView<'d>,
    programs: &'d [ProgramHeader64<LittleEndian>],
) -> Result<Vec<Segment<'d>>, ImageError> {
    let mut segments = Vec::new();
    let mut budget = (file.held() as u64).saturating_mul(limits::SEGMENT_BYTES_PER_INPUT_BYTE);
    for program in programs
        .iter()
        .filter(|program| program.p_type(LE) == elf::PT_LOAD)
    {
        let (offset, file_size) = program.file_range(LE);
        let start = LinkAddr::new(program.p_vaddr(LE));
        let memory_size = program.p_memsz(LE);
        let end = start
            .checked_add(memory_size)
            .filter(|_| file_size <= memory_size)
            .ok_or_else(|| {
                corrupt(
                    offset,
                    format!("segment {start}+{memory_size:#x}"),
                    "one that fits into memory",
                )
            })?;
        let Ok(bytes) = program.data(LE, file) else {
            return Err(truncated(
                offset.saturating_add(file_size),
                file,
                "the bytes of a loadable segment",
            ));
        };
        if memory_size == 0 {
            continue;
        }
        budget = budget.checked_sub(file_size).ok_or_else(|| {
            corrupt(
                offset,
                "segments that share their bytes",
                "segments with bytes of their own",
            )
        })?;
        let flags = program.p_flags(LE).0;
        segments.push(Segment {
            start,
            end,
            data: bytes,
            writable: flags & elf::PF_W.0 != 0,
            executable: flags & elf::PF_X.0 != 0,
        });
    }
    segments.sort_unstable_by_key(|segment| segment.start);
    for pair in segments.windows(2) {
        if let [low, high] = pair
            && low.end > high.start
        {
            let found = format!("segments that overlap: one ends at {}", low.end);
            return Err(ImageError::new(
                ImageErrorCode::CorruptElf,
                high.start,
                found,
                "disjoint segments",
            ));
        }
    }
    if segments.is_empty() {
        return Err(corrupt(32, "no loadable segment", "at least one"));
    }
    Ok(segments)
}

/// Reads what is wanted of the section headers; whatever is wrong with them only leaves something out.
fn sections(file: FileView<'_>, header: &FileHeader64<LittleEndian>) -> Sections {
    let headers = header.section_headers(LE, file).unwrap_or_default();
    let names = header
        .section_strings_index(LE, file)
        .ok()
        .and_then(|index| headers.get(index.0));
    let names = names
        .and_then(|section| section.data(LE, file).ok())
        .unwrap_or_default();
    let mut found = Sections {
        headers: !headers.is_empty(),
        ..Sections::default()
    };
    for section in headers {
        // Only the beginning of a name is looked at, whatever its length.
        let name = usize::try_from(section.sh_name(LE))
            .ok()
            .and_then(|at| names.get(at..))
            .unwrap_or_default();
        let is = |wanted: &&str| {
            let rest = name.strip_prefix(wanted.as_bytes());
            rest.is_some_and(|rest| rest.first() == Some(&0))
        };
        found.go = found
            .go
            .or(GO_SECTIONS.iter().find(|name| is(name)).copied());
        found.symbols |= section.sh_type(LE) == elf::SHT_SYMTAB;
        found.dwarf |= is(&".debug_info") || is(&".zdebug_info");
    }
    found
}
