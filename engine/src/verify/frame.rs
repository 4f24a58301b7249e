//! One trampoline: what every path through its bytes must do, said as data, and compared with what the executor found.
//!
//! The guards are a decision procedure over named conditions. A path is the set of conditions that it tested; asking the
//! procedure with these answers gives the outcome that the path must have. A path that leaves a question open, or tests
//! something that the procedure does not ask, is rejected as one that ends in the wrong place is.

use crate::addr::RunAddr;
use crate::golang::{Abi, Facts};
use crate::plan::{Plan, PlannedHook};
use crate::ring::RingGeometry;
use crate::ring::layout::{RING_ENTERED, SKIPPED_GSIGNAL, SKIPPED_NO_G, SKIPPED_NO_ROOM};
use crate::site::CalleeStack;

use super::record;
use super::symbolic::machine::{End, Shared, Stuck, Text, World, explore};
use super::symbolic::state::{Condition, Event, RBP, RDX, RSP, State, below, equal, zero};
use super::symbolic::term::{Atom, Byte, Phase, Terms, Val};
use super::writes::Memory;
use super::{Findings, Original, RejectionCode as Code};

/// What a call of `morestack` and of the function itself take below the frame when the function grows the stack itself.
const CHECKED_NEED: i64 = 16;
/// Bytes that must be left on g0, which cannot grow, below the frame and its two pushed words.
const G0_NEED: i64 = 4096;
/// Argument areas beyond this are not hooked.
const MAX_ARGS: u32 = 1 << 16;
/// Registers in the encoding's order that nothing at a function's entry or return needs.
const R12: usize = 12;
const R13: usize = 13;
const R14: usize = 14;

/// One hook as the specification sees it.
pub(super) struct Spec<'a> {
    pub(super) facts: &'a Facts,
    pub(super) hook: &'a PlannedHook,
    pub(super) geometry: RingGeometry,
    pub(super) ring: u64,
    tls_g: Option<i32>,
    race: bool,
}

/// Why a path is not the specified one.
pub(super) struct Wrong {
    pub(super) code: Code,
    pub(super) found: String,
    pub(super) expected: String,
}

pub(super) fn wrong(code: Code, found: impl Into<String>, expected: impl Into<String>) -> Wrong {
    Wrong {
        code,
        found: found.into(),
        expected: expected.into(),
    }
}

