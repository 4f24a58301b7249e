//! The call that is disturbed: reached once, then stepped through hook and displaced prologue, instruction by instruction.
//!
//! The steps are every instruction that the call executes of the jump at the entry, the trampoline, the displaced prologue,
//! the probe and the thunk, on the way in and on the way out; if the stack has to grow first, those of the call's start and
//! of its restart. The function's own body runs freely in between, and other threads with it.

use std::collections::HashMap;
use std::fmt::Write as _;

use gondwana_engine::addr::RunAddr;
use gondwana_engine::listing::listing;
use gondwana_engine::plan::{Plan, PlannedHook};
use serde::{Deserialize, Serialize};

use super::goroutine::{Goroutine, Stack};
use crate::machine::{Machine, Pause, Trouble, Until};

/// Work after which a call that was not reached never will be: bytes of executed code.
const REACH_LIMIT: u64 = 8_000_000_000;
/// Work that the called function's body may take.
const BODY_LIMIT: u64 = 1_000_000_000;
/// Steps that one call may have; a call that has more does not end.
const MAX_STEPS: usize = 100_000;

/// So many executions of one instruction are visited: the guards run twice when the stack has to grow; what runs more often
/// is a loop that copies arguments.
const VISITS: u32 = 2;

/// A call that has just been made: its thread stands before the first instruction.
#[derive(Clone, Debug)]
pub struct Call {
    /// The function's hook; in an unhooked program the one that it would have.
    pub hook: PlannedHook,
    /// Which goroutine makes it.
    pub goroutine: Goroutine,
    /// The goroutine's stack then.
    pub stack: Stack,
    /// Bytes of it in use then.
    pub depth: u64,
    /// RBP then, counted from the stack's end: frame pointers move with the stack.
    pub frame_pointer: u64,
    /// The return address.
    pub back: RunAddr,
    /// When it was made, in the machine's time.
    pub time: u64,
}

/// One instruction that the call executes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// Its number, from 0.
    pub index: usize,
    /// Its address.
    pub at: RunAddr,
    /// Its place: bytes from the trampoline's start; `None` for the jump at the function's entry.
    pub offset: Option<u64>,
    /// Which part of the hook it belongs to.
    pub part: Part,
    /// It, in Intel syntax.
    pub text: String,
}

impl Step {
    /// Whether the function's body has run.
    #[must_use]
    pub fn is_on_the_way_out(&self) -> bool {
        self.part == Part::Exit
    }
}

/// Parts of a hook, in the order in which they lie.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// The jump at the function's entry.
    Jump,
    /// From the trampoline's start to the call of the displaced prologue: guards, frame, entry probe.
    Entry,
    /// From the thunk to the return, with the exit probe, and the ways round the hook behind it.
    Exit,
    /// The displaced prologue and the jump back.
    Prologue,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Jump => "jump",
            Self::Entry => "entry",
            Self::Exit => "exit",
            Self::Prologue => "prologue",
        })
    }
}

/// Where the current thread stands, as far as a call is concerned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The next instruction.
    pub rip: RunAddr,
    /// The goroutine's stack.
    pub stack: Stack,
    /// Bytes of it in use.
    pub depth: u64,
}

impl Call {
    /// Lets the program run to the first call of a function that `plan` hooks, whether the hooks are installed or not.
    ///
    /// # Errors
    /// No such call is made, or the machine cannot run the program so far.
    pub fn reach(machine: &mut Machine<'_>, plan: &Plan) -> Result<Self, Trouble> {
        for hook in &plan.hooks {
            machine.watch(hook.entry)?;
        }
        let pause = machine.run(Until::more(machine, REACH_LIMIT))?;
        for hook in &plan.hooks {
            machine.unwatch(hook.entry);
        }
        let hook = match pause {
            Pause::Watched(at) => plan.hooks.iter().find(|hook| hook.entry == at),
            _ => None,
        };
        let hook = hook.ok_or_else(|| {
            Trouble::Hooks("the program calls none of the hooked functions".to_owned())
        })?;
        let regs = machine.registers(machine.current())?;
        let unknown = || Trouble::Hooks("the call is not made by a goroutine".to_owned());
        let goroutine = Goroutine::of(machine, machine.current()).ok_or_else(unknown)?;
        let stack = goroutine.stack(machine);
        let back = machine.word(RunAddr::new(regs.rsp)).ok_or_else(unknown)?;
        Ok(Self {
            hook: hook.clone(),
            goroutine,
            stack,
            depth: stack.depth(regs.rsp),
            frame_pointer: stack.depth(regs.rbp),
            back: RunAddr::new(back),
            time: machine.now(),
        })
    }

    /// The first instruction of the function behind the displaced ones.
    #[must_use]
    pub fn body(&self) -> RunAddr {
        RunAddr::new(
            self.hook
                .entry
                .get()
                .wrapping_add(self.hook.window.len() as u64),
        )
    }

    /// Where the current thread stands, if it runs this call's goroutine.
    ///
    /// # Errors
    /// The emulator.
    pub fn place(&self, machine: &Machine<'_>) -> Result<Option<Place>, Trouble> {
        let tid = machine.current();
        if Goroutine::of(machine, tid) != Some(self.goroutine) {
            return Ok(None);
        }
        let regs = machine.registers(tid)?;
        let stack = self.goroutine.stack(machine);
        Ok(Some(Place {
            rip: RunAddr::new(regs.rip),
            stack,
            depth: stack.depth(regs.rsp),
        }))
    }

