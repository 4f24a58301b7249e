//! Typed views of the tables: the fields that the engine reads, by name instead of by text, computed by the compiler.

use super::tables::{
    self, ABI_STRUCT_FIELD, ABI_STRUCT_TYPE, ABI_TYPE, ABI_UNCOMMON_TYPE, FUNC, G, INLINED_CALL, M,
    MODULEDATA, NAME_VARINT, PANIC, REFLECT_STRUCT_FIELD, REFLECT_STRUCT_TYPE, RUNTIME_TYPE,
    RUNTIME_UNCOMMON_TYPE, Release, Structure,
};

/// Byte offsets of the fields of `runtime.moduledata` (`runtime/symtab.go`). `None`: the version has no such field.
/// Slices are pointer, length, capacity; `bitvector` is `int32` length, padding, pointer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "each field is named as in runtime/symtab.go")]
pub struct ModuleLayout {
    pub size: u32,
    pub pc_header: Option<u32>,
    pub funcnametab: Option<u32>,
    pub cutab: Option<u32>,
    pub filetab: u32,
    pub pctab: Option<u32>,
    pub pclntable: u32,
    pub ftab: u32,
    pub findfunctab: u32,
    pub minpc: u32,
    pub maxpc: u32,
    pub text: u32,
    pub etext: u32,
    pub noptrdata: u32,
    pub data: u32,
    pub bss: u32,
    pub noptrbss: u32,
    pub end: u32,
    pub types: Option<u32>,
    pub rodata: Option<u32>,
    pub gofunc: Option<u32>,
    pub epclntab: Option<u32>,
    pub textsectmap: Option<u32>,
    pub modulename: u32,
    pub hasmain: Option<u32>,
    pub bad: Option<u32>,
    pub gcdatamask: u32,
    pub gcbssmask: u32,
    pub next: u32,
}

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

/// Byte offsets of the fields of `runtime.g`, `runtime.m` and `runtime._panic` that hook code reads
/// (`runtime/runtime2.go`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RuntimeOffsets {
    /// `g.stack.lo`
    pub g_stack_lo: u32,
    /// `g.stack.hi`
    pub g_stack_hi: u32,
    /// `g._panic`
    pub g_panic: u32,
    /// `g.m`
    pub g_m: u32,
    /// `g.goid` (64 bits in every version)
    pub g_goid: u32,
    /// `g.preempt`, one byte: the goroutine is to be preempted
    pub g_preempt: u32,
    /// `m.g0`
    pub m_g0: u32,
    /// `m.gsignal`
    pub m_gsignal: u32,
    /// `m.procid`: the Linux thread id, 64 bits
    pub m_procid: u32,
    /// `m.id`
    pub m_id: u32,
    /// Whether `m.id` is an `int32` (up to 1.9) rather than an `int64`.
    pub m_id_is_32_bits: bool,
}

/// How the compiler writes descriptors of structure types. Byte offsets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TypeLayout {
    /// `tflag`, 8 bits (1.7 and later); bit 1 says that the text has a `*` in front that is not part of it.
    pub tflag: Option<u32>,
    /// `align`, 8 bits; the alignment as a field follows it.
    pub align: u32,
    /// `kind`, 8 bits, of which the low five are the kind.
    pub kind: u32,
    /// The type's text: a pointer to a string header up to 1.6, then a 32-bit offset from `moduledata.types` to a name.
    pub text: u32,
    /// Whether texts are strings behind pointers (up to 1.6) rather than names.
    pub strings: bool,
    /// Whether a name's length is a varint (1.17 and later) rather than two bytes, the high one first.
    pub name_varint: bool,
    /// Bytes of a structure's descriptor. From 1.7 on what named types have besides follows.
    pub struct_size: u32,
    /// Slice of its fields in that descriptor.
    pub struct_fields: u32,
    /// Bytes of a field.
    pub field_size: u32,
    /// Pointer to a field's name: to a string header or to a name.
    pub field_name: u32,
    /// Pointer to a field's type.
    pub field_type: u32,
    /// A field's offset, 64 bits.
    pub field_offset: u32,
    /// Whether the lowest bit of that word is another mark and the offset the rest (1.9 to 1.18).
    pub field_offset_shifted: bool,
    /// Pointer to what named types have besides (up to 1.6).
    pub uncommon: Option<u32>,
    /// The path of the type's package in that: a pointer to a string header, or a 32-bit offset from `moduledata.types`.
    pub pkg_path: u32,
}

