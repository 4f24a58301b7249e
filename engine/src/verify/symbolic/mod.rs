//! Emitted bytes -> every way they can run, as terms over what was there before ([`machine::explore`]).
//!
//! Decodes the written bytes itself, knows nothing about who wrote them, and stops at whatever it does not understand: an
//! instruction outside a small list, a read that could fault, a write below RSP, a condition it cannot name. Bounded in steps
//! and paths. What the paths must look like is not said here but in [`super::frame`].

mod branch;
pub(super) mod machine;
mod operand;
pub(super) mod show;
pub(super) mod state;
mod step;
pub(super) mod term;
