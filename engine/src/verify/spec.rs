//! The values and places that a trampoline's contract speaks of, as terms, and what it may read.

use std::cell::OnceCell;

use crate::golang::{Abi, Facts};
use crate::plan::PlannedHook;
use crate::ring::RingGeometry;

use super::RejectionCode as Code;
use super::record;
use super::symbolic::machine::{Shared, World};
use super::symbolic::state::{Condition, State, zero};
use super::symbolic::term::{Atom, Phase, Terms, Val};

/// Registers in the encoding's order that nothing at a function's entry or return needs.
pub(super) const R12: usize = 12;
pub(super) const R13: usize = 13;
pub(super) const R14: usize = 14;

/// One hook as the specification sees it, for one run over one set of terms.
pub(super) struct Spec<'a> {
    pub(super) facts: &'a Facts,
    pub(super) hook: &'a PlannedHook,
    pub(super) geometry: RingGeometry,
    pub(super) ring: u64,
    pub(super) tls_g: Option<i32>,
    pub(super) race: bool,
    /// `runtime.maxstacksize` in the process.
    pub(super) max_stack: Option<u64>,
    /// Values that almost every step asks for, by phase.
    pub(super) known: [Known; 2],
}

/// Values of one phase, once they were asked for.
#[derive(Default)]
pub(super) struct Known {
    g: OnceCell<Val>,
    m: OnceCell<Val>,
    m_id: OnceCell<Val>,
    own_ring: OnceCell<Val>,
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

impl Spec<'_> {
    fn known(&self, phase: Phase) -> &Known {
        let [entry, exit] = &self.known;
        match phase {
            Phase::Entry => entry,
            Phase::Exit => exit,
        }
    }

    /// g, as this ABI has it.
    pub(super) fn g(&self, terms: &mut Terms, phase: Phase) -> Val {
        *self
            .known(phase)
            .g
            .get_or_init(|| match (self.hook.abi, self.tls_g) {
                (Abi::Abi0, Some(disp)) => terms.atom(Atom::Tls(phase, i64::from(disp))),
                _ => terms.atom(Atom::Register(phase, R14 as u8)),
            })
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
        *self.known(phase).m.get_or_init(|| {
            let g = self.g(terms, phase);
            self.field(terms, phase, g, self.facts.runtime.g_m, 8)
        })
    }

    /// `m.id`, as 64 bits.
    pub(super) fn m_id(&self, terms: &mut Terms, phase: Phase) -> Val {
        *self.known(phase).m_id.get_or_init(|| {
            let m = self.m(terms, phase);
            let offset = self.facts.runtime.m_id;
            if self.facts.runtime.m_id_is_32_bits {
                let id = self.field(terms, phase, m, offset, 4);
                terms.sext32(id)
            } else {
                self.field(terms, phase, m, offset, 8)
            }
        })
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
            *self.known(phase).own_ring.get_or_init(|| {
                let id = self.m_id(terms, phase);
                let scaled = terms.scale(id, self.geometry.stride());
                let first = self.ring.wrapping_add(self.geometry.ring(0));
                terms.offset(scaled, first.cast_signed())
            })
        } else {
            let shared = self.geometry.ring(self.geometry.rings);
            terms.constant(self.ring.wrapping_add(shared))
        }
    }
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
        if let (Some(at), Some(variable), Phase::Entry) =
            (terms.as_constant(address), self.max_stack, phase)
            && at == variable
        {
            // any thread may call debug.SetMaxStack
            return (width == 8).then_some(Shared::Yes);
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
