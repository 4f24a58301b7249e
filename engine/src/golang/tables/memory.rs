//! Memory statistics and the pacing of the garbage collector.

use super::history::{at, at_patch, gone, gone_patch};
use super::{Structure, field};

/// The variable `runtime.memstats`.
#[rustfmt::skip]
pub(super) static MSTATS: Structure = Structure {
    name: "runtime.mstats",
    source: "runtime/mstats.go",
    complete: false,
    size: &[at(5, 5960), at(9, 5976), at(13, 5992), at(16, 15312), at(17, 15272), at(18, 15296), at_patch(18, 4, 15272), at(19, 13512), at(20, 9040), at(22, 7744), at(25, 8264), at(26, 10440)],
    fields: &[
        field("alloc", 8, &[at(5, 0), gone(19)]),
        field("total_alloc", 8, &[at(5, 8), gone(19)]),
        field("sys", 8, &[at(5, 16), gone(19)]),
        field("nmalloc", 8, &[at(5, 32), gone(19)]),
        field("nfree", 8, &[at(5, 40), gone(19)]),
        field("heap_alloc", 8, &[at(5, 48), gone(16)]),
        field("heap_sys", 8, &[at(5, 56), at(16, 48), gone(19)]),
        field("heap_idle", 8, &[at(5, 64), gone(16)]),
        field("heap_inuse", 8, &[at(5, 72), at(16, 56), gone(19)]),
        field("heap_released", 8, &[at(5, 80), at(16, 64), gone(19)]),
        field("heap_objects", 8, &[at(5, 88), at(16, 72), gone(19)]),
        field("stacks_inuse", 8, &[at(5, 96), at(16, 80), gone(19)]),
        field("stacks_sys", 8, &[at(5, 104), at(16, 88), at(19, 3544), at(25, 3520)]),
        field("next_gc", 8, &[at(5, 168), gone(17)]),
        field("last_gc", 8, &[at(5, 176), gone(9)]),
        field("last_gc_unix", 8, &[at(9, 176), at(17, 168), at(19, 3592), at(25, 3568)]),
        field("last_gc_nanotime", 8, &[at(9, 5920), at(16, 5952), at(17, 5944), at(19, 7720), at(25, 7696)]),
        field("pause_total_ns", 8, &[at(5, 184), at(17, 176), at(19, 3600), at(25, 3576)]),
        field("pause_ns", 2048, &[at(5, 192), at(17, 184), at(19, 3608), at(25, 3584)]),
        field("pause_end", 2048, &[at(5, 2240), at(17, 2232), at(19, 5656), at(25, 5632)]),
        field("numgc", 4, &[at(5, 4288), at(17, 4280), at(19, 7704), at(25, 7680)]),
        field("numforcedgc", 4, &[at(8, 4292), at(17, 4284), at(19, 7708), at(25, 7684)]),
        field("gc_cpu_fraction", 8, &[at(5, 4296), at(17, 4288), at(19, 7712), at(25, 7688)]),
        field("enablegc", 1, &[at(5, 4304), at(17, 4296), at(19, 7736), at(25, 8256), at(26, 10432)]),
        field("heap_live", 8, &[at(5, 5928), at(8, 5936), at(9, 5952), at(13, 5968), at(16, 6000), gone(17)]),
        field("heapStats", 3520, &[at(16, 6024), gone(17), at(25, 0)]),
        field("heapStats", 3544, &[at(17, 5960), gone(18), at_patch(18, 4, 5960), at(19, 0), gone(25)]),
        field("heapStats", 3568, &[at(18, 5960), gone_patch(18, 4)]),
    ],
};

/// The variable `runtime.gcController`; in `runtime/mgc.go` before 1.17.
#[rustfmt::skip]
pub(super) static GC_CONTROLLER: Structure = Structure {
    name: "runtime.gcControllerState",
    source: "runtime/mgcpacer.go",
    complete: false,
    size: &[at(5, 240), at(6, 248), at(7, 240), at(8, 232), at(9, 224), at(10, 152), at(17, 224), at(18, 352), at(19, 424), at(20, 368), at(21, 392)],
    fields: &[
        field("gcPercent", 4, &[at(17, 0)]),
        field("memoryLimit", 8, &[at(19, 8)]),
        field("heapMinimum", 8, &[at(17, 8), at(19, 16)]),
        field("trigger", 8, &[at(17, 24), gone(19)]),
        field("triggered", 8, &[at(19, 120), at(20, 64), at(21, 88)]),
        field("gcPercentHeapGoal", 8, &[at(19, 104), at(20, 48), at(21, 72)]),
        field("heapGoal", 8, &[at(5, 64), at(7, 56), gone(8), at(17, 32), at(18, 104), gone(19)]),
        field("lastHeapGoal", 8, &[at(17, 40), at(18, 112), at(19, 128), at(20, 72), at(21, 96)]),
        field("heapLive", 8, &[at(17, 48), at(18, 120), at(19, 136), at(20, 80), at(21, 104)]),
        field("heapScan", 8, &[at(17, 56), at(18, 128), at(19, 144), at(20, 88), at(21, 112)]),
        field("lastHeapScan", 8, &[at(18, 136), at(19, 152), at(20, 96), at(21, 120)]),
        field("heapMarked", 8, &[at(17, 64), at(18, 168), at(19, 184), at(20, 128), at(21, 152)]),
        field("heapInUse", 8, &[at(19, 304), at(20, 248), at(21, 272)]),
        field("heapReleased", 8, &[at(19, 312), at(20, 256), at(21, 280)]),
        field("heapFree", 8, &[at(19, 320), at(20, 264), at(21, 288)]),
        field("totalAlloc", 8, &[at(19, 328), at(20, 272), at(21, 296)]),
        field("totalFree", 8, &[at(19, 336), at(20, 280), at(21, 304)]),
        field("mappedReady", 8, &[at(19, 344), at(20, 288), at(21, 312)]),
    ],
};
