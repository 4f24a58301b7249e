//! One emulated processor and the memory behind it: runs until something happens, and says what.
//!
//! Knows nothing of threads or system calls. Work is counted in bytes of executed code, by the hook that Unicorn calls for
//! each block (measured: 724 million instructions per second with it, 76 with a hook for each instruction), and taken back
//! for the part of a block that did not run: so the count is exact wherever the processor stops, and does not depend on how
//! code was cut into blocks.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use gondwana_engine::addr::RunAddr;
use unicorn_engine::{
    Arch, Context, MemType, Mode, Prot, RegisterX86, TlbEntry, TlbType, Unicorn, X86CpuModel,
    X86Insn, uc_error,
};

use super::registers::{GENERAL, Registers};
use super::{fault, tsc};

/// A failure of the emulator itself, never of the program.
#[derive(Debug, thiserror::Error)]
#[error("emulator: {what} at {at}: {error:?}")]
pub struct CpuError {
    what: &'static str,
    at: RunAddr,
    error: uc_error,
}

impl CpuError {
    fn new(what: &'static str, at: u64) -> impl Fn(uc_error) -> Self {
        move |error| Self {
            what,
            at: RunAddr::new(at),
            error,
        }
    }
}

/// A memory access that the mapping does not allow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// The address.
    pub at: RunAddr,
    /// What was tried.
    pub access: Access,
}

/// Kinds of access.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Fetch,
}

/// Why the processor stopped. RIP is that of the instruction that would run next, or, for the last four, of the one that
/// could not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// After a `syscall` instruction.
    Syscall,
    /// The work limit was reached.
    Limit,
    /// Before a watched instruction.
    Watched,
    /// At an access that faults.
    Fault(Fault),
    /// At an instruction that this processor does not have.
    Illegal,
    /// At an exception with this vector (Intel SDM volume 3, table 6-1); RIP lies behind the instruction for `int3`.
    Exception(u32),
    /// After a `hlt`.
    Halt,
}

/// What the hooks and the owner of the processor share.
#[derive(Default)]
struct Shared {
    /// Bytes of code executed, the current block as a whole.
    work: Cell<u64>,
    /// Stop before the block that would take `work` beyond this.
    limit: Cell<u64>,
    /// The current block.
    block: Cell<(u64, u32)>,
    /// Hash of all blocks that ran, in order.
    path: Cell<u64>,
    /// Nothing has run since the start: the first block runs even if it is longer than the limit allows.
    fresh: Cell<bool>,
    stop: Cell<Option<Stop>>,
    /// The page that was asked for last and could not be had.
    refused: Cell<Option<(u64, Access)>>,
    /// Where the run started, if that instruction does not count as watched; until the second block.
    over: Cell<Option<u64>>,
    watched: RefCell<BTreeSet<u64>>,
    /// Ranges in which every instruction is watched.
    windows: RefCell<Vec<(u64, u64)>>,
    /// Nanoseconds that passed without work.
    offset: Cell<u64>,
    /// What the time stamp counter showed last.
    ticks: Cell<u64>,
}

impl Shared {
    /// How much of the current block has not run when the next instruction is at `rip`.
    fn rest(&self, rip: u64) -> u64 {
        let (start, size) = self.block.get();
        let rest = start.wrapping_add(u64::from(size)).wrapping_sub(rip);
        if rip >= start && rest <= u64::from(size) {
            rest
        } else {
            0
        }
    }
}

/// The saved state of a processor: everything but memory.
pub struct CpuState(Context);

impl CpuState {
    /// Sets RAX in it.
    pub fn set_result(&mut self, value: u64) {
        // Cannot fail: every state has this register.
        let _ = self.0.reg_write(RegisterX86::RAX, value);
    }

    /// General registers in it.
    pub fn registers(&self) -> Result<Registers, CpuError> {
        let mut list = [0; 18];
        for (value, &register) in list.iter_mut().zip(&GENERAL) {
            *value = self
                .0
                .reg_read(register)
                .map_err(CpuError::new("read a saved register", 0))?;
        }
        let fs_base = self
            .0
            .reg_read(RegisterX86::FS_BASE)
            .map_err(CpuError::new("read a saved register", 0))?;
        Ok(Registers::from_list(list, fs_base))
    }
}

/// The processor.
pub struct Cpu {
    uc: Unicorn<'static, ()>,
    shared: Rc<Shared>,
    /// The state that it was made with.
    blank: CpuState,
    /// Dropped after the instance that reads it.
    _counter: tsc::Counter,
}

const fn memory(executable: bool) -> Prot {
    if executable {
        Prot::ALL
    } else {
        Prot(Prot::READ.0 | Prot::WRITE.0)
    }
}

