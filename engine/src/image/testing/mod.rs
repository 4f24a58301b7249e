//! [`Synthetic`] -> the bytes of a small Go program, of any version, for tests: an ELF file with a line table, module
//! data and build information as the linker of that version writes them, and nothing else.
//!
//! Built from the same layout tables that the parser reads; that those are right is shown with real programs.

#![allow(
    clippy::indexing_slicing,
    reason = "a test's own bytes; a panic is a failed test"
)]

mod types;
mod writer;

use crate::golang::{Facts, GoVersion};

use writer::{Parts, Writer};

/// Base address of fixed executables; position-independent ones start at 0.
const BASE: u64 = 0x40_0000;
/// Distance between the addresses of segments beyond that between their bytes in the file.
const PAGE: u64 = 0x1000;

/// One function of a [`Synthetic`] program.
#[derive(Clone, Debug)]
pub struct SyntheticFunction {
    /// Its name.
    pub name: Vec<u8>,
    /// Its code; padded to a multiple of 16.
    pub code: Vec<u8>,
    /// `_func.args`.
    pub args: i32,
    /// Its pc-to-SP-delta table, encoded.
    pub pcsp: Vec<u8>,
    /// `_func.funcID`, where the version has one.
    pub func_id: u8,
    /// `_func.flag`, where the version has one.
    pub flags: u8,
    /// Whether it has pointer maps for arguments and locals.
    pub maps: bool,
    /// Names of the functions inlined into it.
    pub inlined: Vec<String>,
    /// Whether a gap of 16 bytes follows (marked in 1.14 to 1.17).
    pub gap_after: bool,
}

impl SyntheticFunction {
    /// A function with the given code and nothing special about it.
    #[must_use]
    pub fn new(name: &str, code: &[u8]) -> Self {
        Self {
            name: name.as_bytes().to_vec(),
            code: code.to_vec(),
            args: 0,
            pcsp: vec![2, 16, 0],
            func_id: 0,
            flags: 0,
            maps: true,
            inlined: Vec::new(),
            gap_after: false,
        }
    }
}

/// What a program shall look like.
#[derive(Clone, Debug)]
pub struct Synthetic {
    /// Decides about all layouts.
    pub version: GoVersion,
    /// What `runtime.buildVersion` says.
    pub version_text: String,
    /// Functions, in the order of their addresses.
    pub functions: Vec<SyntheticFunction>,
    /// Position-independent: `ET_DYN` with relative relocations.
    pub pie: bool,
    /// Module information, without its marks; `None`: no build information blob at all.
    pub modinfo: Option<String>,
    /// Whether the runtime's structures have type descriptors.
    pub types: bool,
    /// Names of shared libraries that it needs; only position-independent ones can say so.
    pub libraries: Vec<String>,
    /// More strings in writable data, as headers like `runtime.buildVersion`.
    pub strings: Vec<String>,
}

impl Synthetic {
    /// A program of three functions: `runtime.schedinit`, `main.f` and `main.main`.
    #[must_use]
    pub fn new(version: GoVersion) -> Self {
        let mut f = SyntheticFunction::new(
            "main.f",
            &[0x64, 0x48, 0x8b, 0x0c, 0x25, 0xf8, 0xff, 0xff, 0xff, 0xc3],
        );
        f.args = 24;
        f.inlined = vec!["main.small".into(), "fmt.Println".into()];
        Self {
            version,
            version_text: version.to_string(),
            functions: vec![
                SyntheticFunction::new("runtime.schedinit", &[0xc3]),
                f,
                SyntheticFunction::new("main.main", &[0xe8, 0xeb, 0xff, 0xff, 0xff, 0xc3]),
            ],
            pie: false,
            modinfo: Facts::for_version(version)
                .is_ok_and(|facts| facts.build_info.is_some())
                .then(|| "path\tmain\n".into()),
            types: false,
            libraries: Vec::new(),
            strings: Vec::new(),
        }
    }

    /// The file.
    ///
    /// # Panics
    /// If the version has no [`Facts`].
    #[must_use]
    pub fn build(&self) -> Vec<u8> {
        let facts = Facts::for_version(self.version).expect("a known version");
        // Addresses depend on sizes, sizes not on addresses: lay out with zeros first.
        let sizes = Writer::new(self, &facts, [0; 3]).write();
        let base = if self.pie { 0 } else { BASE };
        let headers = 64 + 56 * PROGRAM_HEADERS;
        let (text, rodata) = (
            align(headers, 64),
            align(headers, 64) + sizes.text.len() as u64,
        );
        let data = align(rodata + sizes.rodata.len() as u64, 64);
        let offsets = [text, rodata, data];
        let addresses = [
            base + text + PAGE,
            base + rodata + 2 * PAGE,
            base + data + 3 * PAGE,
        ];
        let parts = Writer::new(self, &facts, addresses).write();
        file(self.pie, &parts, offsets, addresses)
    }
}

const PROGRAM_HEADERS: u64 = 5;

fn align(value: u64, to: u64) -> u64 {
    value.div_ceil(to) * to
}

fn put(bytes: &mut [u8], at: u32, value: &[u8]) {
    bytes[at as usize..at as usize + value.len()].copy_from_slice(value);
}

fn file(pie: bool, parts: &Parts, offsets: [u64; 3], addresses: [u64; 3]) -> Vec<u8> {
    let mut out = vec![0u8; 64];
    out[..20].copy_from_slice(&[
        0x7f,
        b'E',
        b'L',
        b'F',
        2,
        1,
        1,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        if pie { 3 } else { 2 },
        0,
        62,
        0,
    ]);
    put(&mut out, 20, &1u32.to_le_bytes());
    put(&mut out, 24, &addresses[0].to_le_bytes());
    put(&mut out, 32, &64u64.to_le_bytes());
    put(&mut out, 52, &64u16.to_le_bytes());
    put(&mut out, 54, &56u16.to_le_bytes());
    put(&mut out, 56, &(PROGRAM_HEADERS as u16).to_le_bytes());
    let segments = [(&parts.text, 5u32), (&parts.rodata, 4), (&parts.data, 6)];
    for ((segment, flags), (offset, address)) in
        segments.iter().zip(offsets.into_iter().zip(addresses))
    {
        program_header(
            &mut out,
            1,
            *flags,
            [offset, address, segment.len() as u64, segment.len() as u64],
        );
    }
    let (dynamic, size) = parts.dynamic;
    let kind = if pie { 2 } else { 0 };
    program_header(
        &mut out,
        kind,
        4,
        [
            dynamic.saturating_sub(addresses[1]) + offsets[1],
            dynamic,
            size,
            size,
        ],
    );
    // PT_GNU_STACK, as every program has.
    program_header(&mut out, 0x6474_e551, 6, [0; 4]);
    for ((segment, _), offset) in segments.iter().zip(offsets) {
        out.resize(offset as usize, 0);
        out.extend(segment.iter());
    }
    out
}

fn program_header(
    out: &mut Vec<u8>,
    kind: u32,
    flags: u32,
    [offset, address, file, memory]: [u64; 4],
) {
    out.extend(kind.to_le_bytes());
    out.extend(flags.to_le_bytes());
    out.extend(
        [offset, address, address, file, memory, PAGE]
            .iter()
            .flat_map(|word| word.to_le_bytes()),
    );
}
