//! A program and the functions to hook -> the [`Matrix`] of one call: every instruction × every kind of disturbance.
//!
//! The program is run without hooks first, to learn what it does, and disturbed without hooks at the call and at its return
//! (the controls): what diverges there is not the hooks' doing. Then it is run hooked up to the call, and stepped through it
//! once; before each step, a copy of the machine is made for each kind, disturbed, and run to the end.

use gondwana_engine::inject::prepare::{Description, Prepared, Wanted};
use gondwana_engine::plan::Plan;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::board::{Board, Word};
use super::call::{Call, Step};
use super::cell::{self, Answer, Cell, Means};
use super::kind::Kind;
use super::matrix::{Control, Line, Matrix, Place, Subject};
use super::outcome::Expected;
use super::sample::{Sampled, Taker};
use crate::machine::{Machine, Pause, Setup, Trouble, Until};

/// Work within which an undisturbed program must end after the call.
const END_LIMIT: u64 = 20_000_000_000;
/// Depths that are tried to leave a call little stack.
const DEPTHS: std::ops::Range<i32> = 1..400;

/// What is disturbed, and how.
#[derive(Clone, Debug)]
pub struct Session<'p> {
    /// The program's file.
    pub file: &'p [u8],
    /// How it is started.
    pub setup: Setup,
    /// What is hooked.
    pub wanted: Wanted,
    /// Frames above the call, for a program with a board.
    pub depth: i32,
    /// Only these kinds; all if empty.
    pub only: Vec<Kind>,
    /// Only before this step.
    pub at: Option<usize>,
    /// One cell of so many, spread evenly: every instruction has some, and every kind.
    pub every: usize,
}

/// A machine that stands at the call.
pub struct AtCall<'p> {
    /// The machine.
    pub machine: Machine<'p>,
    /// The call.
    pub call: Call,
    /// The board, if the program has one.
    pub board: Option<Board>,
    /// What the stream says of the program.
    pub known: Description,
}

/// The program without hooks.
pub struct Unhooked {
    /// What it does.
    pub expected: Expected,
    /// What it does disturbed.
    pub controls: Vec<Control>,
}

impl<'p> Session<'p> {
    /// The program, just started and prepared for its hooks.
    fn start(&self) -> Result<(Machine<'p>, Option<Board>, Prepared, Description), Trouble> {
        let mut machine = Machine::start(self.file, self.setup.clone())?;
        let board = Board::find(&machine);
        if let Some(board) = board {
            board.set(&mut machine, Word::Depth, self.depth)?;
        }
        let mut known = Description::default();
        let prepared = machine.prepare(&self.wanted, &mut known)?;
        Ok((machine, board, prepared, known))
    }

