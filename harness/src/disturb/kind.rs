//! The kinds of disturbance: what each does at an instruction, and what proves that it happened.

use serde::{Deserialize, Serialize};

/// One kind.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The thread gets SIGURG, as for an asynchronous preemption that the runtime wants (1.14 and later). Proof: its
    /// handler ran.
    Sigurg,
    /// The thread gets SIGPROF while a profile is taken. Proof: its handler ran.
    Sigprof,
    /// The thread stands still while another one collects garbage, up to where that waits for this one. Proof: the world
    /// was to be stopped while it stood here, and a collection was finished later.
    Gc,
    /// `stackguard0 = stackPreempt`: the next stack check deschedules the goroutine. Proof: the guard was set back before
    /// the call returned.
    Yield,
    /// `stackguard0` = RSP: the next stack check copies the stack to a larger one. Proof: `stack.lo` changed before the
    /// call returned.
    Grow,
    /// The called function waits for a collection, which shrinks its stack. Proof: the stack was smaller when the call
    /// returned.
    Shrink,
    /// The called function panics, and that is recovered above. Proof: it was recovered.
    Panic,
    /// The called function's first instruction behind the displaced ones faults, as a nil dereference. Proof: the panic
    /// that the runtime makes of it was recovered. A program without a board must end as it does when it faults unhooked.
    Fault,
    /// The called function ends its goroutine. Proof: deferred functions ran, and the call did not return.
    Goexit,
    /// The thread stands still while a second goroutine makes the same call. Proof: that call was finished meanwhile.
    Second,
    /// The hooks are taken back, and a second goroutine makes the same call. Proof: that call was not counted.
    Detach,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::Sigurg,
        Self::Sigprof,
        Self::Gc,
        Self::Yield,
        Self::Grow,
        Self::Shrink,
        Self::Panic,
        Self::Fault,
        Self::Goexit,
        Self::Second,
        Self::Detach,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sigurg => "sigurg",
            Self::Sigprof => "sigprof",
            Self::Gc => "gc",
            Self::Yield => "yield",
            Self::Grow => "grow",
            Self::Shrink => "shrink",
            Self::Panic => "panic",
            Self::Fault => "fault",
            Self::Goexit => "goexit",
            Self::Second => "second",
            Self::Detach => "detach",
        }
    }

    /// Whether the program must take part.
    #[must_use]
    pub const fn needs_board(self) -> bool {
        !matches!(
            self,
            Self::Sigurg | Self::Sigprof | Self::Yield | Self::Grow | Self::Fault | Self::Detach
        )
    }

    /// Whether it is something done to the hooks, so that the unhooked program cannot be disturbed by it.
    #[must_use]
    pub const fn needs_hooks(self) -> bool {
        matches!(self, Self::Detach)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
