//! One cell of the matrix: a disturbance at an instruction, the run to the program's end, and what is said of it.
//!
//! A cell agrees only if the disturbance is proved to have happened; if nothing proves it, it has had no effect.

use gondwana_engine::addr::RunAddr;
use gondwana_engine::golang::Abi;
use gondwana_engine::inject::prepare::Description;
use gondwana_engine::ring::Totals;
use serde::{Deserialize, Serialize};

use super::board::{Board, Word, control, request};
use super::call::Call;
use super::goroutine::{Goroutine, Stack};
use super::kind::Kind;
use super::outcome::{Expected, Outcome, judge};
use crate::machine::{Event, Machine, Pause, Tid, Traced, Trouble, Until, What};

/// Work that may pass while the disturbed thread stands still: bytes of executed code.
const STILL_LIMIT: u64 = 200_000_000;
/// Work after the world is to be stopped in which the other threads come to wait for the one that stands still.
const STOP_WORK: u64 = 400_000;
/// Work within which the call must end and the program after it; what the undisturbed program needs comes on top.
const END_LIMIT: u64 = 200_000_000;

/// What is said of a cell.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The disturbance happened, and the program did as without it and without hooks.
    Agree,
    /// Nothing proves that it happened; the program did as ever.
    NoEffect(String),
    /// The program did something else.
    Diverge(String),
    /// The machine could not say.
    Inconclusive(String),
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Agree => f.write_str("agree"),
            Self::NoEffect(why) => write!(f, "no effect: {why}"),
            Self::Diverge(what) => write!(f, "diverge: {what}"),
            Self::Inconclusive(why) => write!(f, "inconclusive: {why}"),
        }
    }
}

/// The answer of a cell, and what a divergence left behind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cell {
    /// The answer.
    pub answer: Answer,
    /// For a divergence: output and backtraces.
    pub remains: Option<Remains>,
    /// What the hooks counted, if there were any.
    pub counted: Option<Counted>,
}

impl From<&Totals> for Counted {
    fn from(totals: &Totals) -> Self {
        Self {
            entered: totals.entered.iter().sum(),
            spans: totals.spans.iter().sum(),
        }
    }
}

/// What the hooks of a program counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Counted {
    /// Calls.
    pub entered: u64,
    /// Calls that returned.
    pub spans: u64,
}

/// What a diverging run left.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Remains {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
    /// Where every thread stood at the end.
    pub backtrace: String,
    /// The stream of the hooks.
    pub stream: String,
}

/// What the current thread had in its registers when the call returned, as far as the calling convention promises it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct AtReturn {
    pub(super) stack: Stack,
    /// The frame pointer is what it was.
    pub(super) frame_pointer: bool,
    /// R14 holds the goroutine.
    pub(super) g: bool,
    /// `stackguard0` still asks for descheduling.
    pub(super) to_yield: bool,
    /// Ids of the goroutine and of its M.
    pub(super) ids: Option<(u64, u64)>,
    /// The thread.
    pub(super) tid: Tid,
    /// The machine's time.
    pub(super) time: u64,
}

/// What a disturbance is made with.
#[derive(Clone, Copy)]
pub struct Means<'m> {
    /// The call.
    pub call: &'m Call,
    /// The program's board, if it has one.
    pub board: Option<Board>,
    /// What the program does without hooks.
    pub expected: &'m Expected,
    /// What the hooks' stream says of the program.
    pub known: &'m Description,
    /// Whether the hooks are installed.
    pub hooked: bool,
    /// What the hooks count in the undisturbed run, if that is known.
    pub counted: Option<Counted>,
}

impl<'m> Means<'m> {
    /// For the program without hooks.
    #[must_use]
    pub const fn unhooked(
        call: &'m Call,
        board: Option<Board>,
        expected: &'m Expected,
        known: &'m Description,
    ) -> Self {
        Self {
            call,
            board,
            expected,
            known,
            hooked: false,
            counted: None,
        }
    }
}

