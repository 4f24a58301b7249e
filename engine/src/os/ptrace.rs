//! ptrace(2) by `PTRACE_SEIZE`, and waitpid(2) for traced threads.
//!
//! Signals are raw numbers here: real-time signals (glibc and Go programs use them) have no name in most enumerations,
//! and a wait that fails on one would lose it.

use std::io;

use super::process::Tid;
use crate::addr::RunAddr;

/// A signal number; 0 is "none".
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Signal(pub i32);

impl Signal {
    /// No signal.
    pub const NONE: Self = Self(0);
}

/// Why a traced thread reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// It ended with this status; it is no longer traced.
    Exited(i32),
    /// A signal ended it; it is no longer traced.
    Killed(Signal),
    /// Stopped because a signal is about to be delivered.
    Signal(Signal),
    /// Stopped together with its process by a stop signal.
    GroupStop(Signal),
    /// Stopped at the entry or exit of a system call.
    SystemCall,
    /// Stopped by [`interrupt`], as a new thread, or by the end of a group stop.
    Interrupted,
    /// Stopped in clone(2); the new thread is traced too.
    Cloned,
    /// Stopped after a successful execve(2).
    Executed,
    /// Stopped for a reason that was not asked for.
    Other(i32),
}

/// General registers of a stopped thread.
#[derive(Clone, Copy, Debug)]
pub struct Registers(libc::user_regs_struct);

macro_rules! registers {
    ($($get:ident $set:ident $field:ident $doc:literal),*) => {$(
        #[doc = $doc]
        #[must_use]
        pub fn $get(&self) -> u64 { self.0.$field }
        #[doc = concat!("Sets: ", $doc)]
        pub fn $set(&mut self, value: u64) { self.0.$field = value; }
    )*};
}

impl Registers {
    registers!(
        rax set_rax rax "RAX.",
        rdi set_rdi rdi "RDI.",
        rsi set_rsi rsi "RSI.",
        rdx set_rdx rdx "RDX.",
        r10 set_r10 r10 "R10.",
        r8 set_r8 r8 "R8.",
        r9 set_r9 r9 "R9.",
        orig_rax set_orig_rax orig_rax "The number of the system call that the thread is in; all ones for none."
    );

    /// Where it executes.
    #[must_use]
    pub fn rip(&self) -> RunAddr {
        RunAddr::new(self.0.rip)
    }

    /// Sets where it executes.
    pub fn set_rip(&mut self, at: RunAddr) {
        self.0.rip = at.get();
    }

    /// Its stack pointer.
    #[must_use]
    pub fn rsp(&self) -> RunAddr {
        RunAddr::new(self.0.rsp)
    }

    /// Sets its stack pointer.
    pub fn set_rsp(&mut self, at: RunAddr) {
        self.0.rsp = at.get();
    }

    /// The register that a `pop` with this number (0 RAX … 15 R15) loads; `None` for RSP and above 15.
    #[must_use]
    pub fn by_number(&self, number: u8) -> Option<u64> {
        let r = &self.0;
        Some(match number {
            0 => r.rax,
            1 => r.rcx,
            2 => r.rdx,
            3 => r.rbx,
            5 => r.rbp,
            6 => r.rsi,
            7 => r.rdi,
            8 => r.r8,
            9 => r.r9,
            10 => r.r10,
            11 => r.r11,
            12 => r.r12,
            13 => r.r13,
            14 => r.r14,
            15 => r.r15,
            _ => return None,
        })
    }
}

/// How a stopped thread goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resume {
    /// Until something happens (`PTRACE_CONT`).
    Run,
    /// Until the next entry or exit of a system call (`PTRACE_SYSCALL`).
    ToSystemCall,
    /// Stay in a group stop, but hear of its end (`PTRACE_LISTEN`).
    Listen,
}

/// Which status word means what: ptrace(2), "Stopped states".
const EVENT_STOP: i32 = 128;

