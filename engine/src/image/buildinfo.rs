//! The Go version and the module information of a program -> [`BuildInfo`].
//!
//! Where they stand, best first:
//! 1. the blob `go:buildinfo` (1.13 and later): pointers to two strings up to 1.17, the strings themselves later
//!    (`debug/buildinfo/buildinfo.go`, `cmd/link/internal/ld/data.go`, `buildinfo`);
//! 2. the variable `runtime.buildVersion` (every version): a string header in writable data. Where more than one text
//!    looks like a version, the one that `runtime.schedinit` looks at is it (`runtime/proc.go`: "This code just serves
//!    to ensure runtime·buildVersion is kept in the resulting binary").
//!
//! Symbols and section names are not asked.

use iced_x86::{Decoder, DecoderOptions, Register};

use crate::addr::LinkAddr;
use crate::golang::{Facts, GoVersion};

use super::elf::{Elf, Segment};
use super::error::{ImageError, ImageErrorCode};
use super::functions;
use super::limits;
use super::modinfo::ModInfo;
use super::moduledata::Module;
use super::read::uvarint;

const MAGIC: &[u8] = b"\xff Go buildinf:";
/// Bytes of the blob's header; the strings of 1.18 and later follow it.
const HEADER: usize = 32;

/// Where the version was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum VersionSource {
    /// The build information blob: what `go version` reads.
    BuildInfo,
    /// The variable `runtime.buildVersion`.
    Variable,
}

/// What a program says about its own build.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BuildInfo<'d> {
    /// `runtime.buildVersion` in full: `go1.22.1 X:rangefunc`.
    pub version_text: &'d str,
    /// Where it was read.
    pub source: VersionSource,
    /// Module information; empty where there is none.
    pub modinfo: ModInfo<'d>,
}

/// The version and build information of a program.
pub(super) fn read<'d>(
    elf: &Elf<'d>,
    module: &Module<'d>,
) -> Result<(GoVersion, BuildInfo<'d>), ImageError> {
    let mut info = match blob(elf) {
        Some(info) => info,
        None => BuildInfo {
            version_text: variable(elf, module)?,
            source: VersionSource::Variable,
            modinfo: ModInfo::default(),
        },
    };
    let version = info.version_text.parse::<GoVersion>().map_err(|error| {
        ImageError::new(
            ImageErrorCode::UnsupportedVersion,
            module.at,
            error.to_string(),
            "a released Go version",
        )
    })?;
    if info.source == VersionSource::Variable {
        let found = elf
            .segments
            .iter()
            .find_map(|segment| ModInfo::find(segment.data));
        info.modinfo = found.unwrap_or_default();
    }
    Ok((version, info))
}

/// Looks like `runtime.buildVersion`.
fn is_version(text: &str) -> bool {
    text.starts_with("go1.") || text.starts_with("devel ")
}

/// The blob, wherever it lies: writable segments first, where every linker puts it.
pub(super) fn blob<'d>(elf: &Elf<'d>) -> Option<BuildInfo<'d>> {
    let finder = memchr::memmem::Finder::new(MAGIC);
    let search = |segment: &Segment<'d>| {
        finder.find_iter(segment.data).find_map(|offset| {
            let at = segment.start.checked_add(offset as u64)?;
            (at.get() % 16 == 0)
                .then(|| blob_at(elf, segment.data.get(offset..)?, at))
                .flatten()
        })
    };
    let (writable, others): (Vec<_>, Vec<_>) =
        elf.segments.iter().partition(|segment| segment.writable);
    writable.into_iter().chain(others).find_map(search)
}

