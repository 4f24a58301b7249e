//! What the linker writes and the runtime reads: modules and line tables.
//!
//! The size of `_func` is Go's; in the line table the record ends with `nfuncdata`, and npcdata 32-bit offsets follow.

use super::history::{at, at_patch, gone};
use super::{Structure, field};

/// The tables of one module (`cmd/link/internal/ld/symtab.go`).
#[rustfmt::skip]
pub(crate) static MODULEDATA: Structure = Structure {
    name: "runtime.moduledata",
    source: "runtime/symtab.go",
    complete: true,
    size: &[at(5, 304), at(7, 352), at(8, 440), at(10, 456), at(16, 536), at(18, 552), at(20, 568), at(21, 592), at(23, 584), at(26, 592), at(27, 568)],
    fields: &[
        field("pcHeader", 8, &[at(16, 0)]),
        field("funcnametab", 24, &[at(16, 8)]),
        field("cutab", 24, &[at(16, 32)]),
        field("pclntable", 24, &[at(5, 0), at(16, 104)]),
        field("ftab", 24, &[at(5, 24), at(16, 128)]),
        field("filetab", 24, &[at(5, 48), at(16, 56)]),
        field("pctab", 24, &[at(16, 80)]),
        field("findfunctab", 8, &[at(5, 72), at(16, 152)]),
        field("minpc", 8, &[at(5, 80), at(16, 160)]),
        field("maxpc", 8, &[at(5, 88), at(16, 168)]),
        field("text", 8, &[at(5, 96), at(16, 176)]),
        field("etext", 8, &[at(5, 104), at(16, 184)]),
        field("noptrdata", 8, &[at(5, 112), at(16, 192)]),
        field("enoptrdata", 8, &[at(5, 120), at(16, 200)]),
        field("data", 8, &[at(5, 128), at(16, 208)]),
        field("edata", 8, &[at(5, 136), at(16, 216)]),
        field("bss", 8, &[at(5, 144), at(16, 224)]),
        field("ebss", 8, &[at(5, 152), at(16, 232)]),
        field("noptrbss", 8, &[at(5, 160), at(16, 240)]),
        field("enoptrbss", 8, &[at(5, 168), at(16, 248)]),
        field("covctrs", 8, &[at(20, 256)]),
        field("ecovctrs", 8, &[at(20, 264)]),
        field("end", 8, &[at(5, 176), at(16, 256), at(20, 272)]),
        field("gcdata", 8, &[at(5, 184), at(16, 264), at(20, 280)]),
        field("gcbss", 8, &[at(5, 192), at(16, 272), at(20, 288)]),
        field("types", 8, &[at(7, 200), at(16, 280), at(20, 296)]),
        field("typedesclen", 8, &[at(27, 304)]),
        field("etypes", 8, &[at(7, 208), at(16, 288), at(20, 304), at(27, 312)]),
        field("itaboffset", 8, &[at(27, 320)]),
        field("itabsize", 8, &[at(27, 328)]),
        field("rodata", 8, &[at(18, 296), at(20, 312), at(27, 336)]),
        field("gofunc", 8, &[at(18, 304), at(20, 320), at(27, 344)]),
        field("epclntab", 8, &[at(26, 328), at(27, 352)]),
        field("textsectmap", 24, &[at(8, 216), at(16, 296), at(18, 312), at(20, 328), at(26, 336), at(27, 360)]),
        field("typelinks", 24, &[at(5, 200), at(7, 216), at(8, 240), at(16, 320), at(18, 336), at(20, 352), at(26, 360), gone(27)]),
        field("itablinks", 24, &[at(7, 240), at(8, 264), at(16, 344), at(18, 360), at(20, 376), at(26, 384), gone(27)]),
        field("ptab", 24, &[at(8, 288), at(16, 368), at(18, 384), at(20, 400), at(26, 408), at(27, 384)]),
        field("pluginpath", 16, &[at(8, 312), at(16, 392), at(18, 408), at(20, 424), at(26, 432), at(27, 408)]),
        field("pkghashes", 24, &[at(8, 328), at(16, 408), at(18, 424), at(20, 440), at(26, 448), at(27, 424)]),
        field("inittasks", 24, &[at(21, 464), at(26, 472), at(27, 448)]),
        field("modulename", 16, &[at(5, 224), at(7, 264), at(8, 352), at(16, 432), at(18, 448), at(20, 464), at(21, 488), at(26, 496), at(27, 472)]),
        field("modulehashes", 24, &[at(5, 240), at(7, 280), at(8, 368), at(16, 448), at(18, 464), at(20, 480), at(21, 504), at(26, 512), at(27, 488)]),
        field("hasmain", 1, &[at(10, 392), at(16, 472), at(18, 488), at(20, 504), at(21, 528), at(26, 536), at(27, 512)]),
        field("gcdatamask", 16, &[at(5, 264), at(7, 304), at(8, 392), at(10, 400), at(16, 480), at(18, 496), at(20, 512), at(21, 536), at(26, 544), at(27, 520)]),
        field("gcbssmask", 16, &[at(5, 280), at(7, 320), at(8, 408), at(10, 416), at(16, 496), at(18, 512), at(20, 528), at(21, 552), at(26, 560), at(27, 536)]),
        field("typemap", 8, &[at(7, 336), at(8, 424), at(10, 432), at(16, 512), at(18, 528), at(20, 544), at(21, 568), at(26, 576), at(27, 552)]),
        field("bad", 1, &[at(10, 440), at(16, 520), at(18, 536), at(20, 552), at(21, 576), at(23, 529), at(26, 537), at(27, 513)]),
        field("next", 8, &[at(5, 296), at(7, 344), at(8, 432), at(10, 448), at(16, 528), at(18, 544), at(20, 560), at(21, 584), at(23, 576), at(26, 584), at(27, 560)]),
    ],
};