/// The offset of a field that every release has.
const fn always(structure: &Structure, path: &str, release: Release) -> u32 {
    match structure.offset(path, release) {
        Some(offset) => offset,
        None => panic!("a release without that field"),
    }
}

/// The offset and width of a field that was renamed.
const fn renamed(
    structure: &Structure,
    old: &str,
    new: &str,
    release: Release,
) -> Option<(u32, u32)> {
    match structure.find(new, release) {
        Some(place) => Some(place),
        None => structure.find(old, release),
    }
}

pub(super) const fn module(release: Release) -> ModuleLayout {
    let md = &MODULEDATA;
    let Some(size) = md.size_in(release) else {
        panic!("a release without moduledata")
    };
    ModuleLayout {
        size,
        pc_header: md.offset("pcHeader", release),
        funcnametab: md.offset("funcnametab", release),
        cutab: md.offset("cutab", release),
        filetab: always(md, "filetab", release),
        pctab: md.offset("pctab", release),
        pclntable: always(md, "pclntable", release),
        ftab: always(md, "ftab", release),
        findfunctab: always(md, "findfunctab", release),
        minpc: always(md, "minpc", release),
        maxpc: always(md, "maxpc", release),
        text: always(md, "text", release),
        etext: always(md, "etext", release),
        noptrdata: always(md, "noptrdata", release),
        data: always(md, "data", release),
        bss: always(md, "bss", release),
        noptrbss: always(md, "noptrbss", release),
        end: always(md, "end", release),
        types: md.offset("types", release),
        rodata: md.offset("rodata", release),
        gofunc: md.offset("gofunc", release),
        epclntab: md.offset("epclntab", release),
        textsectmap: md.offset("textsectmap", release),
        modulename: always(md, "modulename", release),
        hasmain: md.offset("hasmain", release),
        bad: md.offset("bad", release),
        gcdatamask: always(md, "gcdatamask", release),
        gcbssmask: always(md, "gcbssmask", release),
        next: always(md, "next", release),
    }
}

pub(super) const fn func(release: Release) -> FuncLayout {
    let entry_is_offset = FUNC.offset("entry", release).is_none();
    let Some((name, _)) = renamed(&FUNC, "nameoff", "nameOff", release) else {
        panic!("a release without nameoff")
    };
    let Some((nfuncdata, nfuncdata_width)) = FUNC.find("nfuncdata", release) else {
        panic!("a release without nfuncdata")
    };
    let func_id = FUNC.find("funcID", release);
    FuncLayout {
        // What Go calls the structure may be padded; the offsets of pcdata follow its last field.
        size: nfuncdata + nfuncdata_width,
        entry_is_offset,
        name,
        args: always(&FUNC, "args", release),
        deferreturn: FUNC.offset("deferreturn", release),
        pcsp: always(&FUNC, "pcsp", release),
        npcdata: always(&FUNC, "npcdata", release),
        cu_offset: FUNC.offset("cuOffset", release),
        start_line: FUNC.offset("startLine", release),
        func_id: match func_id {
            Some((offset, _)) => Some(offset),
            None => None,
        },
        func_id_is_32_bits: matches!(func_id, Some((_, 4))),
        flag: FUNC.offset("flag", release),
        nfuncdata,
        nfuncdata_is_32_bits: nfuncdata_width == 4,
        // `moduledata.gofunc` is what they are offsets from.
        funcdata_is_offset: MODULEDATA.offset("gofunc", release).is_some(),
    }
}

pub(super) const fn inline(release: Release) -> Option<InlineLayout> {
    let Some(size) = INLINED_CALL.size_in(release) else {
        return None;
    };
    let name = renamed(&INLINED_CALL, "func_", "nameOff", release);
    match (
        name,
        index("PCDATA_InlTreeIndex", release),
        index("FUNCDATA_InlTree", release),
    ) {
        (Some((name, _)), Some(pcdata), Some(funcdata)) => Some(InlineLayout {
            pcdata,
            funcdata,
            size,
            name,
        }),
        _ => panic!("a release with half an inline tree"),
    }
}