    /// The unhooked program at the call.
    ///
    /// # Errors
    /// As [`Call::reach`].
    pub fn unhooked(&self) -> Result<AtCall<'p>, Trouble> {
        self.at_call(|_, _| Ok(()))
    }

    /// The hooked program at the call; `change` may break the plan before it is installed.
    ///
    /// # Errors
    /// As [`Call::reach`] and [`Machine::install`].
    pub fn hooked(
        &self,
        change: impl FnOnce(&mut Prepared) -> Result<(), Trouble>,
    ) -> Result<AtCall<'p>, Trouble> {
        self.at_call(|machine, prepared| {
            change(prepared)?;
            machine.install(prepared)
        })
    }

    /// The program at the call, `hook`ed before.
    fn at_call(
        &self,
        hook: impl FnOnce(&mut Machine<'p>, &mut Prepared) -> Result<(), Trouble>,
    ) -> Result<AtCall<'p>, Trouble> {
        let (mut machine, board, mut prepared, known) = self.start()?;
        hook(&mut machine, &mut prepared)?;
        let call = Call::reach(&mut machine, prepared.plan.plan())?;
        Ok(AtCall {
            machine,
            call,
            board,
            known,
        })
    }

    /// The plan, as it would be installed.
    ///
    /// # Errors
    /// The program cannot be hooked.
    pub fn plan(&self) -> Result<Plan, Trouble> {
        Ok(self.start()?.2.plan.plan().clone())
    }

    /// Bytes of stack that are left at the call.
    fn room(&self) -> Result<u64, Trouble> {
        let at = self.unhooked()?;
        let used = at.call.depth;
        Ok(at.call.stack.size().saturating_sub(used))
    }

    /// Sets the depth at which the call finds the least stack: one frame more, and the caller's own check makes it grow.
    ///
    /// # Errors
    /// The program has no board, or its stack is never short.
    pub fn make_tight(&mut self) -> Result<(), Trouble> {
        self.depth = DEPTHS.start;
        let mut last = self.room()?;
        self.depth += 1;
        let next = self.room()?;
        let frame = last.saturating_sub(next);
        if frame == 0 {
            return Err(Trouble::Hooks(
                "the depth of the call cannot be chosen".to_owned(),
            ));
        }
        last = next;
        // Not further at once than where the smallest guard of any version stops it (runtime/stack.go: 640 bytes).
        self.depth += (last.saturating_sub(1500) / frame) as i32;
        last = self.room()?;
        while DEPTHS.contains(&self.depth) {
            self.depth += 1;
            let room = self.room()?;
            if room > last {
                self.depth -= 1;
                return Ok(());
            }
            last = room;
        }
        Err(Trouble::Hooks("the stack is never short".to_owned()))
    }

    /// What the program does without hooks, undisturbed.
    ///
    /// # Errors
    /// The machine cannot run it, or it does not end.
    pub fn expect(&self) -> Result<Expected, Trouble> {
        let mut at = self.unhooked()?;
        expect(&mut at.machine, &at.call)
    }

    /// The kinds asked for.
    fn kinds(&self) -> impl Iterator<Item = Kind> + '_ {
        let all = Kind::ALL.into_iter();
        all.filter(|kind| self.only.is_empty() || self.only.contains(kind))
    }

    /// Runs the program without hooks: undisturbed, and as control.
    ///
    /// # Errors
    /// The machine cannot run it, or it does not end.
    pub fn run_unhooked(&self, mut progress: impl FnMut(&str)) -> Result<Unhooked, Trouble> {
        let AtCall {
            mut machine,
            call,
            board,
            known,
        } = self.unhooked()?;
        progress("undisturbed, without hooks");
        let mut expected = expect(&mut machine, &call)?;
        if board.is_none() && self.kinds().any(|kind| kind == Kind::Fault) {
            progress("control: how it ends when the call faults");
            let means = Means::unhooked(&call, board, &expected, &known);
            expected.faulted = machine.branch(|m| {
                let _ = cell::run(m, Some(Kind::Fault), means);
                m.ending()
            })?;
        }
        let means = Means::unhooked(&call, board, &expected, &known);
        let mut controls = Vec::new();
        for place in [Place::Call, Place::Return] {
            if place == Place::Return {
                call.run_to(&mut machine, &[call.back], END_LIMIT, Call::is_back)?;
            }
            for kind in self.kinds().filter(|kind| !kind.needs_hooks()) {
                progress(&format!("control: {kind}"));
                let cell: Cell = machine.branch(|m| cell::run(m, Some(kind), means))?;
                controls.push(Control {
                    kind,
                    place,
                    answer: cell.answer,
                });
            }
        }
        Ok(Unhooked { expected, controls })
    }

    /// The whole matrix. `keep` is given each diverging cell.
    ///
    /// # Errors
    /// The machine cannot run the program.
    pub fn run(
        &self,
        mut progress: impl FnMut(&str),
        mut keep: impl FnMut(&Step, Option<Kind>, &Cell),
    ) -> Result<Matrix, Trouble> {
        let Unhooked { expected, controls } = self.run_unhooked(&mut progress)?;
        let AtCall {
            mut machine,
            call,
            board,
            known,
        } = self.hooked(|_| Ok(()))?;
        let mut means = Means {
            call: &call,
            board,
            expected: &expected,
            known: &known,
            hooked: true,
            counted: None,
        };
        let mut lines = Vec::new();
        let mut undisturbed = None;
        let steps = call.walk(&mut machine, |machine, step| {
            if step.index == 0 {
                progress("undisturbed, hooked");
                let cell: Cell = machine.branch(|m| cell::run(m, None, means))?;
                if matches!(cell.answer, Answer::Diverge(_)) {
                    keep(step, None, &cell);
                }
                // What did not do as it should is no measure.
                means.counted = cell.counted.filter(|_| cell.answer == Answer::Agree);
                undisturbed = Some(cell.answer);
            }
            if self.at.is_some_and(|at| at != step.index) {
                return Ok(());
            }
            let mut line = Line {
                step: step.clone(),
                answers: Vec::new(),
            };
            for (number, kind) in self.kinds().enumerate() {
                if (step.index + number) % self.every.max(1) != 0 {
                    continue;
                }
                progress(&format!("step {}: {kind}", step.index));
                let cell: Cell = machine.branch(|m| cell::run(m, Some(kind), means))?;
                if matches!(cell.answer, Answer::Diverge(_)) {
                    keep(step, Some(kind), &cell);
                }
                line.answers.push((kind, cell.answer));
            }
            lines.push(line);
            Ok(())
        })?;
        Ok(Matrix {
            subject: Subject::new(self, &call, machine.image()),
            asked: self.only.clone(),
            undisturbed: undisturbed.unwrap_or_else(|| {
                Answer::Inconclusive("the call has no instruction of the hook".to_owned())
            }),
            controls,
            steps: steps.len(),
            lines,
        })
    }
}

