//! Threads, processors and the scheduler.

use super::history::{at, at_patch, gone};
use super::{Structure, field};

/// A thread.
#[rustfmt::skip]
pub(in crate::golang) static M: Structure = Structure {
    name: "runtime.m",
    source: "runtime/runtime2.go",
    complete: false,
    size: &[at(5, 1040), at(6, 936), at(9, 896), at_patch(9, 3, 936), at(10, 960), at(11, 832), at(12, 840), at(15, 992), at(16, 1016), at_patch(16, 4, 1024), at(18, 1008), at(20, 1000), at(21, 1008), at(22, 2024), at(23, 1760), at_patch(23, 12, 1784), at(24, 1808), at_patch(24, 6, 1832), at(25, 1816), at(26, 1824), at(27, 1832)],
    fields: &[
        field("g0", 8, &[at(5, 0)]),
        field("morebuf.sp", 8, &[at(5, 8)]),
        field("morebuf.pc", 8, &[at(5, 16)]),
        field("procid", 8, &[at(5, 72), at(25, 64)]),
        field("gsignal", 8, &[at(5, 80), at(25, 72)]),
        field("goSigStack", 40, &[at_patch(9, 3, 88), at(25, 80)]),
        field("tls", 32, &[at(5, 120), gone(6)]),
        field("tls", 48, &[at(6, 96), at_patch(9, 3, 136), at(25, 128)]),
        field("mstartfn", 8, &[at(5, 152), at(6, 144), at_patch(9, 3, 184), at(25, 176)]),
        field("curg", 8, &[at(5, 160), at(6, 152), at_patch(9, 3, 192), at(25, 184)]),
        field("caughtsig", 8, &[at(5, 168), at(6, 160), at_patch(9, 3, 200), at(25, 192)]),
        field("p", 8, &[at(5, 176), at(6, 168), at_patch(9, 3, 208), at(25, 200), at(26, 208)]),
        field("nextp", 8, &[at(5, 184), at(6, 176), at_patch(9, 3, 216), at(25, 208), at(26, 216)]),
        field("oldp", 8, &[at(12, 224), at(25, 216), at(26, 224)]),
        field("id", 4, &[at(5, 192), at(6, 184), at_patch(9, 3, 224), gone(10)]),
        field("id", 8, &[at(10, 224), at(12, 232), at(25, 224), at(26, 232)]),
        field("mallocing", 4, &[at(5, 196), at(6, 188), at_patch(9, 3, 228), at(10, 232), at(12, 240), at(25, 232), at(26, 240)]),
        field("throwing", 4, &[at(5, 200), at(6, 192), at_patch(9, 3, 232), at(10, 236), at(12, 244), at(25, 236), at(26, 244)]),
        field("preemptoff", 16, &[at(5, 208), at(6, 200), at_patch(9, 3, 240), at(12, 248), at(25, 240), at(26, 248)]),
        field("locks", 4, &[at(5, 224), at(6, 216), at_patch(9, 3, 256), at(12, 264), at(25, 256), at(26, 264)]),
        field("dying", 4, &[at(5, 232), at(6, 224), at_patch(9, 3, 264), at(11, 260), at(12, 268), at(25, 260), at(26, 268)]),
        field("profilehz", 4, &[at(5, 236), at(6, 228), at_patch(9, 3, 268), at(11, 264), at(12, 272), at(25, 264), at(26, 272)]),
        field("spinning", 1, &[at(5, 244), at(6, 236), at_patch(9, 3, 276), at(11, 272), at(12, 276), at(25, 268), at(26, 276)]),
        field("blocked", 1, &[at(5, 245), at(6, 237), at_patch(9, 3, 277), at(11, 273), at(12, 277), at(25, 269), at(26, 277)]),
        field("incgo", 1, &[at(9, 241), at_patch(9, 3, 281), at(11, 277), at(12, 281), at(13, 280), at(25, 272), at(26, 280)]),
        field("ncgocall", 8, &[at(5, 256), at(6, 248), at_patch(9, 3, 288), at(10, 304), at(11, 296), at(12, 304), at(22, 296), at_patch(23, 12, 320), at(24, 296), at_patch(24, 6, 320), at(25, 312), at(26, 320)]),
        field("ncgo", 4, &[at(5, 264), at(6, 256), at_patch(9, 3, 296), at(10, 312), at(11, 304), at(12, 312), at(22, 304), at_patch(23, 12, 328), at(24, 304), at_patch(24, 6, 328), at(25, 320), at(26, 328)]),
        field("cgoCallersUse", 4, &[at(7, 260), at_patch(9, 3, 300), at(10, 316), at(11, 308), at(12, 316), at(22, 308), at_patch(23, 12, 332), at(24, 308), at_patch(24, 6, 332), at(25, 324), at(26, 332)]),
        field("cgoCallers", 8, &[at(7, 264), at_patch(9, 3, 304), at(10, 320), at(11, 312), at(12, 320), at(22, 312), at_patch(23, 12, 336), at(24, 312), at_patch(24, 6, 336), at(25, 328), at(26, 336)]),
        field("park", 8, &[at(5, 272), at(6, 264), at(7, 272), at_patch(9, 3, 312), at(10, 328), at(11, 320), at(12, 328), at(16, 336), at(18, 328), at(22, 320), at_patch(23, 12, 344), at(24, 320), at_patch(24, 6, 344), at(25, 336), at(26, 344)]),
        field("alllink", 8, &[at(5, 280), at(6, 272), at(7, 280), at_patch(9, 3, 320), at(10, 336), at(11, 328), at(12, 336), at(16, 344), at(18, 336), at(22, 328), at_patch(23, 12, 352), at(24, 328), at_patch(24, 6, 352), at(25, 344), at(26, 352)]),
        field("schedlink", 8, &[at(5, 288), at(6, 280), at(7, 288), at_patch(9, 3, 328), at(10, 344), at(11, 336), at(12, 344), at(16, 352), at(18, 344), at(22, 336), at_patch(23, 12, 360), at(24, 336), at_patch(24, 6, 360), at(25, 352), at(26, 360)]),
        field("lockedg", 8, &[at(5, 312), at(6, 304), at_patch(9, 3, 344), at(10, 360), at(11, 352), at(12, 360), at(15, 352), at(16, 360), at(18, 352), at(22, 344), at_patch(23, 12, 368), at(24, 344), at_patch(24, 6, 368), at(25, 360), at(26, 384)]),
        field("createstack", 256, &[at(5, 320), at(6, 312), at_patch(9, 3, 352), at(10, 368), at(11, 360), at(12, 368), at(15, 360), at(16, 368), at(18, 360), at(22, 352), at_patch(23, 12, 376), at(24, 352), at_patch(24, 6, 376), at(25, 368), at(26, 392)]),
        field("nextwaitm", 8, &[at(5, 712), at(6, 704), at_patch(9, 3, 744), at(10, 768), at(11, 624), at(12, 632), at(15, 624), at(16, 632), at(18, 624), at(22, 616), at_patch(23, 12, 640), gone(24)]),
        field("vdsoSP", 8, &[at(11, 808), at(12, 816), at(14, 808), at(15, 800), at(16, 824), at_patch(16, 4, 832), at(18, 800), at(21, 808), at(22, 1120), at(23, 856), at_patch(23, 12, 880), at_patch(24, 6, 904), at(25, 896)]),
        field("vdsoPC", 8, &[at(11, 816), at(12, 824), at(14, 816), at(15, 808), at(16, 832), at_patch(16, 4, 840), at(18, 808), at(21, 816), at(22, 1128), at(23, 864), at_patch(23, 12, 888), at_patch(24, 6, 912), at(25, 904)]),
        field("preemptGen", 4, &[at(14, 824), at(15, 816), at(16, 840), at_patch(16, 4, 848), at(18, 816), at(21, 824), at(22, 1136), at(23, 872), at_patch(23, 12, 896), at_patch(24, 6, 920), at(25, 912)]),
        field("signalPending", 4, &[at(14, 828), at(15, 820), at(16, 844), at_patch(16, 4, 852), at(18, 820), at(21, 828), at(22, 1140), at(23, 876), at_patch(23, 12, 900), at_patch(24, 6, 924), at(25, 916)]),
        field("pcvalueCache", 392, &[at(22, 1144), at(23, 880), at_patch(23, 12, 904), at_patch(24, 6, 928), at(25, 920)]),
        field("allpSnapshot", 24, &[at_patch(23, 12, 296), gone(24), at_patch(24, 6, 296), at(25, 288), at(26, 296)]),
    ],
};

