//! A stream of bytes from one end to another: a pipe, or one direction of a socket.

use std::collections::VecDeque;

/// Bytes that fit (pipe(7)).
const CAPACITY: usize = 65_536;

/// The stream.
#[derive(Debug)]
pub(in super::super) struct Stream {
    bytes: VecDeque<u8>,
    reader: bool,
    writer: bool,
    edges: u64,
}

impl Stream {
    /// An empty one, both ends open.
    pub(in super::super) fn new() -> Self {
        Self {
            bytes: VecDeque::new(),
            reader: true,
            writer: true,
            edges: 0,
        }
    }

    /// Takes up to `length` bytes; none at the end of the stream.
    pub(in super::super) fn read(&mut self, length: usize) -> Result<Vec<u8>, i32> {
        if self.bytes.is_empty() && self.writer && length > 0 {
            return Err(libc::EAGAIN);
        }
        self.edges += 1;
        let length = length.min(self.bytes.len());
        Ok(self.bytes.drain(..length).collect())
    }

    /// Looks at up to `length` bytes without taking them.
    pub(in super::super) fn peek(&self, length: usize) -> Result<Vec<u8>, i32> {
        if self.bytes.is_empty() && self.writer && length > 0 {
            return Err(libc::EAGAIN);
        }
        Ok(self.bytes.iter().take(length).copied().collect())
    }

    /// Adds as many bytes as fit; how many.
    pub(in super::super) fn write(&mut self, bytes: &[u8]) -> Result<usize, i32> {
        if !self.reader || !self.writer {
            return Err(libc::EPIPE);
        }
        let room = CAPACITY - self.bytes.len();
        if room == 0 && !bytes.is_empty() {
            return Err(libc::EAGAIN);
        }
        let part = bytes.get(..room.min(bytes.len())).unwrap_or_default();
        self.bytes.extend(part);
        self.edges += 1;
        Ok(part.len())
    }

    /// No more reads.
    pub(in super::super) fn close_reader(&mut self) {
        self.reader = false;
        self.edges += 1;
    }

    /// No more writes: what is there can still be read.
    pub(in super::super) fn close_writer(&mut self) {
        self.writer = false;
        self.edges += 1;
    }

    /// Whether the writing end is closed.
    pub(in super::super) const fn is_ended(&self) -> bool {
        !self.writer
    }

    /// Whether the reading end is closed.
    pub(in super::super) const fn is_unread(&self) -> bool {
        !self.reader
    }

    /// What epoll(7) says of the reading end of a pipe.
    pub(in super::super) fn readable(&self) -> u32 {
        (if self.bytes.is_empty() {
            0
        } else {
            libc::EPOLLIN as u32
        }) | if self.writer {
            0
        } else {
            libc::EPOLLHUP as u32
        }
    }

    /// What epoll(7) says of the writing end of a pipe.
    pub(in super::super) fn writable(&self) -> u32 {
        (if self.bytes.len() < CAPACITY {
            libc::EPOLLOUT as u32
        } else {
            0
        }) | if self.reader {
            0
        } else {
            libc::EPOLLERR as u32
        }
    }

    /// Whether there is something to read.
    pub(in super::super) fn has_bytes(&self) -> bool {
        !self.bytes.is_empty()
    }

    pub(in super::super) const fn edges(&self) -> u64 {
        self.edges
    }
}
