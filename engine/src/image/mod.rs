//! The bytes of a Go binary -> [`Image`]: build information, functions and the places that hooks need.
//!
//! Never panics, never loops without bound and never allocates more than 16 times what was read of the file, on any bytes.
//! Reads what the kernel, the loader and the Go runtime read; section headers and symbols are hints that may be missing
//! or lie. Nothing here decides about hooks.
//!
//! | room | bytes -> what |
//! |---|---|
//! | `file` | a file, or parts of it -> ranges of its bytes |
//! | `elf`, `relocations` | file -> segments, words as the loader leaves them |
//! | `notes`, `symbols` | what linkers leave beside the code -> build IDs, strings set by `-X` |
//! | `pclntab`, `moduledata` | segments -> the line table and the first module |
//! | `buildinfo`, `modinfo` | -> Go version, modules, build settings |
//! | `functions`, `pcvalue`, `inline` | tables -> functions, stack depths, inlined copies |
//! | `kind` | -> main program or not, race, cgo |
//! | `gccgo`, `obfuscated` | a file without a module that can be read -> what it is instead |
//! | `tls` | code -> offset of the thread-local g |
//! | `fips` | data -> the code that the program hashes |
//! | `max_stack` | code -> the variable that bounds stacks |
//! | `proof` | a program and the version that it names -> that it is built as the tables have that version, or an error |
//! | `limits` | what hostile input may cost |

mod buildinfo;
#[cfg(any(test, feature = "test-support"))]
pub mod check;
mod elf;
mod error;
mod file;
mod fips;
mod functions;
mod gccgo;
mod inline;
mod kind;
mod limits;
mod max_stack;
mod modinfo;
mod moduledata;
mod notes;
mod obfuscated;
mod pclntab;
mod pcvalue;
mod proof;
mod read;
mod relocations;
mod symbols;
#[cfg(any(test, feature = "test-support"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod tls;

use crate::addr::{LinkAddr, Slide};
use crate::golang::{Deviations, Facts, GoVersion};
use crate::types::{Memory, Types};

pub use buildinfo::{BuildInfo, VersionSource};
pub use elf::{ELF_MAGIC, Sections};
pub use error::{ImageError, ImageErrorCode, Place};
pub use file::{FileView, Parts};
pub use functions::NOT_UTF8;
pub use modinfo::{Line, ModInfo, ModuleVersion};
pub use notes::Notes;
pub use symbols::LinkerString;

use elf::Elf;
use functions::{Names, Record};
use moduledata::Module;
pub(crate) use pcvalue::PcValues;

/// How the kernel loads the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ImageKind {
    /// `ET_EXEC`: the slide is 0.
    Executable,
    /// `ET_DYN` with an entry and a main module.
    Pie,
}

/// One function of the line table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Function<'d> {
    /// Name as the line table has it: `main.(*T).method`. Not unique. Instances of generic functions are all called
    /// `main.f[...]` in 1.18 to 1.20, and by their type arguments later: `main.f[go.shape.int]`.
    pub name: &'d str,
    /// First instruction.
    pub entry: LinkAddr,
    /// Bytes up to the next function's entry (or the gap mark, or the end of text): padding included.
    pub size: u32,
    /// `_func.args`: bytes of stack arguments, results and (1.17+) spill area; `None` where unknown (0x80000000).
    pub args: Option<u32>,
    /// `_func.funcID`; 0 where the version has none.
    pub func_id: u8,
    /// `_func.flag`; 0 where the version has none.
    pub flags: u8,
    /// `_func.deferreturn`; 0 where the version has none or the function no defer.
    pub deferreturn: u32,
    /// Whether FUNCDATA_ArgsPointerMaps is present and not null.
    pub has_args_map: bool,
    /// Whether FUNCDATA_LocalsPointerMaps is present and not null: compiled by the Go compiler, not assembly.
    pub has_locals_map: bool,
    /// Link-time address of the `_func` record.
    pub record: LinkAddr,
}

/// What a file of the Go toolchain says about itself without its tables being read: also a library, a plugin, or a program
/// of a version that is not known.
#[derive(Clone, Debug)]
pub struct Labels<'d> {
    /// The build information blob (1.13 and later); `None` where there is none.
    pub build: Option<BuildInfo<'d>>,
    /// Identifiers in the note segments.
    pub notes: Notes<'d>,
    /// What the section headers add.
    pub sections: Sections,
    /// Names of the shared libraries that it needs.
    pub libraries: Vec<&'d str>,
}

impl<'d> Labels<'d> {
    /// Reads the labels of any ELF file for linux/amd64, Go or not.
    ///
    /// # Errors
    /// As [`Image::parse`] where the bytes are no such file.
    pub fn read(file: impl Into<FileView<'d>>) -> Result<Self, ImageError> {
        let elf = Elf::parse(file.into())?;
        Ok(Self {
            build: buildinfo::blob(&elf),
            notes: elf.notes,
            sections: elf.sections,
            libraries: elf.libraries,
        })
    }
}

