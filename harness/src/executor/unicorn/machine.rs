//! One emulated CPU: code placed at its own address + registers -> [`Outcome`].
//!
//! The executable range is filled with `hlt`, and only the code under test is placed in it, so that an execution stops
//! by itself wherever it leaves that code, and the place where it stopped is its exit. No code hook is needed (they cost
//! more than the code that is run). Stores are seen by one hook, which records them and lets them be taken back: every
//! execution starts from the same memory.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use unicorn_engine::{
    Arch, Context, HookType, Mode, Prot, RegisterX86, Unicorn, X86CpuModel, uc_error,
};

use crate::outcome::{Exit, FLAGS, FaultKind, Outcome};

/// `hlt`: user code has none, and Unicorn stops at it.
pub const HLT: u8 = 0xf4;
const PAGE: u64 = 4096;
/// Instructions that one guarded execution may take.
const LIMIT: usize = 1000;

const GENERAL: [RegisterX86; 18] = [
    RegisterX86::RAX,
    RegisterX86::RCX,
    RegisterX86::RDX,
    RegisterX86::RBX,
    RegisterX86::RSP,
    RegisterX86::RBP,
    RegisterX86::RSI,
    RegisterX86::RDI,
    RegisterX86::R8,
    RegisterX86::R9,
    RegisterX86::R10,
    RegisterX86::R11,
    RegisterX86::R12,
    RegisterX86::R13,
    RegisterX86::R14,
    RegisterX86::R15,
    RegisterX86::RFLAGS,
    RegisterX86::FS_BASE,
];
const RIP: RegisterX86 = RegisterX86::RIP;
/// The vector registers, by number.
pub(crate) const VECTORS: [RegisterX86; 16] = [
    RegisterX86::XMM0,
    RegisterX86::XMM1,
    RegisterX86::XMM2,
    RegisterX86::XMM3,
    RegisterX86::XMM4,
    RegisterX86::XMM5,
    RegisterX86::XMM6,
    RegisterX86::XMM7,
    RegisterX86::XMM8,
    RegisterX86::XMM9,
    RegisterX86::XMM10,
    RegisterX86::XMM11,
    RegisterX86::XMM12,
    RegisterX86::XMM13,
    RegisterX86::XMM14,
    RegisterX86::XMM15,
];

/// A failure of the emulator itself, never of the code under test.
#[derive(Debug, thiserror::Error)]
#[error("emulator: {what} at {at:#x}: {error:?}")]
pub struct MachineError {
    what: &'static str,
    at: u64,
    error: uc_error,
}

/// The whole CPU before an execution: an execution starts from nothing else, whatever earlier ones did.
pub struct Snapshot(Context);

/// One store, with what stood there before.
struct Store {
    at: u64,
    len: usize,
    old: [u8; 8],
    new: [u8; 8],
}

/// One emulated CPU and its memory.
pub struct Machine {
    cpu: Unicorn<'static, ()>,
    stores: Rc<RefCell<Vec<Store>>>,
    /// Code that was written since the last execution: Unicorn keeps what it translated from it before.
    rewritten: Vec<(u64, u64)>,
}

/// Rewritten places up to which each is forgotten by itself, instead of all translations.
const FEW: usize = 16;

impl Machine {
    /// An empty machine with a pinned CPU model.
    pub fn new() -> Result<Self, MachineError> {
        let at = |what| move |error| MachineError { what, at: 0, error };
        let mut cpu = Unicorn::new(Arch::X86, Mode::MODE_64).map_err(at("open"))?;
        cpu.ctl_set_cpu_model(X86CpuModel::HASWELL as i32)
            .map_err(at("CPU model"))?;
        // An empty set of exits: nothing but `hlt` stops an execution, and no translation is thrown away after it.
        cpu.ctl_exits_enable().map_err(at("exits"))?;
        // CR4.OSXSAVE, as every operating system of these days sets it: without it `xgetbv` is no instruction.
        let cr4 = cpu.reg_read(RegisterX86::CR4).map_err(at("CR4"))?;
        cpu.reg_write(RegisterX86::CR4, cr4 | 1 << 18)
            .map_err(at("CR4"))?;
        let stores = Rc::new(RefCell::new(Vec::<Store>::new()));
        let log = Rc::clone(&stores);
        cpu.add_mem_hook(
            HookType::MEM_WRITE,
            0,
            u64::MAX,
            move |cpu, _, at, len, value| {
                let mut old = [0; 8];
                let len = len.min(8);
                if let Some(place) = old.get_mut(..len)
                    && cpu.mem_read(at, place).is_ok()
                {
                    log.borrow_mut().push(Store {
                        at,
                        len,
                        old,
                        new: value.to_le_bytes(),
                    });
                }
                true
            },
        )
        .map_err(at("store hook"))?;
        Ok(Self {
            cpu,
            stores,
            rewritten: Vec::new(),
        })
    }

