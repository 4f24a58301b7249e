//! What a disturbed program did -> [`Answer`], against what it does undisturbed and unhooked.

use gondwana_engine::event;
use gondwana_engine::export::ndjson;
use gondwana_engine::inject::prepare::Description;
use gondwana_engine::ring::Totals;
use serde::{Deserialize, Serialize};

use super::board::outcome;
use super::call::Call;
use super::cell::{Answer, AtReturn, Counted, Means, Seen};
use super::goroutine::Stack;
use super::kind::Kind;
use super::sample::Sampled;
use crate::executor::native::process::{End, Finished};
use crate::machine::{Ending, Machine, Stream};
use crate::oracle::{self, stream};

/// What the undisturbed, unhooked program does.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Expected {
    /// How it ends.
    pub ending: Ending,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Bytes of code that it executes from the call on.
    pub work: u64,
    /// Whether the frame pointer is the caller's when the call returns: not so up to 1.6, nor after assembly.
    pub frame_pointer: bool,
    /// How a program without a board ends when the call faults: nothing there is made to recover from that.
    pub faulted: Option<Ending>,
    /// What a profile says of the call, if one is taken.
    pub sampled: Option<Sampled>,
}

/// What a disturbed run did, besides what the machine still holds.
pub(super) struct Outcome {
    pub(super) kind: Option<Kind>,
    pub(super) before: Stack,
    pub(super) at_return: Option<AtReturn>,
    pub(super) collected: i32,
    pub(super) outcome: Option<i32>,
    pub(super) seen: Seen,
}

/// The answer.
pub(super) fn judge(machine: &mut Machine<'_>, done: &Outcome, means: Means<'_>) -> Answer {
    let faulted = means
        .expected
        .faulted
        .filter(|_| done.kind == Some(Kind::Fault));
    let differs = match faulted {
        // It says where and in which registers, and what else it says depends on how far it came.
        Some(ending) => ends_otherwise(machine, ending),
        None => differs(machine, means.expected),
    };
    if let Some(what) = differs {
        return Answer::Diverge(what);
    }
    if let Some(what) = registers(done, means) {
        return Answer::Diverge(what);
    }
    let proof = proof(done);
    if let Some(what) = ended_strangely(done, proof.is_ok()) {
        return Answer::Diverge(what);
    }
    if means.hooked
        && let Some(what) = wrong_sample(machine, done, means)
    {
        return Answer::Diverge(what);
    }
    if means.hooked
        && let Some(wrong) = wrong_stream(machine, done, means)
    {
        return wrong;
    }
    match proof {
        Ok(()) => Answer::Agree,
        Err(why) => Answer::NoEffect(why.to_owned()),
    }
}

fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().find(|line| !line.trim().is_empty());
    line.unwrap_or("(nothing)").to_owned()
}

fn ends_otherwise(machine: &Machine<'_>, expected: Ending) -> Option<String> {
    (machine.ending() != Some(expected)).then(|| {
        format!(
            "{} instead of {}; it says: {}",
            machine.ending().map_or_else(|| "no end".to_owned(), ending),
            ending(expected),
            first_line(machine.output().1)
        )
    })
}

/// End and output.
fn differs(machine: &Machine<'_>, expected: &Expected) -> Option<String> {
    if let Some(what) = ends_otherwise(machine, expected.ending) {
        return Some(what);
    }
    let (stdout, stderr) = machine.output();
    for (name, found, wanted) in [
        ("output", stdout, &expected.stdout),
        ("error output", stderr, &expected.stderr),
    ] {
        if found != wanted {
            return Some(format!(
                "{name}: {:?} instead of {:?}",
                first_line(found),
                first_line(wanted)
            ));
        }
    }
    None
}

fn ending(ending: Ending) -> String {
    match ending {
        Ending::Status(status) => format!("exit status {status}"),
        Ending::Signal(signal) => format!("signal {signal}"),
    }
}

/// What the calling convention promises to the caller (`cmd/compile/abi-internal.md`).
fn registers(done: &Outcome, means: Means<'_>) -> Option<String> {
    let at_return = done.at_return?;
    if means.expected.frame_pointer && !at_return.frame_pointer {
        return Some("the caller's frame pointer is lost at the return".to_owned());
    }
    (!at_return.g).then(|| "R14 is not the goroutine at the return".to_owned())
}

