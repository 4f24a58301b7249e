//! The calls of one goroutine form a forest: two of them are apart, or one holds the other and lies above it on the stack.
//!
//! Two time stamps are taken on the CPUs that the goroutine ran on; counters of two CPUs may be some ticks apart, so an
//! overlap of less than [`SKEW`] is let pass, if the two calls returned on different threads.

use gondwana_engine::event::SpanLine;

/// Nanoseconds.
const SKEW: u64 = 2_000;

/// What matters of a span line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Call {
    /// Goroutine; the scheduler's own stacks have id 0 and are told apart by their M.
    stack: (u64, u64),
    start: u64,
    end: u64,
    depth: u64,
    tid: u64,
}

impl Call {
    pub(super) fn new(span: &SpanLine) -> Self {
        Self {
            stack: (span.g, if span.g == 0 { span.m } else { 0 }),
            start: span.start,
            end: span.start.saturating_add(span.dur),
            depth: span.depth,
            tid: span.tid,
        }
    }
}

/// Sorts the calls; the first pair that cannot be.
pub(super) fn check(calls: &mut [Call]) -> Result<(), String> {
    // Of calls that begin in the same nanosecond the outer one lies less deep.
    calls.sort_unstable_by_key(|c| (c.stack, c.start, c.depth, std::cmp::Reverse(c.end)));
    let mut open: Vec<Call> = Vec::new();
    for call in calls.iter() {
        while open
            .last()
            .is_some_and(|outer| outer.stack != call.stack || outer.end <= call.start)
        {
            open.pop();
        }
        if let Some(outer) = open.last() {
            let skew = if outer.tid == call.tid { 0 } else { SKEW };
            let apart = call.start.saturating_add(skew) >= outer.end;
            let inside = call.end <= outer.end.saturating_add(skew) && call.depth > outer.depth;
            if !apart && !inside {
                return Err(format!(
                    "goroutine {}: a call from {} to {} at depth {} overlaps one from {} to {} at depth {}",
                    call.stack.0,
                    call.start,
                    call.end,
                    call.depth,
                    outer.start,
                    outer.end,
                    outer.depth
                ));
            }
            if apart {
                open.pop();
            }
        }
        open.push(*call);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(g: u64, start: u64, end: u64, depth: u64) -> Call {
        Call {
            stack: (g, 0),
            start,
            end,
            depth,
            tid: 1,
        }
    }

    #[test]
    fn forests_pass_in_any_order() {
        let mut calls = [
            call(1, 10, 100, 64),
            call(1, 10, 30, 128), // begins in the same nanosecond
            call(1, 30, 40, 128),
            call(1, 40, 40, 256),
            call(1, 35, 38, 200),
            call(2, 20, 200, 64), // another goroutine overlaps freely
            call(1, 100, 120, 64),
            call(1, 120, 130, 500), // deeper, but behind
        ];
        check(&mut calls).unwrap();
        calls.reverse();
        check(&mut calls).unwrap();
    }

    #[test]
    fn overlaps_and_wrong_depths_fail() {
        assert!(check(&mut [call(1, 0, 50, 64), call(1, 40, 60, 128)]).is_err());
        assert!(check(&mut [call(1, 0, 50, 64), call(1, 10, 20, 64)]).is_err());
        assert!(check(&mut [call(1, 0, 50, 64), call(1, 10, 20, 32)]).is_err());
    }

    #[test]
    fn skew_between_threads_is_let_pass() {
        let mut calls = [call(1, 0, 50_000, 64), call(1, 40_000, 51_000, 128)];
        assert!(check(&mut calls).is_err());
        calls[1].tid = 2;
        check(&mut calls).unwrap();
        calls[1].end = 60_000;
        assert!(check(&mut calls).is_err());
    }
}
