//! A verified plan -> a hooked process: stop, check, write, resume; undo on failure.
//!
//! | file | one job |
//! |---|---|
//! | [`failure`] | why a program runs unhooked |
//! | [`session`] | threads of a traced process: run, stop all, detach all |
//! | [`gadget`], [`remote`] | system calls made by a stopped thread, safe against the tracer's death |
//!
//! Never changes the file on disk; never writes what the verifier has not accepted. Wherever the agent is killed, the
//! program goes on as if nothing had happened, or hooked.

pub mod failure;
pub mod gadget;
pub mod install;
pub mod marker;
pub mod place;
pub mod remote;
pub mod session;

pub use failure::{Failure, FailureCode};
pub use session::Session;
