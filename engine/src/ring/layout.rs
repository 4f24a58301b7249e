//! Shape of the shared mapping: offsets and sizes in bytes, little-endian, every counter 64 bits.
//!
//! ```text
//! mapping:  header (4096) | ring 0 | ring 1 | … | ring N-1 | shared ring
//! header:   0 magic "GONDRING" | 8 version u32 | 12 rings u32 | 16 slots u32 | 20 hooks u32
//!           64 skipped: no room | 72 skipped: no g | 80 skipped: on gsignal | 88 skipped: deep
//! ring:     0 head | 8 lost | 64 tail | 128 entered[hooks] | … pad to 64 … | records (slots × 64)
//! record:   0 sequence u32 | 4 hook (24 bits) + kind << 24
//! span:     8 entry tsc | 16 exit tsc | 24 goid | 32 thread id | 40 stack depth | 48 m.id | 56 zero
//! raw:      8 … 63: seven raw words
//! ```
//!
//! Ring `i` is written only by the M whose `m.id` is `i`, so it has one writer: plain stores, no `lock` prefix (x86-TSO
//! keeps the record before the `head` that publishes it). Hooks step aside on the signal stack, and trampolines are
//! unsafe points for asynchronous preemption, so nothing interleaves a half-written record. M ids are never reused.
//! The mapping as a whole, counters included, is no larger than a stated size ([`RingGeometry::within`]): that is what it
//! costs of addresses, of memory once every ring was written through, of locked memory under `mlockall`. A page gets memory
//! when it is written. (DESIGN.md lets the reader give rings to Ms on demand; numbering them by `m.id` needs neither table
//! nor hand-over.) Ms with `m.id >= rings` use the shared ring: `lock cmpxchg` on `head` reserves, the record's sequence
//! word, written last, publishes.
//!
//! * `stack depth`: `g.stack.hi` minus RSP at the function's entry, in bytes.
//! * `head`: records ever published (single-writer) or reserved (shared); slot of record `n` is `n % slots`.
//! * `tail`: records consumed, written only by the reader. Full when `head - tail + k > slots`: then `lost` grows by one
//!   per span and nothing is written; the program never waits.
//! * `sequence` of record `n` is the low 32 bits of `n + 1`.
//! * `entered[h]`: calls of hook `h` that got a frame, counted at entry; `lock inc` in the shared ring.
//!
//! A span with raw words is three records in a row: span ([`Kind::SpanRaw`]), [`Kind::Args`], [`Kind::Results`].

use std::ops::Range;

use serde::{Deserialize, Serialize};

/// `"GONDRING"`, little-endian.
pub const MAGIC: u64 = u64::from_le_bytes(*b"GONDRING");
/// Version of this layout; raised with every change of it.
pub const VERSION: u32 = 2;
/// Size of the mapping's header.
pub const HEADER_SIZE: u64 = 4096;
/// Offset of the count of calls that ran unhooked because the stack had no room.
pub const SKIPPED_NO_ROOM: u64 = 64;
/// Offset of the count of calls that ran unhooked because there was no g or m.
pub const SKIPPED_NO_G: u64 = 72;
/// Offset of the count of calls that ran unhooked because they were on the signal stack.
pub const SKIPPED_GSIGNAL: u64 = 80;
/// Offset of the count of calls that ran unhooked because they were too deep in the stack.
pub const SKIPPED_DEEP: u64 = 88;
/// Offset of a ring's head.
pub const RING_HEAD: u64 = 0;
/// Offset of a ring's count of lost spans.
pub const RING_LOST: u64 = 8;
/// Offset of a ring's tail; its own cache line, since the reader writes it.
pub const RING_TAIL: u64 = 64;
/// Offset of a ring's counters of entered calls.
pub const RING_ENTERED: u64 = 128;
/// Size of a record.
pub const RECORD_SIZE: u64 = 64;
/// Words that one raw record holds.
pub const RAW_WORDS: usize = 7;

/// The kind of a record, the top 8 bits of its second 32-bit word.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    /// A finished call.
    Span = 1,
    /// A finished call; an `Args` and a `Results` record follow.
    SpanRaw = 2,
    /// Raw words at entry.
    Args = 3,
    /// Raw words at exit.
    Results = 4,
}

/// Shape of one mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RingGeometry {
    /// Number of single-writer rings: Ms with an id below this have their own.
    pub rings: u32,
    /// Records per ring, a power of two, at least 4.
    pub slots: u32,
    /// Number of hooks, each with an `entered` counter in every ring; below 2²⁴.
    pub hooks: u32,
}

/// What records and counters may take where nothing else was said.
pub const DEFAULT_MEMORY: u64 = 64 << 20;
/// No program gets more rings; Ms above share one.
const MOST_RINGS: u32 = 256;
/// Slots of a ring at most.
const MOST_SLOTS: u32 = 1 << 20;
/// What is aimed at, best first: so many rings at least, of so many slots at least. A server with few processors has some
/// dozens of Ms, and a ring of 4,096 slots holds what an M that does nothing but hooked calls makes in 0.1 ms.
const AIMS: [(u32, u32); 4] = [(192, 2048), (48, 512), (8, 256), (1, 128)];

impl RingGeometry {
    /// The shape that a program without limits gets. `None`: for more hooks than fit [`DEFAULT_MEMORY`] or a record can name.
    #[must_use]
    pub fn for_hooks(hooks: u32) -> Option<Self> {
        Self::within(DEFAULT_MEMORY, hooks)
    }

