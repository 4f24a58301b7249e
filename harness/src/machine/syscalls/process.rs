//! Threads and the process: clone(2), exit(2), prctl(2), limits, names, random bytes.

use super::super::cpu::WORK_PER_NS;
use super::super::process::{Ending, Machine};
use super::super::threads::{Call, State, Thread, Tid};
use super::super::trace::What;
use super::super::{Trouble, signals};
use super::{Answer, No, Reply, done, fail};
use unicorn_engine::RegisterX86;

/// Most threads that a process may have.
const MAX_THREADS: usize = 10_000;

/// A new thread. A new process cannot be: that is for a native run.
pub(super) fn clone(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let flags = call.int(0);
    if flags & libc::CLONE_THREAD == 0 || flags & libc::CLONE_VM == 0 {
        return fork(machine, call);
    }
    if machine.threads.iter().count() >= MAX_THREADS {
        return fail(libc::EAGAIN);
    }
    let tid = Tid(machine.next_tid);
    machine.next_tid += 1;
    let parent = machine.cpu.registers()?;
    let mut child = parent;
    child.rax = 0;
    if call.arg(1) != 0 {
        child.rsp = call.arg(1);
    }
    if flags & libc::CLONE_SETTLS != 0 {
        child.fs_base = call.arg(4);
    }
    // The child's state is a copy of the parent's processor, vector registers included.
    machine.cpu.set_registers(&child)?;
    let mask = machine
        .threads
        .get(machine.current)
        .map_or(signals::Mask::default(), |thread| thread.mask);
    let mut thread = Thread::new(tid, &machine.cpu, mask)?;
    machine.cpu.set_registers(&parent)?;
    let number = tid.0.to_le_bytes();
    if flags & libc::CLONE_PARENT_SETTID != 0 {
        machine.put(call.arg(2), &number)?;
    }
    if flags & libc::CLONE_CHILD_SETTID != 0 {
        machine.put(call.arg(3), &number)?;
    }
    if flags & libc::CLONE_CHILD_CLEARTID != 0 {
        thread.clear_tid = call.arg(3);
    }
    machine.threads.add(thread);
    done(i64::from(tid.0))
}

pub(super) fn fork(machine: &mut Machine<'_>, call: &Call) -> Reply {
    Err(No::Trouble(Trouble::NeedsNative(format!(
        "it starts another process ({} in {})",
        super::name(call.number),
        machine.symbolise_caller()
    ))))
}

/// The end of one thread.
pub(super) fn exit(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let tid = machine.current;
    machine.note(machine.wanted.schedule, |_| What::End);
    let gone = machine.threads.remove(tid);
    if let Some(thread) = gone
        && thread.clear_tid != 0
    {
        // An address that is no longer there is not an error (`mm_release`).
        let _ = machine.put(thread.clear_tid, &[0; 4]);
        machine.wake_futex(thread.clear_tid, u32::MAX, 1);
    }
    if machine.threads.iter().next().is_none() {
        machine.ending = Some(Ending::Status(call.int(0) & 0xff));
    }
    machine.slice_end = 0;
    Ok(Answer::Nothing)
}

pub(super) fn exit_group(machine: &mut Machine<'_>, call: &Call) -> Reply {
    machine.ending = Some(Ending::Status(call.int(0) & 0xff));
    Ok(Answer::Nothing)
}

pub(super) fn arch_prctl(machine: &mut Machine<'_>, call: &Call) -> Reply {
    const ARCH_SET_GS: i32 = 0x1001;
    const ARCH_SET_FS: i32 = 0x1002;
    const ARCH_GET_FS: i32 = 0x1003;
    match call.int(0) {
        ARCH_SET_FS => machine
            .cpu
            .set_register(RegisterX86::FS_BASE, call.arg(1))?,
        ARCH_SET_GS => machine
            .cpu
            .set_register(RegisterX86::GS_BASE, call.arg(1))?,
        ARCH_GET_FS => {
            let base = machine.cpu.register(RegisterX86::FS_BASE)?;
            machine.put_words(call.arg(1), &[base])?;
        }
        _ => return fail(libc::EINVAL),
    }
    done(0)
}

