//! The instructions of a trampoline, as places to break.

use gondwana_engine::addr::RunAddr;
use gondwana_engine::listing::listing;
use gondwana_engine::plan::PlannedHook;
use iced_x86::{Decoder, DecoderOptions, Instruction};

/// An instruction of a trampoline.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Site {
    /// Its offset.
    pub(crate) offset: u32,
    /// Its length.
    pub(crate) length: u32,
    /// It, with offsets in place of addresses.
    pub(crate) text: String,
}

impl std::fmt::Display for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:03x} {}", self.offset, self.text)
    }
}

/// The instructions of one trampoline, given its bytes.
pub(crate) fn instructions(hook: &PlannedHook, bytes: &[u8]) -> Vec<Instruction> {
    let start = hook.trampoline.start.get();
    Decoder::with_ip(64, bytes, start, DecoderOptions::NONE)
        .into_iter()
        .collect()
}

/// As [`instructions`], as places.
pub(crate) fn sites(hook: &PlannedHook, bytes: &[u8]) -> Vec<Site> {
    let start = hook.trampoline.start;
    instructions(hook, bytes)
        .iter()
        .map(|instruction| Site {
            offset: (instruction.ip() - start.get()) as u32,
            length: instruction.len() as u32,
            text: text(instruction, hook, bytes),
        })
        .collect()
}

/// The instruction; branches name their target by its offset, and the ones out of the trampoline by the function's.
fn text(instruction: &Instruction, hook: &PlannedHook, bytes: &[u8]) -> String {
    let span = hook.trampoline;
    let target = instruction.near_branch_target();
    if target == 0 {
        let at = (instruction.ip() - span.start.get()) as usize;
        let own = bytes.get(at..at + instruction.len()).unwrap_or_default();
        let lines = listing(own, RunAddr::new(instruction.ip()), |_| None);
        let words: Vec<&str> = lines.split_whitespace().skip(2).collect();
        return words.join(" ");
    }
    let mnemonic = format!("{:?}", instruction.mnemonic()).to_lowercase();
    match target.checked_sub(span.start.get()) {
        Some(offset) if target < span.end.get() => format!("{mnemonic} {offset:03x}"),
        _ => format!("{mnemonic} entry+{}", target.wrapping_sub(hook.entry.get())),
    }
}
