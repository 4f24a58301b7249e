//! Byte layouts of the structures that the linker writes and the runtime reads: `runtime.moduledata`,
//! `runtime._func` and the elements of inline trees.
//!
//! One table per change of the structure. Each names the versions it holds for; the field order is that of
//! `runtime/symtab.go` (moduledata, inline trees until 1.20), `runtime/runtime2.go` (`_func`) and, for inline trees
//! later, `runtime/symtabinl.go`, at the tags of those versions.

use super::ModuleLayout;

/// Byte offsets of the fields of `runtime._func` (`runtime/runtime2.go`) and of what follows it in the line table.
///
/// After [`FuncLayout::size`] bytes come `npcdata` 32-bit offsets and then `nfuncdata` entries: up to 1.17 absolute
/// 8-byte pointers starting at the next multiple of 8, later 32-bit offsets from `moduledata.gofunc` with `!0` for
/// "absent".
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FuncLayout {
    /// Fixed part of the record.
    pub size: u32,
    /// Whether `entry` is a 32-bit offset from `moduledata.text` (1.18 and later) rather than a 64-bit address.
    pub entry_is_offset: bool,
    /// `nameoff`, 32 bits.
    pub name: u32,
    /// `args`, 32 bits.
    pub args: u32,
    /// `deferreturn`, 32 bits (1.12 and later).
    pub deferreturn: Option<u32>,
    /// `pcsp`, 32 bits; `pcfile` and `pcln` follow it.
    pub pcsp: u32,
    /// `npcdata`, 32 bits.
    pub npcdata: u32,
    /// `cuOffset`, 32 bits (1.16 and later).
    pub cu_offset: Option<u32>,
    /// `startLine`, 32 bits (1.20 and later).
    pub start_line: Option<u32>,
    /// `funcID`: 32 bits up to 1.11, of which only the low byte is used; 8 bits later.
    pub func_id: Option<u32>,
    /// Whether `funcID` is 32 bits wide (1.10.1 to 1.11).
    pub func_id_is_32_bits: bool,
    /// `flag`, 8 bits (1.17 and later).
    pub flag: Option<u32>,
    /// `nfuncdata`: 32 bits up to 1.11, 8 bits later.
    pub nfuncdata: u32,
    /// Whether `nfuncdata` is 32 bits wide (up to 1.11).
    pub nfuncdata_is_32_bits: bool,
    /// Whether funcdata entries are 32-bit offsets (1.18 and later) rather than pointers.
    pub funcdata_is_offset: bool,
}

/// 1.5 to 1.10.0: the word at 16 is the legacy frame size.
const FUNC_1_5: FuncLayout = FuncLayout {
    size: 40,
    entry_is_offset: false,
    name: 8,
    args: 12,
    deferreturn: None,
    pcsp: 20,
    npcdata: 32,
    cu_offset: None,
    start_line: None,
    func_id: None,
    func_id_is_32_bits: false,
    flag: None,
    nfuncdata: 36,
    nfuncdata_is_32_bits: true,
    funcdata_is_offset: false,
};
/// 1.10.1 to 1.11: that word became `funcID`.
const FUNC_1_10_1: FuncLayout = FuncLayout {
    func_id: Some(16),
    func_id_is_32_bits: true,
    ..FUNC_1_5
};
/// 1.12 to 1.15.
const FUNC_1_12: FuncLayout = FuncLayout {
    deferreturn: Some(16),
    func_id: Some(36),
    func_id_is_32_bits: false,
    nfuncdata: 39,
    nfuncdata_is_32_bits: false,
    ..FUNC_1_10_1
};
/// 1.16: `cuOffset` came in front of `funcID`.
const FUNC_1_16: FuncLayout = FuncLayout {
    size: 44,
    cu_offset: Some(36),
    func_id: Some(40),
    nfuncdata: 43,
    ..FUNC_1_12
};
/// 1.17: `flag` took a byte of padding.
const FUNC_1_17: FuncLayout = FuncLayout {
    flag: Some(41),
    ..FUNC_1_16
};
/// 1.18 and 1.19: `entry` became an offset, funcdata became offsets.
const FUNC_1_18: FuncLayout = FuncLayout {
    size: 40,
    entry_is_offset: true,
    name: 4,
    args: 8,
    deferreturn: Some(12),
    pcsp: 16,
    npcdata: 28,
    cu_offset: Some(32),
    func_id: Some(36),
    flag: Some(37),
    nfuncdata: 39,
    funcdata_is_offset: true,
    ..FUNC_1_17
};
/// 1.20 and later: `startLine` came in front of `funcID`.
const FUNC_1_20: FuncLayout = FuncLayout {
    size: 44,
    start_line: Some(36),
    func_id: Some(40),
    flag: Some(41),
    nfuncdata: 43,
    ..FUNC_1_18
};