/// Names of threads and mappings are accepted and forgotten.
pub(super) fn prctl(_: &mut Machine<'_>, call: &Call) -> Reply {
    const PR_SET_VMA: i32 = 0x5356_4d41;
    match call.int(0) {
        libc::PR_SET_NAME | libc::PR_SET_PDEATHSIG | libc::PR_SET_DUMPABLE => done(0),
        // As a kernel without CONFIG_ANON_VMA_NAME.
        PR_SET_VMA => fail(libc::EINVAL),
        _ => fail(libc::EINVAL),
    }
}

pub(super) fn set_tid_address(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let tid = machine.current;
    if let Some(thread) = machine.threads.get_mut(tid) {
        thread.clear_tid = call.arg(0);
    }
    done(i64::from(tid.0))
}

pub(super) fn sched_yield(machine: &mut Machine<'_>, _: &Call) -> Reply {
    machine.end_slice();
    done(0)
}

pub(super) fn sched_getaffinity(machine: &mut Machine<'_>, call: &Call) -> Reply {
    if call.arg(1) < 8 {
        return fail(libc::EINVAL);
    }
    let set = u64::MAX >> (64 - machine.processors);
    machine.put_words(call.arg(2), &[set])?;
    done(8)
}

pub(super) fn getcpu(machine: &mut Machine<'_>, call: &Call) -> Reply {
    for at in [call.arg(0), call.arg(1)] {
        if at != 0 {
            machine.put(at, &[0; 4])?;
        }
    }
    done(0)
}

pub(super) fn getpid(machine: &mut Machine<'_>, _: &Call) -> Reply {
    done(i64::from(machine.pid))
}

pub(super) fn gettid(machine: &mut Machine<'_>, _: &Call) -> Reply {
    done(i64::from(machine.current.0))
}

/// Soft and hard limit of a resource.
fn limits(resource: i32) -> [u64; 2] {
    match resource as u32 {
        libc::RLIMIT_NOFILE => [1024, 1 << 20],
        libc::RLIMIT_STACK => [8 << 20, u64::MAX],
        libc::RLIMIT_CORE => [0, u64::MAX],
        _ => [u64::MAX; 2],
    }
}

pub(super) fn getrlimit(machine: &mut Machine<'_>, call: &Call) -> Reply {
    machine.put_words(call.arg(1), &limits(call.int(0)))?;
    done(0)
}

pub(super) fn prlimit(machine: &mut Machine<'_>, call: &Call) -> Reply {
    if call.arg(3) != 0 {
        machine.put_words(call.arg(3), &limits(call.int(1)))?;
    }
    done(0)
}

pub(super) fn getrusage(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let ns = machine.work() / WORK_PER_NS;
    let mut words = [0; 18];
    words[0] = ns / 1_000_000_000;
    words[1] = ns % 1_000_000_000 / 1000;
    machine.put_words(call.arg(1), &words)?;
    done(0)
}

pub(super) fn uname(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let mut bytes = Vec::new();
    for field in ["Linux", "gondwana", "6.1.0", "#1 SMP", "x86_64", "(none)"] {
        bytes.extend(field.bytes());
        bytes.resize(bytes.len().next_multiple_of(65).max(65), 0);
    }
    machine.put(call.arg(0), &bytes)?;
    done(0)
}

pub(super) fn sysinfo(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let mut words = [0; 14];
    words[0] = machine.now() / 1_000_000_000;
    words[4] = 8 << 30;
    words[5] = 4 << 30;
    words[10] = 64;
    words[13] = 1;
    machine.put_words(call.arg(0), &words)?;
    done(0)
}

pub(super) fn getrandom(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let length = call.arg(1).min(1 << 20);
    let mut bytes = vec![0; length as usize];
    machine.random.fill(&mut bytes);
    machine.put(call.arg(0), &bytes)?;
    done(length as i64)
}

impl Machine<'_> {
    /// Whether the thread can run or waits.
    #[must_use]
    pub fn state_of(&self, tid: Tid) -> Option<State> {
        self.threads.get(tid).map(|thread| thread.state)
    }
}