fn request(kind: libc::c_uint, tid: Tid, data: usize) -> io::Result<()> {
    // SAFETY: these requests read `data` as a number, not as a pointer; no memory of this process is touched.
    let result = unsafe { libc::ptrace(kind, tid.0, 0usize, data) };
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Starts tracing without stopping. Follows threads and execve; never kills the program when the tracer ends.
pub fn seize(tid: Tid) -> io::Result<()> {
    let options =
        libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_TRACESYSGOOD;
    request(
        libc::PTRACE_SEIZE,
        tid,
        usize::try_from(options).unwrap_or_default(),
    )
}

/// Asks a running thread to stop; [`wait`] reports the stop.
pub fn interrupt(tid: Tid) -> io::Result<()> {
    request(libc::PTRACE_INTERRUPT, tid, 0)
}

/// Lets a stopped thread go on, delivering `signal`.
pub fn resume(tid: Tid, how: Resume, signal: Signal) -> io::Result<()> {
    let kind = match how {
        Resume::Run => libc::PTRACE_CONT,
        Resume::ToSystemCall => libc::PTRACE_SYSCALL,
        Resume::Listen => libc::PTRACE_LISTEN,
    };
    request(kind, tid, usize::try_from(signal.0).unwrap_or_default())
}

/// Stops tracing a stopped thread and lets it go on, delivering `signal`.
pub fn detach(tid: Tid, signal: Signal) -> io::Result<()> {
    request(
        libc::PTRACE_DETACH,
        tid,
        usize::try_from(signal.0).unwrap_or_default(),
    )
}

/// Reads the registers of a stopped thread.
pub fn registers(tid: Tid) -> io::Result<Registers> {
    let mut regs = std::mem::MaybeUninit::<libc::user_regs_struct>::uninit();
    // SAFETY: PTRACE_GETREGS fills exactly one `user_regs_struct` at `data`, which has room for one.
    let result = unsafe { libc::ptrace(libc::PTRACE_GETREGS, tid.0, 0usize, regs.as_mut_ptr()) };
    if result == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so the kernel has written the whole structure.
    Ok(Registers(unsafe { regs.assume_init() }))
}

/// Writes the registers of a stopped thread.
pub fn set_registers(tid: Tid, regs: &Registers) -> io::Result<()> {
    // SAFETY: PTRACE_SETREGS reads exactly one `user_regs_struct` from `data`, which is one.
    let result = unsafe { libc::ptrace(libc::PTRACE_SETREGS, tid.0, 0usize, &raw const regs.0) };
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Takes one report of a thread that the calling thread traces (or a child of it); `None` if there is none now.
/// `ECHILD` if nothing is left to report.
pub fn wait() -> io::Result<Option<(Tid, Event)>> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is one writable int.
        let tid = unsafe {
            libc::waitpid(
                -1,
                &raw mut status,
                libc::__WALL | libc::__WNOTHREAD | libc::WNOHANG,
            )
        };
        match tid {
            0 => return Ok(None),
            -1 => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
            tid => return Ok(Some((Tid(tid), decode(status)))),
        }
    }
}

/// Status word -> event (wait(2), ptrace(2)).
fn decode(status: i32) -> Event {
    if libc::WIFEXITED(status) {
        return Event::Exited(libc::WEXITSTATUS(status));
    }
    if libc::WIFSIGNALED(status) {
        return Event::Killed(Signal(libc::WTERMSIG(status)));
    }
    let signal = libc::WSTOPSIG(status);
    match status >> 16 {
        0 if signal == libc::SIGTRAP | 0x80 => Event::SystemCall,
        0 => Event::Signal(Signal(signal)),
        libc::PTRACE_EVENT_CLONE => Event::Cloned,
        libc::PTRACE_EVENT_EXEC => Event::Executed,
        EVENT_STOP => match signal {
            libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => {
                Event::GroupStop(Signal(signal))
            }
            _ => Event::Interrupted,
        },
        other => Event::Other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_words_are_told_apart() {
        let stop = |event: i32, signal: i32| event << 16 | signal << 8 | 0x7f;
        assert_eq!(decode(7 << 8), Event::Exited(7));
        assert_eq!(decode(9), Event::Killed(Signal(9)));
        assert_eq!(decode(stop(0, 15)), Event::Signal(Signal(15)));
        assert_eq!(decode(stop(0, 34)), Event::Signal(Signal(34)));
        assert_eq!(decode(stop(0, 5 | 0x80)), Event::SystemCall);
        assert_eq!(decode(stop(128, 19)), Event::GroupStop(Signal(19)));
        assert_eq!(decode(stop(128, 5)), Event::Interrupted);
        assert_eq!(decode(stop(3, 5)), Event::Cloned);
        assert_eq!(decode(stop(4, 5)), Event::Executed);
        assert_eq!(decode(stop(6, 5)), Event::Other(6));
    }
}
