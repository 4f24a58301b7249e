//! Functions that look at their caller and may have a frame under them all the same: what they do with the value.
//!
//! `gondwana-harness policy verify` finds every function of the standard library that calls `getcallerpc`, `getcallersp`,
//! `getcallerfp`, `getfp` or their forms in `internal/runtime/sys`. Each has a rule ([`super::RULES`]) or a row here, in every
//! version that has it.

/// One row: functions called `name` (a trailing `*` matches any rest) in Go 1.`from` to 1.`to`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Harmless {
    /// Name as the line table has it.
    pub name: &'static str,
    /// First minor release.
    pub from: u16,
    /// Last minor release; [`u16::MAX`] if the newest known one still has it.
    pub to: u16,
    /// What becomes of the value.
    pub why: &'static str,
}

impl Harmless {
    /// Whether a function of this name in Go 1.`minor` is meant.
    #[must_use]
    pub fn covers(&self, minor: u16, name: &str) -> bool {
        (self.from..=self.to).contains(&minor) && super::matches(self.name, name)
    }
}

const NOW: u16 = u16::MAX;
/// What the race detector shows is the hook, whose name says what it is a hook of.
const DETECTORS: &str = "goes to the race detector, msan or asan only";

const fn row(name: &'static str, from: u16, to: u16, why: &'static str) -> Harmless {
    Harmless {
        name,
        from,
        to,
        why,
    }
}

/// All rows.
#[rustfmt::skip] // one row per line
pub const HARMLESS: &[Harmless] = &[
    row("internal/reflectlite.maplen", 13, NOW, DETECTORS),
    row("reflect.chansend*", 5, NOW, DETECTORS),
    row("reflect.mapIter*", 24, NOW, DETECTORS),
    row("reflect.maplen", 5, NOW, DETECTORS),
    row("reflect.typedmemmove", 8, NOW, DETECTORS),
    row("reflect.typedslicecopy", 8, 15, DETECTORS),
    row("runtime.BlockProfile", 8, 22, DETECTORS),
    row("runtime.record", 8, 22, DETECTORS),
    row("runtime.copyBlockProfileRecord", 23, NOW, DETECTORS),
    row("runtime.copyMemProfileRecord", 23, NOW, DETECTORS),
    row("runtime.chansend1", 5, NOW, DETECTORS),
    row("runtime.closechan", 5, NOW, DETECTORS),
    row("runtime.selectnbsend", 5, NOW, DETECTORS),
    row("runtime.selectsetpc", 11, NOW, "is called in race builds only, and stores the PC for the race detector"),
    row("runtime.convT*", 6, NOW, DETECTORS),
    row("runtime.growslice", 5, NOW, DETECTORS),
    row("runtime.makeslicecopy", 15, NOW, DETECTORS),
    row("runtime.mapIter*", 24, NOW, DETECTORS),
    row("runtime.mapaccess*", 5, NOW, DETECTORS),
    row("runtime.mapassign*", 5, NOW, DETECTORS),
    row("runtime.mapclear", 11, NOW, DETECTORS),
    row("runtime.mapdelete*", 5, NOW, DETECTORS),
    row("runtime.mapiter*", 5, NOW, DETECTORS),
    row("runtime.slicebytetostring*", 5, NOW, DETECTORS),
    row("runtime.slicecopy", 5, NOW, DETECTORS),
    row("runtime.slicerunetostring", 5, NOW, DETECTORS),
    row("runtime.slicestringcopy", 5, 15, DETECTORS),
    row("runtime.typedslicecopy", 5, NOW, DETECTORS),
    row("runtime.main", 24, NOW, "looks at its caller's SP on wasm only"),
    row("runtime.unsafeslice*", 21, NOW, "names the caller in a panic, which becomes fatal if that is a function of the runtime: no correct program gets there"),
];