/// An element of `moduledata.textsectmap`.
#[rustfmt::skip]
pub(super) static TEXTSECT: Structure = Structure {
    name: "runtime.textsect",
    source: "runtime/symtab.go",
    complete: true,
    size: &[at(8, 24)],
    fields: &[
        field("vaddr", 8, &[at(8, 0)]),
        field("end", 8, &[at(18, 8)]),
        field("length", 8, &[at(8, 8), gone(18)]),
        field("baseaddr", 8, &[at(8, 16)]),
    ],
};

/// `moduledata.gcdatamask`; in `runtime/mbitmap.go` and others before.
#[rustfmt::skip]
pub(super) static BITVECTOR: Structure = Structure {
    name: "runtime.bitvector",
    source: "runtime/stack.go",
    complete: true,
    size: &[at(5, 16)],
    fields: &[
        field("n", 4, &[at(5, 0)]),
        field("bytedata", 8, &[at(5, 8)]),
    ],
};

/// The header of the line table; up to 1.15 it is no structure (`debug/gosym/pclntab.go`).
#[rustfmt::skip]
pub(crate) static PC_HEADER: Structure = Structure {
    name: "runtime.pcHeader",
    source: "runtime/symtab.go",
    complete: true,
    size: &[at(16, 64), at(18, 72)],
    fields: &[
        field("magic", 4, &[at(16, 0)]),
        field("pad1", 1, &[at(16, 4)]),
        field("pad2", 1, &[at(16, 5)]),
        field("minLC", 1, &[at(16, 6)]),
        field("ptrSize", 1, &[at(16, 7)]),
        field("nfunc", 8, &[at(16, 8)]),
        field("nfiles", 8, &[at(16, 16)]),
        field("textStart", 8, &[at(18, 24), gone(26)]),
        field("funcnameOffset", 8, &[at(16, 24), at(18, 32)]),
        field("cuOffset", 8, &[at(16, 32), at(18, 40)]),
        field("filetabOffset", 8, &[at(16, 40), at(18, 48)]),
        field("pctabOffset", 8, &[at(16, 48), at(18, 56)]),
        field("pclnOffset", 8, &[at(16, 56), at(18, 64)]),
    ],
};

