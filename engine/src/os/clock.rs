//! The CPU's time stamp counter, and the kernel's clocks.

use std::io;

/// The time stamp counter now.
#[must_use]
pub fn tsc() -> u64 {
    // SAFETY: RDTSC exists on every amd64 CPU; a kernel that forbids it (PR_SET_TSC) would stop this process.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Whether the counter runs at one rate in all power states (CPUID 8000_0007h, EDX bit 8).
#[must_use]
pub fn tsc_is_invariant() -> bool {
    let (highest, leaf) = (
        core::arch::x86_64::__cpuid(0x8000_0000).eax,
        0x8000_0007_u32,
    );
    highest >= leaf && core::arch::x86_64::__cpuid(leaf).edx & 1 << 8 != 0
}

fn clock(id: libc::clockid_t) -> io::Result<u64> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: clock_gettime writes one timespec.
    if unsafe { libc::clock_gettime(id, &raw mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
    Ok(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// One moment in two clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Moment {
    /// Time stamp counter.
    pub tsc: u64,
    /// Nanoseconds of the clock.
    pub ns: u64,
    /// Width of the bracket, in counter ticks: half of it is the error.
    pub width: u64,
}

/// The closest of several readings of the counter and of a clock between two readings of it.
fn moment(id: libc::clockid_t) -> io::Result<Moment> {
    let mut best: Option<Moment> = None;
    for _ in 0..16 {
        let before = tsc();
        let ns = clock(id)?;
        let width = tsc().saturating_sub(before);
        if best.is_none_or(|best| width < best.width) {
            best = Some(Moment {
                tsc: before.saturating_add(width / 2),
                ns,
                width,
            });
        }
    }
    best.ok_or_else(|| io::ErrorKind::Other.into())
}

/// Now, in nanoseconds since 1970.
pub fn realtime() -> io::Result<Moment> {
    moment(libc::CLOCK_REALTIME)
}

/// Now, on the clock that nobody sets or slews.
pub fn monotonic() -> io::Result<Moment> {
    moment(libc::CLOCK_MONOTONIC_RAW)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_advance_together() {
        let (a, b) = (monotonic().unwrap(), monotonic().unwrap());
        assert!(a.tsc < b.tsc && a.ns <= b.ns);
        assert!(realtime().unwrap().ns > 1_700_000_000_000_000_000);
    }
}