/// Bytes of code that take one nanosecond. The processor is a slow one, of some 300 million instructions per second: what a
/// program does for so many milliseconds is done after less work.
pub(super) const WORK_PER_NS: u64 = 1;
/// Multiplier of the hash of executed blocks (that of `FxHash`).
const HASH: u64 = 0xf135_7aea_2e62_a9c5;

impl Cpu {
    /// A processor with empty memory.
    ///
    /// The model is Westmere: SSE4.2, POPCNT, CX16, AES and PCLMULQDQ, no AVX, no RDRAND: what Unicorn emulates well and
    /// deterministically.
    ///
    /// `rights` says what may be done with the page at an address. It is Unicorn's "virtual TLB" that asks, since its own
    /// checks let the rest of a block run after a store that they refuse (`accel/tcg/cputlb.c`, `store_helper`), while this
    /// one stops at the instruction.
    pub fn new(rights: impl Fn(u64) -> Prot + 'static) -> Result<Self, CpuError> {
        let at = |what| CpuError::new(what, 0);
        let mut uc = Unicorn::new(Arch::X86, Mode::MODE_64).map_err(at("open"))?;
        uc.ctl_set_cpu_model(X86CpuModel::WESTMERE as i32)
            .map_err(at("CPU model"))?;
        // An empty set of exits: without it, execution would stop at one address.
        uc.ctl_exits_enable().map_err(at("exits"))?;
        // CR4.OSFXSR and OSXMMEXCPT, as every operating system sets them: without the first there are no SSE instructions.
        let cr4 = uc.reg_read(RegisterX86::CR4).map_err(at("CR4"))?;
        uc.reg_write(RegisterX86::CR4, cr4 | 1 << 9 | 1 << 10)
            .map_err(at("CR4"))?;
        let shared = Rc::new(Shared::default());
        let on = Rc::clone(&shared);
        let read = move |rip: u64| {
            let ticks = on.offset.get() + (on.work.get() - on.rest(rip)) / WORK_PER_NS;
            let ticks = ticks.max(on.ticks.get() + 1);
            on.ticks.set(ticks);
            ticks
        };
        let counter =
            tsc::Counter::install(&mut uc, Box::new(read)).map_err(at("time stamp hook"))?;

        let on = Rc::clone(&shared);
        uc.add_block_hook(1, 0, move |uc, start, size| {
            let work = on.work.get() + u64::from(size);
            on.work.set(work);
            on.block.set((start, size));
            if !on.fresh.get() {
                on.over.set(None);
            }
            if work > on.limit.get() && !on.fresh.get() {
                if on.stop.get().is_none() {
                    on.stop.set(Some(Stop::Limit));
                }
                let _ = uc.emu_stop();
            } else {
                on.fresh.set(false);
                on.path
                    .set((on.path.get().rotate_left(5) ^ start).wrapping_mul(HASH));
            }
        })
        .map_err(at("block hook"))?;

        let on = Rc::clone(&shared);
        uc.add_insn_sys_hook(X86Insn::SYSCALL, 1, 0, move |uc| {
            on.stop.set(Some(Stop::Syscall));
            let _ = uc.emu_stop();
        })
        .map_err(at("syscall hook"))?;

        uc.ctl_set_tlb_type(TlbType::VIRTUAL)
            .map_err(at("TLB type"))?;
        let on = Rc::clone(&shared);
        uc.add_tlb_hook(1, 0, move |_, page, kind| {
            let (access, needed) = match kind {
                MemType::FETCH => (Access::Fetch, Prot::EXEC),
                MemType::WRITE => (Access::Write, Prot::WRITE),
                _ => (Access::Read, Prot::READ),
            };
            let perms = rights(page);
            if perms.0 & needed.0 == 0 {
                on.refused.set(Some((page, access)));
                return None;
            }
            Some(TlbEntry { paddr: page, perms })
        })
        .map_err(at("TLB hook"))?;

        let on = Rc::clone(&shared);
        uc.add_intr_hook(move |uc, vector| {
            on.stop.set(Some(Stop::Exception(vector)));
            let _ = uc.emu_stop();
        })
        .map_err(at("exception hook"))?;

        let blank = CpuState(uc.context_init().map_err(at("save the state"))?);
        Ok(Self {
            uc,
            shared,
            blank,
            _counter: counter,
        })
    }

    /// Bytes of code executed so far.
    #[must_use]
    pub fn work(&self) -> u64 {
        self.shared.work.get()
    }

    /// A hash of every block of code executed so far, in order.
    #[must_use]
    pub fn path(&self) -> u64 {
        self.shared.path.get()
    }

    /// Nanoseconds since the start: so many as the work took, and those that were let pass. The time stamp counter shows
    /// the same, and never the same twice.
    #[must_use]
    pub fn now(&self) -> u64 {
        self.shared.offset.get() + self.work() / WORK_PER_NS
    }

