//! [`GoVersion`] -> [`Facts`].
//!
//! Everything is computed from [`super::tables`] by the compiler, once for each release at which something changed. A
//! version outside 1.5 to 1.27 has no facts. Betas and release candidates are treated as the release that they became.

use super::layouts::{self, FuncLayout, InlineLayout, ModuleLayout, RuntimeOffsets, TypeLayout};
use super::tables::{self, Release};
use super::{Abi, Deviations, GoVersion, PclntabGeneration, PreRelease};

/// The oldest minor version that is known.
pub const OLDEST: u16 = 5;
/// The newest minor version that is known.
pub const NEWEST: u16 = 27;

/// The version lies outside what is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{found} is {}; known are go1.{OLDEST} to go1.{NEWEST}", match found { v if v.minor > NEWEST => "newer than this engine", v if v.minor < OLDEST => "too old", _ => "no release" })]
pub struct Unsupported {
    /// What was found.
    pub found: GoVersion,
}

/// Everything that is known about one Go version.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Facts {
    /// Generation of the line table.
    pub pclntab: PclntabGeneration,
    /// Layout of `runtime.moduledata`.
    pub module: &'static ModuleLayout,
    /// Whether `pcHeader.textStart` is filled (1.18 to 1.25; before there is none, later it is 0).
    pub pc_header_has_text_start: bool,
    /// Layout of `runtime._func`.
    pub func: &'static FuncLayout,
    /// Inline trees (1.9 and later).
    pub inline: Option<&'static InlineLayout>,
    /// Offsets in `g`, `m`.
    pub runtime: RuntimeOffsets,
    /// How descriptors of types are written.
    pub types: &'static TypeLayout,
    /// ABI of compiled functions: [`Abi::AbiInternal`] from 1.17.
    pub compiled_abi: Abi,
    /// `_panic.argp`, through 1.25: a frame between a deferred function and `gopanic` must move it
    /// (`runtime/panic.go`, `gorecover`). From 1.26 `recover` unwinds and skips wrapper frames instead.
    pub panic_argp: Option<u32>,
    /// Value of `funcID_wrapper` (`internal/abi/symtab.go`), 1.12 and later.
    pub func_id_wrapper: Option<u8>,
    /// Value of the `_func.flag` bit `ASM`, 1.18 and later.
    pub func_flag_asm: Option<u8>,
    /// PCDATA index and value that forbid asynchronous preemption (1.14 and later).
    pub unsafe_point: Option<(u32, i32)>,
    /// Bytes that a chain of nosplit functions may use below the stack guard (`runtime/stack.go`: guard - small -
    /// system), without and with the race detector.
    pub(crate) nosplit_limits: [u32; 2],
    /// What programs can notice of hooks, without and with the race detector.
    pub(crate) deviations: [Deviations; 2],
    /// Whether the function table has entries for gaps between functions (1.14 to 1.17).
    pub marks_gaps: bool,
    /// The build information blob (1.13 and later).
    pub build_info: Option<BuildInfoForm>,
    /// Functions keep RBP for their callers (`cmd/internal/obj/go.go`, `framepointer_enabled`).
    pub frame_pointers: bool,
}

/// How the build information blob holds its texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BuildInfoForm {
    /// Addresses of string headers (1.13 to 1.17).
    Pointers,
    /// Lengths and bytes (1.18 and later).
    Inline,
}

/// The releases at which facts change, oldest first.
static EPOCHS: [Release; epochs().1] = {
    let (all, count) = epochs();
    let mut out = [Release::new(0, 0); epochs().1];
    let mut index = 0;
    while index < count {
        out[index] = all[index];
        index += 1;
    }
    out
};

/// More than there are releases with changes.
const MOST_EPOCHS: usize = 64;

/// The releases at which a table that facts are computed from changes, and how many there are.
const fn epochs() -> ([Release; MOST_EPOCHS], usize) {
    let mut out = [Release::new(0, 0); MOST_EPOCHS];
    let mut count = 0;
    let mut last = Release::new(0, 0);
    while let Some(next) = tables::next_change(last) {
        out[count] = next;
        count += 1;
        last = next;
    }
    (out, count)
}

