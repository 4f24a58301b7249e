//! What a path through a hook costs: instructions, loads, stores and `lock` prefixes that are executed on it, counted.
//!
//! Counting is exact and the same every time, so a rise is a change of the hook's code and nothing else.

use gondwana_engine::addr::RunAddr;
use gondwana_engine::golang::Abi;
use gondwana_engine::ring::layout;
use iced_x86::{Decoder, DecoderOptions, InstructionInfoFactory, OpAccess};
use serde::{Deserialize, Serialize};

use super::Trouble;
use super::process::Machine;
use super::registers::Registers;
use super::run::{Pause, Until};

/// Instructions that no path through a hook has.
const MOST: u64 = 1000;
/// The first call of a hooked function comes before this much work.
const LIMIT: u64 = 4_000_000_000;

/// What was executed.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Cost {
    /// Instructions.
    pub instructions: u64,
    /// Memory operands read, the stack by `pop` and `ret` included.
    pub loads: u64,
    /// Memory operands written, the stack by `push` and `call` included.
    pub stores: u64,
    /// `lock` prefixes, and `xchg` with memory, which has one without saying so.
    pub locks: u64,
}

/// A path through a hook.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Path {
    /// From the jump at the function's entry to its relocated prologue, in a frame.
    Entry,
    /// From the function's return to the return to its caller.
    Exit,
    /// As [`Path::Exit`], when the ring has no room.
    ExitRingFull,
    /// From the jump to the prologue, when the function starts again after `morestack`.
    Restart,
    /// When the stack has no room for a frame.
    NoRoom,
    /// When the call is too deep in the stack for a frame.
    Deep,
    /// When there is no goroutine.
    NoG,
    /// On the signal stack.
    Gsignal,
}

impl Path {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Entry,
        Self::Exit,
        Self::ExitRingFull,
        Self::Restart,
        Self::NoRoom,
        Self::Deep,
        Self::NoG,
        Self::Gsignal,
    ];
}

impl Machine<'_> {
    /// Runs a freshly hooked program to the first call of its first hook, and along one path from there. The machine is of no
    /// other use afterwards: what the path needs is forced.
    ///
    /// # Errors
    /// The hook is never called, or the path does not end.
    pub fn cost(&mut self, path: Path) -> Result<Cost, Trouble> {
        let wrong = |what: &str| Trouble::Hooks(what.to_owned());
        let plan = self.plan().ok_or_else(|| wrong("nothing is hooked"))?;
        let hook = plan
            .hooks
            .first()
            .ok_or_else(|| wrong("nothing is hooked"))?;
        let (span, entry, abi) = (hook.trampoline, hook.entry, hook.abi);
        let geometry = plan.placement.geometry;
        let rings = plan.placement.ring;
        let max_stack = plan.max_stack_size;
        let start = match path {
            Path::Exit | Path::ExitRingFull => span.thunk,
            _ => entry,
        };
        let until = Until::more(self, LIMIT);
        if self.run_to(start, until)? != Pause::Watched(start) {
            return Err(wrong("the hooked function is never called"));
        }
        let mut regs = self.registers(self.current())?;
        let (offsets, tls_g) = {
            let image = self.image().ok_or_else(|| wrong("no Go program"))?;
            (image.facts().runtime, image.tls_g().unwrap_or(-8))
        };
        let tls = RunAddr::new(regs.fs_base.wrapping_add_signed(i64::from(tls_g)));
        let g = match abi {
            Abi::AbiInternal => regs.r14,
            Abi::Abi0 => self.word(tls).unwrap_or(0),
        };
        match path {
            Path::Entry | Path::Exit => {}
            Path::ExitRingFull => {
                // Ms beyond the last ring share one.
                let id = self.m_id(RunAddr::new(g)).unwrap_or(0);
                let ring = u32::try_from(id).map_or(geometry.rings, |id| id.min(geometry.rings));
                let head = rings.checked_add(geometry.ring(ring) + layout::RING_HEAD);
                let head = head.ok_or_else(|| wrong("no rings"))?;
                self.write(head, &u64::from(geometry.slots).to_le_bytes())?;
            }
            Path::Restart => {
                let at = RunAddr::new(regs.rsp);
                self.write(at, &span.thunk.get().to_le_bytes())?;
            }
            Path::NoRoom => {
                let lo = RunAddr::new(g.wrapping_add(u64::from(offsets.g_stack_lo)));
                self.write(lo, &regs.rsp.wrapping_sub(16).to_le_bytes())?;
            }
            Path::Deep => {
                let limit = max_stack.ok_or_else(|| wrong("no runtime.maxstacksize"))?;
                self.write(limit, &[0; 8])?;
            }
            Path::NoG => {
                regs.r14 = 0;
                self.write(tls, &[0; 8])?;
                self.set_registers(&regs)?;
            }
            Path::Gsignal => {
                let m = self.word(RunAddr::new(g.wrapping_add(u64::from(offsets.g_m))));
                let slot = m.unwrap_or(0).wrapping_add(u64::from(offsets.m_gsignal));
                self.write(RunAddr::new(slot), &g.to_le_bytes())?;
            }
        }
        let code = span.start.get()..span.end.get();
        let caller = regs.rsp;
        self.count(|regs| match path {
            // Back at the caller: outside the trampoline, above the frame.
            Path::Exit | Path::ExitRingFull => !code.contains(&regs.rip) && regs.rsp > caller,
            _ => regs.rip == span.reloc.get(),
        })
    }

    /// Steps the current thread until `stop` holds, and counts.
    fn count(&mut self, stop: impl Fn(&Registers) -> bool) -> Result<Cost, Trouble> {
        let mut cost = Cost::default();
        let mut factory = InstructionInfoFactory::new();
        loop {
            let regs = self.registers(self.current())?;
            if stop(&regs) {
                return Ok(cost);
            }
            let code = (1..=15)
                .rev()
                .find_map(|n| self.read(RunAddr::new(regs.rip), n));
            let code = code.unwrap_or_default();
            let instruction = Decoder::with_ip(64, &code, regs.rip, DecoderOptions::NONE).decode();
            cost.instructions += 1;
            if cost.instructions > MOST {
                return Err(Trouble::Hooks(format!(
                    "the path does not end within {MOST} instructions"
                )));
            }
            let mut on_memory = false;
            for memory in factory.info(&instruction).used_memory() {
                let (load, store) = match memory.access() {
                    OpAccess::Read | OpAccess::CondRead => (1, 0),
                    OpAccess::Write | OpAccess::CondWrite => (0, 1),
                    OpAccess::ReadWrite | OpAccess::ReadCondWrite => (1, 1),
                    _ => (0, 0),
                };
                on_memory |= load + store > 0;
                cost.loads += load;
                cost.stores += store;
            }
            let exchange = instruction.mnemonic() == iced_x86::Mnemonic::Xchg && on_memory;
            cost.locks += u64::from(instruction.has_lock_prefix() || exchange);
            if self.step()?.is_some() {
                return Err(Trouble::Hooks("the program ended on the path".to_owned()));
            }
        }
    }
}
