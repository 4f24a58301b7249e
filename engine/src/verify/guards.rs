//! The guards at a trampoline's start, as a decision procedure over named conditions.
//!
//! A path is the set of conditions that it tested. Asked with these answers, the procedure gives the outcome that the path
//! must have; a question that the path left open is a missing guard.

use crate::ring::layout::{SKIPPED_DEEP, SKIPPED_GSIGNAL, SKIPPED_NO_G, SKIPPED_NO_ROOM};
use crate::site::CalleeStack;

use super::RejectionCode as Code;
use super::spec::{Spec, Wrong, wrong};
use super::symbolic::state::{Condition, RSP, below, equal, zero};
use super::symbolic::term::{Atom, Byte, Phase, Terms, Val};

/// What a call of `morestack` and of the function itself take below the frame when the function grows the stack itself.
const CHECKED_NEED: i64 = 16;
/// Bytes that must be left on g0, which cannot grow, below the frame and its two pushed words.
const G0_NEED: i64 = 4096;
/// A stack with its frames of hooks may take one part in so many of the limit. Less than twice what a stack can have is
/// allowed (it doubles), so that this is at most 1/64 of what there is.
const STACK_PARTS: u64 = 128;
/// The limit that no program can raise (`runtime/proc.go`, `maxstackceiling`, 1.16 and later).
const STACK_CEILING: u64 = 2_000_000_000;
/// The limit that is assumed where its variable is not known: the runtime's own at its start (`runtime/stack.go`).
pub(super) const STACK_INITIAL: u64 = 1 << 20;

/// What a path must come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// Count at this offset of the mapping's header and run the function without the hook.
    Skip(u64),
    /// Run the function: its return address is the thunk already.
    Reentered,
    /// Make the frame and call the function.
    Hooked,
}

impl Spec<'_> {
    /// What the function may use below its entry without asking.
    fn callee_need(&self) -> i64 {
        match self.hook.callee_stack {
            CalleeStack::Checked => CHECKED_NEED,
            CalleeStack::Leaf(frame) => i64::from(frame) + CHECKED_NEED,
            CalleeStack::Nosplit => i64::from(self.facts.nosplit_limit(self.race)) + 8,
        }
    }

    /// The outcome that the guards demand, given what a path tested; every condition asked for is taken off `left`.
    pub(super) fn decide(
        &self,
        terms: &mut Terms,
        left: &mut Vec<(Condition, bool)>,
        frame: i64,
    ) -> Result<Outcome, Wrong> {
        let phase = Phase::Entry;
        let g = self.g(terms, phase);
        let runtime = &self.facts.runtime;
        let is_nil = zero(terms, g);
        if ask(left, is_nil, "g == nil")? {
            return Ok(Outcome::Skip(SKIPPED_NO_G));
        }
        let m = self.m(terms, phase);
        let is_nil = zero(terms, m);
        if ask(left, is_nil, "g.m == nil")? {
            return Ok(Outcome::Skip(SKIPPED_NO_G));
        }
        let gsignal = self.field(terms, phase, m, runtime.m_gsignal, 8);
        let same = equal(terms, g, gsignal);
        if ask(left, same, "g == m.gsignal")? {
            return Ok(Outcome::Skip(SKIPPED_GSIGNAL));
        }
        let back: [Byte; 8] = std::array::from_fn(|i| Byte::Initial(i as i64));
        let back = terms.join(back);
        let thunk = terms.constant(self.hook.trampoline.thunk.get());
        let same = equal(terms, back, thunk);
        if ask(left, same, "[rsp] == thunk")? {
            return Ok(Outcome::Reentered);
        }
        let g0 = self.field(terms, phase, m, runtime.m_g0, 8);
        let same = equal(terms, g, g0);
        let on_g0 = ask(left, same, "g == m.g0")?;
        let need = frame + 16 + self.callee_need();
        let need = if on_g0 {
            need.max(frame + 16 + G0_NEED)
        } else {
            need
        };
        let rsp = terms.atom(Atom::Register(phase, RSP as u8));
        let lowest = terms.offset(rsp, -need);
        let lo = self.field(terms, phase, g, runtime.g_stack_lo, 8);
        let (short, negated) = below(terms, lowest, lo);
        let name = || format!("rsp - {need:#x} < stack.lo");
        if ask(left, short, &name())? != negated {
            return Ok(Outcome::Skip(SKIPPED_NO_ROOM));
        }
        let hi = self.field(terms, phase, g, runtime.g_stack_hi, 8);
        let (off, negated) = below(terms, hi, rsp);
        if ask(left, off, "rsp > stack.hi")? != negated {
            return Ok(Outcome::Skip(SKIPPED_NO_ROOM));
        }
        // What is between the top of the stack and the lowest byte that the hook asks for. Both lie in the stack here, so
        // that the multiple does not wrap.
        let taken = terms.sub(hi, lowest);
        let taken = terms.scale(taken, STACK_PARTS);
        if self.is_deep(terms, left, taken)? && !on_g0 {
            return Ok(Outcome::Skip(SKIPPED_DEEP));
        }
        Ok(Outcome::Hooked)
    }

    /// Whether `taken`, a multiple of the stack that is in use, is above the limit.
    fn is_deep(
        &self,
        terms: &mut Terms,
        left: &mut Vec<(Condition, bool)>,
        taken: Val,
    ) -> Result<bool, Wrong> {
        let mut bound = STACK_INITIAL;
        if let Some(variable) = self.max_stack {
            let limits = left.iter().filter_map(|&(condition, _)| match condition {
                Condition::Below(limit, other) if other == taken => Some(limit),
                _ => None,
            });
            let variable = terms.constant(variable);
            let read = limits.into_iter().find(|&limit| {
                matches!(
                    terms.as_atom(limit),
                    Some(&Atom::Load { phase: Phase::Entry, address, width: 8, .. }) if address == variable
                )
            });
            let Some(limit) = read else {
                return Err(wrong(
                    Code::Guards,
                    "a path without a test",
                    "the test whether 128 * (stack.hi - lowest) > maxstacksize",
                ));
            };
            if ask(
                left,
                Condition::Below(limit, taken),
                "128 * depth > maxstacksize",
            )? {
                return Ok(true);
            }
            bound = STACK_CEILING;
        }
        let bound = terms.constant(bound);
        let (above, negated) = below(terms, bound, taken);
        Ok(ask(left, above, "128 * depth > the fixed limit")? != negated)
    }
}

/// The answer that a path gives to a question; `Err` if it did not ask it.
pub(super) fn ask(
    left: &mut Vec<(Condition, bool)>,
    condition: Condition,
    name: &str,
) -> Result<bool, Wrong> {
    match left.iter().position(|(known, _)| *known == condition) {
        Some(i) => Ok(left.remove(i).1),
        None => Err(wrong(
            Code::Guards,
            "a path without a test",
            format!("the test whether {name}"),
        )),
    }
}