    /// Whether the call has just returned to its caller.
    #[must_use]
    pub fn is_back(&self, place: Place) -> bool {
        place.rip == self.back && place.depth.wrapping_add(8) == self.depth
    }

    /// Runs until the current thread stands at one of `places` as this call's goroutine, at a depth that `fits`.
    ///
    /// # Errors
    /// As [`Machine::run`].
    pub fn run_to(
        &self,
        machine: &mut Machine<'_>,
        places: &[RunAddr],
        work: u64,
        fits: impl Fn(&Self, Place) -> bool,
    ) -> Result<Option<Place>, Trouble> {
        let until = Until::more(machine, work);
        for &at in places {
            machine.watch(at)?;
        }
        let result = loop {
            match machine.run(until)? {
                Pause::Watched(_) => {
                    if let Some(place) = self.place(machine)?.filter(|&place| fits(self, place)) {
                        break Some(place);
                    }
                }
                _ => break None,
            }
        };
        for &at in places {
            machine.unwatch(at);
        }
        Ok(result)
    }

    /// Steps through the call; `visit` sees the machine before each step, but for those of a loop from its third round on.
    /// Returns all steps.
    ///
    /// # Errors
    /// Of the machine or of `visit`; the call does not return.
    pub fn walk(
        &self,
        machine: &mut Machine<'_>,
        mut visit: impl FnMut(&mut Machine<'_>, &Step) -> Result<(), Trouble>,
    ) -> Result<Vec<Step>, Trouble> {
        let span = self.hook.trampoline;
        let entry = self.hook.entry;
        // Windows, as `Machine::step` throws away everything that has been translated, which every copy would then pay for.
        machine.watch_window(entry, RunAddr::new(entry.get().wrapping_add(1)))?;
        machine.watch_window(span.start, span.end)?;
        machine.watch(self.back)?;
        let mut steps = Vec::new();
        let mut executed: HashMap<RunAddr, u32> = HashMap::new();
        // Depth at the thunk, known once the frame has been made.
        let mut framed = None;
        // Whether the last instruction seen is one of this call, and not of one that its body makes.
        let mut own = true;
        loop {
            let lost = || Trouble::Hooks("the call does not return".to_owned());
            if steps.len() > MAX_STEPS {
                return Err(lost());
            }
            if let Some(place) = self.place(machine)? {
                if self.is_back(place) {
                    break;
                }
                if place.rip == entry {
                    own = place.depth == self.depth_of_start(framed);
                } else if place.rip == span.thunk {
                    own = Some(place.depth) == framed;
                }
                let inside = span.start <= place.rip && place.rip < span.end;
                if own && (inside || place.rip == entry) {
                    if place.rip == span.reloc && self.returns_to_thunk(machine, place) {
                        framed = Some(place.depth.wrapping_sub(8));
                    }
                    let step = self.step(machine, place, steps.len());
                    let times = executed.entry(place.rip).or_insert(0);
                    *times += 1;
                    if *times <= VISITS {
                        visit(machine, &step)?;
                    }
                    // Nobody else runs within the hook; but in the function's body all do.
                    let last = step.part == Part::Prologue && step.text.starts_with('j');
                    machine.prefer((!last).then(|| machine.current()));
                    steps.push(step);
                }
            }
            match machine.run(Until::more(machine, BODY_LIMIT))? {
                Pause::Watched(_) => {}
                _ => return Err(lost()),
            }
        }
        leave(machine, self.back);
        Ok(steps)
    }

    /// The depth at which the function starts again after its stack has grown: under the hook's frame, if there is one.
    fn depth_of_start(&self, framed: Option<u64>) -> u64 {
        framed.map_or(self.depth, |depth| depth.wrapping_add(8))
    }

    fn returns_to_thunk(&self, machine: &Machine<'_>, place: Place) -> bool {
        let top = RunAddr::new(place.stack.high.wrapping_sub(place.depth));
        machine.word(top) == Some(self.hook.trampoline.thunk.get())
    }

    fn step(&self, machine: &Machine<'_>, place: Place, index: usize) -> Step {
        let span = self.hook.trampoline;
        let part = if place.rip == self.hook.entry {
            Part::Jump
        } else if place.rip < span.thunk {
            Part::Entry
        } else if place.rip < span.reloc {
            Part::Exit
        } else {
            Part::Prologue
        };
        Step {
            index,
            at: place.rip,
            offset: (part != Part::Jump)
                .then(|| place.rip.offset_from(span.start))
                .flatten(),
            part,
            text: instruction(machine, place.rip),
        }
    }
}

/// Ends what [`Call::walk`] does to a machine, which is about to run on.
pub(super) fn leave(machine: &mut Machine<'_>, back: RunAddr) {
    machine.unwatch_windows();
    machine.unwatch(back);
    machine.prefer(None);
}

/// The instruction at an address, in Intel syntax.
fn instruction(machine: &Machine<'_>, at: RunAddr) -> String {
    // No instruction is longer than 15 bytes (Intel SDM volume 2, 2.3.11).
    let code = (1..=15).rev().find_map(|length| machine.read(at, length));
    let lines = listing(&code.unwrap_or_default(), at, |_| None);
    let line = lines.lines().next().unwrap_or_default();
    let mut text = String::new();
    for word in line.split_whitespace().skip(2) {
        let gap = if text.is_empty() { "" } else { " " };
        let _ = write!(text, "{gap}{word}");
    }
    text
}
