//! The memory of unhooked runs and of a hooked one, as sampled -> [`Judged`]: outside gondwana's own mappings the hooked
//! program must need no more, and must not grow where the unhooked one does not.
//!
//! * **Level**: the hooked run's greatest sample against the greatest of the unhooked runs. Twice as much and 8 MiB are let
//!   pass: frames of hooks can make each goroutine's stack double, and a garbage collector that is met at another moment
//!   leaves twice the heap.
//! * **Trend**: the floor (least sample) of the last third of a run less that of its middle third. Floors do not see the
//!   teeth of garbage collection. What the unhooked runs grow by, their spread, half a MiB and a twentieth of the level are let
//!   pass.
//!
//! A run below one second has no thirds that mean anything: then the level alone is compared, which is said
//! ([`Judged::short`]). So a leak is seen if it makes 1 MiB in a third of the run; a program that should be looked at for
//! longer is to be run for longer.

use std::time::Duration;

use crate::executor::native::memory::{Sample, Series};
use crate::executor::native::process::Finished;
use crate::oracle::{Answer, Finding};

/// The shortest time that shows a trend.
const LONG: Duration = Duration::from_secs(1);
/// The fewest samples that do.
const MANY: usize = 20;
/// Unhooked runs with a trend that must be known.
const TRENDS: usize = 2;
/// The fewest samples by which the greatest one is known.
const ENOUGH: usize = 5;
const LEVEL_SLACK: u64 = 8 << 20;
const TREND_SLACK: u64 = 512 << 10;
/// The share of the level by which it may grow.
const TREND_SHARE: u64 = 20;

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Judged {
    /// The answers.
    pub findings: Vec<Finding>,
    /// For people.
    pub note: String,
    /// Whether the runs were too short for a trend.
    pub short: bool,
    /// Whether another unhooked run could change an answer.
    pub wants_more: bool,
}

/// Compares levels and, of runs that are long enough, trends.
#[must_use]
pub fn judge(unhooked: &[Finished], hooked: &Finished) -> Judged {
    // Of a run that ended before it was looked at nothing is known; others are as good.
    let seen = unhooked.iter().filter(|run| !run.memory.is_empty());
    let series: Vec<&[Sample]> = seen.map(|run| lively(&run.memory)).collect();
    let own = lively(&hooked.memory);
    let mut findings = vec![Finding {
        what: "level of memory".to_owned(),
        answer: level(&series, own),
    }];
    // Where few samples could be taken there is no trend, and another run may have one.
    let known: Vec<u64> = series.iter().filter_map(|series| growth(series)).collect();
    let trend = growth(own);
    let few = trend.is_some() && (1..TRENDS).contains(&known.len());
    let trend = trend.filter(|_| known.len() >= TRENDS);
    let short = trend.is_none();
    if let Some(found) = trend {
        let answer = trends_agree(&known, found, peak(own));
        findings.push(Finding {
            what: "growth of memory".to_owned(),
            answer,
        });
    }
    let peaks = || series.iter().map(|series| peak(series));
    let (least, most) = (peaks().min().unwrap_or(0), peaks().max().unwrap_or(0));
    Judged {
        note: format!(
            "unhooked {} to {} KiB, hooked {} KiB, in {} samples",
            least >> 10,
            most >> 10,
            peak(own) >> 10,
            own.len()
        ),
        wants_more: few || findings.iter().any(|finding| !finding.answer.agrees()),
        findings,
        short,
    }
}

/// A series without its beginning, in which nothing happens: hooked programs stand still there.
fn lively(series: &Series) -> &[Sample] {
    let first = series.first().map(|sample| sample.bytes);
    let start = series.iter().position(|sample| Some(sample.bytes) != first);
    series
        .get(start.unwrap_or(0).saturating_sub(1)..)
        .unwrap_or_default()
}

fn peak(series: &[Sample]) -> u64 {
    series.iter().map(|sample| sample.bytes).max().unwrap_or(0)
}

fn level(unhooked: &[&[Sample]], hooked: &[Sample]) -> Answer {
    if hooked.is_empty() || unhooked.is_empty() {
        return Answer::Inconclusive("a run ended before its memory was looked at".to_owned());
    }
    let known = unhooked
        .iter()
        .map(|series| peak(series))
        .max()
        .unwrap_or(0);
    let found = peak(hooked);
    if found <= known.saturating_mul(2).saturating_add(LEVEL_SLACK) {
        return Answer::Agree;
    }
    let what = format!(
        "unhooked at most {} KiB, hooked {} KiB",
        known >> 10,
        found >> 10
    );
    match unhooked.iter().all(|series| series.len() < ENOUGH) {
        true => Answer::Inconclusive(format!("{what}, in few samples")),
        false => Answer::Diverge(what),
    }
}

