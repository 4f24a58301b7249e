//! Sockets over a loopback in memory: stream sockets of TCP over IPv4 and IPv6, and of the UNIX domain.
//!
//! A connection is made at once, by `connect`, with two streams; `accept` only takes it from the listener's queue. There is
//! no other host: every address of this host and of the loopback network is this process, all others cannot be reached.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use super::Stream;

/// The first port that is given to sockets without one (`net.ipv4.ip_local_port_range`).
const FIRST_PORT: u16 = 32_768;
/// Connections that wait for `accept`.
const MAX_BACKLOG: usize = 4096;

/// An address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in super::super) enum Address {
    /// None yet, or an unnamed socket of the UNIX domain.
    Unnamed,
    /// IPv4 and port.
    V4([u8; 4], u16),
    /// IPv6 and port.
    V6([u8; 16], u16),
    /// Path, or abstract name that starts with zero.
    Unix(Vec<u8>),
}

impl Address {
    /// From a `sockaddr`.
    pub(in super::super) fn parse(bytes: &[u8]) -> Result<Self, i32> {
        let family = bytes
            .first_chunk()
            .map(|&b| i32::from(u16::from_le_bytes(b)));
        let port = || {
            let bytes = bytes.get(2..)?.first_chunk()?;
            Some(u16::from_be_bytes(*bytes))
        };
        let parsed = match family {
            Some(libc::AF_INET) => bytes
                .get(4..)
                .and_then(|b| b.first_chunk())
                .zip(port())
                .map(|(&ip, port)| Self::V4(ip, port)),
            Some(libc::AF_INET6) => bytes
                .get(8..)
                .and_then(|b| b.first_chunk())
                .zip(port())
                .map(|(&ip, port)| Self::V6(ip, port)),
            Some(libc::AF_UNIX) => {
                let path = bytes.get(2..).unwrap_or_default();
                let end = match path {
                    [0, ..] | [] => path.len(),
                    _ => path.iter().position(|&b| b == 0).unwrap_or(path.len()),
                };
                Some(Self::Unix(path.get(..end).unwrap_or_default().to_vec()))
            }
            Some(_) => return Err(libc::EAFNOSUPPORT),
            None => None,
        };
        parsed.ok_or(libc::EINVAL)
    }

    /// To a `sockaddr` of a socket of this family.
    pub(in super::super) fn to_bytes(&self, family: i32) -> Vec<u8> {
        let mut bytes = (family as u16).to_le_bytes().to_vec();
        match self {
            Self::V4(ip, port) => {
                bytes.extend(port.to_be_bytes());
                bytes.extend(ip);
                bytes.extend([0; 8]);
            }
            Self::V6(ip, port) => {
                bytes.extend(port.to_be_bytes());
                bytes.extend([0; 4]);
                bytes.extend(ip);
                bytes.extend([0; 4]);
            }
            Self::Unix(path) => {
                bytes.extend(path);
                if !path.starts_with(&[0]) {
                    bytes.push(0);
                }
            }
            Self::Unnamed if family == libc::AF_UNIX => {}
            Self::Unnamed => bytes.resize(if family == libc::AF_INET { 16 } else { 28 }, 0),
        }
        bytes
    }

    const fn port(&self) -> u16 {
        match self {
            Self::V4(_, port) | Self::V6(_, port) => *port,
            _ => 0,
        }
    }

    fn with_port(self, port: u16) -> Self {
        match self {
            Self::V4(ip, _) => Self::V4(ip, port),
            Self::V6(ip, _) => Self::V6(ip, port),
            other => other,
        }
    }

    fn is_any(&self) -> bool {
        matches!(self, Self::V4([0, 0, 0, 0], _))
            || matches!(self, Self::V6(ip, _) if *ip == [0; 16])
    }

    /// An address of this host, or none in particular. IPv4 in IPv6 counts as IPv4.
    fn is_here(&self) -> bool {
        match self {
            Self::V4([first, ..], _) => *first == 127 || self.is_any(),
            Self::V6(ip, _) => match ip {
                [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, first, ..] => matches!(first, 127 | 0),
                [start @ .., last] => start.iter().all(|&b| b == 0) && *last <= 1,
            },
            _ => true,
        }
    }

