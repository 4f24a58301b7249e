//! Signal actions, masks, stacks and sending: rt_sigaction(2), rt_sigprocmask(2), sigaltstack(2), tgkill(2), kill(2).

use super::super::deliver;
use super::super::process::{Ending, Machine};
use super::super::signals::{ACTION_SIZE, Action, Info, LAST, Mask};
use super::super::threads::{Call, Tid};
use super::{Answer, No, Reply, done, fail};

/// Least size of an alternate stack.
const MINSIGSTKSZ: u64 = 2048;

fn signal(number: i32) -> Result<i32, No> {
    if (1..=LAST).contains(&number) {
        Ok(number)
    } else {
        Err(No::Error(libc::EINVAL))
    }
}

pub(super) fn rt_sigaction(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let number = signal(call.int(0))?;
    if call.arg(3) != 8 {
        return fail(libc::EINVAL);
    }
    let new = if call.arg(1) == 0 {
        None
    } else if number == libc::SIGKILL || number == libc::SIGSTOP {
        return fail(libc::EINVAL);
    } else {
        let mut bytes = [0; ACTION_SIZE];
        machine.user_into(call.arg(1), &mut bytes)?;
        Some(Action::from_bytes(&bytes))
    };
    if call.arg(2) != 0 {
        let old = machine.action(number).to_bytes();
        machine.put(call.arg(2), &old)?;
    }
    if let (Some(new), Some(slot)) = (new, machine.actions.get_mut(number as usize)) {
        *slot = new;
    }
    done(0)
}

pub(super) fn rt_sigprocmask(machine: &mut Machine<'_>, call: &Call) -> Reply {
    if call.arg(3) != 8 {
        return fail(libc::EINVAL);
    }
    let set = match call.arg(1) {
        0 => None,
        at => Some(machine.user_word(at)?),
    };
    let current = machine.current;
    let Some(thread) = machine.threads.get_mut(current) else {
        return fail(libc::EINVAL);
    };
    let old = thread.mask.0;
    if let Some(set) = set {
        let new = match call.int(0) {
            libc::SIG_BLOCK => old | set,
            libc::SIG_UNBLOCK => old & !set,
            libc::SIG_SETMASK => set,
            _ => return fail(libc::EINVAL),
        };
        thread.mask = Mask(new).blockable();
    }
    if call.arg(2) != 0 {
        machine.put_words(call.arg(2), &[old])?;
    }
    done(0)
}

pub(super) fn rt_sigreturn(machine: &mut Machine<'_>, _: &Call) -> Reply {
    let current = machine.current;
    if let Some(thread) = machine.threads.get_mut(current)
        && !deliver::leave(&mut machine.cpu, thread)?
    {
        machine.ending = Some(Ending::Signal(libc::SIGSEGV));
    }
    Ok(Answer::Nothing)
}

pub(super) fn sigaltstack(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let rsp = machine.cpu.registers()?.rsp;
    let new = match call.arg(0) {
        0 => None,
        at => Some([
            machine.user_word(at)?,
            machine.user_word(at.wrapping_add(8))?,
            machine.user_word(at.wrapping_add(16))?,
        ]),
    };
    let current = machine.current;
    let Some(thread) = machine.threads.get_mut(current) else {
        return fail(libc::EINVAL);
    };
    let on_it = thread
        .alternate
        .is_some_and(|(base, size)| rsp > base && rsp - base <= size);
    let old = thread
        .alternate
        .map_or([0, libc::SS_DISABLE as u64, 0], |(base, size)| {
            [base, u64::from(on_it), size]
        });
    if let Some([base, flags, size]) = new {
        if on_it {
            return fail(libc::EPERM);
        }
        let disable = flags as u32 as i32 & libc::SS_DISABLE != 0;
        if !disable && size < MINSIGSTKSZ {
            return fail(libc::ENOMEM);
        }
        thread.alternate = (!disable).then_some((base, size));
    }
    if call.arg(1) != 0 {
        machine.put_words(call.arg(1), &old)?;
    }
    done(0)
}

/// To one thread.
fn send(machine: &mut Machine<'_>, tid: Tid, number: i32) -> Reply {
    if machine.threads.get(tid).is_none() {
        return fail(libc::ESRCH);
    }
    if number != 0 {
        let number = signal(number)?;
        let info = Info::from_thread(number, machine.pid);
        machine.post(Some(tid), info);
    }
    done(0)
}

pub(super) fn tgkill(machine: &mut Machine<'_>, call: &Call) -> Reply {
    if call.int(0) != machine.pid {
        return fail(libc::ESRCH);
    }
    send(machine, Tid(call.int(1)), call.int(2))
}

pub(super) fn tkill(machine: &mut Machine<'_>, call: &Call) -> Reply {
    send(machine, Tid(call.int(0)), call.int(1))
}

pub(super) fn kill(machine: &mut Machine<'_>, call: &Call) -> Reply {
    if call.int(0) != machine.pid && call.int(0) != 0 {
        return fail(libc::ESRCH);
    }
    if call.int(1) != 0 {
        let number = signal(call.int(1))?;
        let info = Info::from_process(number, machine.pid);
        machine.post(None, info);
    }
    done(0)
}