fn blob_at<'d>(elf: &Elf<'d>, bytes: &'d [u8], at: LinkAddr) -> Option<BuildInfo<'d>> {
    let (&pointer_size, &flags) = (bytes.get(MAGIC.len())?, bytes.get(MAGIC.len() + 1)?);
    let (version, modinfo) = match (pointer_size, flags) {
        (_, 2) => {
            let (version, rest) = counted(bytes.get(HEADER..)?)?;
            (
                version,
                counted(rest).map_or(&[][..], |(modinfo, _)| modinfo),
            )
        }
        (8, 0) => {
            let field = |offset| {
                elf.address(at.checked_add(offset)?)
                    .filter(|at| at.get() != 0)
            };
            let modinfo = field(24).and_then(|at| string(elf, at, usize::MAX));
            (
                string(elf, field(16)?, limits::VERSION_LEN as usize)?,
                modinfo.unwrap_or_default(),
            )
        }
        _ => return None,
    };
    let version_text = std::str::from_utf8(version)
        .ok()
        .filter(|text| is_version(text))?;
    let modinfo = ModInfo::framed(modinfo).unwrap_or_default();
    Some(BuildInfo {
        version_text,
        source: VersionSource::BuildInfo,
        modinfo,
    })
}

/// A length and as many bytes, and the rest.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = uvarint(bytes)?;
    rest.split_at_checked(len as usize)
}

/// The Go string whose header lies at `at`.
fn string<'d>(elf: &Elf<'d>, at: LinkAddr, longest: usize) -> Option<&'d [u8]> {
    let len = usize::try_from(elf.pointer(at.checked_add(8)?)?).ok()?;
    elf.bytes(elf.address(at)?, len).filter(|_| len <= longest)
}

/// The text of the variable `runtime.buildVersion`.
fn variable<'d>(elf: &Elf<'d>, module: &Module<'d>) -> Result<&'d str, ImageError> {
    let starts = |value: u64| {
        elf.bytes(LinkAddr::new(value), 4)
            .is_some_and(|text| text == b"go1.")
    };
    let of_this_generation = |text: &str| {
        let facts = text
            .parse()
            .ok()
            .and_then(|version| Facts::for_version(version).ok());
        // What is not known can still be named in the error.
        facts.is_none_or(|facts| facts.pclntab == module.generation)
    };
    let text_at = |(at, _)| {
        let text = std::str::from_utf8(string(elf, at, limits::VERSION_LEN as usize)?).ok()?;
        text.parse::<GoVersion>().ok().map(|_| (at, text))
    };
    let all = elf.writable_words(starts).filter_map(text_at);
    let own = all.filter(|(_, text)| of_this_generation(text));
    let mut texts: Vec<_> = own.take(limits::VERSIONS).collect();
    // A text of another generation may be anything; where there is no other, it is what the program says.
    if texts.is_empty() {
        texts = elf
            .writable_words(starts)
            .filter_map(text_at)
            .take(limits::VERSIONS)
            .collect();
    }
    let all_equal = |texts: &[(LinkAddr, &'d str)]| {
        texts
            .windows(2)
            .all(|pair| pair.first().map(|one| one.1) == pair.last().map(|one| one.1))
    };
    if !all_equal(&texts) {
        let used = used_by_schedinit(elf, module);
        texts.retain(|(at, _)| {
            used.iter()
                .any(|one| one == at || Some(*one) == at.checked_add(8))
        });
    }
    let fail = |found: String| {
        ImageError::new(
            ImageErrorCode::UnknownVersion,
            module.at,
            found,
            "build information or runtime.buildVersion",
        )
    };
    match texts.first() {
        Some((_, text)) if all_equal(&texts) => Ok(text),
        Some(_) => Err(fail(format!(
            "{} texts that may be the Go version",
            texts.len()
        ))),
        None => Err(fail(format!(
            "no Go version, but a line table at {}",
            module.pclntab
        ))),
    }
}

/// The addresses that `runtime.schedinit` reads or writes relative to the instruction pointer or absolutely.
fn used_by_schedinit(elf: &Elf<'_>, module: &Module<'_>) -> Vec<LinkAddr> {
    let Some(code) = functions::code_named(elf, module, "runtime.schedinit") else {
        return Vec::new();
    };
    let decoder = Decoder::with_ip(64, code.bytes, code.entry.get(), DecoderOptions::NONE);
    let fixed = decoder.into_iter().filter(|instruction| {
        instruction.is_ip_rel_memory_operand()
            || (instruction.memory_base() == Register::None
                && instruction.memory_index() == Register::None
                && instruction.memory_displacement64() != 0)
    });
    fixed
        .map(|instruction| LinkAddr::new(instruction.memory_displacement64()))
        .collect()
}
