//! Clocks, sleeping and timers: clock_gettime(2), nanosleep(2), setitimer(2), timer_create(2).

use super::super::process::Machine;
use super::super::threads::{Call, Tid, Wait};
use super::super::time::{EPOCH, Timer, TimerClock, TimerId, UPTIME};
use super::{Answer, No, Reply, done, fail};

const SECOND: u64 = 1_000_000_000;

/// Time on a clock of clock_gettime(2).
fn read(machine: &Machine<'_>, clock: i32) -> Option<u64> {
    Some(match clock {
        libc::CLOCK_REALTIME | libc::CLOCK_REALTIME_COARSE => EPOCH + machine.now(),
        libc::CLOCK_MONOTONIC
        | libc::CLOCK_MONOTONIC_COARSE
        | libc::CLOCK_MONOTONIC_RAW
        | libc::CLOCK_BOOTTIME => UPTIME + machine.now(),
        libc::CLOCK_PROCESS_CPUTIME_ID => machine.time_of(TimerClock::Process),
        libc::CLOCK_THREAD_CPUTIME_ID => machine.time_of(TimerClock::Thread(machine.current)),
        _ => return None,
    })
}

pub(super) fn clock_gettime(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let now = read(machine, call.int(0)).ok_or(No::Error(libc::EINVAL))?;
    machine.put_words(call.arg(1), &[now / SECOND, now % SECOND])?;
    done(0)
}

pub(super) fn clock_getres(machine: &mut Machine<'_>, call: &Call) -> Reply {
    if call.arg(1) != 0 {
        machine.put_words(call.arg(1), &[0, 1])?;
    }
    done(0)
}

pub(super) fn gettimeofday(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let now = EPOCH + machine.now();
    if call.arg(0) != 0 {
        machine.put_words(call.arg(0), &[now / SECOND, now % SECOND / 1000])?;
    }
    done(0)
}

pub(super) fn time(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let now = (EPOCH + machine.now()) / SECOND;
    if call.arg(0) != 0 {
        machine.put_words(call.arg(0), &[now])?;
    }
    done(now as i64)
}

pub(super) fn times(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let ticks = machine.time_of(TimerClock::Process) / 10_000_000;
    if call.arg(0) != 0 {
        machine.put_words(call.arg(0), &[ticks, 0, 0, 0])?;
    }
    done(((UPTIME + machine.now()) / 10_000_000) as i64)
}

pub(super) fn nanosleep(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let ns = machine.user_timespec(call.arg(0))?;
    let until = machine.now().saturating_add(ns);
    Ok(Answer::Wait(Wait::Time, Some(until)))
}

pub(super) fn clock_nanosleep(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let ns = machine.user_timespec(call.arg(2))?;
    let until = if call.int(1) & libc::TIMER_ABSTIME != 0 {
        machine.instant(call.int(0) == libc::CLOCK_REALTIME, ns)
    } else {
        machine.now().saturating_add(ns)
    };
    Ok(Answer::Wait(Wait::Time, Some(until)))
}

/// Winds a timer: `value` from now, unless it is a point in time; 0 stops it.
fn wind(machine: &mut Machine<'_>, id: TimerId, interval: u64, value: u64, absolute: bool) -> bool {
    let Some(&mut timer) = machine.timers.get_mut(id) else {
        return false;
    };
    let now = machine.time_of(timer.clock);
    let due = match value {
        0 => None,
        _ if absolute => Some(value.saturating_sub(UPTIME)),
        _ => Some(now.saturating_add(value)),
    };
    machine.timers.set(
        id,
        Timer {
            due,
            interval,
            ..timer
        },
    );
    true
}

pub(super) fn setitimer(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let (clock, signal) = match call.int(0) {
        0 => (TimerClock::Real, libc::SIGALRM),
        1 => (TimerClock::Process, libc::SIGVTALRM),
        2 => (TimerClock::Process, libc::SIGPROF),
        _ => return fail(libc::EINVAL),
    };
    let id = TimerId::Interval(call.int(0));
    if call.arg(2) != 0 {
        let left = machine.timers.get_mut(id).map_or([0; 2], |timer| {
            [timer.interval, timer.due.unwrap_or_default()]
        });
        let [interval, due] = left;
        let left = due.saturating_sub(machine.time_of(clock));
        let parts = [interval, left].map(|ns| [ns / SECOND, ns % SECOND / 1000]);
        machine.put_words(call.arg(2), parts.as_flattened())?;
    }
    let interval = machine.user_time(call.arg(1), 1000)?;
    let value = machine.user_time(call.arg(1).wrapping_add(16), 1000)?;
    machine.timers.set(
        id,
        Timer {
            clock,
            signal,
            to: None,
            value: 0,
            due: None,
            interval: 0,
        },
    );
    wind(machine, id, interval, value, false);
    done(0)
}

pub(super) fn timer_create(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let clock = match call.int(0) {
        libc::CLOCK_REALTIME | libc::CLOCK_MONOTONIC => TimerClock::Real,
        libc::CLOCK_PROCESS_CPUTIME_ID => TimerClock::Process,
        libc::CLOCK_THREAD_CPUTIME_ID => TimerClock::Thread(machine.current),
        _ => return fail(libc::EINVAL),
    };
    // struct sigevent: value, signo and notify, thread id.
    let event = call.arg(1);
    let value = machine.user_word(event)?;
    let packed = machine.user_word(event.wrapping_add(8))?;
    let (signal, notify) = (packed as u32 as i32, (packed >> 32) as i32);
    let to = match notify {
        libc::SIGEV_THREAD_ID => {
            Some(Tid(machine.user_word(event.wrapping_add(16))? as u32 as i32))
        }
        libc::SIGEV_SIGNAL | libc::SIGEV_NONE => None,
        _ => return fail(libc::EINVAL),
    };
    let id = machine.timers.create(Timer {
        clock,
        signal: if notify == libc::SIGEV_NONE {
            0
        } else {
            signal
        },
        to,
        value,
        due: None,
        interval: 0,
    });
    machine.put(call.arg(2), &id.to_le_bytes())?;
    done(0)
}

pub(super) fn timer_settime(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let interval = machine.user_timespec(call.arg(2))?;
    let value = machine.user_timespec(call.arg(2).wrapping_add(16))?;
    let absolute = call.int(1) & libc::TIMER_ABSTIME != 0;
    if wind(
        machine,
        TimerId::Posix(call.int(0)),
        interval,
        value,
        absolute,
    ) {
        done(0)
    } else {
        fail(libc::EINVAL)
    }
}

pub(super) fn timer_delete(machine: &mut Machine<'_>, call: &Call) -> Reply {
    if machine.timers.remove(TimerId::Posix(call.int(0))) {
        done(0)
    } else {
        fail(libc::EINVAL)
    }
}