/// The layout of `_func` in `go1.MINOR.PATCH`.
pub(super) const fn func(minor: u16, patch: u16) -> &'static FuncLayout {
    match (minor, patch) {
        (0..=9, _) | (10, 0) => &FUNC_1_5,
        (10 | 11, _) => &FUNC_1_10_1,
        (12..=15, _) => &FUNC_1_12,
        (16, _) => &FUNC_1_16,
        (17, _) => &FUNC_1_17,
        (18 | 19, _) => &FUNC_1_18,
        _ => &FUNC_1_20,
    }
}

/// Where inline trees are found and what an element looks like (1.9 and later).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InlineLayout {
    /// `PCDATA_InlTreeIndex` (`runtime/symtab.go`, `internal/abi/symtab.go`).
    pub pcdata: u32,
    /// `FUNCDATA_InlTree`.
    pub funcdata: u32,
    /// Bytes per element.
    pub size: u32,
    /// Offset of the inlined function's name offset, 32 bits.
    pub name: u32,
}

/// 1.9 to 1.11: parent, file, line, func.
const INLINE_1_9: InlineLayout = InlineLayout {
    pcdata: 1,
    funcdata: 2,
    size: 16,
    name: 12,
};
/// 1.12: parent (16 bits), funcID, padding, file, line, func, parentPc.
const INLINE_1_12: InlineLayout = InlineLayout {
    size: 20,
    ..INLINE_1_9
};
/// 1.13 to 1.15: the register maps came in front.
const INLINE_1_13: InlineLayout = InlineLayout {
    pcdata: 2,
    funcdata: 4,
    ..INLINE_1_12
};
/// 1.16 to 1.19: the register maps' funcdata went.
const INLINE_1_16: InlineLayout = InlineLayout {
    funcdata: 3,
    ..INLINE_1_13
};
/// 1.20 and later: funcID, padding, nameOff, parentPc, startLine.
const INLINE_1_20: InlineLayout = InlineLayout {
    size: 16,
    name: 4,
    ..INLINE_1_16
};

/// The inline trees of `go1.MINOR`.
pub(super) const fn inline(minor: u16) -> Option<&'static InlineLayout> {
    match minor {
        0..=8 => None,
        9..=11 => Some(&INLINE_1_9),
        12 => Some(&INLINE_1_12),
        13..=15 => Some(&INLINE_1_13),
        16..=19 => Some(&INLINE_1_16),
        _ => Some(&INLINE_1_20),
    }
}