/// What was seen while the disturbance was made.
#[derive(Default)]
pub(super) struct Seen {
    /// Why it could not be made.
    pub(super) impossible: Option<String>,
    /// The world was to be stopped while the thread stood still.
    pub(super) stopping: bool,
    /// Calls that the helper finished while the thread stood still.
    pub(super) called: i32,
    /// The signal's handler ran.
    pub(super) handled: bool,
    /// What the profile says.
    pub(super) sample: Option<Vec<RunAddr>>,
}

/// Disturbs the current thread before its next instruction, unless there is no `kind`, and runs the program to its end.
#[must_use]
pub fn run(machine: &mut Machine<'_>, kind: Option<Kind>, means: Means<'_>) -> Cell {
    super::call::leave(machine, means.call.back);
    let started = machine.work();
    let result = attempt(machine, kind, means);
    let answer = match result {
        Ok(answer) => answer,
        Err(Trouble::Deadlock(what)) => Answer::Diverge(format!("all threads wait: {what}")),
        Err(trouble) => Answer::Inconclusive(trouble.to_string()),
    };
    let remains = matches!(answer, Answer::Diverge(_)).then(|| {
        let (stdout, stderr) = machine.output();
        let backtrace = backtraces(machine, started);
        Remains {
            stdout: stdout.to_vec(),
            stderr: stderr.to_vec(),
            backtrace,
            stream: if means.hooked {
                super::outcome::stream(machine, means.known)
            } else {
                String::new()
            },
        }
    });
    let counted = means.hooked.then(|| Counted::from(&machine.take_spans().1));
    Cell {
        answer,
        remains,
        counted,
    }
}

fn attempt(
    machine: &mut Machine<'_>,
    kind: Option<Kind>,
    means: Means<'_>,
) -> Result<Answer, Trouble> {
    let tid = machine.current();
    let call = means.call;
    let before = call.goroutine.stack(machine);
    let counted = means.board.map(|board| board.get(machine, Word::Collected));
    machine.trace(Traced {
        signals: true,
        ..Traced::default()
    });
    let mut seen = match kind {
        Some(kind) => disturb(machine, kind, means)?,
        None => Seen::default(),
    };
    if let Some(why) = &seen.impossible {
        return Ok(Answer::NoEffect(why.clone()));
    }
    let limit = END_LIMIT.saturating_add(means.expected.work.saturating_mul(4));
    let at_return = to_return(machine, call, limit)?;
    if machine.ending().is_none() {
        let pause = machine.run(Until::more(machine, limit))?;
        if !matches!(pause, Pause::Ended(_)) {
            return Ok(Answer::Diverge("the program does not end".to_owned()));
        }
    }
    let signal = match kind {
        Some(Kind::Sigurg) => Some(libc::SIGURG),
        Some(Kind::Sigprof) => Some(libc::SIGPROF),
        _ => None,
    };
    let events = machine.take_events();
    let handled = |event: &Event| matches!(event.what, What::Signal(got) if Some(got) == signal);
    seen.handled = events.iter().any(|e| e.tid == tid && handled(e));
    let done = Outcome {
        kind,
        before,
        at_return,
        collected: means.board.zip(counted).map_or(0, |(board, before)| {
            board.get(machine, Word::Collected) - before
        }),
        outcome: means.board.map(|board| board.get(machine, Word::Outcome)),
        seen,
    };
    Ok(judge(machine, &done, means))
}