/// What the profile's sample has other than that of the unhooked program.
fn wrong_sample(machine: &Machine<'_>, done: &Outcome, means: Means<'_>) -> Option<String> {
    let sampled = means.expected.sampled.as_ref()?;
    match &done.seen.sample {
        Some(sample) => sampled.differs(sample, means.call, |pc| machine.name_of(pc)),
        None => (done.kind == Some(Kind::Sigprof) && done.seen.handled)
            .then(|| "the profiling signal took no sample".to_owned()),
    }
}

/// Whether the disturbance is proved to have happened.
fn proof(done: &Outcome) -> Result<(), &'static str> {
    let holds = |holds: bool, why| if holds { Ok(()) } else { Err(why) };
    let stack = done.at_return.map(|at| at.stack);
    let ended = |how: i32| done.outcome == Some(how);
    let Some(kind) = done.kind else {
        return Ok(());
    };
    match kind {
        Kind::Sigurg | Kind::Sigprof => holds(done.seen.handled, "no handler ran"),
        Kind::Gc => {
            holds(done.seen.stopping, "the world was not to be stopped here")?;
            holds(done.collected > 0, "no collection was finished")
        }
        Kind::Yield => holds(
            done.at_return.is_some_and(|at| !at.to_yield),
            "no stack check before the return",
        ),
        Kind::Grow => holds(
            stack.is_some_and(|stack| stack.low != done.before.low),
            "no stack check before the return",
        ),
        Kind::Shrink => holds(
            stack.is_some_and(|stack| stack.size() < done.before.size()),
            "the stack has not shrunk before the return",
        ),
        Kind::Panic => holds(ended(outcome::RECOVERED), "the call did not panic"),
        Kind::Goexit => holds(ended(outcome::EXITED), "the call did not end its goroutine"),
        Kind::Fault => match done.outcome {
            Some(how) => holds(how == outcome::FAULTED, "the call did not fault"),
            None => holds(done.at_return.is_none(), "the call returned"),
        },
        Kind::Second => holds(done.seen.called == 1, "the second call was not finished"),
        // A program without a board makes no second call; its hooks are gone all the same.
        Kind::Detach => holds(
            done.outcome.is_none() || done.seen.called == 1,
            "the second call was not finished",
        ),
    }
}

/// The call must have ended as the disturbance says, or returned.
fn ended_strangely(done: &Outcome, proved: bool) -> Option<String> {
    let found = done.outcome?;
    let wanted = match done.kind {
        Some(Kind::Panic) if proved => outcome::RECOVERED,
        Some(Kind::Goexit) if proved => outcome::EXITED,
        Some(Kind::Fault) if proved => outcome::FAULTED,
        _ => outcome::RETURNED,
    };
    (found != wanted).then(|| format!("the call ended with outcome {found} instead of {wanted}"))
}

/// Counts and order of what the hooks wrote.
fn wrong_stream(machine: &mut Machine<'_>, done: &Outcome, means: Means<'_>) -> Option<Answer> {
    let (text, totals) = write_stream(machine, means.known);
    let found = Counted::from(&totals);
    let end = match machine.ending() {
        Some(Ending::Status(status)) => End::Status(status),
        Some(Ending::Signal(signal)) => End::Signal(signal),
        None => End::TimedOut,
    };
    let run = Finished::new(machine.pid() as u32, end);
    let judged = stream::judge(
        text.as_bytes(),
        stream::Context {
            run: &run,
            times: (
                machine.epoch(),
                machine.epoch().saturating_add(machine.now()),
            ),
            expected: &[],
        },
    );
    let bad = judged.findings.iter().find_map(|finding| {
        matches!(finding.answer, oracle::Answer::Diverge(_))
            .then(|| format!("{}: {}", finding.what, finding.answer))
    });
    if totals.lost != 0 || found.spans > found.entered {
        let Counted { entered, spans } = found;
        let lost = totals.lost;
        let what = format!("{entered} calls counted, {spans} spans, {lost} lost");
        return Some(Answer::Diverge(bad.unwrap_or(what)));
    }
    let no_room = totals.skipped_no_room;
    let bad = bad.or_else(|| wrong_span(&text, machine, no_room, done, means.call));
    let bad = bad.map(Answer::Diverge);
    bad.or_else(|| match means.board {
        Some(_) => wrong_counts(found, no_room, done).map(Answer::Diverge),
        None => other_counts(found, no_room, done, means),
    })
}

