//! The board of a program that takes part in its own disturbance (`testbins/disturbed/main.go`): found in memory by its
//! mark, read and written.
//!
//! A program without a board can be disturbed as well, but for what only it can do itself: collect garbage, panic, call a
//! function again.

use gondwana_engine::addr::RunAddr;

use crate::machine::{Machine, Trouble};

/// What the board starts with.
const MARK: &[u8; 16] = b"gondwana disturb";
/// Mappings beyond this size are no data segments.
const LARGEST: u64 = 64 << 20;

/// A word of the board, 32 bits; the discriminant is its offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Word {
    /// What the called function shall do, once: [`control`].
    Control = 16,
    /// What the helper shall do, once: [`request`].
    Request = 20,
    /// Frames between the goroutine's first function and the call.
    Depth = 24,
    /// Calls that the helper has finished.
    Called = 28,
    /// Garbage collections that the helper has finished.
    Collected = 32,
    /// How the call ended: [`outcome`].
    Outcome = 36,
}

/// Values of [`Word::Control`].
pub mod control {
    /// Panic.
    pub const PANIC: i32 = 1;
    /// End the goroutine.
    pub const GOEXIT: i32 = 2;
    /// Let the helper collect garbage, and wait for it.
    pub const PARK: i32 = 3;
}

/// Values of [`Word::Request`].
pub mod request {
    /// Collect garbage.
    pub const COLLECT: i32 = 1;
    /// Call the same function.
    pub const CALL: i32 = 2;
}

/// Values of [`Word::Outcome`].
pub mod outcome {
    /// The call returned.
    pub const RETURNED: i32 = 1;
    /// It panicked as it was told to, and that was recovered.
    pub const RECOVERED: i32 = 2;
    /// It ended its goroutine, whose deferred functions ran.
    pub const EXITED: i32 = 3;
    /// The run-time panic of a nil dereference was recovered.
    pub const FAULTED: i32 = 4;
}

/// Where the board lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Board {
    at: RunAddr,
}

impl Board {
    /// For programs that have none: nothing is there to be read or written.
    pub const NOWHERE: Self = Self {
        at: RunAddr::new(0),
    };

    /// Looks for the mark in the writable data of a program that has just been started.
    #[must_use]
    pub fn find(machine: &Machine<'_>) -> Option<Self> {
        machine
            .mappings()
            .iter()
            .filter(|map| map.protection.write)
            .find_map(|map| {
                let length = map.end.offset_from(map.start).filter(|&n| n <= LARGEST)?;
                let bytes = machine.read(map.start, length as usize)?;
                // The compiler aligns it to its largest member.
                let at = (0..bytes.len())
                    .step_by(4)
                    .find(|&at| bytes.get(at..).is_some_and(|rest| rest.starts_with(MARK)))?;
                let at = map.start.checked_add(at as u64)?;
                Some(Self { at })
            })
    }

    /// One word.
    #[must_use]
    pub fn get(self, machine: &Machine<'_>, word: Word) -> i32 {
        let bytes = machine.read(self.address(word), 4).unwrap_or_default();
        bytes.first_chunk().map_or(0, |b| i32::from_le_bytes(*b))
    }

    /// Sets one word.
    ///
    /// # Errors
    /// The board's memory is gone.
    pub fn set(self, machine: &mut Machine<'_>, word: Word, value: i32) -> Result<(), Trouble> {
        machine.write(self.address(word), &value.to_le_bytes())
    }

    fn address(self, word: Word) -> RunAddr {
        RunAddr::new(self.at.get().wrapping_add(word as u64))
    }
}