/// A value for each of [`EPOCHS`].
macro_rules! each_epoch {
    ($of:path, $first:expr) => {{
        let mut out = [$first; EPOCHS.len()];
        let mut index = 0;
        while index < EPOCHS.len() {
            out[index] = $of(EPOCHS[index]);
            index += 1;
        }
        out
    }};
}

static MODULES: [ModuleLayout; EPOCHS.len()] =
    each_epoch!(layouts::module, layouts::module(EPOCHS[0]));
static FUNCS: [FuncLayout; EPOCHS.len()] = each_epoch!(layouts::func, layouts::func(EPOCHS[0]));
static INLINES: [Option<InlineLayout>; EPOCHS.len()] = each_epoch!(layouts::inline, None);
static TYPES: [TypeLayout; EPOCHS.len()] = each_epoch!(layouts::types, layouts::types(EPOCHS[0]));
static FACTS: [Facts; EPOCHS.len()] = {
    let mut out = [Facts::at(0); EPOCHS.len()];
    let mut index = 0;
    while index < EPOCHS.len() {
        out[index] = Facts::at(index);
        index += 1;
    }
    out
};

impl Facts {
    /// What holds for `version`, or why nothing is known about it.
    pub fn for_version(version: GoVersion) -> Result<Self, Unsupported> {
        if !(OLDEST..=NEWEST).contains(&version.minor) || version.pre == PreRelease::Devel {
            return Err(Unsupported { found: version });
        }
        Ok(Self::as_of(version.into()))
    }

    /// The known release whose facts a version that is none may turn out to have: the newest one for newer versions, the
    /// release of the same minor version for builds between releases. `None` for releases that are known, and for what is
    /// too old.
    #[must_use]
    pub fn like(version: GoVersion) -> Option<GoVersion> {
        let between = version.pre == PreRelease::Devel;
        match version.minor {
            minor if minor > NEWEST => Some(GoVersion::new(NEWEST, 0)),
            minor if minor >= OLDEST && between => Some(GoVersion::new(minor, 0)),
            _ => None,
        }
    }

    /// The facts of `version`, or of the known one that it may turn out to be [`like`](Self::like). An image of such a
    /// version has proved them.
    pub fn known_or_like(version: GoVersion) -> Result<Self, Unsupported> {
        match Self::like(version) {
            Some(like) => Ok(Self::as_of(Release::new(like.minor, u16::MAX))),
            None => Self::for_version(version),
        }
    }

    /// All facts of versions with such a line table, each with the release from which on they hold, oldest first.
    pub(crate) fn of_generation(
        generation: PclntabGeneration,
    ) -> impl Iterator<Item = (Release, Self)> {
        let all = EPOCHS.iter().copied().zip(FACTS);
        all.filter(move |(_, facts)| facts.pclntab == generation)
    }

    fn as_of(release: Release) -> Self {
        let after = EPOCHS.partition_point(|&epoch| epoch <= release);
        FACTS[after.saturating_sub(1)]
    }

    /// What holds from `EPOCHS[epoch]` on.
    const fn at(epoch: usize) -> Self {
        let release = EPOCHS[epoch];
        Self {
            pclntab: generation(release),
            module: &MODULES[epoch],
            pc_header_has_text_start: tables::PC_HEADER.offset("textStart", release).is_some(),
            func: &FUNCS[epoch],
            inline: INLINES[epoch].as_ref(),
            runtime: layouts::runtime(release),
            types: &TYPES[epoch],
            compiled_abi: if layouts::index("IntArgRegs", release).is_some() {
                Abi::AbiInternal
            } else {
                Abi::Abi0
            },
            panic_argp: layouts::panic_argp(release),
            func_id_wrapper: small(layouts::index("FuncIDWrapper", release)),
            func_flag_asm: small(layouts::index("FuncFlagAsm", release)),
            unsafe_point: unsafe_point(release),
            nosplit_limits: [nosplit_limit(false, release), nosplit_limit(true, release)],
            deviations: [
                tables::deviations_in(false, release),
                tables::deviations_in(true, release),
            ],
            marks_gaps: release.reaches(tables::GAP_MARKS[0])
                && !release.reaches(tables::GAP_MARKS[1]),
            build_info: if release.reaches(tables::BUILD_INFO_INLINE) {
                Some(BuildInfoForm::Inline)
            } else if release.reaches(tables::BUILD_INFO) {
                Some(BuildInfoForm::Pointers)
            } else {
                None
            },
            frame_pointers: release.reaches(tables::FRAME_POINTERS),
        }
    }

