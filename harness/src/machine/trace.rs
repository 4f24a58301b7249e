//! What happened in a run, for people and for comparing two runs.

use super::registers::Registers;
use super::threads::Tid;

/// One event.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Event {
    /// Bytes of code executed before it.
    pub work: u64,
    /// Hash of all blocks executed before it.
    pub path: u64,
    /// The thread.
    pub tid: Tid,
    /// What.
    pub what: What,
}

/// Kinds of events.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// The thread was chosen to run.
    Run(Box<Registers>),
    /// It made a system call, and this is the result; `None` while it waits.
    Call {
        /// Number.
        number: u64,
        /// Arguments.
        args: [u64; 6],
        /// Result.
        result: Option<i64>,
    },
    /// The handler of a signal was entered.
    Signal(i32),
    /// It ended.
    End,
}

/// Which events are kept.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Wanted {
    /// [`What::Run`].
    pub schedule: bool,
    /// [`What::Call`].
    pub calls: bool,
    /// [`What::Signal`].
    pub signals: bool,
}

impl std::fmt::Display for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:>12} {}  ", self.work, self.tid)?;
        match &self.what {
            What::Run(regs) => write!(f, "runs at {:#x}", regs.rip),
            What::Call {
                number,
                args,
                result,
            } => {
                let name = super::syscalls::name(*number);
                let args: Vec<String> = args.iter().map(|arg| format!("{arg:#x}")).collect();
                write!(f, "{name}({})", args.join(", "))?;
                match result {
                    Some(result) => write!(f, " = {result}"),
                    None => f.write_str(" waits"),
                }
            }
            What::Signal(signal) => write!(f, "gets signal {signal}"),
            What::End => f.write_str("ends"),
        }
    }
}
