//! What the executor knows at one instruction: registers, the stack, what was tested, what was done to the world.

use std::collections::BTreeMap;

use super::term::{Atom, Byte, Phase, Terms, Val};

/// RAX, RCX, … in the encoding's order.
pub(in crate::verify) const RAX: usize = 0;
pub(in crate::verify) const RDX: usize = 2;
pub(in crate::verify) const RSP: usize = 4;
pub(in crate::verify) const RBP: usize = 5;

/// What a conditional jump tested, in one form for each meaning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(in crate::verify) enum Condition {
    /// The value (a difference, in one of its two signs) is zero.
    Zero(Val),
    /// Unsigned `.0 < .1`.
    Below(Val, Val),
}

/// What happened to memory outside the stack, in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::verify) enum Event {
    /// A plain store.
    Store { address: Val, width: u8, value: Val },
    /// An addition in memory.
    Add {
        address: Val,
        width: u8,
        by: Val,
        locked: bool,
    },
    /// A `lock cmpxchg` that found `expected` and stored `value`.
    Exchange {
        address: Val,
        width: u8,
        expected: Val,
        value: Val,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flags {
    /// Not to be tested.
    Unknown,
    /// Of `.0 - .1` on `.2` bytes.
    Compare(Val, Val, u8),
    /// ZF and SF of a result of `.1` bytes.
    Result(Val, u8),
    /// ZF alone.
    Zero(bool),
}

/// A place that a backward jump goes to, as the path found it.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) ip: u64,
    pub(super) regs: [Val; 16],
    pub(super) stack_writes: u32,
    pub(super) events: usize,
    pub(super) path: usize,
    pub(super) failed_exchanges: u32,
}

/// One path so far.
#[derive(Clone, Debug)]
pub(in crate::verify) struct State {
    pub(in crate::verify) phase: Phase,
    pub(in crate::verify) ip: u64,
    pub(in crate::verify) regs: [Val; 16],
    /// By distance from the entry's RSP, in units of 8 bytes.
    stack: BTreeMap<i64, [Byte; 8]>,
    /// RSP at the hooked function's entry, as this phase names it.
    pub(in crate::verify) base: Val,
    pub(super) flags: Flags,
    pub(in crate::verify) path: Vec<(Condition, bool)>,
    pub(in crate::verify) events: Vec<Event>,
    pub(super) tsc: u32,
    pub(super) failed_exchanges: u32,
    pub(super) stack_writes: u32,
    pub(super) marks: Vec<Mark>,
    pub(super) generalised: Option<(u64, [Val; 16])>,
}

impl State {
    /// The state at a function's entry: every register and every byte of the stack is what it is.
    pub(in crate::verify) fn at_entry(terms: &mut Terms, ip: u64) -> Self {
        let regs = std::array::from_fn(|n| terms.atom(Atom::Register(Phase::Entry, n as u8)));
        Self::new(Phase::Entry, ip, regs, BTreeMap::new())
    }

    /// A state in which nothing has happened yet in its phase.
    fn new(phase: Phase, ip: u64, regs: [Val; 16], stack: BTreeMap<i64, [Byte; 8]>) -> Self {
        Self {
            phase,
            ip,
            regs,
            stack,
            base: regs[RSP],
            flags: Flags::Unknown,
            path: Vec::new(),
            events: Vec::new(),
            tsc: 0,
            failed_exchanges: 0,
            stack_writes: 0,
            marks: Vec::new(),
            generalised: None,
        }
    }

    /// The state when the function called with `self` has returned to `ip`: RSP is where it was, the frame holds what it
    /// held but for the `args` bytes at its bottom, every other register is new.
    pub(in crate::verify) fn after_call(
        &self,
        terms: &mut Terms,
        ip: u64,
        args: u32,
    ) -> Option<Self> {
        let depth = self.stack_offset(terms, self.regs[RSP])?;
        let mut regs: [Val; 16] =
            std::array::from_fn(|n| terms.atom(Atom::Register(Phase::Exit, n as u8)));
        let base = regs[RSP];
        regs[RSP] = terms.offset(base, depth);
        let mut state = Self {
            base,
            ..Self::new(Phase::Exit, ip, regs, self.stack.clone())
        };
        let end = depth.checked_add(i64::from(args))?;
        for at in depth..end {
            state.set_byte(at, Byte::Callee(at));
        }
        Some(state)
    }

    /// The distance of an address from the entry's RSP, if it is one into the stack.
    pub(in crate::verify) fn stack_offset(&self, terms: &Terms, address: Val) -> Option<i64> {
        terms.distance(address, self.base)
    }

    /// The byte at a distance from the entry's RSP.
    pub(in crate::verify) fn byte(&self, at: i64) -> Byte {
        match self.stack.get(&at.div_euclid(8)) {
            Some(word) => word[at.rem_euclid(8) as usize],
            None if at >= 0 => Byte::Initial(at),
            None => Byte::Undefined,
        }
    }

    pub(in crate::verify) fn set_byte(&mut self, at: i64, byte: Byte) {
        let key = at.div_euclid(8);
        let word = self.stack.entry(key).or_insert_with(|| {
            std::array::from_fn(|i| {
                match key.checked_mul(8).and_then(|x| x.checked_add(i as i64)) {
                    Some(x) if x >= 0 => Byte::Initial(x),
                    _ => Byte::Undefined,
                }
            })
        });
        word[at.rem_euclid(8) as usize] = byte;
    }

    /// Whether the path wrote to the stack at all.
    pub(in crate::verify) fn wrote_stack(&self) -> bool {
        self.stack_writes != 0
    }

    /// The same stack contents, whatever was done to get there.
    pub(in crate::verify) fn same_stack(&self, other: &Self) -> bool {
        self.stack == other.stack
    }

    /// Whether the path settles `condition`.
    pub(in crate::verify) fn decides(&self, condition: Condition) -> Option<bool> {
        self.path
            .iter()
            .find(|(known, _)| *known == condition)
            .map(|&(_, truth)| truth)
    }
}

/// `value == 0`, in the one sign that is used for it.
pub(in crate::verify) fn zero(terms: &mut Terms, value: Val) -> Condition {
    let nothing = terms.constant(0);
    let negated = terms.sub(nothing, value);
    // The two forms are told apart by their contents: ids depend on the order in which values were met.
    if terms.linear(negated) < terms.linear(value) {
        Condition::Zero(negated)
    } else {
        Condition::Zero(value)
    }
}

/// `a == b`.
pub(in crate::verify) fn equal(terms: &mut Terms, a: Val, b: Val) -> Condition {
    let difference = terms.sub(a, b);
    zero(terms, difference)
}

/// Unsigned `a < b`, and whether that is to be negated: against a constant it is always `x < c`.
pub(in crate::verify) fn below(terms: &mut Terms, a: Val, b: Val) -> (Condition, bool) {
    if let (Some(constant), None) = (terms.as_constant(a), terms.as_constant(b)) {
        // c < x is not x < c+1 (c is never the largest number there is where this is used; if it is, no form matches)
        if let Some(next) = constant.checked_add(1) {
            let next = terms.constant(next);
            return (Condition::Below(b, next), true);
        }
    }
    (Condition::Below(a, b), false)
}
