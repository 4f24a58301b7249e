//! System calls made by a stopped thread of the program on the tracer's behalf.
//!
//! The thread must stand between two instructions of its own (after a system call has returned), not inside a call. At
//! no point does its survival depend on the tracer's ([`super::gadget`]); what a killed tracer leaves is a mapping.

use std::time::{Duration, Instant};

use super::failure::{Failure, FailureCode, Result};
use super::gadget::Gadget;
use super::session::Session;
use crate::addr::RunAddr;
use crate::os::{Mapping, ProcessMemory, Protection, Tid};

/// How long one call may take, stop signals to the program included.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes system calls in one stopped thread.
#[derive(Debug)]
pub struct Remote<'s> {
    session: &'s mut Session,
    memory: &'s ProcessMemory,
    tid: Tid,
    gadget: Gadget,
}

impl<'s> Remote<'s> {
    /// For `tid`, which must be stopped after a system call.
    pub fn new(
        session: &'s mut Session,
        memory: &'s ProcessMemory,
        tid: Tid,
        maps: &[Mapping],
    ) -> Result<Self> {
        let gadget = Gadget::find(memory, maps)
            .map_err(Failure::system("cannot search the program's code"))?
            .ok_or_else(|| {
                Failure::new(
                    FailureCode::Mapping,
                    "the program has no `syscall` instruction that returns at once",
                )
            })?;
        Ok(Self {
            session,
            memory,
            tid,
            gadget,
        })
    }

    /// Makes one call; its result, or the error that the kernel gave.
    fn call(&mut self, number: i64, arguments: [u64; 6]) -> Result<std::io::Result<u64>> {
        let saved = self.session.registers(self.tid)?;
        self.aim(number, arguments)?;
        let deadline = Some(Instant::now() + PATIENCE);
        // Signal handlers may run, and make system calls of their own, before and after: what counts is the address.
        let mut stops = 0;
        while stops < 2 {
            self.session.to_system_call(self.tid, deadline)?;
            if self.session.registers(self.tid)?.rip() == self.gadget.after() {
                stops += 1;
            }
        }
        let result = self.session.registers(self.tid)?.rax();
        self.session.set_registers(self.tid, &saved)?;
        // The last page of the address space is the kernel's range of error numbers.
        Ok(if result > u64::MAX - 4096 {
            let number = i32::try_from(result.wrapping_neg()).unwrap_or(libc::EINVAL);
            Err(std::io::Error::from_raw_os_error(number))
        } else {
            Ok(result)
        })
    }

    /// Points the thread at the gadget.
    fn aim(&mut self, number: i64, arguments: [u64; 6]) -> Result<()> {
        let mut regs = self.session.registers(self.tid)?;
        let (at, words) = self.gadget.stack(&regs).ok_or_else(|| {
            Failure::new(FailureCode::Mapping, "the stack pointer is out of range")
        })?;
        self.memory
            .write(at, &words)
            .map_err(Failure::system("cannot write the program's stack"))?;
        let [rdi, rsi, rdx, r10, r8, r9] = arguments;
        regs.set_rax(number.cast_unsigned());
        // In no system call: nothing to restart.
        regs.set_orig_rax(u64::MAX);
        regs.set_rdi(rdi);
        regs.set_rsi(rsi);
        regs.set_rdx(rdx);
        regs.set_r10(r10);
        regs.set_r8(r8);
        regs.set_r9(r9);
        regs.set_rsp(at);
        regs.set_rip(self.gadget.at);
        self.session.set_registers(self.tid, &regs)
    }

    /// Maps `length` bytes at exactly `at`: anonymous memory, or the descriptor `shared` of the program.
    pub fn map(
        &mut self,
        at: RunAddr,
        length: u64,
        protection: Protection,
        shared: Option<i32>,
    ) -> Result<()> {
        let bit = |on: bool, flag: i32| if on { flag } else { 0 };
        let rights = bit(protection.read, libc::PROT_READ)
            | bit(protection.write, libc::PROT_WRITE)
            | bit(protection.execute, libc::PROT_EXEC);
        let flags = libc::MAP_FIXED_NOREPLACE
            | match shared {
                Some(_) => libc::MAP_SHARED | libc::MAP_NORESERVE,
                None => libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            };
        let number = |value: i32| i64::from(value).cast_unsigned();
        let arguments = [
            at.get(),
            length,
            number(rights),
            number(flags),
            number(shared.unwrap_or(-1)),
            0,
        ];
        let failed = |why: &dyn std::fmt::Display| {
            Failure::new(
                FailureCode::Mapping,
                format!("cannot map {length} bytes at {at} in the program: {why}"),
            )
        };
        match self.call(libc::SYS_mmap, arguments)? {
            Ok(got) if got == at.get() => Ok(()),
            // A kernel before 4.17 takes the address for a wish.
            Ok(got) => {
                self.unmap(RunAddr::new(got), length)?;
                Err(failed(&"the range is taken"))
            }
            Err(error) => Err(failed(&error)),
        }
    }

    /// Has a mapping of ours left out of core dumps: a shared one would be written as a whole, whether it was used or not. To
    /// be asked of whole mappings only: a part would become one of its own, and the program can see that.
    pub fn leave_out_of_dumps(&mut self, at: RunAddr, length: u64) -> Result<()> {
        let advice = u64::try_from(libc::MADV_DONTDUMP).unwrap_or_default();
        self.call(libc::SYS_madvise, [at.get(), length, advice, 0, 0, 0])?
            .map(drop)
            .map_err(|error| {
                Failure::new(
                    FailureCode::Mapping,
                    format!("cannot leave memory out of core dumps: {error}"),
                )
            })
    }

    /// Unmaps what [`Self::map`] mapped.
    pub fn unmap(&mut self, at: RunAddr, length: u64) -> Result<()> {
        self.call(libc::SYS_munmap, [at.get(), length, 0, 0, 0, 0])?
            .map(drop)
            .map_err(Failure::system("cannot unmap memory of the program"))
    }

    /// Creates an anonymous file; `name` is the address of a C string in the program.
    pub fn memfd(&mut self, name: RunAddr) -> Result<i32> {
        let flags = u64::from(libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING);
        let fd = self
            .call(libc::SYS_memfd_create, [name.get(), flags, 0, 0, 0, 0])?
            .map_err(|error| {
                Failure::new(
                    FailureCode::Mapping,
                    format!("cannot create the rings: {error}"),
                )
            })?;
        i32::try_from(fd)
            .map_err(|_| Failure::new(FailureCode::Mapping, format!("no descriptor: {fd}")))
    }

    /// Closes a descriptor of the program.
    pub fn close(&mut self, fd: i32) -> Result<()> {
        let fd = i64::from(fd).cast_unsigned();
        self.call(libc::SYS_close, [fd, 0, 0, 0, 0, 0])?
            .map(drop)
            .map_err(Failure::system("cannot close the rings in the program"))
    }

    /// Has the program exit with `status` as soon as the thread goes on.
    pub fn exit(mut self, status: u8) -> Result<()> {
        self.aim(libc::SYS_exit_group, [u64::from(status), 0, 0, 0, 0, 0])
    }
}
