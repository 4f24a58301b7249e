//! Timers: what is due when. Time itself is that of the processor: a function of executed work (`cpu.rs`).
//!
//! A timer runs on the clock of the machine, or on the processor time of the process or of one thread (setitimer(2),
//! timer_create(2)).

use std::collections::BTreeMap;

use super::threads::Tid;

/// Realtime at the start of every machine: nanoseconds since 1970 (2023-11-14 22:13:20 UTC).
pub(super) const EPOCH: u64 = 1_700_000_000_000_000_000;
/// Monotonic time at the start of every machine.
pub(super) const UPTIME: u64 = 1_000_000_000_000;

/// What a timer's time is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum TimerClock {
    /// Time of the machine.
    Real,
    /// Processor time of all threads.
    Process,
    /// Processor time of one thread.
    Thread(Tid),
}

/// Names a timer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum TimerId {
    /// One of the three of setitimer(2).
    Interval(i32),
    /// One of timer_create(2).
    Posix(i32),
}

/// One timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Timer {
    /// Its clock.
    pub clock: TimerClock,
    /// Signal that it sends; 0 for none.
    pub signal: i32,
    /// Thread that gets it; else the process.
    pub to: Option<Tid>,
    /// `sigev_value`.
    pub value: u64,
    /// When it is due next, in nanoseconds of its clock.
    pub due: Option<u64>,
    /// Nanoseconds between two signals; 0 for one only.
    pub interval: u64,
}

/// All timers.
#[derive(Default, Debug)]
pub(super) struct Timers {
    list: BTreeMap<TimerId, Timer>,
    next: i32,
}

impl Timers {
    /// Adds a timer of timer_create(2); its id.
    pub(super) fn create(&mut self, timer: Timer) -> i32 {
        let id = self.next;
        self.next += 1;
        self.list.insert(TimerId::Posix(id), timer);
        id
    }

    /// Adds or replaces a timer.
    pub(super) fn set(&mut self, id: TimerId, timer: Timer) {
        self.list.insert(id, timer);
    }

    /// The timer with this id.
    pub(super) fn get_mut(&mut self, id: TimerId) -> Option<&mut Timer> {
        self.list.get_mut(&id)
    }

    /// Removes a timer; whether there was one.
    pub(super) fn remove(&mut self, id: TimerId) -> bool {
        self.list.remove(&id).is_some()
    }

    /// The earliest time at which a timer is due on the clock of the machine.
    #[must_use]
    pub(super) fn next_real(&self) -> Option<u64> {
        self.next_on(|clock| clock == TimerClock::Real)
    }

    /// The earliest time at which a timer on one of these clocks is due.
    #[must_use]
    pub(super) fn next_on(&self, on: impl Fn(TimerClock) -> bool) -> Option<u64> {
        let timers = self.list.values().filter(|timer| on(timer.clock));
        timers.filter_map(|timer| timer.due).min()
    }

    /// Takes the timers that are due, each once, and winds those with an interval; `now` is the time on a clock.
    pub(super) fn take_due(&mut self, now: impl Fn(TimerClock) -> u64) -> Vec<(TimerId, Timer)> {
        let mut due = Vec::new();
        for (&id, timer) in &mut self.list {
            let now = now(timer.clock);
            let Some(at) = timer.due.filter(|&at| at <= now) else {
                continue;
            };
            due.push((id, *timer));
            // What was missed is not made up for: one signal stands for all (timer_getoverrun(2)).
            timer.due = (timer.interval > 0)
                .then(|| at + timer.interval * ((now - at) / timer.interval + 1));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_keep_their_phase() {
        let mut timers = Timers::default();
        let timer = Timer {
            clock: TimerClock::Real,
            signal: 27,
            to: None,
            value: 0,
            due: Some(100),
            interval: 10,
        };
        let once = Timer {
            clock: TimerClock::Process,
            interval: 0,
            ..timer
        };
        timers.set(TimerId::Interval(2), timer);
        assert_eq!(timers.create(once), 0);
        let take = |timers: &mut Timers, now| {
            let due = timers.take_due(|clock| {
                if clock == TimerClock::Real {
                    now
                } else {
                    now / 2
                }
            });
            due.iter().map(|(id, _)| *id).collect::<Vec<_>>()
        };
        assert_eq!(take(&mut timers, 99), []);
        assert_eq!(take(&mut timers, 100), [TimerId::Interval(2)]);
        assert_eq!(timers.next_real(), Some(110));
        assert_eq!(take(&mut timers, 135), [TimerId::Interval(2)]);
        assert_eq!(timers.next_real(), Some(140));
        let both = [TimerId::Interval(2), TimerId::Posix(0)];
        assert_eq!(take(&mut timers, 200), both);
        assert_eq!(timers.next_on(|clock| clock == TimerClock::Process), None);
        assert!(timers.remove(TimerId::Posix(0)) && !timers.remove(TimerId::Posix(0)));
    }
}
