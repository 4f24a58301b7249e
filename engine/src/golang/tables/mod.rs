//! The layouts and constants of the Go runtime and of net/http, as data: what each one is in each release.
//!
//! One table per structure, one line per field, with every release at which its place changed; `gondwana-harness layouts verify`
//! compares all of it with the DWARF and the source of the real toolchains, and prints the lines that a new release
//! needs. Everything that the engine knows about a version is computed from here, at compile time
//! ([`super::Facts`]). Each table names its source file; the tag is that of the release. What programs show of hooks
//! ([`DEVIATIONS`]) is in no DWARF: programs of each version show it.

mod constant;
mod constants;
mod deviations;
mod goroutine;
mod history;
mod http;
mod linker;
mod maps;
mod memory;
mod scheduler;
mod types;

pub use constant::{Constant, Place};
pub use constants::CONSTANTS;
pub use deviations::{DEVIATIONS, Shown};
pub use history::{Change, Release};

pub(super) use constant::constant_in;
pub(super) use deviations::deviations_in;
pub(crate) use goroutine::G;
pub(super) use goroutine::PANIC;
pub(super) use linker::{FUNC, INLINED_CALL};
pub(crate) use linker::{MODULEDATA, PC_HEADER};
pub(super) use scheduler::M;
pub(super) use types::{
    ABI_STRUCT_FIELD, ABI_STRUCT_TYPE, ABI_TYPE, ABI_UNCOMMON_TYPE, NAME_VARINT,
    REFLECT_STRUCT_FIELD, REFLECT_STRUCT_TYPE, RUNTIME_TYPE, RUNTIME_UNCOMMON_TYPE,
};

/// A structure of the Go runtime or standard library.
#[derive(Clone, Copy, Debug)]
pub struct Structure {
    /// Its name in DWARF: `runtime.g`.
    pub name: &'static str,
    /// The Go source file that declares it, below `src/`.
    pub source: &'static str,
    /// Whether all its fields are listed; else those that an engine needs.
    pub complete: bool,
    /// Bytes; `None` where the release has no such structure.
    pub size: &'static [Change<u32>],
    /// Its fields.
    pub fields: &'static [Field],
}

/// A field of a structure.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name, or the path to it through structures inside: `sched.sp`. A path may occur more than once, with
    /// different widths.
    pub path: &'static str,
    /// Bytes that it takes.
    pub width: u32,
    /// Bytes from the start of the structure; `None` where the release has no such field.
    pub offset: &'static [Change<u32>],
}

const fn field(path: &'static str, width: u32, offset: &'static [Change<u32>]) -> Field {
    Field {
        path,
        width,
        offset,
    }
}

/// All structures.
pub static STRUCTURES: &[&Structure] = &[
    &MODULEDATA,
    &linker::TEXTSECT,
    &linker::BITVECTOR,
    &PC_HEADER,
    &linker::FUNCTAB,
    &linker::FINDFUNCBUCKET,
    &FUNC,
    &INLINED_CALL,
    &linker::STACKMAP,
    &G,
    &goroutine::GOBUF,
    &PANIC,
    &goroutine::DEFER,
    &M,
    &scheduler::P,
    &scheduler::SCHEDT,
    &memory::MSTATS,
    &memory::GC_CONTROLLER,
    &RUNTIME_TYPE,
    &ABI_TYPE,
    &REFLECT_STRUCT_TYPE,
    &ABI_STRUCT_TYPE,
    &REFLECT_STRUCT_FIELD,
    &ABI_STRUCT_FIELD,
    &RUNTIME_UNCOMMON_TYPE,
    &ABI_UNCOMMON_TYPE,
    &http::REQUEST,
    &http::RESPONSE,
    &http::CONN,
    &http::HTTP2_RESPONSE_WRITER_STATE,
    &http::HTTP2_INTERNAL_RESPONSE_WRITER_STATE,
    &http::URL,
    &maps::HMAP,
    &maps::BUCKET,
    &maps::MAP,
    &maps::TABLE,
    &maps::GROUPS_REFERENCE,
    &maps::GROUP,
];

/// The first release whose functions keep RBP for their callers: `framepointer_enabled` in `cmd/internal/obj/go.go`, which
/// 1.6 has as an experiment. Neither DWARF nor a constant says it.
pub(super) const FRAME_POINTERS: Release = Release::new(7, 0);

/// The releases whose linker marks gaps between functions in the function table, and the first one after them
/// (`cmd/link/internal/ld/pcln.go`).
pub(super) const GAP_MARKS: [Release; 2] = [Release::new(14, 0), Release::new(18, 0)];

/// The first releases with a build information blob, and with its texts inside it (`cmd/link/internal/ld/data.go`,
/// `buildinfo`).
pub(super) const BUILD_INFO: Release = Release::new(13, 0);
pub(super) const BUILD_INFO_INLINE: Release = Release::new(18, 0);