/// A parsed Go program.
pub struct Image<'d> {
    elf: Elf<'d>,
    module: Module<'d>,
    version: GoVersion,
    build: BuildInfo<'d>,
    facts: Facts,
    /// `moduledata.gofunc`, where the version has it.
    gofunc: Option<LinkAddr>,
    functions: Vec<Function<'d>>,
    kind: ImageKind,
    race: bool,
    cgo: bool,
    last_moduledatap: Option<LinkAddr>,
    tls_g: Option<i32>,
    max_stack_size: Option<LinkAddr>,
}

// The questions that the other rooms ask; every one is a look-up, not a scan, unless its text says otherwise.
impl<'d> Image<'d> {
    /// Parses a file: all of it, or what [`crate::input`] has read of it.
    pub fn parse(file: impl Into<FileView<'d>>) -> Result<Self, ImageError> {
        let elf = Elf::parse(file.into())?;
        let module = Module::find(&elf)?;
        kind::has_entry(&elf, &module)?;
        kind::has_runtime(&elf, &module)?;
        let (version, build) = buildinfo::read(&elf, &module)?;
        let facts = Facts::known_or_like(version).map_err(|error| {
            let code = ImageErrorCode::UnsupportedVersion;
            ImageError::new(
                code,
                module.at,
                error.to_string(),
                "a version that is known",
            )
        })?;
        let claim = proof::Claim::new(version, facts);
        let described = proof::layouts(&elf, &module, &claim)?;
        let gofunc = facts
            .module
            .gofunc
            .and_then(|field| elf.address(module.at.checked_add(u64::from(field))?));
        let mut names = Names::new(&module, elf.file.held());
        let functions = functions::read(&elf, &module, &facts, gofunc, &mut names)?;
        let evidence = kind::Evidence::gather(&elf, &module, &facts, &functions);
        let kind = evidence.kind(&elf)?;
        let image = Self {
            kind,
            race: evidence.race,
            cgo: evidence.cgo,
            last_moduledatap: moduledata::last_moduledatap(&elf, &module),
            tls_g: tls::offset_of_g(&elf, &functions),
            max_stack_size: max_stack::find(&elf, &functions),
            elf,
            module,
            version,
            build,
            facts,
            gofunc,
            functions,
        };
        proof::prove(&image, &claim, described)?;
        Ok(image)
    }

    /// The known version that this program proved to be built like, where its own version is not known: newer than all
    /// known ones, or between releases. What the program's bytes cannot show is assumed to be as it is there.
    pub fn assumed_like(&self) -> Option<GoVersion> {
        Facts::like(self.version)
    }

    /// `runtime.buildVersion`.
    pub fn version(&self) -> GoVersion {
        self.version
    }

    /// `version` with a mark behind it where it is not known: `go1.28.1 (assumed like go1.27)`. Every output names the
    /// version so.
    pub fn marked(&self, version: impl std::fmt::Display) -> String {
        match self.assumed_like() {
            Some(like) => format!("{version} (assumed like go1.{})", like.minor),
            None => version.to_string(),
        }
    }

