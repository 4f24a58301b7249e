//! One trampoline: every path through its bytes, and for each the rule that it must follow.
//!
//! The first half starts from an arbitrary state at the function's entry; its paths are judged by `guards` and `entry`. The
//! second half starts from what the first leaves in the frame, with everything else as new as a call may leave it; its paths
//! are judged by `exit` and `record`. A path that leaves a question of the contract open, or tests something that the
//! contract does not ask, is rejected as one that ends in the wrong place is.

use crate::addr::RunAddr;
use crate::golang::Abi;
use crate::plan::{Plan, PlannedHook};

use super::spec::{Spec, Wrong, wrong};
use super::symbolic::machine::{End, Stuck, Text, explore};
use super::symbolic::state::{RSP, State};
use super::symbolic::term::Terms;
use super::writes::Memory;
use super::{Findings, Original, RejectionCode as Code};

/// Argument areas beyond this are not hooked.
const MAX_ARGS: u32 = 1 << 16;

/// Checks one trampoline up to its relocated window.
pub(super) fn check(
    original: &dyn Original,
    plan: &Plan,
    hook: &PlannedHook,
    memory: &Memory<'_>,
    findings: &mut Findings,
) {
    let span = hook.trampoline;
    let spec = Spec {
        facts: original.facts(),
        hook,
        geometry: plan.placement.geometry,
        ring: plan.placement.ring.get(),
        tls_g: original.tls_g(),
        race: original.is_race(),
        max_stack: plan.max_stack_size.map(RunAddr::get),
        known: Default::default(),
    };
    let Some(bytes) = memory.code.range(span.start, span.reloc) else {
        findings.add(Code::Hook, span.start, "outside the code", "a trampoline");
        return;
    };
    if hook.args > MAX_ARGS {
        findings.add(
            Code::Hook,
            hook.entry,
            format!("{} bytes of arguments", hook.args),
            format!("at most {MAX_ARGS}"),
        );
        return;
    }
    if hook.abi == Abi::Abi0 && spec.tls_g.is_none() {
        findings.add(
            Code::Hook,
            hook.entry,
            "g is not known",
            "its place in the TLS",
        );
        return;
    }
    if hook.abi == Abi::AbiInternal && spec.facts.compiled_abi == Abi::Abi0 {
        findings.add(
            Code::Hook,
            hook.entry,
            "ABIInternal",
            "ABI0, before Go 1.17",
        );
        return;
    }
    let mut text = Text::new(span.start.get(), bytes);
    if let Err(Failure { at, wrong }) = spec.run(&mut text) {
        findings.add(wrong.code, RunAddr::new(at), wrong.found, wrong.expected);
        return;
    }
    if let Some((at, byte)) = text.unused() {
        findings.add(
            Code::Filler,
            RunAddr::new(at),
            format!("{byte:02x}, which no path executes"),
            "code that runs, or cc",
        );
    }
}

struct Failure {
    at: u64,
    wrong: Wrong,
}

impl From<Stuck> for Failure {
    fn from(stuck: Stuck) -> Self {
        Self {
            at: stuck.at,
            wrong: wrong(Code::Code, stuck.found, stuck.expected),
        }
    }
}

impl Spec<'_> {
    fn run(&self, text: &mut Text<'_>) -> Result<(), Failure> {
        let span = self.hook.trampoline;
        let window = span.reloc.get();
        let budget = 20_000 + 16 * self.hook.args;
        let mut terms = Terms::default();
        let first = State::at_entry(&mut terms, span.start.get());
        let paths = explore(&mut terms, text, self, window, first.clone(), budget)?;
        let blame = |state: &State, wrong: Wrong| Failure {
            at: state.ip,
            wrong,
        };

        // The frame's size is whatever the hooked paths agree on; everything else follows from it.
        let mut frame = None;
        for (state, end) in &paths {
            if let End::Call { .. } = end {
                let size = self.frame_size(&mut terms, state);
                let size = size.map_err(|wrong| blame(state, wrong))?;
                if frame.is_some_and(|known| known != size) {
                    return Err(blame(
                        state,
                        wrong(
                            Code::Frame,
                            format!("frames of {frame:?} and {size}"),
                            "one size",
                        ),
                    ));
                }
                frame = Some(size);
            }
        }
        let Some(frame) = frame else {
            return Err(blame(
                &first,
                wrong(Code::Guards, "no path calls the window", "a hooked path"),
            ));
        };
        let mut frames: Vec<&State> = Vec::new();
        for (state, end) in &paths {
            self.entry_path(&mut terms, state, *end, frame)
                .map_err(|wrong| blame(state, wrong))?;
            if matches!(end, End::Call { .. })
                && !frames.iter().any(|known| known.same_stack(state))
            {
                frames.push(state);
            }
        }
        for state in frames {
            let Some(back) = state.after_call(&mut terms, span.thunk.get(), self.hook.args) else {
                return Err(blame(state, wrong(Code::Frame, "no frame", "a frame")));
            };
            for (state, end) in explore(&mut terms, text, self, window, back, budget)? {
                self.exit_path(&mut terms, &state, end, frame)
                    .map_err(|wrong| blame(&state, wrong))?;
            }
        }
        Ok(())
    }

    fn frame_size(&self, terms: &mut Terms, state: &State) -> Result<i64, Wrong> {
        let at_call = state.stack_offset(terms, state.regs[RSP]);
        at_call
            .and_then(i64::checked_neg)
            .and_then(|depth| depth.checked_sub(8))
            .filter(|&size| size >= i64::from(self.hook.args))
            .ok_or_else(|| {
                wrong(
                    Code::Frame,
                    format!("rsp = {}", terms.show(state.regs[RSP])),
                    format!("room for {} bytes of arguments", self.hook.args),
                )
            })
    }
}