    /// Lets time pass without work.
    pub fn pass(&mut self, ns: u64) {
        let offset = &self.shared.offset;
        offset.set(offset.get().saturating_add(ns));
    }

    /// Runs until something happens, or until about `limit` bytes of code in all have run (see [`Cpu::work`]); at least one
    /// block. If `over`, a watched first instruction does not stop it.
    pub fn run(&mut self, limit: u64, over: bool) -> Result<Stop, CpuError> {
        let shared = &self.shared;
        shared.limit.set(limit);
        shared.stop.set(None);
        shared.fresh.set(true);
        let rip = self.register(RegisterX86::RIP)?;
        shared.over.set(over.then_some(rip));
        let result = self.uc.emu_start(rip, 0, 0, 0);
        self.finish(result)
    }

    /// Runs one instruction. Slow: Unicorn translates anew before and after.
    pub fn step(&mut self) -> Result<Stop, CpuError> {
        let shared = &self.shared;
        shared.limit.set(u64::MAX);
        shared.stop.set(None);
        shared.fresh.set(true);
        let rip = self.register(RegisterX86::RIP)?;
        shared.over.set(Some(rip));
        self.forget_code(rip, 16)?;
        let result = self.uc.emu_start(rip, 0, 0, 1);
        if result.is_ok() && self.shared.stop.get().is_none() {
            self.shared.stop.set(Some(Stop::Limit));
        }
        self.finish(result)
    }

    fn finish(&mut self, result: Result<(), uc_error>) -> Result<Stop, CpuError> {
        let mut rip = self.register(RegisterX86::RIP)?;
        let stop = match (self.shared.stop.get(), result) {
            (_, Err(uc_error::EXCEPTION)) => self.fault(rip)?,
            (_, Err(uc_error::INSN_INVALID)) => Stop::Illegal,
            (_, Err(error)) => return Err(CpuError::new("run", rip)(error)),
            (Some(stop), Ok(())) => stop,
            (None, Ok(())) => {
                // `hlt` is done when it stops.
                rip = rip.wrapping_sub(1);
                Stop::Halt
            }
        };
        let rest = self.shared.rest(rip);
        self.shared.work.set(self.shared.work.get() - rest);
        self.shared.block.set((0, 0));
        Ok(stop)
    }

    /// The instruction at `rip` wanted a page that it may not have.
    fn fault(&self, rip: u64) -> Result<Stop, CpuError> {
        let Some((page, access)) = self.shared.refused.take() else {
            return Err(CpuError::new("run", rip)(uc_error::EXCEPTION));
        };
        // An instruction at the end of a mapping is shorter than the longest one.
        let mut code = [0; 15];
        let mut length = code.len();
        while length > 0
            && self
                .read(rip, code.get_mut(..length).unwrap_or_default())
                .is_none()
        {
            length -= 1;
        }
        let code = code.get(..length).unwrap_or_default();
        let gs_base = self.register(RegisterX86::GS_BASE)?;
        let at = fault::address(code, &self.registers()?, gs_base, page, access);
        Ok(Stop::Fault(Fault {
            at: RunAddr::new(at),
            access,
        }))
    }

    /// From now on the processor stops before the instruction at `at`.
    pub fn watch(&mut self, at: RunAddr) -> Result<(), CpuError> {
        let at = at.get();
        let known = !self.shared.watched.borrow_mut().insert(at);
        if known || self.in_window(at) {
            return Ok(());
        }
        self.hook_code(at, at)
    }

    /// No longer.
    pub fn unwatch(&mut self, at: RunAddr) {
        self.shared.watched.borrow_mut().remove(&at.get());
    }

    /// From now on the processor stops before every instruction in `[start, end)`.
    pub fn watch_window(&mut self, start: RunAddr, end: RunAddr) -> Result<(), CpuError> {
        let (start, end) = (start.get(), end.get());
        self.shared.windows.borrow_mut().push((start, end));
        self.hook_code(start, end.saturating_sub(1))
    }

    /// Forgets all windows. (What was translated for them stays, and asks in vain.)
    pub fn unwatch_windows(&mut self) {
        self.shared.windows.borrow_mut().clear();
    }

    fn in_window(&self, at: u64) -> bool {
        let windows = self.shared.windows.borrow();
        windows.iter().any(|&(low, high)| low <= at && at < high)
    }

    fn hook_code(&mut self, first: u64, last: u64) -> Result<(), CpuError> {
        let on = Rc::clone(&self.shared);
        self.uc
            .add_code_hook(first, last, move |uc, at, _| {
                if on.over.get() == Some(at) {
                    return;
                }
                let stop = on.watched.borrow().contains(&at)
                    || on
                        .windows
                        .borrow()
                        .iter()
                        .any(|&(low, high)| low <= at && at < high);
                if stop && on.stop.get().is_none() {
                    on.stop.set(Some(Stop::Watched));
                    let _ = uc.emu_stop();
                }
            })
            .map_err(CpuError::new("watch", first))?;
        self.forget_code(first, last - first + 1)
    }

