//! Runs the emitted bytes on [`State`]s until every path has ended.

use iced_x86::{Code, Decoder, DecoderOptions, Instruction, OpKind};

use super::state::{Flags, Mark, State};
use super::step::Machine;
use super::term::{Atom, Phase, Terms, Val};

/// How many paths one phase may have.
const MAX_PATHS: usize = 256;

/// How a path ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::verify) enum End {
    /// Control reached the relocated window by a jump.
    Window,
    /// A call of `target`, with `next` as its return address.
    Call { target: u64, next: u64 },
    /// A return; RSP is still where the return address lies.
    Return,
    /// The retry of a lost exchange, from a state that covers this one.
    Again,
}

/// Why the executor stopped: at which instruction, what stood there, what may stand there.
#[derive(Clone, Debug)]
pub(in crate::verify) struct Stuck {
    pub(in crate::verify) at: u64,
    pub(in crate::verify) found: String,
    pub(in crate::verify) expected: &'static str,
}

/// What may be read outside the stack.
pub(in crate::verify) trait World {
    /// Whether `width` bytes at `address` may be read in this state, and then whether others write them.
    fn may_load(&self, terms: &mut Terms, state: &State, address: Val, width: u8)
    -> Option<Shared>;
    /// Lowest distance from the entry's RSP that holds something of the caller's which may be read, and one past the
    /// highest: the return address and the argument area.
    fn caller_area(&self) -> (i64, i64);
    /// The same for writes, in this phase.
    fn writable_caller_area(&self, phase: Phase) -> (i64, i64);
}

/// Whether a word can change between two reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::verify) enum Shared {
    /// No: it belongs to the running goroutine and its M.
    No,
    /// Yes.
    Yes,
}

/// The bytes of one trampoline's own part, decoded where control goes.
pub(in crate::verify) struct Text<'a> {
    start: u64,
    bytes: &'a [u8],
    decoded: Vec<Option<Instruction>>,
    /// For each byte, 1 + the offset of the executed instruction that it belongs to.
    owner: Vec<u32>,
    /// Where backward jumps go, by a plain sweep: a hint where to look for repetition, no more.
    loops: Vec<u64>,
}

impl<'a> Text<'a> {
    /// `bytes` lie at `start`.
    pub(in crate::verify) fn new(start: u64, bytes: &'a [u8]) -> Self {
        let decoder = Decoder::with_ip(64, bytes, start, DecoderOptions::NONE);
        let backward = |i: Instruction| match i.op0_kind() {
            OpKind::NearBranch64 => Some(i.near_branch64()).filter(|&to| to <= i.ip()),
            _ => None,
        };
        Self {
            start,
            bytes,
            decoded: vec![None; bytes.len()],
            owner: vec![0; bytes.len()],
            loops: decoder.into_iter().filter_map(backward).collect(),
        }
    }

    fn at(&mut self, ip: u64) -> Result<Instruction, Stuck> {
        let stuck = |found: String, expected| Stuck {
            at: ip,
            found,
            expected,
        };
        let offset = ip
            .checked_sub(self.start)
            .and_then(|x| usize::try_from(x).ok())
            .filter(|&x| x < self.bytes.len())
            .ok_or_else(|| stuck(format!("control goes to {ip:#x}"), "inside the trampoline"))?;
        if let Some(Some(known)) = self.decoded.get(offset) {
            return Ok(*known);
        }
        let rest = self.bytes.get(offset..).unwrap_or_default();
        let mut decoder = Decoder::with_ip(64, rest, ip, DecoderOptions::NONE);
        let instruction = decoder.decode();
        if instruction.code() == Code::INVALID {
            return Err(stuck(
                format!("{:02x?}", rest.get(..rest.len().min(8)).unwrap_or_default()),
                "an instruction",
            ));
        }
        let mark = offset as u32 + 1;
        for owner in self
            .owner
            .get_mut(offset..offset + instruction.len())
            .unwrap_or_default()
        {
            if *owner != 0 && *owner != mark {
                return Err(stuck(
                    "control enters an instruction in its middle".to_owned(),
                    "instructions that do not overlap",
                ));
            }
            *owner = mark;
        }
        if let Some(slot) = self.decoded.get_mut(offset) {
            *slot = Some(instruction);
        }
        Ok(instruction)
    }

