//! socket(2), bind(2), listen(2), accept(2), connect(2), send(2), recv(2) and their options.

use std::cell::RefCell;
use std::rc::Rc;

use super::super::files::{Address, Descriptor, Object, Socket};
use super::super::process::Machine;
use super::super::signals::Info;
use super::super::threads::Call;
use super::files::{scatter, vectors, wait_for};
use super::{No, Reply, done, fail};

/// Longest `sockaddr` (`struct sockaddr_storage`).
const ADDRESS_MAX: u64 = 128;

fn add(machine: &mut Machine<'_>, socket: Rc<RefCell<Socket>>, flags: i32) -> Result<i32, No> {
    let status = libc::O_RDWR | flags & libc::SOCK_NONBLOCK;
    let mut descriptor = Descriptor::new(Object::Socket(socket), status, Vec::new());
    descriptor.close_on_exec = flags & libc::SOCK_CLOEXEC != 0;
    machine.files.add(descriptor, 0).map_err(No::Error)
}

fn get(machine: &Machine<'_>, fd: i32) -> Result<Rc<RefCell<Socket>>, No> {
    match machine.files.object(fd).map_err(No::Error)? {
        Object::Socket(socket) => Ok(socket),
        _ => Err(No::Error(libc::ENOTSOCK)),
    }
}

const FLAGS: i32 = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;

pub(super) fn socket(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let (family, kind) = (call.int(0), call.int(1));
    if ![libc::AF_INET, libc::AF_INET6, libc::AF_UNIX].contains(&family) {
        return fail(libc::EAFNOSUPPORT);
    }
    let bare = kind & !FLAGS;
    if ![libc::SOCK_STREAM, libc::SOCK_DGRAM].contains(&bare) {
        return fail(libc::EPROTONOSUPPORT);
    }
    let socket = Rc::new(RefCell::new(Socket::new(family, bare)));
    let fd = add(machine, socket, kind)?;
    done(i64::from(fd))
}

pub(super) fn socketpair(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let kind = call.int(1);
    if call.int(0) != libc::AF_UNIX || kind & !FLAGS != libc::SOCK_STREAM {
        return fail(libc::EOPNOTSUPP);
    }
    let (one, other) = Socket::pair(libc::AF_UNIX);
    let one = add(machine, Rc::new(RefCell::new(one)), kind)?;
    let other = add(machine, Rc::new(RefCell::new(other)), kind)?;
    let pair = u64::from(one as u32) | u64::from(other as u32) << 32;
    machine.put_words(call.arg(3), &[pair])?;
    done(0)
}

fn address(machine: &Machine<'_>, at: u64, length: u64) -> Result<Address, No> {
    let bytes = machine.user(at, length.min(ADDRESS_MAX))?;
    Address::parse(&bytes).map_err(No::Error)
}

/// Writes an address where the call wants it, if it does.
fn put_address(
    machine: &mut Machine<'_>,
    at: u64,
    length_at: u64,
    address: &Address,
    family: i32,
) -> Result<(), No> {
    if at == 0 || length_at == 0 {
        return Ok(());
    }
    let mut room = [0; 4];
    machine.user_into(length_at, &mut room)?;
    let bytes = address.to_bytes(family);
    let kept = bytes.len().min(u32::from_le_bytes(room) as usize);
    machine.put(at, bytes.get(..kept).unwrap_or_default())?;
    machine.put(length_at, &(bytes.len() as u32).to_le_bytes())
}

pub(super) fn bind(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let socket = get(machine, call.int(0))?;
    let at = address(machine, call.arg(1), call.arg(2))?;
    machine.files.network.bind(&socket, at).map_err(No::Error)?;
    done(0)
}

pub(super) fn listen(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let socket = get(machine, call.int(0))?;
    let unbound = socket.borrow().local == Address::Unnamed;
    if unbound {
        let any = match socket.borrow().family {
            libc::AF_INET => Address::V4([0; 4], 0),
            libc::AF_INET6 => Address::V6([0; 16], 0),
            _ => return fail(libc::EINVAL),
        };
        machine
            .files
            .network
            .bind(&socket, any)
            .map_err(No::Error)?;
    }
    socket.borrow_mut().listen(call.int(1)).map_err(No::Error)?;
    done(0)
}

pub(super) fn connect(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let socket = get(machine, call.int(0))?;
    let to = address(machine, call.arg(1), call.arg(2))?;
    machine
        .files
        .network
        .connect(&socket, to)
        .map_err(No::Error)?;
    machine.files.changed();
    done(0)
}

fn take(machine: &mut Machine<'_>, call: &Call, flags: i32) -> Reply {
    let fd = call.int(0);
    let listener = get(machine, fd)?;
    let accepted = listener.borrow_mut().accept();
    let socket = accepted.map_err(|errno| wait_for(machine, fd, errno))?;
    let (peer, family) = (socket.borrow().peer.clone(), socket.borrow().family);
    put_address(machine, call.arg(1), call.arg(2), &peer, family)?;
    let fd = add(machine, socket, flags)?;
    machine.files.changed();
    done(i64::from(fd))
}

pub(super) fn accept(machine: &mut Machine<'_>, call: &Call) -> Reply {
    take(machine, call, 0)
}

