//! Failures that tests ask for: every step of hooking must be able to fail, and the agent to die at it, without harm.

use std::str::FromStr;

use super::failure::{Failure, FailureCode, Result};
use crate::os::process::{self, Pid};

/// A step that has just been done (a write: that is about to be done).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The program is traced.
    Traced,
    /// It has been executed and is stopped.
    Executed,
    /// Memory for the marker is mapped.
    FrontMapped,
    /// `runtime.main` is marked.
    MarkerWritten,
    /// A thread has come to `runtime.main`.
    MainReached,
    /// All threads are stopped.
    Stopped,
    /// The plan is made and verified.
    Planned,
    /// Memory for trampolines is mapped.
    CodeMapped,
    /// Memory for the module is mapped.
    DataMapped,
    /// The program has a descriptor of the rings.
    RingsCreated,
    /// The rings are mapped.
    RingsMapped,
    /// Before the write with this number.
    Write(usize),
    /// In the middle of that write.
    HalfWrite(usize),
    /// Everything is written.
    Installed,
    /// Before that write is undone: asked for, hooking fails once everything is written, and the undoing here.
    Undo(usize),
    /// The program runs hooked.
    Detached,
}

/// What a test asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FailAt(Option<(Step, Action)>);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    Fail,
    Die,
}

impl FailAt {
    /// No failure.
    pub const NEVER: Self = Self(None);

    /// Fails, or ends this process, if that was asked for at this step.
    pub fn reached(self, step: Step) -> Result<()> {
        match self.0 {
            Some((at, action))
                if at == step || matches!((at, step), (Step::Undo(_), Step::Installed)) =>
            {
                if action == Action::Die {
                    let me = Pid::this();
                    let _ = process::signal_thread(me, me.leader(), libc::SIGKILL);
                }
                Err(Failure::new(
                    FailureCode::Test,
                    format!("asked to fail at {step:?}"),
                ))
            }
            _ => Ok(()),
        }
    }
}

impl FromStr for FailAt {
    type Err = String;

    /// `STEP` or `STEP:die`; a write is `write=N`, half of one `half=N`, the undoing of one `undo=N`.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (step, action) = match text.strip_suffix(":die") {
            Some(step) => (step, Action::Die),
            None => (text, Action::Fail),
        };
        let step = match step {
            "traced" => Step::Traced,
            "executed" => Step::Executed,
            "front-mapped" => Step::FrontMapped,
            "marker-written" => Step::MarkerWritten,
            "main-reached" => Step::MainReached,
            "stopped" => Step::Stopped,
            "planned" => Step::Planned,
            "code-mapped" => Step::CodeMapped,
            "data-mapped" => Step::DataMapped,
            "rings-created" => Step::RingsCreated,
            "rings-mapped" => Step::RingsMapped,
            "installed" => Step::Installed,
            "detached" => Step::Detached,
            other => {
                let number = |name| other.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
                number("write")
                    .map(Step::Write)
                    .or_else(|| number("half").map(Step::HalfWrite))
                    .or_else(|| number("undo").map(Step::Undo))
                    .ok_or_else(|| format!("no step `{other}`"))?
            }
        };
        Ok(Self(Some((step, action))))
    }
}
