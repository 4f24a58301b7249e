//! The emulated Linux process: a whole Go program, its runtime and all its threads, in one emulated processor.
//!
//! Turns a program, its arguments and a seed into a run: output, exit status, and every step between. The same seed gives
//! the same run, instruction for instruction: whatever could differ (random bytes, process id, addresses, the order of
//! threads, time) follows from the seed and from executed work. Nothing of the host is changed, no host process is made,
//! no host socket opened; files are read from a directory and written in memory.
//!
//! Source of the system calls' behaviour: Linux 6.x, the manual pages named in each file, and what `runtime/sys_linux_amd64.s`
//! and `runtime/os_linux.go` of Go 1.5 to 1.27 rely on. What is not emulated is an error that names the call and the Go
//! function that made it, or, where another process or another CPU would be needed, [`Trouble::NeedsNative`].
//!
//! Start reading at [`Machine`] (`process.rs`), then `run.rs`, then `cpu.rs`.

mod cost;
mod cpu;
mod deliver;
mod exceptions;
mod fault;
mod files;
mod futex;
mod install;
mod loader;
mod memory;
mod process;
mod registers;
mod run;
mod scheduler;
mod signals;
mod snapshot;
mod stream;
mod symbolise;
mod syscalls;
mod threads;
mod time;
mod trace;
mod tsc;

use gondwana_engine::inject::budget::Memory;

pub use cost::{Cost, Path};
pub use cpu::{Access, Cpu, CpuError, Fault, Stop};
pub use process::{Ending, Machine, Setup};
pub use registers::Registers;
pub use run::{Pause, Until};
pub use signals::Info;
pub use stream::Stream;
pub use symbolise::Frame;
pub use threads::{Call, State, Thread, Tid, Wait};
pub use trace::{Event, Wanted as Traced, What};

/// Rings of a hooked machine, as many as ever has threads; the reader empties them when they are half full.
pub const MEMORY: Memory = Memory::Rings {
    rings: 256,
    slots: 1 << 13,
};

/// Why a run could not go on. A program that crashes is no trouble: that is its [`Ending`].
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The emulator.
    #[error(transparent)]
    Cpu(#[from] CpuError),
    /// The program cannot be loaded.
    #[error("cannot load the program: {0}")]
    Load(String),
    /// A system call that the machine does not have.
    #[error("system call {number}({args}) is not emulated; made by {by}")]
    UnknownCall {
        /// Its number.
        number: u64,
        /// Its arguments.
        args: String,
        /// The Go function that made it.
        by: String,
    },
    /// The program wants what only a native run gives.
    #[error("needs a native run: {0}")]
    NeedsNative(String),
    /// All threads wait, and nothing that they wait for can come.
    #[error("all threads wait for ever: {0}")]
    Deadlock(String),
    /// A plan cannot be installed.
    #[error("cannot hook the program: {0}")]
    Hooks(String),
    /// Something of the host.
    #[error("{what}: {error}")]
    Host {
        /// What was tried.
        what: String,
        /// Why it failed.
        error: std::io::Error,
    },
}