/// 1.5 and 1.6.
const MODULE_1_5: ModuleLayout = ModuleLayout {
    size: 0x130,
    pc_header: None,
    funcnametab: None,
    cutab: None,
    filetab: 0x30,
    pctab: None,
    pclntable: 0,
    ftab: 0x18,
    findfunctab: 0x48,
    minpc: 0x50,
    maxpc: 0x58,
    text: 0x60,
    etext: 0x68,
    noptrdata: 0x70,
    data: 0x80,
    bss: 0x90,
    noptrbss: 0xa0,
    end: 0xb0,
    rodata: None,
    gofunc: None,
    epclntab: None,
    textsectmap: None,
    modulename: 0xe0,
    hasmain: None,
    bad: None,
    gcdatamask: 0x108,
    gcbssmask: 0x118,
    next: 0x128,
};
/// 1.7: types, etypes, itablinks, typemap.
const MODULE_1_7: ModuleLayout = ModuleLayout {
    size: 0x160,
    modulename: 0x108,
    gcdatamask: 0x130,
    gcbssmask: 0x140,
    next: 0x158,
    ..MODULE_1_5
};
/// 1.8 and 1.9: textsectmap, plugins.
const MODULE_1_8: ModuleLayout = ModuleLayout {
    size: 0x1b8,
    textsectmap: Some(0xd8),
    modulename: 0x160,
    gcdatamask: 0x188,
    gcbssmask: 0x198,
    next: 0x1b0,
    ..MODULE_1_7
};
/// 1.10 to 1.15: hasmain, bad.
const MODULE_1_10: ModuleLayout = ModuleLayout {
    size: 0x1c8,
    hasmain: Some(0x188),
    bad: Some(0x1b8),
    gcdatamask: 0x190,
    gcbssmask: 0x1a0,
    next: 0x1c0,
    ..MODULE_1_8
};
/// 1.16 and 1.17: the line table was cut into pcHeader, funcnametab, cutab, filetab, pctab, pclntable.
const MODULE_1_16: ModuleLayout = ModuleLayout {
    size: 0x218,
    pc_header: Some(0),
    funcnametab: Some(0x8),
    cutab: Some(0x20),
    filetab: 0x38,
    pctab: Some(0x50),
    pclntable: 0x68,
    ftab: 0x80,
    findfunctab: 0x98,
    minpc: 0xa0,
    maxpc: 0xa8,
    text: 0xb0,
    etext: 0xb8,
    noptrdata: 0xc0,
    data: 0xd0,
    bss: 0xe0,
    noptrbss: 0xf0,
    end: 0x100,
    rodata: None,
    gofunc: None,
    epclntab: None,
    textsectmap: Some(0x128),
    modulename: 0x1b0,
    hasmain: Some(0x1d8),
    bad: Some(0x208),
    gcdatamask: 0x1e0,
    gcbssmask: 0x1f0,
    next: 0x210,
};
/// 1.18 and 1.19: rodata, gofunc.
const MODULE_1_18: ModuleLayout = ModuleLayout {
    size: 0x228,
    rodata: Some(0x128),
    gofunc: Some(0x130),
    textsectmap: Some(0x138),
    modulename: 0x1c0,
    hasmain: Some(0x1e8),
    bad: Some(0x218),
    gcdatamask: 0x1f0,
    gcbssmask: 0x200,
    next: 0x220,
    ..MODULE_1_16
};
/// 1.20: covctrs, ecovctrs.
const MODULE_1_20: ModuleLayout = ModuleLayout {
    size: 0x238,
    end: 0x110,
    rodata: Some(0x138),
    gofunc: Some(0x140),
    textsectmap: Some(0x148),
    modulename: 0x1d0,
    hasmain: Some(0x1f8),
    bad: Some(0x228),
    gcdatamask: 0x200,
    gcbssmask: 0x210,
    next: 0x230,
    ..MODULE_1_18
};
/// 1.21 and 1.22: inittasks.
const MODULE_1_21: ModuleLayout = ModuleLayout {
    size: 0x250,
    modulename: 0x1e8,
    hasmain: Some(0x210),
    bad: Some(0x240),
    gcdatamask: 0x218,
    gcbssmask: 0x228,
    next: 0x248,
    ..MODULE_1_20
};
/// 1.23 to 1.25: bad moved behind hasmain.
const MODULE_1_23: ModuleLayout = ModuleLayout {
    size: 0x248,
    bad: Some(0x211),
    next: 0x240,
    ..MODULE_1_21
};
/// 1.26: epclntab.
const MODULE_1_26: ModuleLayout = ModuleLayout {
    size: 0x250,
    epclntab: Some(0x148),
    textsectmap: Some(0x150),
    modulename: 0x1f0,
    hasmain: Some(0x218),
    bad: Some(0x219),
    gcdatamask: 0x220,
    gcbssmask: 0x230,
    next: 0x248,
    ..MODULE_1_23
};
/// 1.27: typedesclen, itaboffset and itabsize in place of typelinks and itablinks.
const MODULE_1_27: ModuleLayout = ModuleLayout {
    size: 0x238,
    rodata: Some(0x150),
    gofunc: Some(0x158),
    epclntab: Some(0x160),
    textsectmap: Some(0x168),
    modulename: 0x1d8,
    hasmain: Some(0x200),
    bad: Some(0x201),
    gcdatamask: 0x208,
    gcbssmask: 0x218,
    next: 0x230,
    ..MODULE_1_26
};

/// The layout of `runtime.moduledata` in `go1.MINOR`.
pub(super) const fn module(minor: u16) -> &'static ModuleLayout {
    match minor {
        0..=6 => &MODULE_1_5,
        7 => &MODULE_1_7,
        8 | 9 => &MODULE_1_8,
        10..=15 => &MODULE_1_10,
        16 | 17 => &MODULE_1_16,
        18 | 19 => &MODULE_1_18,
        20 => &MODULE_1_20,
        21 | 22 => &MODULE_1_21,
        23..=25 => &MODULE_1_23,
        26 => &MODULE_1_26,
        _ => &MODULE_1_27,
    }
}
