//! The files of the process: its descriptors, what they refer to, and when they can be read or written.
//!
//! Nothing here waits: an operation that would says [`libc::EAGAIN`], and the system call layer decides whether the thread
//! waits. Every change that could end such a wait counts in [`Files::changes`].

mod epoll;
mod socket;
mod stream;
mod tree;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::process::Setup;
pub(super) use epoll::{Epoll, Interest};
pub(super) use socket::{Address, Network, Socket};
use stream::Stream;
pub(super) use tree::{FileData, Kind as NodeKind, Stat, Tree};

/// Most descriptors (`RLIMIT_NOFILE`, hard).
const MAX_DESCRIPTORS: usize = 4096;
/// Most bytes of output that are kept; a program that writes more has its output cut there, which the harness says.
const OUTPUT_LIMIT: usize = 256 << 20;

/// `Ok`, or an `errno`.
pub(super) type Result<T> = std::result::Result<T, i32>;

/// What an open file is.
#[derive(Clone)]
pub(super) enum Object {
    /// Standard input.
    Input,
    /// Standard output (1) or error (2).
    Output(u8),
    /// A regular file.
    File(Rc<RefCell<FileData>>),
    /// A directory, with its entries as they were when it was opened.
    Directory(Rc<Vec<(Vec<u8>, Stat)>>),
    /// `/dev/null`, `/dev/zero`, `/dev/urandom`.
    Device(tree::Device),
    /// An end of a pipe: the reading one, or the writing one.
    Pipe(Rc<RefCell<Stream>>, End),
    /// eventfd(2).
    Event(Rc<RefCell<Event>>),
    /// epoll(7).
    Epoll(Rc<RefCell<Epoll>>),
    /// socket(2).
    Socket(Rc<RefCell<Socket>>),
}

/// An end of a pipe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// For reading.
    Read,
    /// For writing.
    Write,
}

/// State of eventfd(2).
#[derive(Default, Debug)]
pub(super) struct Event {
    count: u64,
    semaphore: bool,
    edges: u64,
}

/// An open file: what descriptors share after dup(2).
pub(super) struct Open {
    pub(super) object: Object,
    /// `O_*` status flags.
    pub(super) flags: i32,
    pub(super) offset: u64,
    /// Its path, for regular files and directories.
    pub(super) path: Vec<u8>,
}

/// One descriptor.
#[derive(Clone)]
pub(super) struct Descriptor {
    pub(super) open: Rc<RefCell<Open>>,
    pub(super) close_on_exec: bool,
}

/// All files of the process.
pub(super) struct Files {
    table: BTreeMap<i32, Descriptor>,
    changes: u64,
    stdin: Vec<u8>,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    pub(super) tree: Tree,
    /// Working directory.
    pub(super) directory: Vec<u8>,
    random: fastrand::Rng,
    pub(super) network: Network,
}

impl Files {
    /// Standard streams, and the directory of the host.
    pub(super) fn new(setup: &Setup, pid: i32, auxv: Vec<u8>) -> Self {
        let mut files = Self {
            table: BTreeMap::new(),
            changes: 0,
            stdin: setup.stdin.clone(),
            stdout: Vec::new(),
            stderr: Vec::new(),
            tree: Tree::new(setup.root.clone(), pid, &setup.path, auxv),
            directory: setup.directory.clone(),
            random: fastrand::Rng::with_seed(setup.seed ^ 0x5eed),
            network: Network::default(),
        };
        for (fd, object, flags) in [
            (0, Object::Input, libc::O_RDONLY),
            (1, Object::Output(1), libc::O_WRONLY),
            (2, Object::Output(2), libc::O_WRONLY),
        ] {
            files
                .table
                .insert(fd, Descriptor::new(object, flags, Vec::new()));
        }
        files
    }

    /// Counts every change that could make a waiting thread go on.
    pub(super) const fn changes(&self) -> u64 {
        self.changes
    }

    pub(super) const fn changed(&mut self) {
        self.changes += 1;
    }

    pub(super) fn output(&self) -> (&[u8], &[u8]) {
        (&self.stdout, &self.stderr)
    }

    pub(super) fn get(&self, fd: i32) -> Result<&Descriptor> {
        self.table.get(&fd).ok_or(libc::EBADF)
    }

    pub(super) fn get_mut(&mut self, fd: i32) -> Result<&mut Descriptor> {
        self.table.get_mut(&fd).ok_or(libc::EBADF)
    }

