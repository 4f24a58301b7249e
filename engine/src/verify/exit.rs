//! The second half of a trampoline: what a path must have done when it returns to the hooked function's caller.

use crate::golang::Abi;

use super::RejectionCode as Code;
use super::record;
use super::spec::{R12, R13, R14, Spec, Wrong, wrong};
use super::symbolic::machine::End;
use super::symbolic::show::show_events;
use super::symbolic::state::{RBP, RDX, RSP, State};
use super::symbolic::term::{Atom, Byte, Phase, Terms};

impl Spec<'_> {
    /// Checks one path of the second half.
    pub(super) fn exit_path(
        &self,
        terms: &mut Terms,
        state: &State,
        end: End,
        frame: i64,
    ) -> Result<(), Wrong> {
        match end {
            End::Again => {
                // A later round of the retry; what it does is that of the rounds already seen.
                return if state.events.is_empty() {
                    Ok(())
                } else {
                    Err(wrong(
                        Code::Record,
                        show_events(terms, &state.events),
                        "no effects before a retry",
                    ))
                };
            }
            End::Return => {}
            _ => return Err(wrong(Code::Exit, format!("{end:?}"), "a return")),
        }
        let Some(0) = state.stack_offset(terms, state.regs[RSP]) else {
            return Err(wrong(
                Code::Exit,
                format!("rsp = {}", terms.show(state.regs[RSP])),
                "that of the function's entry, where the return address lies",
            ));
        };
        for n in 0..16 {
            let scratch =
                [RSP, RDX, R12, R13].contains(&n) || (n == R14 && self.hook.abi == Abi::Abi0);
            let expected = match n {
                RBP => terms.atom(Atom::Register(Phase::Entry, RBP as u8)),
                _ => terms.atom(Atom::Register(Phase::Exit, n as u8)),
            };
            if !scratch && state.regs[n] != expected {
                return Err(wrong(
                    Code::Exit,
                    format!("register {n} = {}", terms.show(state.regs[n])),
                    terms.show(expected),
                ));
            }
        }
        let bottom = -(frame + 8);
        for i in 0..i64::from(self.hook.args) {
            let found = state.byte(8 + i);
            if found != Byte::Callee(bottom + i) {
                return Err(wrong(
                    Code::Exit,
                    format!("byte {i} of arguments and results is {found:?}"),
                    "what the function left",
                ));
            }
        }
        record::check(self, terms, state, frame)
    }
}