    /// The best shape for so many hooks whose mapping takes no more than `memory` bytes; `None` if there is none. Counters
    /// come first: with many hooks there are fewer rings.
    #[must_use]
    pub fn within(memory: u64, hooks: u32) -> Option<Self> {
        AIMS.into_iter().find_map(|(rings, slots)| {
            let mut shape = Self {
                rings: 0,
                slots: MOST_SLOTS,
                hooks,
            };
            while shape.slots >= slots {
                // One of them is the shared ring.
                let all = memory.saturating_sub(HEADER_SIZE) / shape.stride();
                shape.rings = u32::try_from(all)
                    .unwrap_or(u32::MAX)
                    .saturating_sub(1)
                    .min(MOST_RINGS);
                if shape.rings >= rings && shape.is_valid() {
                    return Some(shape);
                }
                shape.slots /= 2;
            }
            None
        })
    }

    /// The least memory in which so many hooks can be recorded.
    #[must_use]
    pub fn least_memory(hooks: u32) -> u64 {
        let [.., (rings, slots)] = AIMS;
        Self {
            rings,
            slots,
            hooks,
        }
        .size()
    }

    /// Offset of the records in a ring.
    #[must_use]
    pub const fn records(&self) -> u64 {
        (RING_ENTERED + 8 * self.hooks as u64).next_multiple_of(RECORD_SIZE)
    }

    /// Size of one ring: a whole number of pages.
    #[must_use]
    pub const fn stride(&self) -> u64 {
        (self.records() + RECORD_SIZE * self.slots as u64).next_multiple_of(4096)
    }

    /// Offset of ring `index` in the mapping; `index == rings` is the shared ring.
    #[must_use]
    pub const fn ring(&self, index: u32) -> u64 {
        HEADER_SIZE + self.stride() * index as u64
    }

    /// The rings that have bytes in `range` of the mapping.
    #[must_use]
    pub fn rings_of(&self, range: Range<u64>) -> Range<u32> {
        let ring = |offset: u64| {
            let index = offset.saturating_sub(HEADER_SIZE) / self.stride();
            u32::try_from(index).map_or(self.rings, |index| index.min(self.rings))
        };
        if range.end <= HEADER_SIZE || range.is_empty() {
            return 0..0;
        }
        ring(range.start)..ring(range.end - 1) + 1
    }

    /// Size of the whole mapping.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.ring(self.rings) + self.stride()
    }

    /// Whether trampolines can be made for this shape: `slots` a power of two of at least 4, `hooks` below 2²⁴, a
    /// stride that fits a signed 32-bit immediate.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        self.slots.is_power_of_two()
            && self.slots >= 4
            && self.slots <= MOST_SLOTS
            && self.hooks < 1 << 24
            && self.stride() <= i32::MAX as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_follow_the_header_without_gaps() {
        let shape = RingGeometry {
            rings: 3,
            slots: 8,
            hooks: 9,
        };
        assert!(shape.is_valid());
        assert_eq!(shape.records(), 256);
        assert_eq!(shape.stride(), 4096);
        assert_eq!(shape.ring(3), 4096 * 4);
        assert_eq!(shape.size(), 4096 * 5);
    }

    #[test]
    fn the_default_is_250_rings_of_4096_records() {
        let shape = RingGeometry::for_hooks(1).unwrap();
        assert_eq!((shape.rings, shape.slots), (251, 4096));
        // Some thousand hooks: the counters of each ring take the place of some rings.
        let shape = RingGeometry::for_hooks(6000).unwrap();
        assert_eq!((shape.rings, shape.slots), (214, 4096));
        // All functions of a large program.
        let shape = RingGeometry::for_hooks(100_000).unwrap();
        assert_eq!((shape.rings, shape.slots), (49, 8192));
        // A program that locks its memory.
        let shape = RingGeometry::within(8 << 20, 1).unwrap();
        assert_eq!((shape.rings, shape.slots), (61, 2048));
        // No ring needs more than this.
        let shape = RingGeometry::within(1 << 50, 1).unwrap();
        assert_eq!((shape.rings, shape.slots), (256, 1 << 20));
    }

    #[test]
    fn no_shape_is_larger_than_it_may_be() {
        for hooks in [1, 10, 500, 1000, 20_000, 300_000, (1 << 24) - 1] {
            let least = RingGeometry::least_memory(hooks);
            assert_eq!(RingGeometry::within(least - 1, hooks), None, "{hooks}");
            let mut memory = least;
            while memory < 20 << 30 {
                let shape = RingGeometry::within(memory, hooks).unwrap();
                assert!(shape.is_valid() && shape.rings >= 1, "{shape:?}");
                assert!(shape.size() <= memory, "{memory}: {shape:?}");
                // A third of it is used at least, but for what is more than the largest shape.
                let most = RingGeometry {
                    rings: 256,
                    slots: 1 << 20,
                    hooks,
                };
                assert!(
                    shape.size() >= memory / 3 || shape == most,
                    "{memory}: {shape:?}"
                );
                memory += memory / 7 + 1;
            }
        }
    }

    #[test]
    fn impossible_shapes_are_told_apart() {
        for shape in [
            RingGeometry {
                rings: 1,
                slots: 3,
                hooks: 1,
            },
            RingGeometry {
                rings: 1,
                slots: 2,
                hooks: 1,
            },
            RingGeometry {
                rings: 1,
                slots: 8,
                hooks: 1 << 24,
            },
        ] {
            assert!(!shape.is_valid(), "{shape:?}");
        }
    }
}
