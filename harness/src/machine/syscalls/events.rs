//! Waiting for files: epoll(7), poll(2), select(2).

use std::cell::RefCell;
use std::rc::Rc;

use super::super::files::{Descriptor, Epoll, Interest, Object};
use super::super::process::Machine;
use super::super::threads::Call;
use super::{No, Reply, done, fail};

/// Most events that one call reports.
const MOST: usize = 1024;

fn create(machine: &mut Machine<'_>, close_on_exec: bool) -> Reply {
    let object = Object::Epoll(Rc::new(RefCell::new(Epoll::default())));
    let mut descriptor = Descriptor::new(object, libc::O_RDWR, Vec::new());
    descriptor.close_on_exec = close_on_exec;
    let fd = machine.files.add(descriptor, 0).map_err(No::Error)?;
    done(i64::from(fd))
}

pub(super) fn epoll_create(machine: &mut Machine<'_>, _: &Call) -> Reply {
    create(machine, false)
}

pub(super) fn epoll_create1(machine: &mut Machine<'_>, call: &Call) -> Reply {
    create(machine, call.int(0) & libc::EPOLL_CLOEXEC != 0)
}

/// The interest list behind a descriptor.
fn list(machine: &Machine<'_>, fd: i32) -> Result<Rc<RefCell<Epoll>>, No> {
    match machine.files.object(fd).map_err(No::Error)? {
        Object::Epoll(epoll) => Ok(epoll),
        _ => Err(No::Error(libc::EINVAL)),
    }
}

pub(super) fn epoll_ctl(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let epoll = list(machine, call.int(0))?;
    let fd = call.int(2);
    let open = Rc::clone(&machine.files.get(fd).map_err(No::Error)?.open);
    // epoll does not take regular files and directories (epoll_ctl(2), EPERM); Go then does without it.
    if matches!(
        open.borrow().object,
        Object::File(_) | Object::Directory(_) | Object::Device(_) | Object::Epoll(_)
    ) {
        return fail(libc::EPERM);
    }
    let interest = || {
        // struct epoll_event is packed: 32 bits of events, 64 of data.
        let mut event = [0; 12];
        machine.user_into(call.arg(3), &mut event)?;
        let [a, b, c, d, data @ ..] = event;
        let events = u32::from_le_bytes([a, b, c, d]);
        Ok::<_, No>(Interest::new(&open, events, u64::from_le_bytes(data)))
    };
    let mut epoll = epoll.borrow_mut();
    match call.int(1) {
        libc::EPOLL_CTL_ADD => epoll.add(fd, interest()?),
        libc::EPOLL_CTL_MOD => epoll.change(fd, interest()?),
        libc::EPOLL_CTL_DEL => epoll.remove(fd),
        _ => Err(libc::EINVAL),
    }
    .map_err(No::Error)?;
    machine.files.changed();
    done(0)
}

/// Until when a call with a time limit in milliseconds waits: `None` for ever.
fn deadline(machine: &Machine<'_>, call: &Call, milliseconds: i32) -> Option<u64> {
    if call.again {
        return call.until;
    }
    let ns = u64::try_from(milliseconds).ok()? * 1_000_000;
    Some(machine.now().saturating_add(ns))
}

/// Nothing is ready: the call waits, or its time is up.
fn wait(machine: &Machine<'_>, until: Option<u64>) -> Reply {
    match until {
        Some(until) if until <= machine.now() => done(0),
        until => Err(No::Block(until)),
    }
}

pub(super) fn epoll_wait(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let epoll = list(machine, call.int(0))?;
    let most = usize::try_from(call.int(2)).ok().filter(|&most| most > 0);
    let most = most.ok_or(No::Error(libc::EINVAL))?.min(MOST);
    let until = deadline(machine, call, call.int(3));
    let reports = epoll.borrow_mut().take(most);
    if reports.is_empty() {
        return wait(machine, until);
    }
    let bytes: Vec<u8> = reports
        .iter()
        .flat_map(|(events, data)| {
            let (events, data) = (events.to_le_bytes(), data.to_le_bytes());
            events.into_iter().chain(data)
        })
        .collect();
    machine.put(call.arg(1), &bytes)?;
    done(reports.len() as i64)
}

pub(super) fn poll(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let count = call.arg(1).min(MOST as u64);
    let until = deadline(machine, call, call.int(2));
    let mut ready = 0;
    for index in 0..count {
        // struct pollfd: fd, events, revents.
        let at = call.arg(0).wrapping_add(8 * index);
        let entry = machine.user_word(at)?;
        let (fd, events) = (entry as u32 as i32, (entry >> 32) as u16);
        let found = match machine.files.get(fd) {
            _ if fd < 0 => 0,
            Ok(descriptor) => {
                let always = libc::POLLERR as u16 | libc::POLLHUP as u16;
                descriptor.open.borrow().ready() as u16 & (events | always)
            }
            Err(_) => libc::POLLNVAL as u16,
        };
        machine.put(at.wrapping_add(6), &found.to_le_bytes())?;
        ready += i64::from(found != 0);
    }
    if ready == 0 {
        return wait(machine, until);
    }
    done(ready)
}

/// Only as Go uses it: to sleep (`runtime.usleep` up to 1.10), without descriptors.
pub(super) fn select(machine: &mut Machine<'_>, call: &Call) -> Reply {
    if call.int(0) != 0 {
        return Err(No::Trouble(super::super::Trouble::UnknownCall {
            number: call.number,
            args: format!("select on {} descriptors", call.int(0)),
            by: machine.symbolise_caller(),
        }));
    }
    let until = if call.again {
        call.until
    } else if call.arg(4) == 0 {
        None
    } else {
        let timeval = call.number as i64 == libc::SYS_select;
        let unit = if timeval { 1000 } else { 1 };
        let ns = machine.user_time(call.arg(4), unit)?;
        Some(machine.now().saturating_add(ns))
    };
    wait(machine, until)
}
