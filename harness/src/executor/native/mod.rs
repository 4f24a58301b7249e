//! Runs real programs, unhooked and hooked, and watches them from outside.

pub mod discard;
pub mod hooked;
pub mod memory;
pub mod process;
