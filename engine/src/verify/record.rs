//! The last part of a trampoline: the record of the call, in the ring of this M or in the shared one, or its loss.

use crate::golang::Abi;
use crate::ring::layout::{Kind, RAW_WORDS, RECORD_SIZE, RING_HEAD, RING_LOST, RING_TAIL};

use super::RejectionCode as Code;
use super::guards::ask;
use super::spec::{Spec, Wrong, wrong};
use super::symbolic::show::{show_events, show_path};
use super::symbolic::state::{Condition, Event, State};
use super::symbolic::term::{Atom, Byte, Phase, Terms, Val};

/// RAX RBX RCX RDI RSI R8 R9, by their numbers in the encoding: the first integer arguments and results of ABIInternal.
const RAW_REGISTERS: [u8; RAW_WORDS] = [0, 3, 1, 7, 6, 8, 9];
const RECORD: usize = RECORD_SIZE as usize;
/// Bytes of the sequence word.
const SEQUENCE: usize = 4;

/// What a trampoline may read of a ring: how far it is filled.
pub(super) fn readable(offset: i64, width: u8) -> bool {
    width == 8 && (offset == RING_HEAD.cast_signed() || offset == RING_TAIL.cast_signed())
}

/// Checks what one path to the end did to the rings.
pub(super) fn check(
    spec: &Spec<'_>,
    terms: &mut Terms,
    state: &State,
    frame: i64,
) -> Result<(), Wrong> {
    let mut left = state.path.clone();
    let owns = spec.owns_ring(terms, Phase::Exit);
    let own = ask(&mut left, owns, "m.id < rings")?;
    let base = spec.ring_base(terms, Phase::Exit, own);
    let records: u64 = if spec.hook.options.raw { 3 } else { 1 };

    // Exactly one more test: whether the records fit.
    let [(condition, truth)] = *left.as_slice() else {
        return Err(wrong(
            Code::Record,
            show_path(terms, &left),
            "one test: whether the ring is full",
        ));
    };
    let head = fill(spec, terms, condition, base, records).ok_or_else(|| {
        wrong(
            Code::Record,
            show_path(terms, &left),
            format!(
                "a test of head - tail + {records} > {}",
                spec.geometry.slots
            ),
        )
    })?;
    if truth {
        published(spec, terms, state, frame, own, base, head, records)
    } else {
        let lost = [Event::Add {
            address: terms.offset(base, RING_LOST.cast_signed()),
            width: 8,
            by: terms.constant(1),
            locked: !own,
        }];
        if state.events == lost {
            Ok(())
        } else {
            Err(wrong(
                Code::Record,
                show_events(terms, &state.events),
                show_events(terms, &lost),
            ))
        }
    }
}

/// The head in a condition that means "not full": `head - tail <= slots - records`.
fn fill(
    spec: &Spec<'_>,
    terms: &mut Terms,
    condition: Condition,
    base: Val,
    records: u64,
) -> Option<Val> {
    let Condition::Below(used, bound) = condition else {
        return None;
    };
    let bound = terms.as_constant(bound)?;
    let added = terms.linear(used).constant;
    let limit = u64::from(spec.geometry.slots).checked_sub(records)?;
    if added > records || bound.checked_sub(added)? != limit + 1 {
        return None;
    }
    let used = terms.offset(used, added.cast_signed().wrapping_neg());
    // used = head - tail, both read from this ring
    let (head, tail) = terms.difference(used)?;
    let place = |terms: &mut Terms, value: Val| match terms.as_atom(value) {
        Some(&Atom::Load {
            phase: Phase::Exit,
            address,
            width: 8,
            ..
        }) => terms.distance(address, base),
        _ => None,
    };
    let right = place(terms, head) == Some(RING_HEAD.cast_signed())
        && place(terms, tail) == Some(RING_TAIL.cast_signed());
    right.then_some(head)
}