    /// Maps `[start, end)`, rounded outwards to pages, filled with zeros, or with `hlt` if it is executable.
    pub fn map(&mut self, start: u64, end: u64, executable: bool) -> Result<(), MachineError> {
        let (low, high) = (start & !(PAGE - 1), end.next_multiple_of(PAGE));
        let protection = if executable {
            Prot::ALL
        } else {
            Prot::READ | Prot::WRITE
        };
        self.cpu
            .mem_map(low, high.saturating_sub(low), protection)
            .map_err(|error| MachineError {
                what: "map",
                at: low,
                error,
            })?;
        if executable {
            self.erase(low, high)?;
        }
        Ok(())
    }

    /// Writes data.
    pub fn place(&mut self, at: u64, bytes: &[u8]) -> Result<(), MachineError> {
        self.cpu.mem_write(at, bytes).map_err(|error| MachineError {
            what: "write",
            at,
            error,
        })
    }

    /// Writes code.
    pub fn place_code(&mut self, at: u64, bytes: &[u8]) -> Result<(), MachineError> {
        if self.rewritten.len() <= FEW {
            self.rewritten
                .push((at, at.saturating_add(bytes.len() as u64)));
        }
        self.place(at, bytes)
    }

    /// Fills `[start, end)` with `hlt`.
    pub fn erase(&mut self, start: u64, end: u64) -> Result<(), MachineError> {
        static CHUNK: [u8; 0x1_0000] = [HLT; 0x1_0000];
        let mut at = start;
        while at < end {
            let len = (end - at).min(CHUNK.len() as u64);
            let bytes = CHUNK.get(..len as usize).unwrap_or_default();
            self.place_code(at, bytes)?;
            at += len;
        }
        Ok(())
    }

    /// Forgets all translated code, which otherwise grows with every new piece of code.
    pub fn forget(&mut self) -> Result<(), MachineError> {
        self.rewritten.clear();
        self.cpu.ctl_flush_tb().map_err(|error| MachineError {
            what: "flush",
            at: 0,
            error,
        })
    }

    /// Forgets what was translated from code that has been written since.
    fn forget_rewritten(&mut self) -> Result<(), MachineError> {
        if self.rewritten.len() > FEW {
            return self.forget();
        }
        for (start, end) in self.rewritten.drain(..).filter(|(start, end)| start < end) {
            self.cpu
                .ctl_remove_cache(start, end)
                .map_err(|error| MachineError {
                    what: "forget",
                    at: start,
                    error,
                })?;
        }
        Ok(())
    }

    /// XMM0 to XMM15.
    fn vectors(&self) -> Result<Vec<[u64; 2]>, MachineError> {
        VECTORS
            .iter()
            .map(|&register| {
                let bytes = self
                    .cpu
                    .reg_read_long(register)
                    .map_err(|error| MachineError {
                        what: "read xmm",
                        at: 0,
                        error,
                    })?;
                let half = |at: usize| {
                    bytes
                        .get(at..at + 8)
                        .and_then(|b| b.try_into().ok())
                        .map_or(0, u64::from_le_bytes)
                };
                Ok([half(0), half(8)])
            })
            .collect()
    }