    /// Whether a listener at this address takes a connection to `to`.
    fn takes(&self, to: &Self) -> bool {
        match (self, to) {
            (Self::Unix(a), Self::Unix(b)) => a == b,
            (Self::Unix(_), _) | (_, Self::Unix(_)) => false,
            // A dual-stack listener takes both.
            (Self::V4(..), Self::V6(ip, _)) => {
                self.port() == to.port() && ip.get(10..12) == Some(&[0xff, 0xff])
            }
            (Self::V6(ip, _), Self::V4(..)) => {
                self.port() == to.port()
                    && (*ip == [0; 16] || ip.get(10..12) == Some(&[0xff, 0xff]))
            }
            _ => self.port() == to.port() && (self.is_any() || to.is_any() || self == to),
        }
    }
}

#[derive(Debug)]
enum State {
    Fresh,
    Listening(VecDeque<Rc<RefCell<Socket>>>, usize),
    Connected {
        receive: Rc<RefCell<Stream>>,
        send: Rc<RefCell<Stream>>,
    },
}

/// A socket.
#[derive(Debug)]
pub(in super::super) struct Socket {
    pub(in super::super) family: i32,
    /// `SOCK_STREAM` or `SOCK_DGRAM`.
    pub(in super::super) kind: i32,
    pub(in super::super) local: Address,
    pub(in super::super) peer: Address,
    state: State,
    edges: u64,
}

/// The loopback network.
#[derive(Default, Debug)]
pub(in super::super) struct Network {
    bound: Vec<Weak<RefCell<Socket>>>,
    ports: u16,
}

impl Network {
    fn find(&self, at: &Address) -> Option<Rc<RefCell<Socket>>> {
        let all = self.bound.iter().filter_map(Weak::upgrade);
        let mut fits = all.filter(|socket| socket.borrow().local.takes(at));
        fits.next()
    }

    fn free_port(&mut self) -> u16 {
        self.ports = self.ports.wrapping_add(1) % (u16::MAX - FIRST_PORT);
        FIRST_PORT + self.ports
    }

    /// bind(2).
    pub(in super::super) fn bind(
        &mut self,
        socket: &Rc<RefCell<Socket>>,
        at: Address,
    ) -> Result<(), i32> {
        if !at.is_here() {
            return Err(libc::EADDRNOTAVAIL);
        }
        let at = match at.port() {
            0 if !matches!(at, Address::Unix(_)) => at.with_port(self.free_port()),
            _ => at,
        };
        self.bound.retain(|bound| bound.strong_count() > 0);
        if self
            .find(&at)
            .is_some_and(|other| other.borrow().kind == socket.borrow().kind)
        {
            return Err(libc::EADDRINUSE);
        }
        socket.borrow_mut().local = at;
        self.bound.push(Rc::downgrade(socket));
        Ok(())
    }

    /// connect(2): at once.
    pub(in super::super) fn connect(
        &mut self,
        socket: &Rc<RefCell<Socket>>,
        to: Address,
    ) -> Result<(), i32> {
        let (family, kind) = (socket.borrow().family, socket.borrow().kind);
        if socket.borrow().is_connected() {
            return Err(libc::EISCONN);
        }
        let local = match (&socket.borrow().local, &to) {
            (Address::Unnamed, Address::V4(..)) => Address::V4([127, 0, 0, 1], self.free_port()),
            (Address::Unnamed, Address::V6(ip, _)) => Address::V6(*ip, self.free_port()),
            (local, _) => local.clone(),
        };
        if kind == libc::SOCK_DGRAM {
            let mut socket = socket.borrow_mut();
            if !to.is_here() {
                return Err(libc::ENETUNREACH);
            }
            (socket.local, socket.peer) = (local, to);
            return Ok(());
        }
        if !to.is_here() {
            return Err(libc::ENETUNREACH);
        }
        let listener = self.find(&to).ok_or(libc::ECONNREFUSED)?;
        let mut listener = listener.borrow_mut();
        let at = listener.family;
        let State::Listening(queue, backlog) = &mut listener.state else {
            return Err(libc::ECONNREFUSED);
        };
        if queue.len() > *backlog {
            return Err(libc::EAGAIN);
        }
        let (mut client, mut server) = Socket::pair(family);
        (client.local, client.peer) = (local.clone(), to.clone());
        (server.local, server.peer) = (as_seen(to, at), as_seen(local, at));
        server.family = at;
        queue.push_back(Rc::new(RefCell::new(server)));
        listener.edges += 1;
        let mut socket = socket.borrow_mut();
        client.edges = socket.edges + 1;
        *socket = client;
        Ok(())
    }
}