/// The records of a call are written, each byte once, and published by what is written last.
#[expect(
    clippy::too_many_arguments,
    reason = "the parts of one place in the ring, used once"
)]
fn published(
    spec: &Spec<'_>,
    terms: &mut Terms,
    state: &State,
    frame: i64,
    own: bool,
    base: Val,
    head: Val,
    records: u64,
) -> Result<(), Wrong> {
    let next = terms.offset(head, records.cast_signed());
    let head_at = terms.offset(base, RING_HEAD.cast_signed());
    let stores = if own {
        let publish = Event::Store {
            address: head_at,
            width: 8,
            value: next,
        };
        // Nobody else writes this head, so adding to it stores the same.
        let add = Event::Add {
            address: head_at,
            width: 8,
            by: terms.constant(records),
            locked: false,
        };
        match state.events.split_last() {
            Some((last, stores)) if *last == publish || *last == add => stores,
            _ => {
                return Err(wrong(
                    Code::Order,
                    show_events(terms, &state.events),
                    format!("{} last", show_events(terms, &[publish])),
                ));
            }
        }
    } else {
        let reserve = Event::Exchange {
            address: head_at,
            width: 8,
            expected: head,
            value: next,
        };
        match state.events.split_first() {
            Some((first, stores)) if *first == reserve => stores,
            _ => {
                return Err(wrong(
                    Code::Order,
                    show_events(terms, &state.events),
                    format!("{} first", show_events(terms, &[reserve])),
                ));
            }
        }
    };
    let mut written = 0;
    for record in 0..records {
        let at = record_address(spec, terms, base, head, record);
        let expected = contents(spec, terms, state, frame, head, record);
        written += one(terms, stores, at, &expected, own)?;
    }
    if written != stores.len() {
        return Err(wrong(
            Code::Record,
            show_events(terms, stores),
            format!("stores into {records} record(s) alone"),
        ));
    }
    // Whoever sees the first record of a call looks at the others without asking whether they are there.
    let first = record_address(spec, terms, base, head, 0);
    if own
        || stores
            .last()
            .is_some_and(|last| publishes(terms, last, first))
    {
        Ok(())
    } else {
        Err(wrong(
            Code::Order,
            show_events(terms, stores),
            "the sequence word of the first record written last of all",
        ))
    }
}

/// Whether a store writes the sequence word of the record at `at`.
fn publishes(terms: &Terms, store: &Event, at: Val) -> bool {
    match *store {
        Event::Store { address, .. } => terms
            .distance(address, at)
            .is_some_and(|place| (0..SEQUENCE as i64).contains(&place)),
        _ => false,
    }
}

/// Where record `head + k` lies.
fn record_address(spec: &Spec<'_>, terms: &mut Terms, base: Val, head: Val, k: u64) -> Val {
    let index = terms.offset(head, k.cast_signed());
    let mask = terms.constant(u64::from(spec.geometry.slots).wrapping_sub(1));
    let slot = terms.and(index, mask);
    let distance = terms.scale(slot, RECORD_SIZE);
    let records = terms.offset(base, spec.geometry.records().cast_signed());
    terms.add(records, distance)
}

/// Compares the stores into one record with what it must hold; the answer is how many there were.
fn one(
    terms: &mut Terms,
    stores: &[Event],
    at: Val,
    expected: &[Byte; RECORD],
    own: bool,
) -> Result<usize, Wrong> {
    let mut found = [Byte::Undefined; RECORD];
    let (mut count, mut sequenced) = (0, false);
    for event in stores {
        let Event::Store {
            address,
            width,
            value,
        } = *event
        else {
            return Err(wrong(
                Code::Record,
                show_events(terms, stores),
                "plain stores",
            ));
        };
        let place = terms
            .distance(address, at)
            .and_then(|d| usize::try_from(d).ok());
        let Some(place) = place.filter(|&place| place < RECORD) else {
            continue;
        };
        count += 1;
        // Readers of the shared ring take the sequence word as the sign that the record is whole.
        if sequenced && !own {
            return Err(wrong(
                Code::Order,
                show_events(terms, stores),
                "the sequence word written last",
            ));
        }
        sequenced |= place < SEQUENCE;
        let bytes = terms.bytes(value);
        for (i, byte) in bytes.into_iter().enumerate().take(usize::from(width)) {
            match found.get_mut(place + i) {
                Some(slot @ Byte::Undefined) => *slot = byte,
                _ => {
                    return Err(wrong(
                        Code::Record,
                        format!("byte {} written twice or outside", place + i),
                        "each byte once",
                    ));
                }
            }
        }
    }
    match found.iter().zip(expected).position(|(a, b)| a != b) {
        None => Ok(count),
        Some(i) => {
            let word = |terms: &mut Terms, bytes: &[Byte; RECORD]| {
                let word = std::array::from_fn(|k| {
                    bytes.get(i / 8 * 8 + k).copied().unwrap_or(Byte::Undefined)
                });
                let value = terms.join(word);
                format!("word {}: {}", i / 8, terms.show(value))
            };
            Err(wrong(
                Code::Record,
                word(terms, &found),
                word(terms, expected),
            ))
        }
    }
}

