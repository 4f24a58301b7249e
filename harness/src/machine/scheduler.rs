//! Ready threads + seed -> who runs next, and for how long. Knows nothing of what they do.
//!
//! Without chaos: in turn, each for 5 to 25 µs, so that threads interleave as on several processors. With chaos, in the
//! manner of rr (`Scheduler.cc`, "chaos mode"): threads have priorities that change at random times, the highest runs alone
//! and the others starve for a while, and slices are often just some instructions long.

use super::threads::Tid;

/// Bytes of code per slice without chaos.
const SLICE: std::ops::Range<u64> = 20_000..100_000;
/// Longest slice with chaos, as a power of two.
const CHAOS_BITS: u64 = 18;
/// Bytes of code between two changes of all priorities, with chaos.
const SHUFFLE: std::ops::Range<u64> = 50_000..4_000_000;
/// One choice of so many, with chaos, does not follow the priorities.
const WHIM: u32 = 8;

/// A choice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Turn {
    /// Who.
    pub tid: Tid,
    /// For how many bytes of code.
    pub slice: u64,
}

/// The scheduler.
pub(super) struct Scheduler {
    rng: fastrand::Rng,
    chaos: bool,
    last: Tid,
    /// Salt of the priorities, and the work at which it changes.
    salt: (u64, u64),
}

impl Scheduler {
    /// A scheduler whose choices follow from `seed`.
    #[must_use]
    pub(super) fn new(seed: u64, chaos: bool) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(seed),
            chaos,
            last: Tid(0),
            salt: (seed, 0),
        }
    }

    /// Chooses among the ready threads, which are in ascending order; `work` is what has been executed so far. A thread that
    /// has `yielded` is chosen only if it is the only one. `None` if there are none.
    pub(super) fn choose(
        &mut self,
        ready: &[Tid],
        yielded: Option<Tid>,
        work: u64,
    ) -> Option<Turn> {
        let others: Vec<Tid> = ready
            .iter()
            .copied()
            .filter(|&tid| Some(tid) != yielded)
            .collect();
        let ready = if others.is_empty() { ready } else { &others };
        let tid = if self.chaos {
            self.by_priority(ready, work)?
        } else {
            // In turn.
            let next = ready.iter().find(|&&tid| tid > self.last);
            *next.or(ready.first())?
        };
        self.last = tid;
        let slice = if self.chaos {
            let bits = self.rng.u64(2..=CHAOS_BITS);
            self.rng.u64(1..=1 << bits)
        } else {
            self.rng.u64(SLICE)
        };
        Some(Turn { tid, slice })
    }

    fn by_priority(&mut self, ready: &[Tid], work: u64) -> Option<Tid> {
        if work >= self.salt.1 {
            self.salt = (self.rng.u64(..), work + self.rng.u64(SHUFFLE));
        }
        if self.rng.u32(..WHIM) == 0 {
            return self.rng.choice(ready).copied();
        }
        let salt = self.salt.0;
        let priority = |tid: &&Tid| fastrand::Rng::with_seed(salt ^ tid.0 as u64).u64(..);
        ready.iter().max_by_key(priority).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(seed: u64, chaos: bool) -> Vec<Turn> {
        let mut scheduler = Scheduler::new(seed, chaos);
        let ready = [Tid(1), Tid(2), Tid(3)];
        (0..200)
            .filter_map(|n| scheduler.choose(&ready, None, n * 50_000))
            .collect()
    }

    #[test]
    fn a_seed_decides_everything() {
        for chaos in [false, true] {
            assert_eq!(turns(1, chaos), turns(1, chaos));
            assert_ne!(turns(1, chaos), turns(2, chaos));
        }
    }

    #[test]
    fn without_chaos_all_have_their_turn() {
        let who: Vec<i32> = turns(3, false).iter().map(|turn| turn.tid.0).collect();
        assert_eq!(who[..6], [1, 2, 3, 1, 2, 3]);
    }

    #[test]
    fn with_chaos_some_starve_for_a_while_and_nobody_for_ever() {
        let turns = turns(3, true);
        let longest = turns
            .chunk_by(|a, b| a.tid == b.tid)
            .map(<[Turn]>::len)
            .max();
        assert!(longest > Some(5), "{longest:?}");
        for tid in [Tid(1), Tid(2), Tid(3)] {
            assert!(turns.iter().any(|turn| turn.tid == tid));
        }
        assert!(turns.iter().any(|turn| turn.slice < 50) && turns.iter().any(|t| t.slice > 50_000));
    }

    #[test]
    fn who_yields_waits_for_the_others() {
        let mut scheduler = Scheduler::new(1, true);
        for _ in 0..50 {
            let turn = scheduler.choose(&[Tid(1), Tid(2)], Some(Tid(1)), 0);
            assert_eq!(turn.map(|turn| turn.tid), Some(Tid(2)));
        }
        let alone = scheduler.choose(&[Tid(1)], Some(Tid(1)), 0);
        assert_eq!(alone.map(|turn| turn.tid), Some(Tid(1)));
        assert_eq!(scheduler.choose(&[], None, 0), None);
    }
}