/// By how much the floor of the last third lies above that of the middle one.
fn growth(series: &[Sample]) -> Option<u64> {
    let (first, last) = (series.first()?.at, series.last()?.at);
    let length = last.checked_sub(first)?;
    if length < LONG || series.len() < MANY {
        return None;
    }
    let floor = |from: Duration, to: Duration| {
        let within = series.iter().filter(|s| s.at >= from && s.at <= to);
        within.map(|s| s.bytes).min()
    };
    let (one, two) = (first + length / 3, first + length * 2 / 3);
    Some(floor(two, last)?.saturating_sub(floor(one, two)?))
}

fn trends_agree(known: &[u64], found: u64, level: u64) -> Answer {
    let most = known.iter().copied().max().unwrap_or(0);
    let least = known.iter().copied().min().unwrap_or(0);
    let slack = TREND_SLACK + (most - least) + most / 4 + level / TREND_SHARE;
    if found <= most.saturating_add(slack) {
        Answer::Agree
    } else {
        Answer::Diverge(format!(
            "in the last third of its run unhooked by at most {} KiB, hooked by {} KiB",
            most >> 10,
            found >> 10
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::native::process::End;

    const MIB: u64 = 1 << 20;

    /// So many samples, one every 20 ms.
    fn run(samples: u32, bytes: impl Fn(u64) -> u64) -> Finished {
        let memory = (0..samples).map(|n| Sample {
            at: Duration::from_millis(20) * n,
            bytes: bytes(u64::from(n)),
        });
        Finished {
            memory: memory.collect(),
            ..Finished::new(1, End::Status(0))
        }
    }

    fn answers(unhooked: &Finished, hooked: &Finished) -> Vec<Answer> {
        let judged = judge(&[unhooked.clone(), unhooked.clone()], hooked);
        judged.findings.into_iter().map(|f| f.answer).collect()
    }

    #[test]
    fn a_slow_leak_that_only_the_hooked_run_has_diverges() {
        let steady = run(150, |n| 4 * MIB + n % 7 * 100_000);
        let leaking = run(150, |n| 4 * MIB + n * 30_000);
        assert_eq!(answers(&steady, &steady), [Answer::Agree, Answer::Agree]);
        let found = answers(&steady, &leaking);
        assert!(
            found[0].agrees() && matches!(&found[1], Answer::Diverge(_)),
            "{found:?}"
        );
        assert_eq!(answers(&leaking, &leaking), [Answer::Agree, Answer::Agree]);
        assert_eq!(answers(&leaking, &steady), [Answer::Agree, Answer::Agree]);
    }

    #[test]
    fn a_run_with_too_few_samples_hides_no_leak() {
        let steady = run(150, |n| 4 * MIB + n % 7 * 100_000);
        let unseen = run(5, |_| 4 * MIB);
        let leaking = run(150, |n| 4 * MIB + n * 30_000);
        let judged = judge(&[steady.clone(), unseen.clone()], &leaking);
        assert!(judged.short && judged.wants_more);
        let judged = judge(&[steady.clone(), unseen, steady], &leaking);
        assert!(matches!(&judged.findings[1].answer, Answer::Diverge(_)));
    }

    #[test]
    fn a_short_run_has_a_level_and_no_trend() {
        let (small, large) = (run(10, |n| n * MIB / 4), run(10, |n| n * 4 * MIB));
        let judged = judge(&[small.clone(), small.clone()], &small);
        assert!(judged.short && judged.findings.len() == 1 && !judged.wants_more);
        assert!(matches!(&answers(&small, &large)[0], Answer::Diverge(_)));
    }

    #[test]
    fn what_was_not_seen_is_not_said() {
        let (seen, unseen) = (run(10, |_| MIB), run(0, |_| 0));
        for (a, b) in [(&seen, &unseen), (&unseen, &seen)] {
            assert!(matches!(&answers(a, b)[0], Answer::Inconclusive(_)));
        }
        let few = run(2, |_| MIB);
        let large = run(10, |_| 100 * MIB);
        assert!(matches!(&answers(&few, &large)[0], Answer::Inconclusive(_)));
    }

    #[test]
    fn the_stop_before_the_first_instruction_is_no_part_of_the_run() {
        let late = run(150, |n| if n < 50 { 100 } else { 4 * MIB });
        assert_eq!(lively(&late.memory).len(), 101);
    }
}
