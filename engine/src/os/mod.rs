//! Typed system calls: addresses, threads and signals in, plain results out.
//!
//! Decides nothing about hooks and imports nothing but [`crate::addr`]. Every function answers with the kernel's error;
//! none panics. Source: the Linux manual pages ptrace(2), proc(5), pidfd_open(2), memfd_create(2), prctl(2).

#![allow(
    unsafe_code,
    reason = "system calls without a safe wrapper; each block says why it is sound"
)]

pub mod clock;
pub mod limits;
pub mod maps;
pub mod memory;
pub mod process;
pub mod ptrace;
pub mod spawn;
pub mod startup;

pub use limits::{Limit, LimitKind};
pub use maps::{Mapping, Protection};
pub use memory::ProcessMemory;
pub use process::{Pid, Tid};
pub use ptrace::{Registers, Signal};
