//! What differs between Go versions, as data with its source. No other room compares version numbers.
//!
//! [`Facts::for_version`] is the one entry: from a [`GoVersion`] to every layout, number and rule that holds for it.
//! Byte offsets are from the start of the structure. Source of each table: the Go file named at it, at the tags
//! `go1.5` to `go1.27`.

mod facts;
mod layouts;
pub mod policy;
mod version;

pub use facts::{NEWEST, OLDEST, Unsupported};
pub use layouts::{FuncLayout, InlineLayout};
pub use version::{GoVersion, NotAVersion, PreRelease};

/// The four generations of the line table (`runtime.pcln`), by magic number (`debug/gosym/pclntab.go`).
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, serde::Serialize, serde::Deserialize,
)]
pub enum PclntabGeneration {
    /// `0xfffffffb`, Go 1.2 to 1.15.
    Go1_2,
    /// `0xfffffffa`, Go 1.16 and 1.17.
    Go1_16,
    /// `0xfffffff0`, Go 1.18 and 1.19.
    Go1_18,
    /// `0xfffffff1`, Go 1.20 and later.
    Go1_20,
}

impl PclntabGeneration {
    /// All of them, oldest first.
    pub const ALL: [Self; 4] = [Self::Go1_2, Self::Go1_16, Self::Go1_18, Self::Go1_20];

    /// The first four bytes of the line table, as a little-endian number.
    #[must_use]
    pub const fn magic(self) -> u32 {
        match self {
            Self::Go1_2 => 0xffff_fffb,
            Self::Go1_16 => 0xffff_fffa,
            Self::Go1_18 => 0xffff_fff0,
            Self::Go1_20 => 0xffff_fff1,
        }
    }

    /// The oldest supported version that has it. The start of `moduledata`, up to `enoptrbss`, is the same in all
    /// versions of one generation.
    #[must_use]
    pub const fn oldest(self) -> GoVersion {
        match self {
            Self::Go1_2 => GoVersion::new(OLDEST, 0),
            Self::Go1_16 => GoVersion::new(16, 0),
            Self::Go1_18 => GoVersion::new(18, 0),
            Self::Go1_20 => GoVersion::new(20, 0),
        }
    }
}

/// Which registers and stack slots carry arguments (`cmd/compile/abi-internal.md`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub enum Abi {
    /// Everything on the stack: all code up to 1.16, assembly and ABI wrappers later.
    Abi0,
    /// Arguments in registers, g in R14, X15 zero: compiled code from 1.17.
    AbiInternal,
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
    /// Bytes that a chain of nosplit functions may use below the stack guard
    /// (`cmd/internal/objabi/stack.go`: guard - small - system), without the race detector.
    pub nosplit_limit: u32,
    /// The factor on [`Facts::nosplit_limit`] in race builds (2 from 1.20, else 1).
    pub race_stack_factor: u32,
    /// Whether tracebacks and `runtime.Callers` leave out wrapper frames (1.12 and later). Where they do not, a frame
    /// hook adds one frame.
    pub elides_wrappers: bool,
    /// Functions keep RBP for their callers (`cmd/internal/obj/go.go`, `framepointer_enabled`).
    pub frame_pointers: bool,
}