/// A constant that is small and not negative.
pub(super) const fn index(name: &str, release: Release) -> Option<u32> {
    match tables::constant_in(name, false, release) {
        Some(value @ 0..=0xffff_ffff) => Some(value as u32),
        Some(_) => panic!("a constant that does not fit"),
        None => None,
    }
}

pub(super) const fn runtime(release: Release) -> RuntimeOffsets {
    let Some((m_id, m_id_width)) = M.find("id", release) else {
        panic!("a release without m.id")
    };
    RuntimeOffsets {
        g_stack_lo: always(&G, "stack.lo", release),
        g_stack_hi: always(&G, "stack.hi", release),
        g_panic: always(&G, "_panic", release),
        g_m: always(&G, "m", release),
        g_goid: always(&G, "goid", release),
        g_preempt: always(&G, "preempt", release),
        m_g0: always(&M, "g0", release),
        m_gsignal: always(&M, "gsignal", release),
        m_procid: always(&M, "procid", release),
        m_id,
        m_id_is_32_bits: m_id_width == 4,
    }
}

/// The offset of a field in the one of two structures, of `runtime` and of `internal/abi`, that the release has.
const fn one_of(
    (old, old_path): (&Structure, &str),
    (new, new_path): (&Structure, &str),
    release: Release,
) -> u32 {
    match old.offset(old_path, release) {
        Some(offset) => offset,
        None => always(new, new_path, release),
    }
}

/// The same for sizes.
const fn size_of_one(old: &Structure, new: &Structure, release: Release) -> u32 {
    match (old.size_in(release), new.size_in(release)) {
        (Some(size), _) | (None, Some(size)) => size,
        (None, None) => panic!("a release without that structure"),
    }
}

pub(super) const fn types(release: Release) -> TypeLayout {
    let (string, uncommon) = (
        RUNTIME_TYPE.offset("_string", release),
        RUNTIME_TYPE.offset("x", release),
    );
    let shifted = match REFLECT_STRUCT_FIELD.offset("offsetAnon", release) {
        Some(offset) => Some(offset),
        None => REFLECT_STRUCT_FIELD.offset("offsetEmbed", release),
    };
    TypeLayout {
        tflag: match (string, RUNTIME_TYPE.offset("tflag", release)) {
            (Some(_), _) => None,
            (None, Some(offset)) => Some(offset),
            (None, None) => ABI_TYPE.offset("TFlag", release),
        },
        align: one_of((&RUNTIME_TYPE, "align"), (&ABI_TYPE, "Align_"), release),
        kind: one_of((&RUNTIME_TYPE, "kind"), (&ABI_TYPE, "Kind_"), release),
        text: match string {
            Some(offset) => offset,
            None => one_of((&RUNTIME_TYPE, "str"), (&ABI_TYPE, "Str"), release),
        },
        strings: string.is_some(),
        name_varint: release.reaches(NAME_VARINT),
        struct_size: size_of_one(&REFLECT_STRUCT_TYPE, &ABI_STRUCT_TYPE, release),
        struct_fields: one_of(
            (&REFLECT_STRUCT_TYPE, "fields"),
            (&ABI_STRUCT_TYPE, "Fields"),
            release,
        ),
        field_size: size_of_one(&REFLECT_STRUCT_FIELD, &ABI_STRUCT_FIELD, release),
        field_name: one_of(
            (&REFLECT_STRUCT_FIELD, "name"),
            (&ABI_STRUCT_FIELD, "Name"),
            release,
        ),
        field_type: one_of(
            (&REFLECT_STRUCT_FIELD, "typ"),
            (&ABI_STRUCT_FIELD, "Typ"),
            release,
        ),
        field_offset: match shifted {
            Some(offset) => offset,
            None => one_of(
                (&REFLECT_STRUCT_FIELD, "offset"),
                (&ABI_STRUCT_FIELD, "Offset"),
                release,
            ),
        },
        field_offset_shifted: shifted.is_some(),
        uncommon,
        pkg_path: one_of(
            (&RUNTIME_UNCOMMON_TYPE, "pkgpath"),
            (&ABI_UNCOMMON_TYPE, "PkgPath"),
            release,
        ),
    }
}

/// `_panic.argp`, while it is what `recover` compares.
pub(super) const fn panic_argp(release: Release) -> Option<u32> {
    PANIC.offset("argp", release)
}
