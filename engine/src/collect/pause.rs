//! How long to wait for the next look at a program's rings: as long as they have room for what comes in.

use std::time::Duration;

/// Longest pause between two looks.
const IDLE: Duration = Duration::from_millis(24);
/// Shortest pause between two looks.
pub(super) const BUSY: Duration = Duration::from_micros(100);
/// Pauses are made so long that the fullest ring comes to be filled to this part: one in so many.
const FILLED: u64 = 8;

/// The pause after a look at rings of so many slots that found so many records in the fullest and came after `pause`. A ring
/// that is filling fast is looked at again at once.
pub(super) fn next(pause: Duration, fullest: u64, slots: u64) -> Duration {
    let aim = slots / FILLED;
    if fullest > 2 * aim {
        return Duration::ZERO;
    }
    let pause = pause.max(BUSY);
    // As it has been filled so far, it comes to this.
    let filled = u32::try_from(aim / fullest.max(1)).unwrap_or(u32::MAX);
    let longer = pause.saturating_mul(2);
    let next = if fullest > aim {
        pause / 2
    } else {
        longer.min(pause.saturating_mul(filled))
    };
    next.clamp(BUSY, IDLE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_follow_what_comes_in() {
        let mut pause = BUSY;
        for _ in 0..10 {
            pause = next(pause, 0, 4096);
        }
        assert_eq!(pause, IDLE);
        // Now and then a call is no reason to look more often, a burst is.
        assert_eq!(next(pause, 20, 4096), IDLE);
        assert_eq!(next(pause, 600, 4096), IDLE / 2);
        assert_eq!(next(pause, 1025, 4096), Duration::ZERO);
        assert_eq!(next(Duration::ZERO, 0, 4096), 2 * BUSY);
        // What comes in steadily is taken at an eighth of a ring.
        let per_second = 1_000_000.0;
        let mut pause = BUSY;
        for _ in 0..20 {
            pause = next(pause, (pause.as_secs_f64() * per_second) as u64, 4096);
        }
        assert!(
            pause > Duration::from_micros(200) && pause < Duration::from_millis(1),
            "{pause:?}"
        );
        // Rings of four slots.
        for fullest in 0..4 {
            assert!(next(BUSY, fullest, 4) <= IDLE);
        }
    }
}