/// The 64 bytes of record `k` of a call.
fn contents(
    spec: &Spec<'_>,
    terms: &mut Terms,
    state: &State,
    frame: i64,
    head: Val,
    k: u64,
) -> [Byte; RECORD] {
    let phase = Phase::Exit;
    let kind = match (spec.hook.options.raw, k) {
        (false, _) => Kind::Span,
        (true, 0) => Kind::SpanRaw,
        (true, 1) => Kind::Args,
        (true, _) => Kind::Results,
    };
    let words = match kind {
        Kind::Span | Kind::SpanRaw => {
            let g = spec.g(terms, phase);
            let m = spec.m(terms, phase);
            let hi = spec.field(terms, phase, g, spec.facts.runtime.g_stack_hi, 8);
            [
                time(terms, Phase::Entry),
                time(terms, phase),
                spec.field(terms, phase, g, spec.facts.runtime.g_goid, 8),
                spec.field(terms, phase, m, spec.facts.runtime.m_procid, 8),
                terms.sub(hi, state.base),
                spec.m_id(terms, phase),
                terms.constant(0),
            ]
        }
        Kind::Args => std::array::from_fn(|i| raw_word(spec, terms, Phase::Entry, frame, i)),
        Kind::Results => std::array::from_fn(|i| raw_word(spec, terms, phase, frame, i)),
    };
    let mut out = [Byte::Known(0); RECORD];
    let sequence = terms.offset(head, k.cast_signed().wrapping_add(1));
    let sequence = terms.bytes(sequence);
    let tag = terms.constant(u64::from(spec.hook.id | (kind as u32) << 24));
    let tag = terms.bytes(tag);
    let head_word = sequence
        .iter()
        .take(SEQUENCE)
        .chain(tag.iter().take(4))
        .copied();
    let rest = words.iter().flat_map(|word| terms.bytes(*word));
    for (slot, byte) in out.iter_mut().zip(head_word.chain(rest)) {
        *slot = byte;
    }
    out
}

/// The first time stamp of a phase: both halves in one word.
fn time(terms: &mut Terms, phase: Phase) -> Val {
    let low = terms.atom(Atom::Tsc {
        phase,
        n: 0,
        high: false,
    });
    let high = terms.atom(Atom::Tsc {
        phase,
        n: 0,
        high: true,
    });
    let high = terms.scale(high, 1 << 32);
    terms.or(high, low)
}

/// Raw word `i` at entry or exit: a register, or a word of the argument area.
fn raw_word(spec: &Spec<'_>, terms: &mut Terms, phase: Phase, frame: i64, i: usize) -> Val {
    if spec.hook.abi == Abi::AbiInternal {
        let number = RAW_REGISTERS.get(i).copied().unwrap_or_default();
        return terms.atom(Atom::Register(phase, number));
    }
    if i >= (spec.hook.args / 8) as usize {
        return terms.constant(0);
    }
    let at = 8 * i as i64;
    terms.join(std::array::from_fn(|b| match phase {
        Phase::Entry => Byte::Initial(8 + at + b as i64),
        Phase::Exit => Byte::Callee(at + b as i64 - frame - 8),
    }))
}
