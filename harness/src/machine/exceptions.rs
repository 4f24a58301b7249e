//! What the processor cannot do -> a signal, as the kernel makes it of a fault or an exception
//! (`arch/x86/kernel/traps.c`, `arch/x86/mm/fault.c`).

use gondwana_engine::addr::RunAddr;
use unicorn_engine::RegisterX86;

use super::Trouble;
use super::cpu::{Access, Fault};
use super::process::{Ending, Machine};
use super::run::call_of;
use super::signals::{Info, SI_KERNEL};

/// The page of the old-style system calls (vsyscall(7)); Go up to 1.8 calls it where there is no vDSO.
const VSYSCALL: u64 = 0xffff_ffff_ff60_0000;
impl Machine<'_> {
    /// A fault becomes a signal, or the old-style system call that it is.
    pub(super) fn fault(&mut self, fault: Fault) -> Result<(), Trouble> {
        let at = fault.at.get();
        if fault.access == Access::Fetch && at & !0xfff == VSYSCALL {
            return self.vsyscall(at);
        }
        let user = at <= 0x7fff_ffff_ffff;
        let canonical = user || at >= 0xffff_8000_0000_0000;
        // SEGV_MAPERR, SEGV_ACCERR; a non-canonical address is a general protection fault, which knows no address.
        let (code, address, vector) = match (canonical, self.space.is_mapped(at)) {
            (false, _) => (SI_KERNEL, 0, 13),
            (true, false) => (1, at, 14),
            (true, true) => (2, at, 14),
        };
        // Page fault error code (Intel SDM volume 3, 4.7): protection, write, user, fetch.
        let error = u64::from(code == 2)
            | u64::from(fault.access == Access::Write) << 1
            | 4
            | u64::from(fault.access == Access::Fetch) << 4;
        self.force(Info {
            signal: libc::SIGSEGV,
            code,
            words: [address, 0],
            trap: Some((vector, if vector == 14 { error } else { 0 })),
        });
        Ok(())
    }

    /// `gettimeofday`, `time`, `getcpu` at fixed addresses: makes the call and returns, as the kernel does
    /// (`arch/x86/entry/vsyscall/vsyscall_64.c`).
    fn vsyscall(&mut self, at: u64) -> Result<(), Trouble> {
        let number = match at - VSYSCALL {
            0 => libc::SYS_gettimeofday,
            0x400 => libc::SYS_time,
            0x800 => libc::SYS_getcpu,
            _ => {
                self.force(segv(at));
                return Ok(());
            }
        };
        let mut regs = self.cpu.registers()?;
        let Some(back) = self.word(RunAddr::new(regs.rsp)) else {
            self.force(segv(regs.rsp));
            return Ok(());
        };
        regs.rip = back;
        regs.rsp += 8;
        self.cpu.set_registers(&regs)?;
        regs.rax = number as u64;
        self.serve(call_of(&regs))
    }

    /// An instruction that the processor lacks: the program's own `ud2`, or one that needs a newer processor.
    pub(super) fn illegal(&mut self) -> Result<(), Trouble> {
        use iced_x86::{Code, Decoder, DecoderOptions};
        let rip = self.cpu.register(RegisterX86::RIP)?;
        let mut bytes = [0; 15];
        let mut length = bytes.len();
        while length > 0
            && self
                .cpu
                .read(rip, bytes.get_mut(..length).unwrap_or_default())
                .is_none()
        {
            length -= 1;
        }
        let known = bytes.get(..length).unwrap_or_default();
        let instruction = Decoder::with_ip(64, known, rip, DecoderOptions::NONE).decode();
        if !instruction.is_invalid() && instruction.code() != Code::Ud2 {
            let by = self.symbols.name(RunAddr::new(rip));
            return Err(Trouble::NeedsNative(format!(
                "`{instruction}` in {by} is not in the emulated processor"
            )));
        }
        self.force(Info {
            signal: libc::SIGILL,
            code: 2, // ILL_ILLOPN
            words: [rip, 0],
            trap: Some((6, 0)),
        });
        Ok(())
    }

    /// An exception of the processor becomes a signal (`arch/x86/kernel/traps.c`).
    pub(super) fn exception(&mut self, vector: u32) -> Result<(), Trouble> {
        let rip = self.cpu.register(RegisterX86::RIP)?;
        let (signal, code, address) = match vector {
            0 => (libc::SIGFPE, 1, rip),        // FPE_INTDIV
            1 => (libc::SIGTRAP, 2, rip),       // TRAP_TRACE
            3 => (libc::SIGTRAP, SI_KERNEL, 0), // int3
            16 | 19 => (libc::SIGFPE, 0, rip),  // x87 and SIMD exceptions
            17 => (libc::SIGBUS, 1, 0),         // BUS_ADRALN
            _ => (libc::SIGSEGV, SI_KERNEL, 0),
        };
        self.force(Info {
            signal,
            code,
            words: [address, 0],
            trap: Some((u64::from(vector), 0)),
        });
        Ok(())
    }

    /// Makes the current thread's next instruction fault as an access to `at` would, where nothing is mapped: the handler of
    /// SIGSEGV is entered before it.
    pub fn fault_current(&mut self, at: u64) {
        self.force(segv(at));
    }

    /// Sends a signal that cannot be put off: if it is blocked or ignored, the process ends (`force_sig_info`).
    fn force(&mut self, info: Info) {
        let action = self.action(info.signal);
        let blocked = self
            .threads
            .get(self.current)
            .is_some_and(|t| t.mask.has(info.signal));
        if blocked || !action.is_handled() {
            self.ending = Some(Ending::Signal(info.signal));
            return;
        }
        self.post(Some(self.current), info);
    }
}

fn segv(at: u64) -> Info {
    Info {
        signal: libc::SIGSEGV,
        code: 1,
        words: [at, 0],
        trap: Some((14, 4)),
    }
}