    /// Bytes that a chain of nosplit functions may use below the stack guard; `race`: in a program with the race detector.
    #[must_use]
    pub fn nosplit_limit(&self, race: bool) -> u32 {
        self.nosplit_limits[usize::from(race)]
    }

    /// What a program can notice of hooks; `race`: one with the race detector.
    #[must_use]
    pub fn deviations(&self, race: bool) -> Deviations {
        self.deviations[usize::from(race)]
    }
}

const fn small(value: Option<u32>) -> Option<u8> {
    match value {
        Some(value @ 0..=255) => Some(value as u8),
        Some(_) => panic!("a constant that does not fit"),
        None => None,
    }
}

const fn generation(release: Release) -> PclntabGeneration {
    let Some(magic) = layouts::index("pclntab magic", release) else {
        panic!("a release without a magic number")
    };
    let mut index = 0;
    while index < PclntabGeneration::ALL.len() {
        if PclntabGeneration::ALL[index].magic() == magic {
            return PclntabGeneration::ALL[index];
        }
        index += 1;
    }
    panic!("an unknown magic number")
}

/// 1.14 says it in PCDATA_RegMapIndex, with a literal, which 1.15 renamed to PCDATA_UnsafePoint; value and index agree.
const fn unsafe_point(release: Release) -> Option<(u32, i32)> {
    let value = match tables::constant_in("UnsafePointUnsafe", false, release) {
        Some(value) => value as i32,
        // Asynchronous preemption came with 1.14 (`runtime/preempt.go`, `isAsyncSafePoint`).
        None if tables::constant_in("FuncID_asyncPreempt", false, release).is_some() => -2,
        None => return None,
    };
    let index = match layouts::index("PCDATA_UnsafePoint", release) {
        Some(index) => Some(index),
        None => layouts::index("PCDATA_RegMapIndex", release),
    };
    match index {
        Some(index) => Some((index, value)),
        None => panic!("a release with half an unsafe point"),
    }
}

const fn nosplit_limit(race: bool, release: Release) -> u32 {
    match tables::constant_in("stackNosplit", race, release) {
        Some(limit) => limit as u32,
        None => panic!("a release without a limit"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(minor: u16, patch: u16) -> Facts {
        Facts::for_version(GoVersion::new(minor, patch)).unwrap()
    }

    #[test]
    fn only_known_versions_have_facts() {
        for minor in OLDEST..=NEWEST {
            let facts = facts(minor, 0);
            // The last field of moduledata is `next`, a pointer.
            assert_eq!(facts.module.next + 8, facts.module.size, "go1.{minor}");
            assert_eq!(
                facts.func.funcdata_is_offset,
                facts.module.gofunc.is_some(),
                "go1.{minor}"
            );
        }
        let newer = Facts::for_version(GoVersion::new(28, 0))
            .unwrap_err()
            .to_string();
        assert_eq!(
            newer,
            "go1.28.0 is newer than this engine; known are go1.5 to go1.27"
        );
        assert!(
            Facts::for_version(GoVersion::new(4, 3))
                .unwrap_err()
                .to_string()
                .contains("too old")
        );
    }

    #[test]
    fn patch_releases_that_changed_structures_are_told_apart() {
        assert_eq!(facts(9, 2).runtime.m_id + 40, facts(9, 3).runtime.m_id);
        assert_eq!(facts(10, 0).func.func_id, None);
        assert_eq!(facts(10, 1).func.func_id, Some(16));
    }
}