/// The releases that could be built with arguments on the stack and g in thread-local storage, as before them
/// (`GOEXPERIMENT=noregabi`, `internal/goexperiment/flags.go`).
pub(crate) const ABI_IS_CHOSEN: std::ops::Range<Release> = Release::new(17, 0)..Release::new(18, 0);

/// The releases whose linker takes `runtime.end` from the end of the data segment. Before them, where another linker has the
/// last word, `.tbss` counts as the last section of that segment, and `end` lies near its start
/// (`cmd/link/internal/ld/data.go`, `address`).
pub(crate) const END_IS_LAST: std::ops::RangeFrom<Release> = Release::new(6, 0)..;

/// The releases whose look-up of functions may start behind the one that is looked for, and goes back
/// (`runtime/symtab.go`, `findfunc`).
pub(crate) const LOOKS_BACK: std::ops::Range<Release> = Release::new(8, 0)..Release::new(18, 0);

/// The releases whose compiler marks instructions without a stack map by -2 in PCDATA_StackMapIndex
/// (`cmd/compile/internal/gc/plive.go`, `LivenessInvalid`).
pub(crate) const INVALID_STACK_MAP: std::ops::Range<Release> =
    Release::new(11, 0)..Release::new(15, 0);

/// Functions of the runtime that have a funcID of their own which the linker of some releases forgets: its table has them
/// under other names (`cmd/internal/objabi/funcid.go`, "go" and "switch").
pub(crate) const UNMARKED: [&str; 2] = ["rt0_go", "systemstack_switch"];
/// Those releases.
pub(crate) const UNMARKED_IN: std::ops::Range<Release> = Release::new(17, 0)..Release::new(19, 0);

/// Whether two texts are equal, for constants.
const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// The offset of a field in `release`, whatever other fields have its path.
#[cfg(any(test, feature = "test-support"))]
pub(crate) const fn place(field: &Field, release: Release) -> Option<u32> {
    history::value_in(field.offset, release)
}

impl Structure {
    /// Bytes in `release`; `None` if it has no such structure.
    #[must_use]
    pub const fn size_in(&self, release: Release) -> Option<u32> {
        history::value_in(self.size, release)
    }

    /// Offset and width of a field in `release`; `None` if it has no such field.
    ///
    /// # Panics
    /// When no release has such a field; in constants that is an error of the compiler.
    #[must_use]
    pub const fn find(&self, path: &str, release: Release) -> Option<(u32, u32)> {
        let mut known = false;
        let mut index = 0;
        while index < self.fields.len() {
            let field = &self.fields[index];
            if same(field.path, path) {
                known = true;
                if let Some(offset) = history::value_in(field.offset, release) {
                    return Some((offset, field.width));
                }
            }
            index += 1;
        }
        assert!(known, "the table has no such field");
        None
    }

    /// Offset of a field in `release`.
    ///
    /// # Panics
    /// As [`find`](Self::find).
    #[must_use]
    pub const fn offset(&self, path: &str, release: Release) -> Option<u32> {
        match self.find(path, release) {
            Some((offset, _)) => Some(offset),
            None => None,
        }
    }
}

/// What facts are computed from.
const OF_FACTS: [&Structure; 15] = [
    &MODULEDATA,
    &PC_HEADER,
    &FUNC,
    &INLINED_CALL,
    &G,
    &PANIC,
    &M,
    &RUNTIME_TYPE,
    &ABI_TYPE,
    &REFLECT_STRUCT_TYPE,
    &ABI_STRUCT_TYPE,
    &REFLECT_STRUCT_FIELD,
    &ABI_STRUCT_FIELD,
    &RUNTIME_UNCOMMON_TYPE,
    &ABI_UNCOMMON_TYPE,
];

/// The first release after `last` at which one of [`OF_FACTS`], a constant or a deviation changes.
pub(super) const fn next_change(last: Release) -> Option<Release> {
    let mut next = None;
    let mut table = 0;
    while table < OF_FACTS.len() {
        let structure = OF_FACTS[table];
        next = earliest(structure.size, last, next);
        let mut index = 0;
        while index < structure.fields.len() {
            next = earliest(structure.fields[index].offset, last, next);
            index += 1;
        }
        table += 1;
    }
    let mut index = 0;
    while index < CONSTANTS.len() {
        next = earliest(CONSTANTS[index].value, last, next);
        index += 1;
    }
    let mut index = 0;
    while index < DEVIATIONS.len() {
        next = earliest(DEVIATIONS[index].when, last, next);
        index += 1;
    }
    next
}

/// The earlier one of `best` and the first change after `last`.
const fn earliest<T: Copy>(
    changes: &[Change<T>],
    last: Release,
    best: Option<Release>,
) -> Option<Release> {
    let mut index = 0;
    while index < changes.len() {
        let since = changes[index].since;
        if !last.reaches(since) {
            return match best {
                Some(best) if since.reaches(best) => Some(best),
                _ => Some(since),
            };
        }
        index += 1;
    }
    best
}