/// Makes the disturbance.
fn disturb(machine: &mut Machine<'_>, kind: Kind, means: Means<'_>) -> Result<Seen, Trouble> {
    let tid = machine.current();
    let goroutine = means.call.goroutine;
    let mut seen = Seen::default();
    let board = match means.board {
        Some(board) => board,
        None if kind.needs_board() => {
            seen.impossible = Some("the program has no board".to_owned());
            return Ok(seen);
        }
        // Not looked at below.
        None => Board::NOWHERE,
    };
    match kind {
        Kind::Sigurg => {
            goroutine.ask_preemption(machine)?;
            machine.signal_thread(tid, libc::SIGURG)?;
        }
        Kind::Sigprof => {
            machine.signal_thread(tid, libc::SIGPROF)?;
            if let Some(sampled) = &means.expected.sampled {
                seen.sample = sampled.taker.sample(machine, tid)?;
            }
        }
        Kind::Gc => {
            board.set(machine, Word::Request, request::COLLECT)?;
            let begun = goroutine.is_to_yield(machine);
            while_still(machine, tid, |machine| {
                machine.run_until(STILL_LIMIT, |m| goroutine.is_to_yield(m))?;
                seen.stopping = !begun && goroutine.is_to_yield(machine);
                machine.run(Until::more(machine, STOP_WORK))?;
                Ok(())
            })?;
        }
        Kind::Yield => goroutine.make_yield(machine)?,
        Kind::Grow => {
            let rsp = machine.registers(tid)?.rsp;
            goroutine.make_short(machine, rsp)?;
        }
        Kind::Shrink => board.set(machine, Word::Control, control::PARK)?,
        Kind::Panic => board.set(machine, Word::Control, control::PANIC)?,
        Kind::Goexit => board.set(machine, Word::Control, control::GOEXIT)?,
        Kind::Fault => {
            let call = means.call;
            let at = [call.body(), call.back];
            match call.run_to(machine, &at, STILL_LIMIT, |call, place| {
                call.is_back(place) || place.rip == call.body()
            })? {
                Some(place) if place.rip == call.body() => machine.fault_current(0),
                _ => {
                    seen.impossible =
                        Some("the function's body is not entered after this".to_owned());
                }
            }
        }
        Kind::Second => seen.called = second_call(machine, tid, board)?,
        Kind::Detach => {
            machine.unhook()?;
            if means.board.is_some() {
                seen.called = second_call(machine, tid, board)?;
            }
        }
    }
    Ok(seen)
}

/// Lets the helper make the call while `tid` stands still; how many it finished.
fn second_call(machine: &mut Machine<'_>, tid: Tid, board: Board) -> Result<i32, Trouble> {
    let before = board.get(machine, Word::Called);
    board.set(machine, Word::Request, request::CALL)?;
    while_still(machine, tid, |machine| {
        machine.run_until(STILL_LIMIT, |m| board.get(m, Word::Called) > before)?;
        Ok(())
    })?;
    Ok(board.get(machine, Word::Called) - before)
}

/// Runs `others` while `tid` does not; then `tid` is the first to run again.
fn while_still(
    machine: &mut Machine<'_>,
    tid: Tid,
    others: impl FnOnce(&mut Machine<'_>) -> Result<(), Trouble>,
) -> Result<(), Trouble> {
    machine.freeze(tid, true);
    machine.end_slice();
    let result = others(machine);
    machine.freeze(tid, false);
    if machine.ending().is_none() {
        machine.switch_to(tid)?;
    }
    result
}

/// Runs until the call has returned, or the program has ended.
fn to_return(
    machine: &mut Machine<'_>,
    call: &Call,
    work: u64,
) -> Result<Option<AtReturn>, Trouble> {
    let back = call.run_to(machine, &[call.back], work, Call::is_back)?;
    let Some(place) = back else {
        return Ok(None);
    };
    let regs = machine.registers(machine.current())?;
    let stack = place.stack;
    Ok(Some(AtReturn {
        stack,
        frame_pointer: stack.depth(regs.rbp) == call.frame_pointer,
        g: call.hook.abi == Abi::Abi0 || regs.r14 == call.goroutine.address().get(),
        to_yield: call.goroutine.is_to_yield(machine),
        ids: call.goroutine.ids(machine),
        tid: machine.current(),
        time: machine.now(),
    }))
}

/// The calls that every thread is in.
fn backtraces(machine: &Machine<'_>, started: u64) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "{} bytes of code after the disturbance\n",
        machine.work() - started
    );
    let tids: Vec<Tid> = machine.threads().map(|thread| thread.tid).collect();
    for tid in tids {
        let running = if tid == machine.current() {
            ", running"
        } else {
            ""
        };
        let g = Goroutine::of(machine, tid).map_or(0, |g| g.address().get());
        let _ = writeln!(text, "\nthread {tid}{running}, g {g:#x}");
        for frame in machine.backtrace(tid) {
            let _ = writeln!(text, "  {}  {}", frame.sp, frame.name);
        }
    }
    text
}
