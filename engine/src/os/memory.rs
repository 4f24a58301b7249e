//! Memory of another process, through `/proc/PID/mem`: text included, whatever its protection.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

use super::process::Pid;
use crate::addr::RunAddr;

/// Gives the kernel back what this process has freed.
pub fn give_back() {
    // SAFETY: touches only memory that the allocator has free, under its own lock.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// An open `/proc/PID/mem`. Opened after execve: the file belongs to one address space and reads nothing of the next.
#[derive(Debug)]
pub struct ProcessMemory(File);

impl ProcessMemory {
    /// Opens the memory of a process that the caller traces.
    pub fn open(pid: Pid) -> io::Result<Self> {
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(format!("/proc/{pid}/mem"))
            .map(Self)
    }

    /// Fills `into` from `at`.
    pub fn read(&self, at: RunAddr, into: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(into, at.get())
    }

    /// Writes `bytes` at `at`: all of them, or an error.
    pub fn write(&self, at: RunAddr, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all_at(bytes, at.get())
    }
}
