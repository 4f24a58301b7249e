//! Signals as the program sets and gets them: actions, masks, and the information that comes with one (signal(7)).
//!
//! Data only; `deliver.rs` builds the frames.

/// Highest signal number.
pub(super) const LAST: i32 = 64;

/// A set of signals; bit `n - 1` is signal `n`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Mask(pub u64);

impl Mask {
    /// Whether `signal` is in it.
    #[must_use]
    pub const fn has(self, signal: i32) -> bool {
        self.0 >> (signal - 1) & 1 == 1
    }

    /// Without the two that cannot be blocked.
    #[must_use]
    pub const fn blockable(self) -> Self {
        Self(self.0 & !(1 << (libc::SIGKILL - 1)) & !(1 << (libc::SIGSTOP - 1)))
    }

    /// With `signal` too.
    #[must_use]
    pub const fn with(self, signal: i32) -> Self {
        Self(self.0 | 1 << (signal - 1))
    }
}

/// What a signal does (`struct sigaction` of the kernel).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Action {
    /// `SIG_DFL`, `SIG_IGN` or an address.
    pub handler: u64,
    /// `SA_*`.
    pub flags: u64,
    /// Where the handler returns to.
    pub restorer: u64,
    /// Blocked while the handler runs.
    pub mask: Mask,
}

/// Size of the kernel's structure.
pub(super) const ACTION_SIZE: usize = 32;
/// The program gives [`Action::restorer`].
const SA_RESTORER: u64 = 0x0400_0000;

impl Action {
    /// From memory.
    #[must_use]
    pub(super) fn from_bytes(bytes: &[u8; ACTION_SIZE]) -> Self {
        let word = |at: usize| {
            let part = bytes.get(at..at + 8).and_then(|part| part.first_chunk());
            part.map_or(0, |part| u64::from_le_bytes(*part))
        };
        Self {
            handler: word(0),
            flags: word(8),
            restorer: word(16),
            mask: Mask(word(24)),
        }
    }

    /// To memory.
    #[must_use]
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let words = [self.handler, self.flags, self.restorer, self.mask.0];
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Whether a handler of the program runs.
    #[must_use]
    pub(super) const fn is_handled(&self) -> bool {
        self.handler > libc::SIG_IGN as u64
    }

    /// Whether one of these flags is set.
    #[must_use]
    pub(super) const fn has(&self, flag: i32) -> bool {
        self.flags & flag as u32 as u64 != 0
    }

    /// Whether the handler can return.
    #[must_use]
    pub(super) const fn has_restorer(&self) -> bool {
        self.flags & SA_RESTORER != 0
    }
}

/// What the kernel does with a signal that no handler takes (signal(7), "Standard signals").
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Default {
    /// Nothing.
    Ignore,
    /// The process ends.
    Terminate,
}

/// The default of a signal. Stopping is not emulated: the process has no shell that would continue it.
#[must_use]
pub(super) const fn default_of(signal: i32) -> Default {
    match signal {
        libc::SIGCHLD
        | libc::SIGURG
        | libc::SIGWINCH
        | libc::SIGCONT
        | libc::SIGTSTP
        | libc::SIGTTIN
        | libc::SIGTTOU
        | libc::SIGSTOP => Default::Ignore,
        _ => Default::Terminate,
    }
}

/// `siginfo_t`, as far as it is used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Info {
    /// The signal.
    pub signal: i32,
    /// `si_code`.
    pub code: i32,
    /// The two words behind the header: address of a fault; sender's pid and uid, and `sigev_value`.
    pub words: [u64; 2],
    /// For faults: the vector and error code of the processor's exception, for the frame.
    pub trap: Option<(u64, u64)>,
}

/// `SI_TKILL`
const SI_TKILL: i32 = -6;
/// `SI_USER`
const SI_USER: i32 = 0;
/// `SI_KERNEL`
pub(super) const SI_KERNEL: i32 = 0x80;
/// `SI_TIMER`
const SI_TIMER: i32 = -2;

impl Info {
    /// From tgkill(2) of the process itself.
    #[must_use]
    pub const fn from_thread(signal: i32, pid: i32) -> Self {
        Self::plain(signal, SI_TKILL, pid)
    }

    /// From kill(2), by the process itself or from outside.
    #[must_use]
    pub const fn from_process(signal: i32, pid: i32) -> Self {
        Self::plain(signal, SI_USER, pid)
    }

    /// From a timer; an interval timer has no id.
    #[must_use]
    pub const fn from_timer(signal: i32, id: Option<i32>, value: u64) -> Self {
        match id {
            Some(id) => Self {
                words: [id as u32 as u64, value],
                ..Self::plain(signal, SI_TIMER, 0)
            },
            None => Self::plain(signal, SI_KERNEL, 0),
        }
    }

    const fn plain(signal: i32, code: i32, pid: i32) -> Self {
        // pid, then uid 1000.
        Self {
            signal,
            code,
            words: [pid as u32 as u64 | 1000 << 32, 0],
            trap: None,
        }
    }

    /// The 128 bytes of the structure.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 128] {
        let mut bytes = [0; 128];
        let fields: [(usize, &[u8]); 4] = [
            (0, &self.signal.to_le_bytes()),
            (8, &self.code.to_le_bytes()),
            (16, &self.words[0].to_le_bytes()),
            (24, &self.words[1].to_le_bytes()),
        ];
        for (at, field) in fields {
            if let Some(place) = bytes.get_mut(at..at + field.len()) {
                place.copy_from_slice(field);
            }
        }
        bytes
    }
}

/// Adds a signal to a queue; standard signals are there once at most.
pub(super) fn queue(pending: &mut Vec<Info>, info: Info) {
    if info.signal > 31 || !pending.iter().any(|other| other.signal == info.signal) {
        pending.push(info);
    }
}

/// Takes the next signal that `mask` lets through: faults first, then by ascending number, as the kernel does
/// (`kernel/signal.c`, `next_signal`).
pub(super) fn take(pending: &mut Vec<Info>, mask: Mask) -> Option<Info> {
    let (index, _) = pending
        .iter()
        .enumerate()
        .filter(|(_, info)| !mask.has(info.signal))
        .min_by_key(|(_, info)| (info.trap.is_none(), info.signal))?;
    Some(pending.remove(index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_taken_by_number_faults_first() {
        let mut pending = Vec::new();
        for signal in [27, 23, 27, 11, 34, 34] {
            let mut info = Info::from_thread(signal, 1);
            info.trap = (signal == 11).then_some((14, 4));
            queue(&mut pending, info);
        }
        let mask = Mask::default().with(23);
        let order: Vec<i32> =
            std::iter::from_fn(|| take(&mut pending, mask).map(|info| info.signal)).collect();
        assert_eq!(order, [11, 27, 34, 34]);
        assert_eq!(
            take(&mut pending, Mask::default()).map(|i| i.signal),
            Some(23)
        );
    }

    #[test]
    fn actions_are_read_as_written() {
        let action = Action {
            handler: 0x40_1000,
            flags: 0x1400_0004,
            restorer: 0x40_2000,
            mask: Mask(!0),
        };
        let bytes = action.to_bytes();
        assert_eq!(Action::from_bytes(bytes.first_chunk().unwrap()), action);
        assert!(action.is_handled() && action.has_restorer() && action.has(libc::SA_SIGINFO));
        assert!(!Mask(!0).blockable().has(libc::SIGKILL));
    }
}
