//! `gondwana run`: the program in place of the command, and beside it a process that hooks it, collects and writes.
//!
//! | file | one job |
//! |---|---|
//! | [`mod@launch`] | become the program, with the agent beside |
//! | [`run`] | hook, let go, collect until the end |
//!
//! Puts [`crate::inject`], [`crate::collect`] and [`crate::export`] together, and does nothing of what they do.

pub mod launch;
pub mod run;
#[cfg(feature = "test-support")]
pub mod testing;

#[cfg(feature = "test-support")]
pub use launch::launch_changed;
pub use launch::{Destination, Launch, launch};
pub use run::NAME;
