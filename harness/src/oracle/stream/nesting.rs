//! The calls of one goroutine form a forest: two of them are apart, or one holds the other and lies above it on the stack.
//!
//! Two time stamps are taken on the CPUs that the goroutine ran on; counters of two CPUs may be some ticks apart, so an
//! overlap of less than [`SKEW`] is let pass, if the two calls returned on different Ms.

use std::collections::BTreeMap;

use gondwana_engine::event;

/// Nanoseconds.
const SKEW: u64 = 2_000;

/// What matters of a span line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Call {
    /// Id of the hook.
    hook: u32,
    /// Goroutine; the scheduler's own stacks have id 0 and are told apart by their M.
    stack: (u64, u64),
    start: u64,
    end: u64,
    depth: u64,
    m: u64,
}

impl Call {
    pub(super) fn new(span: &event::Call) -> Self {
        Self {
            hook: span.hook,
            stack: (span.g, if span.g == 0 { span.m } else { 0 }),
            start: span.start,
            end: span.start.saturating_add(span.dur),
            depth: span.depth,
            m: span.m,
        }
    }
}

/// How many calls of a hook were made inside a call of another one (or of its own): by id of the callee and of the caller;
/// no caller: inside no other hooked call.
pub(super) type Callers = BTreeMap<(u32, Option<u32>), u64>;

/// Sorts the calls; who called whom, or the first pair that cannot be. Calls whose caller cannot be told from the clocks
/// of two CPUs are in nobody's count.
pub(super) fn check(calls: &mut [Call]) -> Result<Callers, String> {
    let mut callers = Callers::new();
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
        let mut caller = None;
        let mut is_certain = true;
        if let Some(outer) = open.last() {
            let outer_hook = outer.hook;
            let skew = if outer.m == call.m { 0 } else { SKEW };
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
                is_certain = false;
            }
            caller = Some(outer_hook);
        }
        if is_certain {
            *callers.entry((call.hook, caller)).or_default() += 1;
        }
        open.push(*call);
    }
    Ok(callers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(g: u64, start: u64, end: u64, depth: u64) -> Call {
        Call {
            hook: depth as u32,
            stack: (g, 0),
            start,
            end,
            depth,
            m: 1,
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
        let callers = check(&mut calls).unwrap();
        calls.reverse();
        assert_eq!(check(&mut calls).unwrap(), callers);
        let of = |hook, caller| callers.get(&(hook, caller)).copied().unwrap_or(0);
        assert_eq!((of(64, None), of(128, Some(64)), of(500, None)), (3, 2, 1));
        assert_eq!((of(256, Some(64)), of(200, Some(128))), (1, 1));
    }

    #[test]
    fn overlaps_and_wrong_depths_fail() {
        assert!(check(&mut [call(1, 0, 50, 64), call(1, 40, 60, 128)]).is_err());
        assert!(check(&mut [call(1, 0, 50, 64), call(1, 10, 20, 64)]).is_err());
        assert!(check(&mut [call(1, 0, 50, 64), call(1, 10, 20, 32)]).is_err());
    }

    #[test]
    fn skew_between_ms_is_let_pass() {
        let mut calls = [call(1, 0, 50_000, 64), call(1, 40_000, 51_000, 128)];
        assert!(check(&mut calls).is_err());
        calls[1].m = 2;
        check(&mut calls).unwrap();
        calls[1].end = 60_000;
        assert!(check(&mut calls).is_err());
    }
}