/// An element of `moduledata.ftab`.
#[rustfmt::skip]
pub(super) static FUNCTAB: Structure = Structure {
    name: "runtime.functab",
    source: "runtime/symtab.go",
    complete: true,
    size: &[at(5, 16), at(18, 8)],
    fields: &[
        field("entryoff", 4, &[at(18, 0)]),
        field("entry", 8, &[at(5, 0), gone(18)]),
        field("funcoff", 8, &[at(5, 8), gone(18)]),
        field("funcoff", 4, &[at(18, 4)]),
    ],
};

/// An element of `moduledata.findfunctab`: 4096 bytes of code.
#[rustfmt::skip]
pub(super) static FINDFUNCBUCKET: Structure = Structure {
    name: "runtime.findfuncbucket",
    source: "runtime/symtab.go",
    complete: true,
    size: &[at(11, 20)],
    fields: &[
        field("idx", 4, &[at(11, 0)]),
        field("subbuckets", 16, &[at(11, 4)]),
    ],
};

/// The record of one function.
#[rustfmt::skip]
pub(in crate::golang) static FUNC: Structure = Structure {
    name: "runtime._func",
    source: "runtime/runtime2.go",
    complete: true,
    size: &[at(5, 40), at(16, 48), at(18, 40), at(20, 44)],
    fields: &[
        field("entryOff", 4, &[at(20, 0)]),
        field("nameOff", 4, &[at(20, 4)]),
        field("entryoff", 4, &[at(18, 0), gone(20)]),
        field("entry", 8, &[at(5, 0), gone(18)]),
        field("nameoff", 4, &[at(5, 8), at(18, 4), gone(20)]),
        field("args", 4, &[at(5, 12), at(18, 8)]),
        field("deferreturn", 4, &[at(12, 16), at(18, 12)]),
        field("funcID", 4, &[at_patch(10, 1, 16), gone(12)]),
        field("funcID", 1, &[at(12, 36), at(16, 40), at(18, 36), at(20, 40)]),
        field("flag", 1, &[at(17, 41), at(18, 37), at(20, 41)]),
        field("frame", 4, &[at(5, 16), gone(6)]),
        field("pcsp", 4, &[at(5, 20), at(18, 16)]),
        field("pcfile", 4, &[at(5, 24), at(18, 20)]),
        field("pcln", 4, &[at(5, 28), at(18, 24)]),
        field("npcdata", 4, &[at(5, 32), at(18, 28)]),
        field("cuOffset", 4, &[at(16, 36), at(18, 32)]),
        field("startLine", 4, &[at(20, 36)]),
        field("nfuncdata", 4, &[at(5, 36), gone(12)]),
        field("nfuncdata", 1, &[at(12, 39), at(16, 43), at(18, 39), at(20, 43)]),
    ],
};

/// An element of FUNCDATA_InlTree; in `runtime/symtabinl.go` from 1.21.
#[rustfmt::skip]
pub(in crate::golang) static INLINED_CALL: Structure = Structure {
    name: "runtime.inlinedCall",
    source: "runtime/symtab.go",
    complete: true,
    size: &[at(9, 16), at(12, 20), at(20, 16)],
    fields: &[
        field("parent", 4, &[at(9, 0), gone(12)]),
        field("parent", 2, &[at(12, 0), gone(20)]),
        field("funcID", 1, &[at(12, 2), at(20, 0)]),
        field("nameOff", 4, &[at(20, 4)]),
        field("file", 4, &[at(9, 4), gone(20)]),
        field("line", 4, &[at(9, 8), gone(20)]),
        field("func_", 4, &[at(9, 12), gone(20)]),
        field("parentPc", 4, &[at(12, 16), at(20, 8)]),
        field("startLine", 4, &[at(20, 12)]),
    ],
};

/// FUNCDATA_ArgsPointerMaps and FUNCDATA_LocalsPointerMaps.
#[rustfmt::skip]
pub(super) static STACKMAP: Structure = Structure {
    name: "runtime.stackmap",
    source: "runtime/symtab.go",
    complete: true,
    size: &[at(5, 12)],
    fields: &[
        field("n", 4, &[at(5, 0)]),
        field("nbit", 4, &[at(5, 4)]),
        field("bytedata", 1, &[at(5, 8)]),
    ],
};
