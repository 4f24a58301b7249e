//! Time stamp counter -> time of day, by one straight line for the whole stream.
//!
//! One line, never corrected, keeps the order of any two time stamps exactly: a call inside another one stays inside.
//! What that costs is drift: the line's slope is the counter's frequency as measured when the stream began, within
//! [`Clock::error_ppm`]. The stream's last line holds a second point by which a reader can correct it.

use serde::{Deserialize, Serialize};

use super::model::Anchor;

/// The line.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Clock {
    /// A point on it.
    pub anchor: Anchor,
    /// Counter ticks per second.
    pub tsc_hz: u64,
    /// How far off `tsc_hz` may be, in parts per million.
    pub error_ppm: f64,
    /// How long it was measured, in nanoseconds.
    pub measured_ns: u64,
    /// Whether the CPU says that the counter runs at one rate in all power states.
    pub invariant: bool,
}

impl Clock {
    /// From two readings of the counter and of a steady clock, `width` being the sum of their uncertainties in ticks.
    /// `None` if nothing can be learned from them.
    #[must_use]
    pub fn measure(
        anchor: Anchor,
        ticks: u64,
        measured_ns: u64,
        width: u64,
        invariant: bool,
    ) -> Option<Self> {
        let scaled = u128::from(ticks).checked_mul(1_000_000_000)?;
        let tsc_hz = u64::try_from(scaled.checked_div(u128::from(measured_ns))?).ok()?;
        if tsc_hz == 0 {
            return None;
        }
        Some(Self {
            anchor,
            tsc_hz,
            // Thousandths are enough, and give short numbers.
            error_ppm: (width as f64 / ticks as f64 * 1e9).ceil() / 1e3,
            measured_ns,
            invariant,
        })
    }

    /// Nanoseconds since 1970 at which the counter stood at `tsc`. Never falls as `tsc` rises; saturates.
    #[must_use]
    pub fn unix_ns(&self, tsc: u64) -> u64 {
        let ticks = i128::from(tsc) - i128::from(self.anchor.tsc);
        let ns = (ticks * 1_000_000_000).div_euclid(i128::from(self.tsc_hz.max(1)));
        let at = i128::from(self.anchor.unix_ns).saturating_add(ns);
        u64::try_from(at.max(0)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLOCK: Clock = Clock {
        anchor: Anchor {
            tsc: 1_000_000,
            unix_ns: 1_700_000_000_000_000_000,
        },
        tsc_hz: 2_500_000_000,
        error_ppm: 1.0,
        measured_ns: 1,
        invariant: true,
    };

    #[test]
    fn the_line_goes_through_its_anchor_both_ways() {
        assert_eq!(CLOCK.unix_ns(1_000_000), 1_700_000_000_000_000_000);
        assert_eq!(CLOCK.unix_ns(1_000_005), 1_700_000_000_000_000_002);
        assert_eq!(CLOCK.unix_ns(999_999), 1_699_999_999_999_999_999);
        assert_eq!(
            CLOCK.unix_ns(u64::MAX),
            1_700_000_000_000_000_000 + ((u128::from(u64::MAX - 1_000_000) * 2) / 5) as u64
        );
    }

    #[test]
    fn frequencies_are_measured() {
        let clock = Clock::measure(CLOCK.anchor, 50_000_000, 20_000_000, 500, true).unwrap();
        assert_eq!(clock.tsc_hz, 2_500_000_000);
        assert!((clock.error_ppm - 10.0).abs() < 1e-9, "{clock:?}");
        assert_eq!(Clock::measure(CLOCK.anchor, 5, 0, 0, true), None);
        assert_eq!(Clock::measure(CLOCK.anchor, 0, 5, 0, true), None);
    }

    proptest::proptest! {
        #[test]
        fn order_is_kept(a in 0u64.., b in 0u64..) {
            let (low, high) = (a.min(b), a.max(b));
            proptest::prop_assert!(CLOCK.unix_ns(low) <= CLOCK.unix_ns(high));
        }
    }
}
