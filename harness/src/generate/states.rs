//! A seed -> the register and memory states in which a function's first instructions are tried.
//!
//! A state owns its memory (stack, `g`, `m`, thread-local storage, a data area), so an executor can have all states in
//! memory at once and switch between them by loading registers only.
//! Never knows a function: which state a function is tried in is the executor's business.

use gondwana_engine::golang::{Abi, Facts};
use serde::{Deserialize, Serialize};

use crate::outcome::{R14, RDX, RSP};

/// Bytes of one state's memory.
pub const STATE_SIZE: u64 = 0x2_0000;
/// Offset of the stack's lowest byte in a state's memory.
const STACK_LO: u64 = 0x0;
/// Offset of one past the stack's highest byte.
const STACK_HI: u64 = 0x1_0000;
const G: u64 = 0x1_0400;
const M: u64 = 0x1_1000;
const TLS: u64 = 0x1_2800;
const DATA: u64 = 0x1_3000;
/// `g.stackguard0` and `g.stackguard1` (`runtime/runtime2.go`: "stack" is the first field; every version).
const G_STACKGUARD0: u64 = 16;
const G_STACKGUARD1: u64 = 24;
/// `g.stackguard0 - g.stack.lo`; the value of 1.15 and later. Its exact size changes nothing here.
const STACK_GUARD: u64 = 928;
/// `g.stackguard0` where there is enough stack: so low that the largest frame fits above it, and with low 32 bits above
/// those of RSP, so that a comparison of half the width is seen. What no code reads or writes need not be there.
const LOW_GUARD: u64 = 0xbf_8000_0000;
/// `stackPreempt` (`runtime/stack.go`): `g.stackguard0` when the goroutine is asked to yield.
const STACK_PREEMPT: u64 = 0xffff_ffff_ffff_fade;

/// How much stack the function finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stack {
    /// The stack check succeeds.
    Enough,
    /// RSP lies at `stackguard0`: the check fails.
    Short,
    /// `stackguard0` is poisoned, to make the goroutine yield: the check fails.
    Preempt,
}

/// Registers and memory before an execution.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct State {
    /// The seed that it was made from.
    pub seed: u64,
    /// What the stack check must find.
    pub stack: Stack,
    /// General registers, by encoding; RSP included.
    pub registers: [u64; 16],
    /// RFLAGS.
    pub flags: u64,
    /// XMM0 to XMM15, low half first.
    pub vectors: [[u64; 2]; 16],
    /// Base of the segment FS.
    pub fs_base: u64,
    /// Where its memory lies.
    pub base: u64,
    /// Address of `g`.
    pub g: u64,
}

/// What a state must agree with.
#[derive(Clone, Copy, Debug)]
pub struct Target<'f> {
    /// Layouts of the binary's Go version.
    pub facts: &'f Facts,
    /// Offset of g from FS.
    pub tls_g: i32,
    /// Where calls return to.
    pub return_to: u64,
}

/// Stack, and a data area at the given address: returns the state and its memory, [`STATE_SIZE`] bytes.
#[must_use]
pub fn make(target: Target<'_>, seed: u64, stack: Stack, base: u64) -> (State, Vec<u8>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut memory = vec![0u8; STATE_SIZE as usize];
    random.fill(&mut memory);

    let (stack_lo, stack_hi) = (base + STACK_LO, base + STACK_HI);
    let (g, m, fs_base) = (base + G, base + M, base + TLS);
    let guard = stack_lo + STACK_GUARD;
    let data = base + DATA;

    let offsets = target.facts.runtime;
    // Code for the system stack looks at the second guard: it gives the same answer with another value.
    let (first, second) = match stack {
        Stack::Enough => (LOW_GUARD, LOW_GUARD - u64::from(random.u16(..))),
        Stack::Short => (guard, guard + u64::from(random.u16(..)) * 8),
        Stack::Preempt => (STACK_PREEMPT, u64::MAX),
    };
    put(
        &mut memory,
        base,
        g + u64::from(offsets.g_stack_lo),
        stack_lo,
    );
    put(
        &mut memory,
        base,
        g + u64::from(offsets.g_stack_hi),
        stack_hi,
    );
    put(&mut memory, base, g + G_STACKGUARD0, first);
    put(&mut memory, base, g + G_STACKGUARD1, second);
    // A panic is under way in every other state, so that the code of wrapper functions goes both ways.
    put(
        &mut memory,
        base,
        g + u64::from(offsets.g_panic),
        if seed.is_multiple_of(2) { 0 } else { data },
    );
    put(&mut memory, base, g + u64::from(offsets.g_m), m);
    put(&mut memory, base, m + u64::from(offsets.m_g0), data + 0x100);
    put(
        &mut memory,
        base,
        m + u64::from(offsets.m_gsignal),
        data + 0x500,
    );
    put(
        &mut memory,
        base,
        fs_base.wrapping_add_signed(i64::from(target.tls_g)),
        g,
    );

    let mut registers = [0u64; 16];
    for register in &mut registers {
        *register = match random.u8(..) % 8 {
            0 => 0,
            1 => u64::from(random.u8(..)),
            2 => random.u64(..) | 1 << 63,
            3 => u64::MAX,
            4 => random.u64(..),
            // Most words that Go code holds are pointers.
            _ => data + u64::from(random.u16(..) & 0x3ff8),
        };
    }
    registers[RSP] = match stack {
        Stack::Enough | Stack::Preempt => stack_hi - 0x800 - u64::from(random.u8(..)) * 8,
        // Every other time the least that is too little: the comparison is "below or equal".
        Stack::Short if seed.is_multiple_of(2) => guard,
        Stack::Short => guard - u64::from(random.u8(..) % 16) * 8,
    };
    registers[R14] = g;
    // The context register points to a closure wherever code reads it (cmd/compile/abi-internal.md).
    registers[RDX] = data + u64::from(random.u16(..) & 0x3ff8);
    put(&mut memory, base, registers[RSP], target.return_to);

    let vectors = std::array::from_fn(|i| match i {
        // X15 is zero at every ABIInternal entry (cmd/compile/abi-internal.md).
        15 => [0, 0],
        _ => [random.u64(..), random.u64(..)],
    });
    let state = State {
        seed,
        stack,
        registers,
        flags: 2 | (random.u64(..) & (crate::outcome::FLAGS & !0x400)),
        vectors,
        fs_base,
        base,
        g,
    };
    (state, memory)
}

impl State {
    /// This state as a function of the other ABI finds it: R14 holds g only in ABIInternal.
    #[must_use]
    pub fn registers_for(&self, abi: Abi) -> [u64; 16] {
        let mut registers = self.registers;
        if abi == Abi::Abi0 {
            registers[R14] = self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        registers
    }
}

fn put(memory: &mut [u8], base: u64, at: u64, value: u64) {
    let Some(offset) = at.checked_sub(base).and_then(|o| usize::try_from(o).ok()) else {
        return;
    };
    if let Some(place) = memory.get_mut(offset..offset.saturating_add(8)) {
        place.copy_from_slice(&value.to_le_bytes());
    }
}
