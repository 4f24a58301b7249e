//! What differs between Go versions, as data with its source. No other room compares version numbers.
//!
//! [`Facts::for_version`] is the one entry: from a [`GoVersion`] to every layout, number and rule that holds for it.
//! Byte offsets are from the start of the structure. Source of each table: the Go file named at it, at the tags
//! `go1.5` to `go1.27`.

mod deviation;
mod facts;
mod layouts;
pub mod policy;
pub mod tables;
mod version;

pub use deviation::{Deviation, Deviations};
pub use facts::{BuildInfoForm, Facts, NEWEST, OLDEST, Unsupported};
pub use layouts::{FuncLayout, InlineLayout, ModuleLayout, RuntimeOffsets, TypeLayout};
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

/// `abi0` or `abi-internal`, as in the stream and in reports.
impl std::fmt::Display for Abi {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Abi0 => "abi0",
            Self::AbiInternal => "abi-internal",
        })
    }
}