    /// The CPU with these general registers (by encoding), flags, base of FS and vector registers; the rest is as
    /// after a reset.
    pub fn snapshot(
        &mut self,
        registers: &[u64; 16],
        flags: u64,
        fs_base: u64,
        vectors: &[[u64; 2]; 16],
    ) -> Result<Snapshot, MachineError> {
        let failed = |what| move |error| MachineError { what, at: 0, error };
        let mut values = [0; 18];
        values[..16].copy_from_slice(registers);
        values[16] = flags;
        values[17] = fs_base;
        self.cpu
            .reg_write_batch(&GENERAL, &values, GENERAL.len() as i32)
            .map_err(failed("write registers"))?;
        for (&register, value) in VECTORS.iter().zip(vectors) {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&value[0].to_le_bytes());
            bytes[8..].copy_from_slice(&value[1].to_le_bytes());
            self.cpu
                .reg_write_long(register, &bytes)
                .map_err(failed("write vector registers"))?;
        }
        self.cpu
            .context_init()
            .map(Snapshot)
            .map_err(failed("save the CPU"))
    }

    /// Runs from the instruction at `at` until control leaves the placed code, and takes back what was written.
    /// `guarded`: at most a thousand instructions, for code that may loop; it is slower.
    pub fn run(
        &mut self,
        from: &Snapshot,
        at: u64,
        guarded: bool,
    ) -> Result<Outcome, MachineError> {
        let failed = |what| move |error| MachineError { what, at, error };
        self.forget_rewritten()?;
        self.cpu
            .context_restore(&from.0)
            .map_err(failed("restore the CPU"))?;
        let limit = if guarded { LIMIT } else { 0 };
        let result = self.cpu.emu_start(at, 0, 0, limit);
        let mut read = GENERAL;
        read[17] = RIP;
        let after = self
            .cpu
            .reg_read_batch(&mut read, GENERAL.len() as i32)
            .map_err(failed("read registers"))?;
        let mut registers = [0; 16];
        for (to, from) in registers.iter_mut().zip(&after) {
            *to = *from;
        }
        let flags = after.get(16).copied().unwrap_or(0) & FLAGS;
        let pc = after.get(17).copied().unwrap_or(0);
        Ok(Outcome {
            exit: self.exit(result, pc, guarded),
            registers,
            flags,
            vectors: self.vectors()?,
            writes: self.take_back()?,
        })
    }

    fn exit(&self, result: Result<(), uc_error>, pc: u64, guarded: bool) -> Exit {
        let fault = |kind| Exit::Fault { pc, kind };
        match result {
            Ok(()) => {
                // `hlt` leaves the address behind itself.
                let mut byte = [0];
                let at = pc.wrapping_sub(1);
                if self.cpu.mem_read(at, &mut byte).is_ok() && byte == [HLT] {
                    Exit::At(at)
                } else if guarded {
                    Exit::Runaway
                } else {
                    fault(FaultKind::Exception)
                }
            }
            // Nothing is mapped there: it left all the same.
            Err(uc_error::FETCH_UNMAPPED | uc_error::FETCH_PROT) => Exit::At(pc),
            Err(uc_error::READ_UNMAPPED | uc_error::READ_PROT | uc_error::READ_UNALIGNED) => {
                fault(FaultKind::Read)
            }
            Err(uc_error::WRITE_UNMAPPED | uc_error::WRITE_PROT | uc_error::WRITE_UNALIGNED) => {
                fault(FaultKind::Write)
            }
            Err(uc_error::INSN_INVALID) => fault(FaultKind::Invalid),
            Err(_) => fault(FaultKind::Exception),
        }
    }

    /// Undoes the stores of one execution, latest first; their final bytes.
    fn take_back(&mut self) -> Result<BTreeMap<u64, u8>, MachineError> {
        let mut writes = BTreeMap::new();
        let stores = std::mem::take(&mut *self.stores.borrow_mut());
        for store in &stores {
            for (i, byte) in store.new.iter().take(store.len).enumerate() {
                writes.insert(store.at.wrapping_add(i as u64), *byte);
            }
        }
        for store in stores.iter().rev() {
            self.place(store.at, store.old.get(..store.len).unwrap_or_default())?;
        }
        let mut stores = stores;
        stores.clear();
        *self.stores.borrow_mut() = stores;
        Ok(writes)
    }
}
