//! Goroutines, their panics and their deferred calls.

use super::history::{at, gone};
use super::{Structure, field};

/// A goroutine.
#[rustfmt::skip]
pub(crate) static G: Structure = Structure {
    name: "runtime.g",
    source: "runtime/runtime2.go",
    complete: false,
    size: &[at(5, 368), at(6, 360), at(7, 400), at(9, 368), at(10, 376), at(17, 392), at(21, 408), at(22, 424), at(23, 432), at(24, 440), at(26, 456)],
    fields: &[
        field("stack.lo", 8, &[at(5, 0)]),
        field("stack.hi", 8, &[at(5, 8)]),
        field("stackguard0", 8, &[at(5, 16)]),
        field("stackguard1", 8, &[at(5, 24)]),
        field("_panic", 8, &[at(5, 32)]),
        field("_defer", 8, &[at(5, 40)]),
        field("m", 8, &[at(5, 48)]),
        field("sched.sp", 8, &[at(5, 64), at(9, 56)]),
        field("sched.pc", 8, &[at(5, 72), at(9, 64)]),
        field("sched.g", 8, &[at(5, 80), at(9, 72)]),
        field("sched.ctxt", 8, &[at(5, 88), at(9, 80)]),
        field("sched.ret", 8, &[at(5, 96), at(9, 88), gone(25)]),
        field("sched.lr", 8, &[at(5, 104), at(9, 96), at(25, 88)]),
        field("sched.bp", 8, &[at(5, 112), at(9, 104), at(25, 96)]),
        field("syscallsp", 8, &[at(5, 120), at(9, 112), at(25, 104)]),
        field("syscallpc", 8, &[at(5, 128), at(9, 120), at(25, 112)]),
        field("syscallbp", 8, &[at(23, 128), at(25, 120)]),
        field("stkbar", 24, &[at(5, 136), gone(9)]),
        field("stkbarPos", 8, &[at(5, 160), gone(9)]),
        field("stktopsp", 8, &[at(6, 168), at(9, 128), at(23, 136), at(25, 128)]),
        field("param", 8, &[at(5, 168), at(6, 176), at(9, 136), at(23, 144), at(25, 136)]),
        field("atomicstatus", 4, &[at(5, 176), at(6, 184), at(9, 144), at(23, 152), at(25, 144)]),
        field("goid", 8, &[at(5, 184), at(6, 192), at(9, 152), at(23, 160), at(25, 152)]),
        field("schedlink", 8, &[at(5, 216), at(6, 224), at(9, 184), at(11, 160), at(23, 168), at(25, 160)]),
        field("waitsince", 8, &[at(5, 192), at(6, 200), at(9, 160), at(11, 168), at(23, 176), at(25, 168)]),
        field("waitreason", 16, &[at(5, 200), at(6, 208), at(9, 168), gone(11)]),
        field("waitreason", 1, &[at(11, 176), at(23, 184), at(25, 176)]),
        field("preempt", 1, &[at(5, 224), at(6, 232), at(9, 192), at(11, 177), at(23, 185), at(25, 177)]),
        field("preemptStop", 1, &[at(14, 178), at(23, 186), at(25, 178)]),
        field("throwsplit", 1, &[at(5, 229), at(6, 237), at(9, 197), at(11, 182), at(14, 183), at(23, 191), at(25, 183)]),
        field("lockedm", 8, &[at(5, 248), at(6, 256), at(7, 264), at(9, 224), at(11, 216), at(17, 232), at(21, 208), at(23, 216), at(25, 208)]),
        field("sig", 4, &[at(5, 256), at(6, 264), at(7, 272), at(9, 232), at(11, 224), at(17, 240), at(21, 216), at(23, 224), at(24, 228), at(25, 220), at(26, 224)]),
        field("parentGoid", 8, &[at(21, 272), at(23, 280), at(25, 272), at(26, 280)]),
        field("gopc", 8, &[at(5, 312), at(6, 320), at(7, 328), at(9, 288), at(11, 280), at(17, 296), at(21, 280), at(23, 288), at(25, 280), at(26, 288)]),
        field("startpc", 8, &[at(5, 320), at(6, 328), at(7, 336), at(9, 296), at(17, 312), at(21, 296), at(23, 304), at(25, 296), at(26, 304)]),
        field("racectx", 8, &[at(5, 328), at(6, 336), at(7, 344), at(9, 304), at(17, 320), at(21, 304), at(23, 312), at(25, 304), at(26, 312)]),
        field("waiting", 8, &[at(5, 336), at(6, 344), at(7, 352), at(9, 312), at(17, 328), at(21, 312), at(23, 320), at(25, 312), at(26, 320)]),
        field("labels", 8, &[at(9, 344), at(17, 360), at(21, 344), at(23, 352), at(25, 344), at(26, 352)]),
    ],
};