/// An IPv4 address as a socket of another family shows it.
fn as_seen(address: Address, family: i32) -> Address {
    match address {
        Address::V4([a, b, c, d], port) if family == libc::AF_INET6 => {
            let ip = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d];
            Address::V6(ip, port)
        }
        other => other,
    }
}

impl Socket {
    /// socket(2).
    pub(in super::super) const fn new(family: i32, kind: i32) -> Self {
        Self {
            family,
            kind,
            local: Address::Unnamed,
            peer: Address::Unnamed,
            state: State::Fresh,
            edges: 0,
        }
    }

    /// socketpair(2).
    pub(in super::super) fn pair(family: i32) -> (Self, Self) {
        let there = Rc::new(RefCell::new(Stream::new()));
        let back = Rc::new(RefCell::new(Stream::new()));
        let one = |receive: &Rc<RefCell<Stream>>, send: &Rc<RefCell<Stream>>| Self {
            state: State::Connected {
                receive: Rc::clone(receive),
                send: Rc::clone(send),
            },
            ..Self::new(family, libc::SOCK_STREAM)
        };
        (one(&back, &there), one(&there, &back))
    }

    pub(in super::super) const fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected { .. }) || !matches!(self.peer, Address::Unnamed)
    }

    pub(in super::super) const fn is_listening(&self) -> bool {
        matches!(self.state, State::Listening(..))
    }

    /// listen(2).
    pub(in super::super) fn listen(&mut self, backlog: i32) -> Result<(), i32> {
        let backlog = usize::try_from(backlog).unwrap_or(0).min(MAX_BACKLOG);
        match &mut self.state {
            State::Connected { .. } => return Err(libc::EINVAL),
            State::Listening(_, limit) => *limit = backlog,
            State::Fresh => self.state = State::Listening(VecDeque::new(), backlog),
        }
        Ok(())
    }

    /// accept(2).
    pub(in super::super) fn accept(&mut self) -> Result<Rc<RefCell<Self>>, i32> {
        match &mut self.state {
            State::Listening(queue, _) => queue.pop_front().ok_or(libc::EAGAIN),
            _ => Err(libc::EINVAL),
        }
    }

    pub(in super::super) fn read(&self, length: usize, peek: bool) -> Result<Vec<u8>, i32> {
        match &self.state {
            State::Connected { receive, .. } if peek => receive.borrow().peek(length),
            State::Connected { receive, .. } => receive.borrow_mut().read(length),
            _ if self.kind == libc::SOCK_DGRAM => Err(libc::EAGAIN),
            _ => Err(libc::ENOTCONN),
        }
    }

    pub(in super::super) fn write(&self, bytes: &[u8]) -> Result<usize, i32> {
        match &self.state {
            State::Connected { send, .. } => send.borrow_mut().write(bytes),
            // Nobody listens for datagrams.
            _ if self.kind == libc::SOCK_DGRAM => Err(libc::ECONNREFUSED),
            _ => Err(libc::EPIPE),
        }
    }

    /// shutdown(2).
    pub(in super::super) fn shut(&mut self, read: bool, write: bool) -> Result<(), i32> {
        let State::Connected { receive, send } = &self.state else {
            return Err(libc::ENOTCONN);
        };
        if read {
            receive.borrow_mut().close_writer();
        }
        if write {
            send.borrow_mut().close_writer();
        }
        self.edges += 1;
        Ok(())
    }

    /// The last descriptor is gone.
    pub(super) fn end(&mut self) {
        match &mut self.state {
            State::Connected { receive, send } => {
                receive.borrow_mut().close_reader();
                send.borrow_mut().close_writer();
            }
            State::Listening(queue, _) => {
                for waiting in queue.drain(..) {
                    waiting.borrow_mut().end();
                }
            }
            State::Fresh => {}
        }
        self.state = State::Fresh;
        self.local = Address::Unnamed;
    }

    /// What epoll(7) says (`tcp_poll` of the kernel).
    pub(super) fn ready(&self) -> u32 {
        let mut ready = 0;
        match &self.state {
            State::Connected { receive, send } => {
                let (receive, send) = (receive.borrow(), send.borrow());
                if receive.has_bytes() || receive.is_ended() {
                    ready |= libc::EPOLLIN;
                }
                if receive.is_ended() {
                    ready |= libc::EPOLLRDHUP;
                }
                if send.is_ended() && receive.is_ended() {
                    ready |= libc::EPOLLHUP;
                }
                if send.is_unread() || send.writable() & libc::EPOLLOUT as u32 != 0 {
                    ready |= libc::EPOLLOUT;
                }
            }
            State::Listening(queue, _) => {
                if !queue.is_empty() {
                    ready |= libc::EPOLLIN;
                }
            }
            State::Fresh if self.kind == libc::SOCK_DGRAM => ready |= libc::EPOLLOUT,
            State::Fresh => ready |= libc::EPOLLOUT | libc::EPOLLHUP,
        }
        ready as u32
    }

    pub(super) fn edges(&self) -> u64 {
        let streams = match &self.state {
            State::Connected { receive, send } => receive.borrow().edges() + send.borrow().edges(),
            _ => 0,
        };
        self.edges + streams
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(family: i32) -> Rc<RefCell<Socket>> {
        Rc::new(RefCell::new(Socket::new(family, libc::SOCK_STREAM)))
    }

    #[test]
    fn a_dual_stack_listener_takes_both_kinds_of_connection() {
        let mut network = Network::default();
        let listener = socket(libc::AF_INET6);
        network.bind(&listener, Address::V6([0; 16], 80)).unwrap();
        let to = Address::V4([127, 0, 0, 1], 80);
        let client = socket(libc::AF_INET);
        assert_eq!(
            network.connect(&client, to.clone()),
            Err(libc::ECONNREFUSED)
        );
        listener.borrow_mut().listen(5).unwrap();
        assert_eq!(listener.borrow_mut().accept().err(), Some(libc::EAGAIN));
        network.connect(&client, to.clone()).unwrap();
        let server = listener.borrow_mut().accept().unwrap();
        assert_eq!(
            server.borrow().peer,
            as_seen(client.borrow().local.clone(), libc::AF_INET6)
        );
        assert_eq!(client.borrow().write(b"hello"), Ok(5));
        assert_eq!(server.borrow().read(9, true), Ok(b"hello".to_vec()));
        assert_eq!(server.borrow().read(9, false), Ok(b"hello".to_vec()));
        assert_eq!(server.borrow().read(9, false), Err(libc::EAGAIN));
        client.borrow_mut().end();
        assert_eq!(server.borrow().read(9, false), Ok(Vec::new()));
        assert_eq!(server.borrow().write(b"x"), Err(libc::EPIPE));
        let second = socket(libc::AF_INET);
        assert_eq!(network.bind(&second, to), Err(libc::EADDRINUSE));
        let far = Address::V4([192, 0, 2, 1], 80);
        assert_eq!(network.connect(&second, far), Err(libc::ENETUNREACH));
    }

    #[test]
    fn addresses_are_read_as_written() {
        for (address, family) in [
            (Address::V4([127, 0, 0, 1], 8080), libc::AF_INET),
            (Address::V6([7; 16], 443), libc::AF_INET6),
            (Address::Unix(b"/tmp/s".to_vec()), libc::AF_UNIX),
            (Address::Unix(b"\0name".to_vec()), libc::AF_UNIX),
        ] {
            assert_eq!(Address::parse(&address.to_bytes(family)), Ok(address));
        }
        assert_eq!(Address::parse(&[2, 0, 1]), Err(libc::EINVAL));
        assert_eq!(Address::parse(&[99, 0]), Err(libc::EAFNOSUPPORT));
        assert_eq!(Address::parse(&[]), Err(libc::EINVAL));
    }
}
