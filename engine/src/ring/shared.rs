//! The reader's view of the shared mapping: 64-bit words at checked offsets, and nothing else.
//!
//! Another process writes this memory at any time, so there are no references into it: every access is one atomic
//! operation on one aligned word. Offsets outside the mapping read as zero and are not written.
//!
//! The file is sparse, and reading a page that nobody wrote would make it real; [`SharedMemory::written`] tells which
//! pages exist without touching any.

#![allow(
    unsafe_code,
    reason = "memory that another process writes; each block says why it is sound"
)]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::unistd::{Whence, lseek};

/// A shared, writable mapping of a whole file.
#[derive(Debug)]
pub struct SharedMemory {
    base: NonNull<AtomicU64>,
    length: usize,
    file: File,
}

// SAFETY: the mapping belongs to the process, not to a thread, and is only accessed through atomics.
unsafe impl Send for SharedMemory {}

impl SharedMemory {
    /// Maps `length` bytes of `file`, which must be at least that long and sealed against shrinking (or only shrunk by
    /// this process): an access past the end of a file ends the process with SIGBUS.
    pub fn map(file: &File, length: u64) -> io::Result<Self> {
        if file.metadata()?.len() < length {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file of the rings is too short",
            ));
        }
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let file = file.try_clone()?;
        // SAFETY: a new mapping at an address of the kernel's choice overlaps nothing.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                length,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { base, length, file })
    }

    /// The first range at or behind `from` whose pages exist, as the kernel knows it (lseek(2), `SEEK_DATA`); the rest has
    /// never been written and is zero. Where the file system cannot tell, everything exists.
    #[must_use]
    pub fn written(&self, from: u64) -> Option<Range<u64>> {
        let all = from..self.length as u64;
        // Nothing reads or writes this file by its position.
        let seek = |at: u64, whence| -> nix::Result<u64> {
            let at = i64::try_from(at).map_err(|_| Errno::ENXIO)?;
            lseek(&self.file, at, whence).map(i64::cast_unsigned)
        };
        let start = match seek(from, Whence::SeekData) {
            Ok(start) => start,
            Err(Errno::ENXIO) => return None,
            Err(_) => from,
        };
        let end = seek(start, Whence::SeekHole).unwrap_or(all.end);
        Some(start..end.min(all.end)).filter(|range| !range.is_empty())
    }

    fn word(&self, offset: u64) -> Option<&AtomicU64> {
        let offset = usize::try_from(offset).ok()?;
        if !offset.is_multiple_of(8) || offset.checked_add(8)? > self.length {
            return None;
        }
        // SAFETY: the word lies inside the mapping, which lives as long as `self`, and is aligned, as mappings start on
        // a page. Other processes write it only as memory, which an atomic allows.
        Some(unsafe { self.base.byte_add(offset).as_ref() })
    }

    /// Reads the word at `offset`.
    #[must_use]
    pub fn load(&self, offset: u64, order: Ordering) -> u64 {
        self.word(offset).map_or(0, |word| word.load(order))
    }

    /// Reads eight words from `offset`, a multiple of 64: the first with Acquire, then the others.
    #[must_use]
    pub fn load_line(&self, offset: u64) -> [u64; 8] {
        let mut line = [0; 8];
        let Ok(offset) = usize::try_from(offset) else {
            return line;
        };
        if !offset.is_multiple_of(64) || offset >= self.length {
            return line;
        }
        // The mapping is whole pages, so the line that begins in it ends in it.
        for (index, word) in line.iter_mut().enumerate() {
            let order = if index == 0 {
                Ordering::Acquire
            } else {
                Ordering::Relaxed
            };
            // SAFETY: as in `word`: inside the mapping (pages are multiples of 64 bytes) and aligned.
            *word = unsafe { self.base.add(offset / 8 + index).as_ref() }.load(order);
        }
        line
    }

    /// Writes the word at `offset`.
    pub fn store(&self, offset: u64, value: u64, order: Ordering) {
        if let Some(word) = self.word(offset) {
            word.store(value, order);
        }
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: exactly what `map` mapped, and no reference to it outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.length) };
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What the rings of a process are.
    pub(crate) fn memory_file() -> File {
        let flags = nix::sys::memfd::MFdFlags::MFD_CLOEXEC;
        nix::sys::memfd::memfd_create(c"rings", flags)
            .unwrap()
            .into()
    }

    #[test]
    fn words_outside_are_zero() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        assert!(SharedMemory::map(&file, 8192).is_err());
        let memory = SharedMemory::map(&file, 4096).unwrap();
        memory.store(4088, 7, Ordering::Relaxed);
        for (offset, expected) in [
            (4088, 7),
            (4096, 0),
            (4089, 0),
            (u64::MAX, 0),
            (u64::MAX - 7, 0),
        ] {
            assert_eq!(memory.load(offset, Ordering::Relaxed), expected, "{offset}");
            memory.store(4096, 9, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_was_written_is_told_without_being_touched() {
        let file = memory_file();
        file.set_len(1 << 20).unwrap();
        let memory = SharedMemory::map(&file, 1 << 20).unwrap();
        assert_eq!(memory.written(0), None);
        memory.store(0x8010, 1, Ordering::Relaxed);
        memory.store(0x9000, 1, Ordering::Relaxed);
        assert_eq!(memory.written(0), Some(0x8000..0xa000));
        assert_eq!(memory.written(0x9000), Some(0x9000..0xa000));
        assert_eq!(memory.written(0xa000), None);
        assert_eq!(memory.written(u64::MAX), None);
    }
}
