//! What one execution did, as plain data that oracles compare.
//!
//! Executors make outcomes and never judge them; oracles judge them and never execute anything.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The general registers in the order of their encoding (Intel SDM volume 2, table 2-2): RAX, RCX, RDX, RBX, RSP, RBP,
/// RSI, RDI, R8 to R15.
pub const REGISTER_NAMES: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15",
];
/// Index of RDX in [`REGISTER_NAMES`].
pub const RDX: usize = 2;
/// Index of RSP in [`REGISTER_NAMES`].
pub const RSP: usize = 4;
/// Index of R14 in [`REGISTER_NAMES`].
pub const R14: usize = 14;

/// The status flags and DF; the other bits of RFLAGS belong to the system.
pub const FLAGS: u64 = 0x0001 | 0x0004 | 0x0010 | 0x0040 | 0x0080 | 0x0400 | 0x0800;

/// Why an execution stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Exit {
    /// Control left the code under test: the next instruction would have been the one at this address.
    At(u64),
    /// An instruction at `pc` could not complete.
    Fault {
        /// Address of that instruction.
        pc: u64,
        /// What kind of fault.
        kind: FaultKind,
    },
    /// It did not leave within the allowed number of instructions.
    Runaway,
}

/// Kinds of faults that executors tell apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// Read of memory that is not there.
    Read,
    /// Write to memory that is not there or not writable.
    Write,
    /// Not an instruction that the executor knows.
    Invalid,
    /// Any other exception.
    Exception,
}

/// The state after an execution, and what it wrote.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// Why it stopped.
    pub exit: Exit,
    /// General registers, by encoding.
    pub registers: [u64; 16],
    /// RFLAGS, masked with [`FLAGS`].
    pub flags: u64,
    /// XMM0 to XMM15, low 64 bits first.
    pub vectors: Vec<[u64; 2]>,
    /// Every byte that was written, with its final value.
    pub writes: BTreeMap<u64, u8>,
}