    /// One register.
    pub fn register(&self, register: RegisterX86) -> Result<u64, CpuError> {
        self.uc
            .reg_read(register)
            .map_err(CpuError::new("read a register", 0))
    }

    /// Sets one register.
    pub fn set_register(&mut self, register: RegisterX86, value: u64) -> Result<(), CpuError> {
        self.uc
            .reg_write(register, value)
            .map_err(CpuError::new("write a register", 0))
    }

    /// One wide register (vector or x87).
    pub fn wide(&self, register: RegisterX86) -> Result<Box<[u8]>, CpuError> {
        self.uc
            .reg_read_long(register)
            .map_err(CpuError::new("read a register", 0))
    }

    /// Sets one wide register; `value` must be as long as [`Cpu::wide`] gives it.
    pub fn set_wide(&mut self, register: RegisterX86, value: &[u8]) -> Result<(), CpuError> {
        self.uc
            .reg_write_long(register, value)
            .map_err(CpuError::new("write a register", 0))
    }

    /// The general registers.
    pub fn registers(&self) -> Result<Registers, CpuError> {
        let mut list = [0; 18];
        for (value, &register) in list.iter_mut().zip(&GENERAL) {
            *value = self.register(register)?;
        }
        Ok(Registers::from_list(
            list,
            self.register(RegisterX86::FS_BASE)?,
        ))
    }

    /// Sets the general registers.
    pub fn set_registers(&mut self, registers: &Registers) -> Result<(), CpuError> {
        for (&register, value) in GENERAL.iter().zip(registers.list()) {
            self.set_register(register, value)?;
        }
        self.set_register(RegisterX86::FS_BASE, registers.fs_base)
    }

    /// Makes the state what it was at the beginning.
    pub(super) fn reset(&mut self) -> Result<(), CpuError> {
        self.uc
            .context_restore(&self.blank.0)
            .map_err(CpuError::new("restore the state", 0))
    }

    /// A copy of the processor's state.
    pub fn save(&self) -> Result<CpuState, CpuError> {
        self.uc
            .context_init()
            .map(CpuState)
            .map_err(CpuError::new("save the state", 0))
    }

    /// Saves into an existing copy.
    pub fn save_into(&self, state: &mut CpuState) -> Result<(), CpuError> {
        self.uc
            .context_save(&mut state.0)
            .map_err(CpuError::new("save the state", 0))
    }

    /// Restores a copy.
    pub fn restore(&mut self, state: &CpuState) -> Result<(), CpuError> {
        self.uc
            .context_restore(&state.0)
            .map_err(CpuError::new("restore the state", 0))
    }

    /// Gives `[at, at + length)` memory: zeros. What may be done with it, the rights say.
    pub fn map(&mut self, at: u64, length: u64, executable: bool) -> Result<(), CpuError> {
        self.uc
            .mem_map(at, length, memory(executable))
            .map_err(CpuError::new("map", at))
    }

    /// Takes memory away.
    pub fn unmap(&mut self, at: u64, length: u64) -> Result<(), CpuError> {
        self.uc
            .mem_unmap(at, length)
            .map_err(CpuError::new("unmap", at))
    }

    /// Sets whether memory may hold code: only then translations are given up when it is written.
    pub fn set_executable(
        &mut self,
        at: u64,
        length: u64,
        executable: bool,
    ) -> Result<(), CpuError> {
        self.uc
            .mem_protect(at, length, memory(executable))
            .map_err(CpuError::new("protect", at))
    }

    /// The rights have changed.
    pub fn rights_changed(&mut self) -> Result<(), CpuError> {
        self.uc
            .ctl_flush_tlb()
            .map_err(CpuError::new("flush the TLB", 0))
    }

    /// Reads memory, whatever its protection; `None` if part of it is not mapped.
    #[must_use]
    pub fn read(&self, at: u64, buffer: &mut [u8]) -> Option<()> {
        self.uc.mem_read(at, buffer).ok()
    }

    /// Writes memory, whatever its protection; `None` if part of it is not mapped.
    #[must_use]
    pub fn write(&mut self, at: u64, bytes: &[u8]) -> Option<()> {
        self.uc.mem_write(at, bytes).ok()
    }

    /// Forgets what was translated from these bytes.
    pub fn forget_code(&mut self, at: u64, length: u64) -> Result<(), CpuError> {
        self.uc
            .ctl_remove_cache(at, at.saturating_add(length))
            .map_err(CpuError::new("forget code", at))
    }

    /// Forgets all translated code.
    pub fn forget_all_code(&mut self) -> Result<(), CpuError> {
        self.uc
            .ctl_flush_tb()
            .map_err(CpuError::new("forget code", 0))
    }
}