pub(super) fn accept4(machine: &mut Machine<'_>, call: &Call) -> Reply {
    take(machine, call, call.int(3))
}

pub(super) fn getsockname(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let socket = get(machine, call.int(0))?;
    let (local, family) = (socket.borrow().local.clone(), socket.borrow().family);
    put_address(machine, call.arg(1), call.arg(2), &local, family)?;
    done(0)
}

pub(super) fn getpeername(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let socket = get(machine, call.int(0))?;
    if !socket.borrow().is_connected() {
        return fail(libc::ENOTCONN);
    }
    let (peer, family) = (socket.borrow().peer.clone(), socket.borrow().family);
    put_address(machine, call.arg(1), call.arg(2), &peer, family)?;
    done(0)
}

/// Options change nothing that can be seen over a loopback.
pub(super) fn setsockopt(machine: &mut Machine<'_>, call: &Call) -> Reply {
    get(machine, call.int(0))?;
    done(0)
}

pub(super) fn getsockopt(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let socket = get(machine, call.int(0))?;
    let socket = socket.borrow();
    let value = match (call.int(1), call.int(2)) {
        (libc::SOL_SOCKET, libc::SO_ERROR) => 0,
        (libc::SOL_SOCKET, libc::SO_TYPE) => socket.kind,
        (libc::SOL_SOCKET, libc::SO_DOMAIN) => socket.family,
        (libc::SOL_SOCKET, libc::SO_ACCEPTCONN) => i32::from(socket.is_listening()),
        (libc::SOL_SOCKET, libc::SO_RCVBUF | libc::SO_SNDBUF) => 65_536,
        (libc::IPPROTO_IPV6, libc::IPV6_V6ONLY) => 0,
        _ => return fail(libc::ENOPROTOOPT),
    };
    machine.put(call.arg(3), &value.to_le_bytes())?;
    machine.put(call.arg(4), &4u32.to_le_bytes())?;
    done(0)
}

pub(super) fn shutdown(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let socket = get(machine, call.int(0))?;
    let (read, write) = match call.int(1) {
        libc::SHUT_RD => (true, false),
        libc::SHUT_WR => (false, true),
        libc::SHUT_RDWR => (true, true),
        _ => return fail(libc::EINVAL),
    };
    socket.borrow_mut().shut(read, write).map_err(No::Error)?;
    machine.files.changed();
    done(0)
}

fn send(machine: &mut Machine<'_>, fd: i32, bytes: &[u8], flags: i32) -> Reply {
    let socket = get(machine, fd)?;
    let written = socket.borrow().write(bytes);
    match written {
        Ok(written) => {
            machine.files.changed();
            done(written as i64)
        }
        Err(errno) => {
            if errno == libc::EPIPE && flags & libc::MSG_NOSIGNAL == 0 {
                let info = Info::from_thread(libc::SIGPIPE, machine.pid);
                machine.post(Some(machine.current), info);
            }
            Err(wait_for(machine, fd, errno))
        }
    }
}

pub(super) fn sendto(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let bytes = machine.user(call.arg(1), call.arg(2))?;
    send(machine, call.int(0), &bytes, call.int(3))
}

fn receive(machine: &mut Machine<'_>, fd: i32, length: u64, flags: i32) -> Result<Vec<u8>, No> {
    let socket = get(machine, fd)?;
    let length = length.min(1 << 24) as usize;
    let bytes = socket
        .borrow()
        .read(length, flags & libc::MSG_PEEK != 0)
        .map_err(|errno| match errno {
            libc::EAGAIN if flags & libc::MSG_DONTWAIT != 0 => No::Error(errno),
            _ => wait_for(machine, fd, errno),
        })?;
    machine.files.changed();
    Ok(bytes)
}

pub(super) fn recvfrom(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let bytes = receive(machine, call.int(0), call.arg(2), call.int(3))?;
    machine.put(call.arg(1), &bytes)?;
    if call.arg(5) != 0 {
        machine.put(call.arg(5), &0u32.to_le_bytes())?;
    }
    done(bytes.len() as i64)
}

/// The buffers of a `struct msghdr`.
fn message(machine: &Machine<'_>, at: u64) -> Result<Vec<(u64, u64)>, No> {
    let buffers = machine.user_word(at.wrapping_add(16))?;
    let count = machine.user_word(at.wrapping_add(24))?;
    vectors(machine, buffers, count)
}

pub(super) fn sendmsg(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let mut bytes = Vec::new();
    for (at, length) in message(machine, call.arg(1))? {
        bytes.extend(machine.user(at, length)?);
    }
    send(machine, call.int(0), &bytes, call.int(2))
}

pub(super) fn recvmsg(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let header = call.arg(1);
    let buffers = message(machine, header)?;
    let total = buffers
        .iter()
        .map(|(_, length)| length.min(&(1 << 24)))
        .sum();
    let bytes = receive(machine, call.int(0), total, call.int(2))?;
    scatter(machine, &buffers, &bytes)?;
    // No name, no control data, no flags.
    machine.put(header.wrapping_add(8), &[0; 4])?;
    machine.put_words(header.wrapping_add(40), &[0, 0])?;
    done(bytes.len() as i64)
}
