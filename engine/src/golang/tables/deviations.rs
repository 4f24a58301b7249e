//! Which releases show which deviation. Each row is shown by a program that deviates in the releases of the row and in no
//! others: `harness/tests/deviations.rs`.

use super::history::{Change, Release, at, gone, value_in};
use crate::golang::deviation::{Deviation, Deviations};

/// When programs deviate in one way.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// How.
    pub deviation: Deviation,
    /// In which releases.
    pub when: &'static [Change<()>],
    /// Whether programs with the race detector do so only.
    pub race: bool,
    /// The Go source file that shows or hides a wrapper's frame there.
    pub source: &'static str,
}

/// All rows, in the order of [`Deviation::ALL`].
#[rustfmt::skip] // one row per line
pub static DEVIATIONS: [Shown; 12] = [
    // funcID_wrapper, which came with 1.12, is what leaves the frame out.
    shown(Deviation::CallersPlusOne, &[at(5, ()), gone(12)], "runtime/traceback.go, gentraceback (pcbuf)"),
    // 1.10 and 1.11 know wrappers by their file.
    shown(Deviation::Tracebacks, &[at(5, ()), gone(10)], "runtime/traceback.go, showframe"),
    shown(Deviation::SystemTracebacks, &[at(5, ())], "runtime/traceback.go, showframe: level > 1"),
    shown(Deviation::ThrowTraceback, &[at(5, ())], "runtime/traceback.go, showframe: throwing, m.curg, m.caughtsig"),
    shown(Deviation::ThrowTracebacks, &[at(5, ()), gone(10), at(19, ())], "runtime/runtime1.go, gotraceback: level = 2"),
    shown(Deviation::FatalErrorTraceback, &[at(5, ()), gone(19)], "runtime/panic.go, fatal: throwTypeUser"),
    shown(Deviation::CpuProfileLine, &[at(12, ()), gone(21)], "runtime/traceback.go, gentraceback: the first frame is no caller"),
    shown(Deviation::TraceDepth, &[at(5, ()), gone(12), at(21, ())], "runtime/trace.go, from 1.22 on trace2stack.go, from 1.23 on tracestack.go, fpTracebackPCs"),
    shown(Deviation::BlockProfileFrames, &[at(5, ()), gone(12), at(23, ())], "runtime/mprof.go, fpTracebackPartialExpand; runtime/pprof/pprof.go, expandInlinedFrames"),
    shown(Deviation::BlockProfileDepth, &[at(5, ()), gone(12), at(23, ())], "runtime/mprof.go, fpTracebackPartialExpand"),
    shown(Deviation::StackUse, &[at(5, ())], "runtime/stack.go, newstack"),
    Shown { race: true, ..shown(Deviation::RaceReports, &[at(5, ())], "cmd/compile/internal/ssagen/ssa.go: racefuncenter(callerpc)") },
];

const fn shown(deviation: Deviation, when: &'static [Change<()>], source: &'static str) -> Shown {
    Shown {
        deviation,
        when,
        race: false,
        source,
    }
}

/// What programs of `release` deviate in; `race`: with the race detector.
pub(in crate::golang) const fn deviations_in(race: bool, release: Release) -> Deviations {
    let mut set = Deviations::NONE;
    let mut index = 0;
    while index < DEVIATIONS.len() {
        let row = &DEVIATIONS[index];
        if value_in(row.when, release).is_some() && (race || !row.race) {
            set = set.with(row.deviation);
        }
        index += 1;
    }
    set
}