/// A processor. When between 1.16.5 and 1.16.15 its size changed could not be measured.
#[rustfmt::skip]
pub(super) static P: Structure = Structure {
    name: "runtime.p",
    source: "runtime/runtime2.go",
    complete: false,
    size: &[at(5, 4736), at(6, 4744), at(7, 4752), at(9, 4808), at(10, 8936), at(12, 9088), at(14, 10216), at(16, 10072), at_patch(16, 15, 10064), at(17, 10000), at(18, 8888), at(19, 8912), at(20, 8904), at(21, 8912), at(22, 8944), at(24, 8952), at(25, 9512), at(26, 15920)],
    fields: &[
        field("id", 4, &[at(5, 8), at(13, 0)]),
        field("status", 4, &[at(5, 12), at(13, 4)]),
        field("link", 8, &[at(5, 16), at(13, 8)]),
        field("schedtick", 4, &[at(5, 24), at(13, 16)]),
        field("syscalltick", 4, &[at(5, 28), at(13, 20)]),
        field("m", 8, &[at(5, 32), at(9, 64), at(13, 56), at(23, 48)]),
        field("mcache", 8, &[at(5, 40), at(9, 72), at(13, 64), at(23, 56)]),
        field("goidcache", 8, &[at(5, 1448), at(7, 1456), at(9, 1488), at(13, 1480), at(14, 1504), at(18, 384), at(23, 376), at(26, 384)]),
        field("goidcacheend", 8, &[at(5, 1456), at(7, 1464), at(9, 1496), at(13, 1488), at(14, 1512), at(18, 392), at(23, 384), at(26, 392)]),
        field("runqhead", 4, &[at(5, 1464), at(7, 1472), at(9, 1504), at(13, 1496), at(14, 1520), at(18, 400), at(23, 392), at(26, 400)]),
        field("runqtail", 4, &[at(5, 1468), at(7, 1476), at(9, 1508), at(13, 1500), at(14, 1524), at(18, 404), at(23, 396), at(26, 404)]),
        field("runq", 2048, &[at(5, 1472), at(7, 1480), at(9, 1512), at(13, 1504), at(14, 1528), at(18, 408), at(23, 400), at(26, 408)]),
        field("runnext", 8, &[at(5, 3520), at(7, 3528), at(9, 3560), at(13, 3552), at(14, 3576), at(18, 2456), at(23, 2448), at(26, 2456)]),
    ],
};