/// `g.sched`, `m.morebuf`.
#[rustfmt::skip]
pub(super) static GOBUF: Structure = Structure {
    name: "runtime.gobuf",
    source: "runtime/runtime2.go",
    complete: true,
    size: &[at(5, 56), at(25, 48)],
    fields: &[
        field("sp", 8, &[at(5, 0)]),
        field("pc", 8, &[at(5, 8)]),
        field("g", 8, &[at(5, 16)]),
        field("ctxt", 8, &[at(5, 24)]),
        field("ret", 8, &[at(5, 32), gone(25)]),
        field("lr", 8, &[at(5, 40), at(25, 32)]),
        field("bp", 8, &[at(5, 48), at(25, 40)]),
    ],
};

/// A panic under way.
#[rustfmt::skip]
pub(in crate::golang) static PANIC: Structure = Structure {
    name: "runtime._panic",
    source: "runtime/runtime2.go",
    complete: true,
    size: &[at(5, 40), at(14, 56), at(22, 104), at(27, 96)],
    fields: &[
        field("argp", 8, &[at(5, 0), gone(26)]),
        field("arg", 16, &[at(5, 8), at(26, 0)]),
        field("link", 8, &[at(5, 24), at(26, 16)]),
        field("startPC", 8, &[at(22, 32), at(26, 24)]),
        field("startSP", 8, &[at(22, 40), at(26, 32)]),
        field("pc", 8, &[at(14, 32), gone(22), at(27, 40)]),
        field("sp", 8, &[at(14, 40), at(22, 48), at(26, 40), at(27, 48)]),
        field("lr", 8, &[at(22, 56), at(26, 48), gone(27)]),
        field("fp", 8, &[at(22, 64), at(26, 56)]),
        field("retpc", 8, &[at(22, 72), at(26, 64)]),
        field("deferBitsPtr", 8, &[at(22, 80), at(26, 72)]),
        field("slotsPtr", 8, &[at(22, 88), at(26, 80)]),
        field("recovered", 1, &[at(5, 32), at(14, 48), at(22, 96), at(26, 88)]),
        field("repanicked", 1, &[at(25, 97), at(26, 89)]),
        field("aborted", 1, &[at(5, 33), at(14, 49), gone(22)]),
        field("goexit", 1, &[at(14, 50), at(22, 97), at(25, 98), at(26, 90)]),
        field("deferreturn", 1, &[at(22, 98), at(25, 99), at(26, 91)]),
        field("gopanicFP", 8, &[at(26, 96), gone(27)]),
    ],
};

/// A deferred call.
#[rustfmt::skip]
pub(super) static DEFER: Structure = Structure {
    name: "runtime._defer",
    source: "runtime/runtime2.go",
    complete: true,
    size: &[at(5, 48), at(14, 72), at(22, 48)],
    fields: &[
        field("siz", 4, &[at(5, 0), gone(18)]),
        field("started", 1, &[at(5, 4), at(18, 0), gone(22)]),
        field("heap", 1, &[at(13, 5), at(18, 1), at(22, 0)]),
        field("rangefunc", 1, &[at(22, 1)]),
        field("openDefer", 1, &[at(14, 6), at(18, 2), gone(22)]),
        field("sp", 8, &[at(5, 8)]),
        field("pc", 8, &[at(5, 16)]),
        field("fn", 8, &[at(5, 24)]),
        field("_panic", 8, &[at(5, 32), gone(22)]),
        field("link", 8, &[at(5, 40), at(22, 32)]),
        field("head", 8, &[at(22, 40)]),
        field("fd", 8, &[at(14, 48), gone(22)]),
        field("varp", 8, &[at(14, 56), gone(22)]),
        field("framepc", 8, &[at(14, 64), gone(22)]),
    ],
};
