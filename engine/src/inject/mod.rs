//! A verified plan -> a hooked process: stop, check, write, resume; undo on failure.
//!
//! | file | one job |
//! |---|---|
//! | [`failure`] | why a program runs unhooked |
//! | [`session`] | threads of a traced process: run, stop all, detach all |
//! | [`gadget`], [`remote`] | system calls made by a stopped thread, safe against the tracer's death |
//! | [`place`] | free addresses |
//! | [`marker`] | how the tracer learns that the runtime is initialised |
//! | [`install`] | the plan's writes, all or none |
//! | [`ground`] | all of these in order, and back |
//! | [`budget`] | what was asked for, and limits -> the memory that hooks may take |
//! | [`prepare`] | the executed file -> a verified plan |
//! | [`hook`] | a program under trace -> hooked and let go, or as it was |
//! | [`fail_at`], [`change`] | failures, and broken plans, that tests ask for |
//!
//! Never changes the file on disk; never writes what the verifier has not accepted. Wherever the agent is killed, the
//! program goes on as if nothing had happened, or hooked.

pub mod budget;
pub mod change;
pub mod fail_at;
pub mod failure;
pub mod gadget;
pub mod ground;
pub mod hook;
pub mod install;
pub mod marker;
pub mod place;
pub mod prepare;
pub mod remote;
pub mod session;

pub use failure::{Failure, FailureCode};
pub use session::Session;
