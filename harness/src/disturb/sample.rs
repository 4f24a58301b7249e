//! What a profiling signal makes of a call: the sample that the runtime takes of its goroutine's stack.
//!
//! The sample is read where the runtime hands it over, at the entry of `runtime.(*cpuProfile).add`. A hook may add frames of
//! its own to it, and nothing else: the callers' frames are those of the unhooked program. Nothing but a sample shows an
//! unwinder that has lost its way in a signal handler, since there it gives up in silence (`runtime/traceback.go`).

use gondwana_engine::addr::RunAddr;
use gondwana_engine::golang::Abi;
use serde::{Deserialize, Serialize};

use super::call::Call;
use crate::machine::{Machine, Pause, Tid, Trouble, Until};

/// What takes samples, up to its last argument, the sample.
const TAKER: &str = "runtime.(*cpuProfile).add";
/// Bytes of a slice.
const SLICE: u64 = 24;
/// `maxCPUProfStack` (`runtime/cpuprof.go`): what lies further out is not in the sample.
const LONGEST: usize = 64;
/// Frames that a hook and the function's entry may have in a sample: the trampoline's, and that of the displaced prologue
/// or of the entry.
const OWN: usize = 2;
/// Work within which a signal's handler takes its sample: bytes of executed code.
const LIMIT: u64 = 10_000_000;

/// Where a program's runtime takes samples, and where the sample lies then.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Taker {
    at: RunAddr,
    /// Bytes from the stack pointer to the slice; in registers if there are none.
    slice: Option<u64>,
}

impl Taker {
    /// The program's; `None` if it has none, as programs that never take a profile.
    #[must_use]
    pub fn of(machine: &Machine<'_>) -> Option<Self> {
        let image = machine.image()?;
        let function = image.functions_named(TAKER).next()?;
        let slice = match image.facts().compiled_abi {
            // The return address lies below the arguments.
            Abi::Abi0 => Some(8 + u64::from(function.args?).checked_sub(SLICE)?),
            Abi::AbiInternal => None,
        };
        Some(Self {
            at: machine.slide().run(function.entry),
            slice,
        })
    }

    /// Runs until `tid` hands over a sample; `None` if it takes none.
    ///
    /// # Errors
    /// As [`Machine::run`].
    pub fn sample(
        self,
        machine: &mut Machine<'_>,
        tid: Tid,
    ) -> Result<Option<Vec<RunAddr>>, Trouble> {
        let until = Until::more(machine, LIMIT);
        // Other threads may take samples, too.
        while machine.run_to(self.at, until)? == Pause::Watched(self.at) {
            if machine.current() == tid {
                return self.read(machine, tid);
            }
        }
        Ok(None)
    }

    /// The sample that `tid` is about to hand over.
    fn read(self, machine: &Machine<'_>, tid: Tid) -> Result<Option<Vec<RunAddr>>, Trouble> {
        let regs = machine.registers(tid)?;
        let (start, length) = match self.slice {
            Some(offset) => {
                let word = |more: u64| {
                    let at = regs.rsp.wrapping_add(offset).wrapping_add(more);
                    machine.word(RunAddr::new(at)).unwrap_or_default()
                };
                (word(0), word(8))
            }
            // The third argument behind the receiver and the goroutine (`cmd/compile/abi-internal.md`).
            None => (regs.rcx, regs.rdi),
        };
        let length = length.min(LONGEST as u64);
        let words = (0..length).map(|index| {
            let at = start.wrapping_add(index * 8);
            machine.word(RunAddr::new(at)).map(RunAddr::new)
        });
        Ok(words.collect())
    }
}

/// The sample of the unhooked program at a call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Sampled {
    /// What takes it.
    pub taker: Taker,
    /// The sample.
    pub sample: Vec<RunAddr>,
}

impl Sampled {
    /// What is wrong with a sample that was taken within the call's hook; `name` names an address.
    #[must_use]
    pub fn differs(
        &self,
        sample: &[RunAddr],
        call: &Call,
        name: impl Fn(RunAddr) -> String,
    ) -> Option<String> {
        let callers = self.sample.get(1..).unwrap_or_default();
        let span = call.hook.trampoline;
        // Addresses of callers in samples are return addresses, so behind the call.
        let is_own = |pc: &&RunAddr| {
            (span.start <= **pc && **pc <= span.end)
                || pc.offset_from(call.hook.entry).is_some_and(|off| off <= 1)
        };
        let own = sample.iter().take(OWN).take_while(is_own).count();
        let rest = sample.get(own..).unwrap_or_default();
        let fits = |rest: &[RunAddr], callers: &[RunAddr]| {
            let whole = rest.len() == callers.len() || sample.len() == LONGEST;
            whole && callers.starts_with(rest)
        };
        if fits(rest, callers) || (own == 0 && fits_plainly(rest, callers, call, &name, fits)) {
            return None;
        }
        let same = rest.iter().zip(callers).take_while(|(a, b)| a == b).count();
        let frame = |of: &[RunAddr]| {
            of.get(same)
                .map_or_else(|| "nothing".to_owned(), |&pc| name(pc))
        };
        Some(format!(
            "the profile's sample has {} instead of {}, behind {own} frames of the hook and {same} callers",
            frame(rest),
            frame(callers)
        ))
    }
}

/// Whether the caller stands there by the instruction that it returns to. From 1.12 to 1.20 `gentraceback` takes all frames
/// but the first for ones that return, and so looks up what is inlined at the call, one byte before the return address; for
/// the first it looks at the instruction itself, and from 1.14 on puts the address behind it into the sample. Where the
/// first is a wrapper's, which is left out, the caller counts as the first (`runtime/traceback.go`). So it is for Go's own
/// wrappers.
fn fits_plainly(
    rest: &[RunAddr],
    callers: &[RunAddr],
    call: &Call,
    name: impl Fn(RunAddr) -> String,
    fits: impl Fn(&[RunAddr], &[RunAddr]) -> bool,
) -> bool {
    let Some((first, rest)) = rest.split_first() else {
        return false;
    };
    let function = |pc: RunAddr| {
        let name = name(pc);
        name.split_once('+').map(|(name, _)| name.to_owned())
    };
    let of_caller = callers
        .iter()
        .take_while(|pc| function(**pc) == function(call.back))
        .count();
    first.offset_from(call.back).is_some_and(|past| past <= 1)
        && (1..=of_caller).any(|frames| fits(rest, callers.get(frames..).unwrap_or_default()))
}