    /// The object behind a descriptor.
    pub(super) fn object(&self, fd: i32) -> Result<Object> {
        Ok(self.get(fd)?.open.borrow().object.clone())
    }

    /// Adds a descriptor: the lowest number that is free and not below `least`.
    pub(super) fn add(&mut self, descriptor: Descriptor, least: i32) -> Result<i32> {
        if self.table.len() >= MAX_DESCRIPTORS {
            return Err(libc::EMFILE);
        }
        let mut fd = least.max(0);
        while self.table.contains_key(&fd) {
            fd += 1;
        }
        self.table.insert(fd, descriptor);
        Ok(fd)
    }

    /// Puts a descriptor at a number, in place of what is there.
    pub(super) fn put(&mut self, fd: i32, descriptor: Descriptor) {
        let _ = self.close(fd);
        self.table.insert(fd, descriptor);
    }

    /// Closes a descriptor.
    pub(super) fn close(&mut self, fd: i32) -> Result<()> {
        let descriptor = self.table.remove(&fd).ok_or(libc::EBADF)?;
        self.changed();
        if Rc::strong_count(&descriptor.open) == 1 {
            descriptor.open.borrow().end();
            // Closed files leave the interest lists by themselves (epoll(7), question 6).
            for other in self.table.values() {
                if let Object::Epoll(epoll) = &other.open.borrow().object {
                    epoll.borrow_mut().forget(&descriptor.open);
                }
            }
        }
        Ok(())
    }

    /// The contents of a regular file, for mmap(2).
    pub(super) fn bytes(&self, fd: i32) -> Result<Vec<u8>> {
        match self.object(fd)? {
            Object::File(file) => Ok(file.borrow().bytes.clone()),
            _ => Err(libc::ENODEV),
        }
    }

    /// Reads up to `length` bytes: at `at`, or where the file stands.
    pub(super) fn read(&mut self, fd: i32, length: usize, at: Option<u64>) -> Result<Vec<u8>> {
        let open = Rc::clone(&self.get(fd)?.open);
        let mut open = open.borrow_mut();
        if open.flags & libc::O_ACCMODE == libc::O_WRONLY {
            return Err(libc::EBADF);
        }
        let object = open.object.clone();
        match object {
            Object::Input => {
                let rest = self.stdin.split_off(length.min(self.stdin.len()));
                Ok(std::mem::replace(&mut self.stdin, rest))
            }
            Object::File(file) => {
                let file = file.borrow();
                let from = at.unwrap_or(open.offset).min(file.bytes.len() as u64) as usize;
                let to = from.saturating_add(length).min(file.bytes.len());
                let bytes = file.bytes.get(from..to).unwrap_or_default().to_vec();
                if at.is_none() {
                    open.offset += bytes.len() as u64;
                }
                Ok(bytes)
            }
            Object::Directory(_) => Err(libc::EISDIR),
            Object::Device(device) => Ok(match device {
                tree::Device::Null => Vec::new(),
                tree::Device::Zero => vec![0; length],
                tree::Device::Random => {
                    let mut bytes = vec![0; length.min(1 << 20)];
                    self.random.fill(&mut bytes);
                    bytes
                }
            }),
            Object::Pipe(stream, End::Read) => {
                let bytes = stream.borrow_mut().read(length)?;
                self.changed();
                Ok(bytes)
            }
            Object::Event(event) => {
                let mut event = event.borrow_mut();
                if length < 8 {
                    return Err(libc::EINVAL);
                }
                let taken = match (event.count, event.semaphore) {
                    (0, _) => return Err(libc::EAGAIN),
                    (_, true) => 1,
                    (count, false) => count,
                };
                event.count -= taken;
                event.edges += 1;
                self.changed();
                Ok(taken.to_le_bytes().to_vec())
            }
            Object::Socket(socket) => {
                let bytes = socket.borrow().read(length, false)?;
                self.changed();
                Ok(bytes)
            }
            Object::Output(_) | Object::Pipe(..) => Err(libc::EBADF),
            Object::Epoll(_) => Err(libc::EINVAL),
        }
    }

