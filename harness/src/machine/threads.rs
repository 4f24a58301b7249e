//! The threads of the process: what each is, and what it waits for. Decides nothing.

use std::collections::BTreeMap;

use super::cpu::CpuState;
use super::signals::{Info, Mask};

/// A thread's number (gettid(2)).
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Tid(pub i32);

impl std::fmt::Display for Tid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A system call as the program made it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// Its number.
    pub number: u64,
    /// Its arguments.
    pub args: [u64; 6],
    /// It was tried before, and had to wait.
    pub again: bool,
    /// When it gives up waiting, in nanoseconds of [`super::cpu::Cpu::now`].
    pub until: Option<u64>,
}

impl Call {
    /// One argument; those beyond the sixth are 0.
    #[must_use]
    pub fn arg(&self, index: usize) -> u64 {
        self.args.get(index).copied().unwrap_or_default()
    }

    /// One argument as the kernel takes an `int`.
    #[must_use]
    pub fn int(&self, index: usize) -> i32 {
        self.arg(index) as u32 as i32
    }
}

/// What a thread waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wait {
    /// A `FUTEX_WAKE` at this address with a common bit.
    Futex {
        /// Address of the word.
        at: u64,
        /// Bits.
        bits: u32,
    },
    /// The time to pass.
    Time,
    /// A change of some file; the call is then made again. Holds the number of changes seen.
    Files(u64),
    /// A signal.
    Signal,
}

/// Whether a thread can run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It can.
    Ready,
    /// It can, and first makes this call again.
    Again(Call),
    /// It is in a call, and waits.
    Waiting(Call, Wait),
}

/// What is to become of a call that a signal interrupted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Interrupted {
    /// Its number.
    pub number: u64,
    /// Whether `SA_RESTART` makes it start again.
    pub restartable: bool,
}

/// One thread.
pub struct Thread {
    /// Its number.
    pub tid: Tid,
    /// Its processor state while another thread runs.
    pub saved: CpuState,
    /// Whether it can run.
    pub state: State,
    /// Not run by the scheduler as long as this is set.
    pub frozen: bool,
    /// Blocked signals.
    pub mask: Mask,
    /// Signals for it, in the order they came; standard signals once each.
    pub pending: Vec<Info>,
    /// Alternate signal stack: address, size; `None` if disabled.
    pub alternate: Option<(u64, u64)>,
    /// Where to write zero and wake when it ends (`CLONE_CHILD_CLEARTID`).
    pub clear_tid: u64,
    /// A call that a signal interrupted, until it is known whether a handler runs.
    pub interrupted: Option<Interrupted>,
    /// Bytes of code that it has executed.
    pub work: u64,
}

/// All threads, by number.
#[derive(Default)]
pub(super) struct Threads {
    list: BTreeMap<Tid, Thread>,
}

impl Threads {
    /// Adds one.
    pub(super) fn add(&mut self, thread: Thread) {
        self.list.insert(thread.tid, thread);
    }

    /// Removes one.
    pub(super) fn remove(&mut self, tid: Tid) -> Option<Thread> {
        self.list.remove(&tid)
    }

    /// The thread with this number.
    #[must_use]
    pub(super) fn get(&self, tid: Tid) -> Option<&Thread> {
        self.list.get(&tid)
    }

    /// The thread with this number.
    pub(super) fn get_mut(&mut self, tid: Tid) -> Option<&mut Thread> {
        self.list.get_mut(&tid)
    }

    /// All threads, by ascending number.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Thread> {
        self.list.values()
    }

    /// All threads, by ascending number.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Thread> {
        self.list.values_mut()
    }
}
