//! The first half of a trampoline: what a path must have done when it reaches the relocated window.

use crate::golang::Abi;
use crate::ring::layout::RING_ENTERED;

use super::RejectionCode as Code;
use super::guards::{Outcome, ask};
use super::spec::{R12, R13, R14, Spec, Wrong, wrong};
use super::symbolic::machine::End;
use super::symbolic::show::{show_events, show_path};
use super::symbolic::state::{Condition, Event, RBP, RSP, State, equal, zero};
use super::symbolic::term::{Atom, Byte, Phase, Terms};

impl Spec<'_> {
    /// Checks one path of the first half.
    pub(super) fn entry_path(
        &self,
        terms: &mut Terms,
        state: &State,
        end: End,
        frame: i64,
    ) -> Result<(), Wrong> {
        let span = self.hook.trampoline;
        let mut left = state.path.clone();
        let outcome = self.decide(terms, &mut left, frame)?;
        let mut expected = Vec::new();
        match (outcome, end) {
            (Outcome::Skip(counter), End::Window) => {
                expected.push(Event::Add {
                    address: terms.constant(self.ring.wrapping_add(counter)),
                    width: 8,
                    by: terms.constant(1),
                    locked: true,
                });
            }
            (Outcome::Reentered, End::Window) => {}
            (Outcome::Hooked, End::Call { target, next }) => {
                if target != span.reloc.get() || next != span.thunk.get() {
                    return Err(wrong(
                        Code::Frame,
                        format!("a call of {target:#x} that returns to {next:#x}"),
                        format!("of {} and to {}", span.reloc, span.thunk),
                    ));
                }
                expected = self.entry_effects(terms, state, &mut left)?;
            }
            _ => {
                return Err(wrong(
                    Code::Guards,
                    format!("{end:?} after {}", show_path(terms, &state.path)),
                    format!("{outcome:?}"),
                ));
            }
        }
        if !left.is_empty() {
            return Err(wrong(
                Code::Guards,
                format!("a test of {}", show_path(terms, &left)),
                "the tests of the contract alone",
            ));
        }
        let code = match outcome {
            Outcome::Hooked => Code::Frame,
            _ => Code::Skip,
        };
        if !same_events(&state.events, &expected) {
            return Err(wrong(
                code,
                show_events(terms, &state.events),
                show_events(terms, &expected),
            ));
        }
        self.entry_registers(terms, state, outcome, code)?;
        if outcome == Outcome::Hooked {
            self.entry_frame(terms, state)?;
        } else if state.wrote_stack() {
            return Err(wrong(code, "writes to the stack", "none"));
        }
        Ok(())
    }

    /// The counter of entered calls, and `_panic.argp` where it must move.
    fn entry_effects(
        &self,
        terms: &mut Terms,
        state: &State,
        left: &mut Vec<(Condition, bool)>,
    ) -> Result<Vec<Event>, Wrong> {
        let phase = Phase::Entry;
        let owns = self.owns_ring(terms, phase);
        let own = ask(left, owns, "m.id < rings")?;
        let base = self.ring_base(terms, phase, own);
        let counter = RING_ENTERED + 8 * u64::from(self.hook.id);
        let mut expected = vec![Event::Add {
            address: terms.offset(base, counter.cast_signed()),
            width: 8,
            by: terms.constant(1),
            locked: !own,
        }];
        let Some(argp) = self.facts.panic_argp else {
            return Ok(expected);
        };
        let g = self.g(terms, phase);
        let panic = self.field(terms, phase, g, self.facts.runtime.g_panic, 8);
        let is_nil = zero(terms, panic);
        if ask(left, is_nil, "g._panic == nil")? {
            return Ok(expected);
        }
        let found = self.field(terms, phase, panic, argp, 8);
        let ours = terms.offset(state.base, 8);
        let same = equal(terms, found, ours);
        if ask(left, same, "_panic.argp == rsp + 8")? {
            expected.push(Event::Store {
                address: terms.offset(panic, i64::from(argp)),
                width: 8,
                value: state.regs[RSP],
            });
        }
        Ok(expected)
    }

    fn entry_registers(
        &self,
        terms: &mut Terms,
        state: &State,
        outcome: Outcome,
        code: Code,
    ) -> Result<(), Wrong> {
        let hooked = outcome == Outcome::Hooked;
        for n in 0..16 {
            let scratch = n == R12
                || n == R13
                || (n == R14 && self.hook.abi == Abi::Abi0)
                || (hooked && n == RSP);
            let expected = match n {
                RBP if hooked => terms.offset(state.base, -8),
                _ => terms.atom(Atom::Register(Phase::Entry, n as u8)),
            };
            if !scratch && state.regs[n] != expected {
                return Err(wrong(
                    code,
                    format!("register {n} = {}", terms.show(state.regs[n])),
                    terms.show(expected),
                ));
            }
        }
        Ok(())
    }

    /// The saved RBP, and the copy of the arguments.
    fn entry_frame(&self, terms: &mut Terms, state: &State) -> Result<(), Wrong> {
        let rbp = terms.atom(Atom::Register(Phase::Entry, RBP as u8));
        let saved = terms.bytes(rbp);
        for (i, expected) in saved.into_iter().enumerate() {
            let found = state.byte(i as i64 - 8);
            if found != expected {
                return Err(wrong(
                    Code::Frame,
                    format!("{found:?}"),
                    "rbp under the return address",
                ));
            }
        }
        let Some(bottom) = state.stack_offset(terms, state.regs[RSP]) else {
            return Err(wrong(Code::Frame, "rsp", "a frame"));
        };
        for i in 0..i64::from(self.hook.args) {
            let found = state.byte(bottom + i);
            if found != Byte::Initial(8 + i) {
                return Err(wrong(
                    Code::Frame,
                    format!("argument byte {i} is {found:?}"),
                    "the caller's",
                ));
            }
        }
        Ok(())
    }
}

/// The same effects, in any order.
fn same_events(found: &[Event], expected: &[Event]) -> bool {
    found.len() == expected.len() && expected.iter().all(|event| found.contains(event))
}
