//! Sizes of a trampoline's frame, and how much stack it asks for.

use crate::golang::Facts;
use crate::ring::layout::RAW_WORDS;
use crate::site::CalleeStack;

/// Stack that a hook on g0 leaves free below its frame. g0 cannot grow and is 8 KiB up to 1.20 (`runtime/proc.go`,
/// `malg(8192)`), so that hooks only use its upper half; GO-COMPAT §6.5.5 asks for at least 2 KiB.
const G0_RESERVE: u32 = 4096;

/// Offsets from RSP while the frame stands, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Frame {
    /// Exact bytes of arguments, results and spill area (`f.args`), at offset 0.
    pub args: u32,
    /// Entry time stamp.
    pub t0: u32,
    /// Exit time stamp.
    pub t1: u32,
    /// RAX: at entry the argument, at exit the result.
    pub rax: u32,
    /// RDX at entry; the record's position at exit.
    pub rdx: u32,
    /// Raw argument and result words, if they are recorded.
    pub raw: Option<RawSlots>,
    /// What is subtracted from RSP after RBP was pushed.
    pub size: u32,
}

/// Where raw words are kept until the record is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RawSlots {
    pub args: u32,
    pub results: u32,
}

impl Frame {
    /// The frame for a callee with `args` bytes of stack arguments; `None` if that is absurdly large.
    pub(crate) fn new(args: u32, raw: bool) -> Option<Self> {
        let t0 = args
            .checked_next_multiple_of(8)
            .filter(|&size| size <= 1 << 20)?;
        let words = 8 * RAW_WORDS as u32;
        let raw_slots = RawSlots {
            args: t0 + 32,
            results: t0 + 32 + words,
        };
        let size = if raw {
            raw_slots.results + words
        } else {
            t0 + 32
        };
        Some(Self {
            args,
            t0,
            t1: t0 + 8,
            rax: t0 + 16,
            rdx: t0 + 24,
            raw: raw.then_some(raw_slots),
            size,
        })
    }

    /// Offset of the caller's argument area: above the frame lie the saved RBP and the return address.
    pub(crate) fn caller_args(&self) -> u32 {
        self.size + 16
    }

    /// Bytes that must be free below RSP at entry, on a goroutine's stack and on g0.
    pub(crate) fn need(&self, callee: CalleeStack, facts: &Facts, race: bool) -> (u32, u32) {
        let below = match callee {
            CalleeStack::Checked => 16,
            CalleeStack::Leaf(frame) => frame.saturating_add(16),
            CalleeStack::Nosplit => facts.nosplit_limit(race).saturating_add(8),
        };
        let need = (self.size + 16).saturating_add(below);
        (need, need.max(self.size + 16 + G0_RESERVE))
    }
}