    /// Writes bytes: at `at`, or where the file stands; how many.
    pub(super) fn write(&mut self, fd: i32, bytes: &[u8], at: Option<u64>) -> Result<usize> {
        let open = Rc::clone(&self.get(fd)?.open);
        let mut open = open.borrow_mut();
        if open.flags & libc::O_ACCMODE == libc::O_RDONLY {
            return Err(libc::EBADF);
        }
        let object = open.object.clone();
        match object {
            Object::Output(which) => {
                let sink = if which == 1 {
                    &mut self.stdout
                } else {
                    &mut self.stderr
                };
                let room = OUTPUT_LIMIT.saturating_sub(sink.len());
                sink.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
                Ok(bytes.len())
            }
            Object::File(file) => {
                let mut file = file.borrow_mut();
                let from = match at {
                    Some(at) => at,
                    None if open.flags & libc::O_APPEND != 0 => file.bytes.len() as u64,
                    None => open.offset,
                };
                file.write(from, bytes)?;
                if at.is_none() {
                    open.offset = from + bytes.len() as u64;
                }
                Ok(bytes.len())
            }
            Object::Device(_) => Ok(bytes.len()),
            Object::Pipe(stream, End::Write) => {
                let written = stream.borrow_mut().write(bytes)?;
                self.changed();
                Ok(written)
            }
            Object::Event(event) => {
                let Some(&word) = bytes.first_chunk() else {
                    return Err(libc::EINVAL);
                };
                let mut event = event.borrow_mut();
                let sum = event.count.checked_add(u64::from_le_bytes(word));
                event.count = sum.filter(|&sum| sum < u64::MAX).ok_or(libc::EAGAIN)?;
                event.edges += 1;
                self.changed();
                Ok(8)
            }
            Object::Socket(socket) => {
                let written = socket.borrow().write(bytes)?;
                self.changed();
                Ok(written)
            }
            Object::Input | Object::Pipe(..) => Err(libc::EBADF),
            Object::Directory(_) => Err(libc::EISDIR),
            Object::Epoll(_) => Err(libc::EINVAL),
        }
    }

    /// A new pipe: its reading and its writing end.
    pub(super) fn pipe(&mut self, flags: i32) -> Result<(i32, i32)> {
        let stream = Rc::new(RefCell::new(Stream::new()));
        let status = flags & libc::O_NONBLOCK;
        let end = |end, access| {
            let object = Object::Pipe(Rc::clone(&stream), end);
            let mut descriptor = Descriptor::new(object, access | status, Vec::new());
            descriptor.close_on_exec = flags & libc::O_CLOEXEC != 0;
            descriptor
        };
        let (read, write) = (
            end(End::Read, libc::O_RDONLY),
            end(End::Write, libc::O_WRONLY),
        );
        let read = self.add(read, 0)?;
        let write = self.add(write, 0)?;
        Ok((read, write))
    }
}

impl Event {
    pub(super) fn new(count: u64, semaphore: bool) -> Self {
        Self {
            count,
            semaphore,
            edges: 0,
        }
    }
}

impl Descriptor {
    pub(super) fn new(object: Object, flags: i32, path: Vec<u8>) -> Self {
        Self {
            open: Rc::new(RefCell::new(Open {
                object,
                flags,
                offset: 0,
                path,
            })),
            close_on_exec: false,
        }
    }
}

impl Open {
    /// Which of `EPOLLIN`, `EPOLLOUT`, … hold now.
    pub(super) fn ready(&self) -> u32 {
        let (input, output) = (libc::EPOLLIN as u32, libc::EPOLLOUT as u32);
        match &self.object {
            Object::Pipe(stream, End::Read) => stream.borrow().readable(),
            Object::Pipe(stream, End::Write) => stream.borrow().writable(),
            Object::Event(event) => {
                let count = event.borrow().count;
                (if count > 0 { input } else { 0 }) | if count < u64::MAX - 1 { output } else { 0 }
            }
            Object::Epoll(epoll) => {
                if epoll.borrow().has_ready() {
                    input
                } else {
                    0
                }
            }
            Object::Socket(socket) => socket.borrow().ready(),
            _ => input | output,
        }
    }

    /// Grows with every change that epoll(7) reports again in edge-triggered mode.
    pub(super) fn edges(&self) -> u64 {
        match &self.object {
            Object::Pipe(stream, _) => stream.borrow().edges(),
            Object::Event(event) => event.borrow().edges,
            Object::Socket(socket) => socket.borrow().edges(),
            _ => 0,
        }
    }

    /// The last descriptor is gone.
    fn end(&self) {
        match &self.object {
            Object::Pipe(stream, End::Read) => stream.borrow_mut().close_reader(),
            Object::Pipe(stream, End::Write) => stream.borrow_mut().close_writer(),
            Object::Socket(socket) => socket.borrow_mut().end(),
            _ => {}
        }
    }
}