/// The variable `runtime.sched`.
#[rustfmt::skip]
pub(super) static SCHEDT: Structure = Structure {
    name: "runtime.schedt",
    source: "runtime/runtime2.go",
    complete: false,
    size: &[at(5, 256), at(6, 264), at(7, 272), at(10, 296), at(12, 328), at(14, 336), at(15, 344), at(16, 352), at(17, 6128), at(18, 6080), at(20, 1632), at(22, 6824), at(25, 6848), at(26, 6872)],
    fields: &[
        field("goidgen", 8, &[at(5, 8), at(6, 0)]),
        field("lastpoll", 8, &[at(5, 200), at(6, 8)]),
        field("lock", 8, &[at(5, 0), at(6, 16), at(14, 24), at(25, 32)]),
        field("midle", 8, &[at(5, 16), at(6, 24), at(14, 32), at(25, 40), gone(26)]),
        field("midle", 24, &[at(26, 40)]),
        field("nmidle", 4, &[at(5, 24), at(6, 32), at(14, 40), at(25, 48), at(26, 64)]),
        field("nmidlelocked", 4, &[at(5, 28), at(6, 36), at(14, 44), at(25, 52), at(26, 68)]),
        field("mcount", 4, &[at(5, 32), at(6, 40), gone(10)]),
        field("mnext", 8, &[at(10, 40), at(14, 48), at(25, 56), at(26, 72)]),
        field("maxmcount", 4, &[at(5, 36), at(6, 44), at(10, 48), at(14, 56), at(25, 64), at(26, 80)]),
        field("nmsys", 4, &[at(10, 52), at(14, 60), at(25, 68), at(26, 84)]),
        field("nmfreed", 8, &[at(10, 56), at(14, 64), at(25, 72), at(26, 88)]),
        field("ngsys", 4, &[at(6, 48), at(10, 64), at(14, 72), at(25, 80), at(26, 96)]),
        field("pidle", 8, &[at(5, 40), at(6, 56), at(10, 72), at(14, 80), at(25, 88), at(26, 104)]),
        field("npidle", 4, &[at(5, 48), at(6, 64), at(10, 80), at(14, 88), at(25, 96), at(26, 112)]),
        field("nmspinning", 4, &[at(5, 52), at(6, 68), at(10, 84), at(14, 92), at(25, 100), at(26, 116)]),
        field("runqsize", 4, &[at(5, 72), at(6, 88), at(10, 104), at(14, 112), at(20, 120), gone(25)]),
        field("gcwaiting", 4, &[at(5, 168), at(6, 184), at(7, 192), at(10, 216), at(12, 248), at(14, 256), at(18, 224), gone(20)]),
        field("gcwaiting", 1, &[at(20, 232), at(25, 248), at(26, 264)]),
    ],
};