/// Checks one trampoline up to its relocated window.
pub(super) fn check(
    original: &dyn Original,
    plan: &Plan,
    hook: &PlannedHook,
    memory: &Memory,
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

/// What a path must come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    /// Count at this offset of the mapping's header and run the function without the hook.
    Skip(u64),
    /// Run the function: its return address is the thunk already.
    Reentered,
    /// Make the frame and call the function.
    Hooked,
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

    /// g, as this ABI has it.
    pub(super) fn g(&self, terms: &mut Terms, phase: Phase) -> Val {
        match (self.hook.abi, self.tls_g) {
            (Abi::Abi0, Some(disp)) => terms.atom(Atom::Tls(phase, i64::from(disp))),
            _ => terms.atom(Atom::Register(phase, R14 as u8)),
        }
    }

    /// A field of `width` bytes at `offset` from `base`.
    pub(super) fn field(
        &self,
        terms: &mut Terms,
        phase: Phase,
        base: Val,
        offset: u32,
        width: u8,
    ) -> Val {
        let address = terms.offset(base, i64::from(offset));
        terms.atom(Atom::Load {
            phase,
            address,
            width,
            nonce: 0,
        })
    }

    /// `g.m`
    pub(super) fn m(&self, terms: &mut Terms, phase: Phase) -> Val {
        let g = self.g(terms, phase);
        self.field(terms, phase, g, self.facts.runtime.g_m, 8)
    }

    /// `m.id`, as 64 bits.
    pub(super) fn m_id(&self, terms: &mut Terms, phase: Phase) -> Val {
        let m = self.m(terms, phase);
        let offset = self.facts.runtime.m_id;
        if self.facts.runtime.m_id_is_32_bits {
            let id = self.field(terms, phase, m, offset, 4);
            terms.sext32(id)
        } else {
            self.field(terms, phase, m, offset, 8)
        }
    }

    /// Whether `m.id` is that of a ring of its own.
    pub(super) fn owns_ring(&self, terms: &mut Terms, phase: Phase) -> Condition {
        let id = self.m_id(terms, phase);
        let rings = terms.constant(u64::from(self.geometry.rings));
        Condition::Below(id, rings)
    }

    /// The start of the ring that this M writes: its own, or the shared one.
    pub(super) fn ring_base(&self, terms: &mut Terms, phase: Phase, own: bool) -> Val {
        if own {
            let id = self.m_id(terms, phase);
            let scaled = terms.scale(id, self.geometry.stride());
            let first = self.ring.wrapping_add(self.geometry.ring(0));
            terms.offset(scaled, first.cast_signed())
        } else {
            let shared = self.geometry.ring(self.geometry.rings);
            terms.constant(self.ring.wrapping_add(shared))
        }
    }

    /// What the function may use below its entry without asking.
    fn callee_need(&self) -> i64 {
        match self.hook.callee_stack {
            CalleeStack::Checked => CHECKED_NEED,
            CalleeStack::Leaf(frame) => i64::from(frame) + CHECKED_NEED,
            CalleeStack::Nosplit => {
                let factor = if self.race {
                    self.facts.race_stack_factor
                } else {
                    1
                };
                i64::from(self.facts.nosplit_limit) * i64::from(factor) + 8
            }
        }
    }

    /// The outcome that the guards demand, given what a path tested; every condition asked for is taken off `left`.
    fn decide(
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
        Ok(Outcome::Hooked)
    }

    fn entry_path(
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

    fn exit_path(
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

/// The same effects, in any order.
fn same_events(found: &[Event], expected: &[Event]) -> bool {
    found.len() == expected.len() && expected.iter().all(|event| found.contains(event))
}

pub(super) fn show_path(terms: &Terms, path: &[(Condition, bool)]) -> String {
    let shown: Vec<String> = path
        .iter()
        .map(|(condition, truth)| {
            let text = match condition {
                Condition::Zero(value) => format!("{} == 0", terms.show(*value)),
                Condition::Below(a, b) => format!("{} < {}", terms.show(*a), terms.show(*b)),
            };
            if *truth { text } else { format!("not {text}") }
        })
        .collect();
    format!("[{}]", shown.join("; "))
}

pub(super) fn show_events(terms: &Terms, events: &[Event]) -> String {
    let shown: Vec<String> = events
        .iter()
        .map(|event| match event {
            Event::Store {
                address,
                width,
                value,
            } => format!("[{}]{width} = {}", terms.show(*address), terms.show(*value)),
            Event::Add {
                address,
                width,
                by,
                locked,
            } => format!(
                "{}[{}]{width} += {}",
                if *locked { "lock " } else { "" },
                terms.show(*address),
                terms.show(*by)
            ),
            Event::Exchange {
                address,
                width,
                expected,
                value,
            } => format!(
                "lock [{}]{width}: {} -> {}",
                terms.show(*address),
                terms.show(*expected),
                terms.show(*value)
            ),
        })
        .collect();
    format!("[{}]", shown.join("; "))
}

impl World for Spec<'_> {
    fn may_load(
        &self,
        terms: &mut Terms,
        state: &State,
        address: Val,
        width: u8,
    ) -> Option<Shared> {
        let phase = state.phase;
        let runtime = &self.facts.runtime;
        // At exit g and m are known not to be nil: the frame would not have been made.
        let usable = |terms: &mut Terms, pointer: Val| {
            let nil = zero(terms, pointer);
            phase == Phase::Exit || state.decides(nil) == Some(false)
        };
        let g = self.g(terms, phase);
        if let Some(offset) = terms.distance(address, g) {
            let fields = [
                runtime.g_m,
                runtime.g_stack_lo,
                runtime.g_stack_hi,
                runtime.g_panic,
                runtime.g_goid,
            ];
            let known = width == 8 && fields.iter().any(|&field| i64::from(field) == offset);
            return (known && usable(terms, g)).then_some(Shared::No);
        }
        let m = self.m(terms, phase);
        if let Some(offset) = terms.distance(address, m) {
            let id_width = if runtime.m_id_is_32_bits { 4 } else { 8 };
            let fields = [
                (runtime.m_gsignal, 8),
                (runtime.m_g0, 8),
                (runtime.m_procid, 8),
                (runtime.m_id, id_width),
            ];
            let known = fields
                .iter()
                .any(|&(field, size)| i64::from(field) == offset && size == width);
            return (known && usable(terms, m)).then_some(Shared::No);
        }
        if let (Some(argp), Phase::Entry) = (self.facts.panic_argp, phase) {
            let panic = self.field(terms, phase, g, runtime.g_panic, 8);
            let nil = zero(terms, panic);
            if terms.distance(address, panic) == Some(i64::from(argp)) {
                let known = width == 8 && state.decides(nil) == Some(false);
                return known.then_some(Shared::No);
            }
        }
        let owns = self.owns_ring(terms, phase);
        let own = state.decides(owns)?;
        let base = self.ring_base(terms, phase, own);
        let offset = terms.distance(address, base)?;
        record::readable(offset, width).then_some(Shared::Yes)
    }

    fn caller_area(&self) -> (i64, i64) {
        (0, 8 + i64::from(self.hook.args))
    }

    fn writable_caller_area(&self, phase: Phase) -> (i64, i64) {
        match phase {
            Phase::Entry => (0, 0),
            Phase::Exit => (8, 8 + i64::from(self.hook.args)),
        }
    }
}