    /// The first byte that no path executed and that is not a filler (`int3`).
    pub(in crate::verify) fn unused(&self) -> Option<(u64, u8)> {
        self.owner
            .iter()
            .zip(self.bytes)
            .position(|(&owner, &byte)| owner == 0 && byte != 0xcc)
            .and_then(|i| Some((self.start.checked_add(i as u64)?, *self.bytes.get(i)?)))
    }
}

/// Runs `first` and every path that forks off it until each has ended; at most `max_steps` instructions in all.
pub(in crate::verify) fn explore(
    terms: &mut Terms,
    text: &mut Text<'_>,
    world: &dyn World,
    window: u64,
    first: State,
    max_steps: u32,
) -> Result<Vec<(State, End)>, Stuck> {
    let mut ended = Vec::new();
    let mut waiting = vec![first];
    let mut steps = 0;
    while let Some(mut state) = waiting.pop() {
        let end = loop {
            steps += 1;
            if steps > max_steps || waiting.len() + ended.len() > MAX_PATHS {
                return Err(Stuck {
                    at: state.ip,
                    found: format!("{steps} steps on {} paths", waiting.len() + ended.len()),
                    expected: "an end",
                });
            }
            if state.ip == window {
                break End::Window;
            }
            let instruction = text.at(state.ip)?;
            if text.loops.contains(&state.ip) && revisit(terms, &mut state) {
                break End::Again;
            }
            let mut machine = Machine {
                terms,
                world,
                state: &mut state,
                instruction: &instruction,
                fork: None,
            };
            match machine.step()? {
                Some(end) => break end,
                None => waiting.extend(machine.fork.take()),
            }
        };
        ended.push((state, end));
    }
    Ok(ended)
}

/// At the target of a backward jump. A loop that a lost exchange repeats has no counter: when control comes back with
/// nothing done meanwhile, what differs from the first visit is forgotten (any value may stand there) and the loop is run
/// once more from that state; when it comes back again, that state covers all later rounds.
fn revisit(terms: &mut Terms, state: &mut State) -> bool {
    let found = state.marks.iter().find(|mark| mark.ip == state.ip).cloned();
    let Some(mark) = found else {
        state.marks.push(Mark {
            ip: state.ip,
            regs: state.regs,
            stack_writes: state.stack_writes,
            events: state.events.len(),
            path: state.path.len(),
            failed_exchanges: state.failed_exchanges,
        });
        return false;
    };
    let idle = mark.failed_exchanges < state.failed_exchanges
        && mark.stack_writes == state.stack_writes
        && mark.events == state.events.len();
    if !idle {
        return false;
    }
    if let Some((ip, general)) = state.generalised {
        let pairs = general.iter().zip(&state.regs).zip(&mark.regs);
        return ip == state.ip
            && pairs.into_iter().all(|((known, now), before)| {
                let forgotten = known != before;
                let any = matches!(terms.as_atom(*known), Some(Atom::Any(_)));
                let read = shared_word(terms, *known);
                known == now
                    || (forgotten && (any || (read.is_some() && read == shared_word(terms, *now))))
            });
    }
    for (now, before) in state.regs.iter_mut().zip(&mark.regs) {
        if now != before {
            *now = match (shared_word(terms, *now), shared_word(terms, *before)) {
                // any value at all that could have been read there
                (Some(word), Some(other)) if word == other => {
                    let nonce = terms.nonce();
                    let (phase, address, width) = word;
                    terms.atom(Atom::Load {
                        phase,
                        address,
                        width,
                        nonce,
                    })
                }
                _ => terms.any(),
            };
        }
    }
    state.flags = Flags::Unknown;
    state.path.truncate(mark.path);
    state.generalised = Some((state.ip, state.regs));
    false
}

/// The place of a word that others write, if `value` was read from one.
fn shared_word(terms: &Terms, value: Val) -> Option<(Phase, Val, u8)> {
    match terms.as_atom(value) {
        Some(&Atom::Load {
            phase,
            address,
            width,
            nonce: 1..,
        }) => Some((phase, address, width)),
        _ => None,
    }
}
