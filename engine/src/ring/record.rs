//! Eight words of a slot -> [`Record`]. Total: any words are a record or malformed.

use super::layout::{Kind, RAW_WORDS};

/// Raw words of one call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RawWords {
    /// At entry.
    pub args: [u64; RAW_WORDS],
    /// At exit.
    pub results: [u64; RAW_WORDS],
}

/// A finished call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Span {
    /// Which hook.
    pub hook: u32,
    /// Time stamp counter at entry.
    pub entry_tsc: u64,
    /// Time stamp counter at exit; less than at entry only if the counters of two CPUs differ.
    pub exit_tsc: u64,
    /// Goroutine id at exit.
    pub goid: u64,
    /// Linux thread id at exit.
    pub tid: u64,
    /// Bytes of the goroutine's stack in use at the call.
    pub depth: u64,
    /// Id of the M at exit.
    pub m: u64,
    /// Raw words, where they were asked for.
    pub raw: Option<Box<RawWords>>,
}

/// What a slot holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// A finished call; `true` if raw words follow in the next two slots.
    Span(Span, bool),
    /// Raw words at entry, of this hook.
    Args(u32, [u64; RAW_WORDS]),
    /// Raw words at exit, of this hook.
    Results(u32, [u64; RAW_WORDS]),
}

/// The sequence number of a slot: low half of its first word.
#[must_use]
pub(super) const fn sequence(first: u64) -> u32 {
    (first & 0xffff_ffff) as u32
}

/// Reads a slot; `None` if it is no record of one of `hooks` hooks.
#[must_use]
pub fn decode(words: &[u64; 8], hooks: u32) -> Option<Record> {
    let [first, rest @ ..] = *words;
    let hook = u32::try_from(first >> 32 & 0x00ff_ffff).ok()?;
    if hook >= hooks {
        return None;
    }
    let kind = first >> 56;
    let is = |wanted: Kind| kind == wanted as u64;
    if is(Kind::Span) || is(Kind::SpanRaw) {
        let [entry_tsc, exit_tsc, goid, tid, depth, m, _] = rest;
        let span = Span {
            hook,
            entry_tsc,
            exit_tsc,
            goid,
            tid,
            depth,
            m,
            raw: None,
        };
        Some(Record::Span(span, is(Kind::SpanRaw)))
    } else if is(Kind::Args) {
        Some(Record::Args(hook, rest))
    } else if is(Kind::Results) {
        Some(Record::Results(hook, rest))
    } else {
        None
    }
}