/// The call that returned has a span, which says who made it, when, and how deep in the stack.
fn wrong_span(
    text: &str,
    machine: &Machine<'_>,
    no_room: u64,
    done: &Outcome,
    call: &Call,
) -> Option<String> {
    let at_return = done.at_return?;
    let (g, m) = at_return.ids?;
    if no_room != 0 || done.kind == Some(Kind::Detach) {
        return None;
    }
    // What is no stream has been told.
    let spans = ndjson::Stream::read(text.as_bytes()).map_or(Vec::new(), |stream| stream.spans);
    let [from, to] = [call.time, at_return.time].map(|time| machine.epoch() + time);
    let tid = u64::try_from(at_return.tid.0).unwrap_or(0);
    let wanted = |span: &event::Call| {
        (span.g, span.m, span.tid, span.depth) == (g, m, tid, call.depth)
            && from <= span.start
            && span.start.saturating_add(span.dur) <= to
    };
    let mut last = None;
    for span in spans {
        if wanted(&span) {
            return None;
        }
        last = Some(span);
    }
    let depth = call.depth;
    Some(format!(
        "no span of goroutine {g} on M {m}, thread {tid}, {depth} bytes deep, between {from} and {to}; the last one is {last:?}"
    ))
}

/// A program with a board makes one call, and another one when it is told to: each is counted once, and has a span if it
/// returned.
fn wrong_counts(found: Counted, no_room: u64, done: &Outcome) -> Option<String> {
    let Counted { entered, spans } = found;
    let calls = match done.kind {
        // The second call is unhooked, and so is the first if it has not begun.
        Some(Kind::Detach) => 1,
        _ => 1 + done.seen.called.unsigned_abs() as u64,
    };
    let abandoned = u64::from(matches!(
        done.outcome,
        Some(outcome::RECOVERED | outcome::EXITED | outcome::FAULTED)
    ));
    let least = match done.kind {
        Some(Kind::Detach) => 0,
        _ => calls.saturating_sub(no_room),
    };
    if !(least..=calls).contains(&entered) {
        return Some(format!("{entered} calls counted, {calls} made"));
    }
    (spans + abandoned.min(entered) != entered)
        .then(|| format!("{entered} calls counted, {abandoned} of them abandoned, {spans} spans"))
}

/// Another program makes as many calls as it makes undisturbed, if it is not ended by the disturbance, nor the hooks are
/// taken back. How often it calls a function may depend on what its threads come to first, so other counts prove nothing.
fn other_counts(found: Counted, no_room: u64, done: &Outcome, means: Means<'_>) -> Option<Answer> {
    let known = means.counted?;
    let comparable = done.kind != Some(Kind::Detach) && done.at_return.is_some() && no_room == 0;
    (comparable && found != known).then(|| {
        let undisturbed = known.entered;
        let Counted { entered, spans } = found;
        Answer::Inconclusive(format!(
            "{entered} calls counted and {spans} spans, {undisturbed} and {} undisturbed",
            known.spans
        ))
    })
}

fn write_stream(machine: &mut Machine<'_>, known: &Description) -> (String, Totals) {
    let mut out = Vec::new();
    // Writing to memory cannot fail.
    let _ = Stream::new(&mut out, machine, known.clone()).and_then(|stream| stream.end(machine));
    let (_, totals) = machine.take_spans();
    (String::from_utf8_lossy(&out).into_owned(), totals)
}

/// The stream of a machine that has ended, or as much as there is of it.
pub(super) fn stream(machine: &mut Machine<'_>, known: &Description) -> String {
    write_stream(machine, known).0
}
