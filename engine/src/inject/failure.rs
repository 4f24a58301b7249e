//! Why a program runs unhooked: a stable code for the stream, a sentence for people.

use std::io;

use crate::image::ImageErrorCode;
use crate::os::process::Exit;

/// Stable codes; never renamed, only added. `Display` gives the kebab-case form.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum FailureCode {
    /// The kernel does not let the agent trace the program.
    NotPermitted,
    /// The executed file is no Go program that this engine hooks; why, says its code.
    Image(ImageErrorCode),
    /// No function has a name that a pattern matches.
    NothingMatches,
    /// Every function that was asked for was refused.
    NothingHookable,
    /// No plan could be made.
    Plan,
    /// The verifier rejected the plan.
    Rejected,
    /// No room for the mappings, or the kernel refused them.
    Mapping,
    /// The memory that hooks may take, by what was asked for or by a limit, is too little for them.
    Memory,
    /// Memory of the process is not what the file says.
    MemoryDiffers,
    /// A thread executes the bytes that would be replaced.
    ThreadInWindow,
    /// A thread could not be stopped in time.
    StopTimeout,
    /// The program ended, or became another one, before it could be hooked.
    Ended,
    /// The stream cannot be written.
    Output,
    /// A system call failed.
    System,
    /// A test asked for this failure.
    Test,
}

impl FailureCode {
    /// All of them but those of [`Self::Image`].
    pub const OWN: [Self; 14] = [
        Self::NotPermitted,
        Self::NothingMatches,
        Self::NothingHookable,
        Self::Plan,
        Self::Rejected,
        Self::Mapping,
        Self::Memory,
        Self::MemoryDiffers,
        Self::ThreadInWindow,
        Self::StopTimeout,
        Self::Ended,
        Self::Output,
        Self::System,
        Self::Test,
    ];

    /// The code as it stands in the stream.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotPermitted => "not-permitted",
            Self::Image(code) => code.as_str(),
            Self::NothingMatches => "nothing-matches",
            Self::NothingHookable => "nothing-hookable",
            Self::Plan => "plan",
            Self::Rejected => "rejected",
            Self::Mapping => "mapping",
            Self::Memory => "memory",
            Self::MemoryDiffers => "memory-differs",
            Self::ThreadInWindow => "thread-in-window",
            Self::StopTimeout => "stop-timeout",
            Self::Ended => "ended",
            Self::Output => "output",
            Self::System => "system",
            Self::Test => "test",
        }
    }
}

impl std::fmt::Display for FailureCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a program is not hooked.
#[derive(Debug, thiserror::Error)]
#[error("{detail} ({code})")]
pub struct Failure {
    /// For machines.
    pub code: FailureCode,
    /// For people: one line.
    pub detail: String,
    /// How the program ended, if it did and the tracer saw it.
    pub exit: Option<Exit>,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(code: FailureCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            exit: None,
        }
    }

    /// A system call that failed while doing `what`. A thread that is gone means that the program ended.
    pub fn system(what: impl std::fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |error| {
            let code = match error.raw_os_error() {
                Some(libc::ESRCH | libc::ECHILD) => FailureCode::Ended,
                Some(libc::EPERM | libc::EACCES) => FailureCode::NotPermitted,
                _ => FailureCode::System,
            };
            Self::new(code, format!("{what}: {error}"))
        }
    }
}

/// What the rooms of this module return.
pub type Result<T> = std::result::Result<T, Failure>;