    /// What the program says about its own build.
    pub fn build_info(&self) -> &BuildInfo<'d> {
        &self.build
    }

    /// What holds for that version.
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// How the kernel loads it.
    pub fn kind(&self) -> ImageKind {
        self.kind
    }

    /// Built with `-race`.
    pub fn is_race(&self) -> bool {
        self.race
    }

    /// What the program can notice of hooks.
    pub fn deviations(&self) -> Deviations {
        self.facts.deviations(self.race)
    }

    /// Linked with `runtime/cgo`.
    pub fn is_cgo(&self) -> bool {
        self.cgo
    }

    /// Loaded through an interpreter, the dynamic loader.
    pub fn has_interpreter(&self) -> bool {
        self.elf.has_interpreter
    }

    /// Names of the shared libraries that it needs, in the order of the file.
    pub fn libraries(&self) -> &[&'d str] {
        &self.elf.libraries
    }

    /// Identifiers in the note segments.
    pub fn notes(&self) -> Notes<'d> {
        self.elf.notes
    }

    /// String variables that the linker's `-X` has set, by name: told by the symbol table, so empty without one (walks it).
    pub fn linker_strings(&self) -> Vec<LinkerString<'d>> {
        symbols::linker_strings(&self.elf)
    }

    /// What the section headers add, if there are any.
    pub fn sections(&self) -> Sections {
        self.elf.sections
    }

    /// All functions, by ascending entry.
    pub fn functions(&self) -> &[Function<'d>] {
        &self.functions
    }

    /// The function whose `[entry, entry+size)` holds `pc` (binary search).
    pub fn function_at(&self, pc: LinkAddr) -> Option<&Function<'d>> {
        let after = self
            .functions
            .partition_point(|function| function.entry <= pc);
        let function = self.functions.get(after.checked_sub(1)?)?;
        (pc.offset_from(function.entry)? < u64::from(function.size)).then_some(function)
    }

    /// Functions of exactly this name (scan).
    pub fn functions_named<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Function<'d>> {
        self.functions().iter().filter(move |f| f.name == name)
    }

    /// The bytes of the function's name, also where they are not UTF-8 (then [`Function::name`] is [`NOT_UTF8`]).
    pub fn name_bytes(&self, function: &Function<'d>) -> Option<&'d [u8]> {
        Names::new(&self.module, self.elf.file.held()).bytes(self.record(function)?.name_offset()?)
    }

    /// `len` bytes at a link-time address, if one loaded, file-backed segment holds them all.
    pub fn bytes(&self, at: LinkAddr, len: usize) -> Option<&'d [u8]> {
        self.elf.bytes(at, len)
    }

    /// The 8-byte word at `at` as the loader leaves it: relocations applied, for a slide of 0.
    pub fn pointer(&self, at: LinkAddr) -> Option<u64> {
        self.elf.pointer(at)
    }

    /// The program's own type descriptors.
    pub fn types(&self) -> Types<'_, impl Memory<'d> + use<'d>> {
        proof::types(&self.elf, &self.module, &self.facts)
    }

    /// The line table, `runtime.pclntab`.
    pub fn pclntab(&self) -> LinkAddr {
        self.module.pclntab
    }

    /// `runtime.firstmoduledata`.
    pub fn first_moduledata(&self) -> LinkAddr {
        self.module.at
    }

    /// The word at `offset` in `runtime.firstmoduledata`, as the loader leaves it, for a slide of 0. Offsets are those of
    /// [`crate::golang::ModuleLayout`]; `None` outside the structure.
    pub fn moduledata_word(&self, offset: u32) -> Option<u64> {
        let fits = offset
            .checked_add(8)
            .is_some_and(|end| end <= self.facts.module.size);
        self.elf
            .pointer(self.module.at.checked_add(u64::from(offset))?)
            .filter(|_| fits)
    }

    /// The Go code: `minpc` and `maxpc` of the first module. All functions lie between; C code lies outside.
    pub fn text(&self) -> (LinkAddr, LinkAddr) {
        (self.module.minpc, self.module.maxpc)
    }

    /// `runtime.lastmoduledatap`, the variable.
    pub fn last_moduledatap(&self) -> Option<LinkAddr> {
        self.last_moduledatap
    }

    /// `fs:`-relative offset of the thread-local g, decoded from code; `None` if none or more than one was found.
    pub fn tls_g(&self) -> Option<i32> {
        self.tls_g
    }

    /// The ranges `[start, end)` of code that the program hashes and compares with what its linker wrote (1.24 and
    /// later; scans the segments).
    pub fn hashed_text(&self) -> Vec<(LinkAddr, LinkAddr)> {
        fips::hashed_text(&self.elf, &self.functions)
    }

    /// `runtime.maxstacksize`, the variable; `None` if the program's own code does not show it beyond doubt.
    pub fn max_stack_size(&self) -> Option<LinkAddr> {
        self.max_stack_size
    }

    /// Lowest and one past the highest address of the loadable segments.
    pub fn extent(&self) -> (LinkAddr, LinkAddr) {
        self.elf.extent()
    }

    /// The entry point of the file.
    pub fn entry(&self) -> LinkAddr {
        self.elf.entry
    }

    /// The slide, given the entry point of the loaded program (`AT_ENTRY` of the auxiliary vector).
    pub fn slide_from_entry(&self, entry: crate::addr::RunAddr) -> Slide {
        Slide::between(self.elf.entry, entry)
    }

    /// The pc-to-SP-delta table of `function` as `(end, value)` steps: `value` holds below `end`.
    pub fn pcsp(
        &self,
        function: &Function<'d>,
    ) -> impl Iterator<Item = (LinkAddr, i32)> + use<'_, 'd> {
        let offset = self
            .record(function)
            .and_then(|record| record.pcsp())
            .filter(|&offset| offset != 0);
        let table = offset.and_then(|offset| self.module.pcvalues.get(offset as usize..));
        table.map_or_else(PcValues::empty, |table| {
            PcValues::new(table, function.entry, function.size)
        })
    }

    /// How many times each function was inlined into others, by name (1.9 and later; walks all inline trees).
    pub fn inlined_copies(&self) -> std::collections::HashMap<&'d str, u32> {
        inline::copies(
            &self.elf,
            &self.module,
            &self.facts,
            self.gofunc,
            &self.functions,
        )
    }

    /// The names of the calls that were inlined into `function`, those inside inlined calls included (1.9 and later).
    #[cfg(any(test, feature = "test-support"))]
    pub fn inlined_into(&self, function: &Function<'d>) -> Vec<&'d str> {
        inline::into(&self.elf, &self.module, &self.facts, self.gofunc, function)
    }

    fn record(&self, function: &Function<'d>) -> Option<Record<'d>> {
        Record::at_address(&self.module, self.facts.func, function.record)
    }
}