/// What `f` finds out on a copy of the machine.
fn on_a_copy<R: Serialize + DeserializeOwned>(
    machine: &mut Machine<'_>,
    f: impl FnOnce(&mut Machine<'_>) -> Result<R, Trouble>,
) -> Result<R, Trouble> {
    // A trouble does not come back from there as it is.
    let result: Result<R, String> =
        machine.branch(|machine| f(machine).map_err(|trouble| trouble.to_string()))?;
    result.map_err(Trouble::Hooks)
}

/// What the program does from the call on, found out on copies.
fn expect(machine: &mut Machine<'_>, call: &Call) -> Result<Expected, Trouble> {
    Ok(Expected {
        sampled: sampled(machine)?,
        ..on_a_copy(machine, |machine| to_the_end(machine, call))?
    })
}

/// Runs the program from the call to its end.
fn to_the_end(machine: &mut Machine<'_>, call: &Call) -> Result<Expected, Trouble> {
    let begun = machine.work();
    let back = call.run_to(machine, &[call.back], END_LIMIT, Call::is_back)?;
    let frame_pointer = match back {
        Some(place) => {
            let regs = machine.registers(machine.current())?;
            let kept = machine
                .image()
                .is_some_and(|image| image.facts().frame_pointers);
            kept && place.stack.depth(regs.rbp) == call.frame_pointer
        }
        None => false,
    };
    let pause = machine.run(Until::more(machine, END_LIMIT))?;
    let Pause::Ended(ending) = pause else {
        return Err(Trouble::Hooks("the program does not end".to_owned()));
    };
    let (stdout, stderr) = machine.output();
    Ok(Expected {
        ending,
        stdout: stdout.to_vec(),
        stderr: stderr.to_vec(),
        work: machine.work() - begun,
        frame_pointer,
        sampled: None,
        faulted: None,
    })
}

/// What a profile says of the call that the current thread has just made.
fn sampled(machine: &mut Machine<'_>) -> Result<Option<Sampled>, Trouble> {
    let Some(taker) = Taker::of(machine) else {
        return Ok(None);
    };
    let sample = on_a_copy(machine, |machine| {
        let tid = machine.current();
        machine.signal_thread(tid, libc::SIGPROF)?;
        taker.sample(machine, tid)
    })?;
    Ok(sample.map(|sample| Sampled { taker, sample }))
}
