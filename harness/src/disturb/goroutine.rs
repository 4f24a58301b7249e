//! The goroutine that a thread runs: where its `g` lies, and its stack (`runtime/runtime2.go`, type `g`).

use gondwana_engine::addr::RunAddr;

use crate::machine::{Machine, Tid, Trouble};

/// Offset of `stackguard0`, in every version.
const STACK_GUARD: u64 = 16;
/// `stackPreempt`: a guard that every stack check fails, and that asks for the goroutine to be descheduled
/// (`runtime/stack.go`).
const STACK_PREEMPT: u64 = 0xffff_ffff_ffff_fade;

/// A `runtime.g`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Goroutine {
    at: RunAddr,
}

/// A goroutine's stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Stack {
    /// Lowest address.
    pub low: u64,
    /// One past the highest address.
    pub high: u64,
}

impl Stack {
    /// Its size in bytes.
    #[must_use]
    pub const fn size(self) -> u64 {
        self.high.wrapping_sub(self.low)
    }

    /// Bytes in use when the stack pointer is there: the same before and after the stack moves.
    #[must_use]
    pub const fn depth(self, rsp: u64) -> u64 {
        self.high.wrapping_sub(rsp)
    }
}

impl Goroutine {
    /// What `tid` runs; `None` for a thread without a `g`, or a program whose place for it is not known.
    #[must_use]
    pub fn of(machine: &Machine<'_>, tid: Tid) -> Option<Self> {
        let offset = machine.image()?.tls_g()?;
        let base = machine.registers(tid).ok()?.fs_base;
        let at = machine.word(RunAddr::new(base.wrapping_add(i64::from(offset) as u64)))?;
        (at != 0).then_some(Self {
            at: RunAddr::new(at),
        })
    }

    /// The address of the `g`.
    #[must_use]
    pub const fn address(self) -> RunAddr {
        self.at
    }

    /// Its stack.
    #[must_use]
    pub fn stack(self, machine: &Machine<'_>) -> Stack {
        Stack {
            low: self.word(machine, 0),
            high: self.word(machine, 8),
        }
    }

    /// Its id and that of the M that runs it; `None` in a program that is not known.
    #[must_use]
    pub fn ids(self, machine: &Machine<'_>) -> Option<(u64, u64)> {
        let goid = machine.image()?.facts().runtime.g_goid;
        Some((self.word(machine, goid.into()), machine.m_id(self.at)?))
    }

    /// Whether its next stack check is to deschedule it.
    #[must_use]
    pub fn is_to_yield(self, machine: &Machine<'_>) -> bool {
        self.word(machine, STACK_GUARD) == STACK_PREEMPT
    }

    /// Makes its next stack check deschedule it: `stackguard0 = stackPreempt`.
    ///
    /// # Errors
    /// The `g` is not in memory.
    pub fn make_yield(self, machine: &mut Machine<'_>) -> Result<(), Trouble> {
        self.set(machine, STACK_GUARD, STACK_PREEMPT)
    }

    /// As `preemptone` does before it sends SIGURG (`runtime/proc.go`): asks for asynchronous preemption.
    ///
    /// # Errors
    /// The `g` is not in memory.
    pub fn ask_preemption(self, machine: &mut Machine<'_>) -> Result<(), Trouble> {
        let facts = machine.image().map(|image| image.facts());
        if let Some(facts) = facts.filter(|facts| facts.unsafe_point.is_some()) {
            let flag = u64::from(facts.runtime.g_preempt);
            machine.write(RunAddr::new(self.at.get().wrapping_add(flag)), &[1])?;
            self.make_yield(machine)?;
        }
        Ok(())
    }

    /// Makes the next stack check at or below `rsp` find too little room, whatever is left: the stack is copied to a larger
    /// one. (Not more than that: functions with large frames compute how far the stack pointer is above the guard, without
    /// a sign; `cmd/internal/obj/x86/obj6.go`, `stacksplit`.)
    ///
    /// # Errors
    /// The `g` is not in memory.
    pub fn make_short(self, machine: &mut Machine<'_>, rsp: u64) -> Result<(), Trouble> {
        self.set(machine, STACK_GUARD, rsp)
    }

    fn word(self, machine: &Machine<'_>, offset: u64) -> u64 {
        machine
            .word(RunAddr::new(self.at.get().wrapping_add(offset)))
            .unwrap_or_default()
    }

    fn set(self, machine: &mut Machine<'_>, offset: u64, value: u64) -> Result<(), Trouble> {
        let at = RunAddr::new(self.at.get().wrapping_add(offset));
        machine.write(at, &value.to_le_bytes())
    }
}
