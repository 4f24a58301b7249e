//! The original window's outcome and the relocated window's, from equal states -> [`Answer`].
//!
//! Equal means: the same exit, general registers, vector registers, bytes written, and flags, except those that the
//! SDM leaves undefined after the window. With too little stack both must end at the function's own call of
//! `runtime.morestack`, with enough stack neither may.

use crate::generate::relocation::Case;
use crate::generate::states::Stack;
use crate::oracle::Answer;
use crate::outcome::{Exit, Outcome, REGISTER_NAMES};

/// Compares the two executions of one case in one state.
#[must_use]
pub fn judge(case: &Case, stack: Stack, original: &Outcome, relocated: &Outcome) -> Answer {
    if let Some(answer) = exits(case, original.exit, relocated.exit) {
        return answer;
    }
    match difference(case, original, relocated) {
        Some(what) => Answer::Diverge(what),
        None => stack_check(case, stack, original.exit),
    }
}

/// `None`: both left at the same address.
fn exits(case: &Case, original: Exit, relocated: Exit) -> Option<Answer> {
    match (original, relocated) {
        (Exit::At(a), Exit::At(b)) if a == b => None,
        (
            Exit::Fault { pc, kind },
            Exit::Fault {
                pc: moved,
                kind: other,
            },
        ) if kind == other && case.moved_to(pc) == Some(moved) => {
            Some(Answer::Inconclusive(format!("{kind:?} fault at {pc:#x}")))
        }
        (Exit::Runaway, Exit::Runaway) => Some(Answer::Inconclusive("it does not leave".into())),
        (a, b) => Some(Answer::Diverge(format!(
            "exit: original {}, relocated {}",
            show(a),
            show(b)
        ))),
    }
}

fn difference(case: &Case, original: &Outcome, relocated: &Outcome) -> Option<String> {
    let registers = REGISTER_NAMES
        .iter()
        .zip(original.registers.iter().zip(&relocated.registers))
        .find(|(_, (a, b))| a != b)
        .map(|(name, (a, b))| format!("{name}: original {a:#x}, relocated {b:#x}"));
    if registers.is_some() {
        return registers;
    }
    let (a, b) = (
        original.flags & case.defined_flags,
        relocated.flags & case.defined_flags,
    );
    if a != b {
        return Some(format!("flags: original {a:#x}, relocated {b:#x}"));
    }
    let vectors = original
        .vectors
        .iter()
        .zip(&relocated.vectors)
        .position(|(a, b)| a != b);
    if let Some(index) = vectors {
        return Some(format!("xmm{index} differs"));
    }
    if original.writes == relocated.writes {
        return None;
    }
    let addresses = original.writes.keys().chain(relocated.writes.keys());
    let at = addresses
        .copied()
        .filter(|at| original.writes.get(at) != relocated.writes.get(at))
        .min()?;
    let byte = |outcome: &Outcome| match outcome.writes.get(&at) {
        Some(byte) => format!("wrote {byte:#x}"),
        None => "wrote nothing".to_owned(),
    };
    Some(format!(
        "memory at {at:#x}: original {}, relocated {}",
        byte(original),
        byte(relocated)
    ))
}

/// Whether the stack check, if there is one, decided as the state demands.
fn stack_check(case: &Case, stack: Stack, exit: Exit) -> Answer {
    let (Some(check), Exit::At(at)) = (case.check, exit) else {
        return Answer::Agree;
    };
    match stack {
        Stack::Enough if at == check.morestack => Answer::Diverge(format!(
            "the stack check at {:#x} asks for more although there is enough",
            case.entry
        )),
        Stack::Short | Stack::Preempt if at != check.morestack => Answer::Diverge(format!(
            "with too little stack control leaves at {at:#x} instead of {:#x}",
            check.morestack
        )),
        _ => Answer::Agree,
    }
}

fn show(exit: Exit) -> String {
    match exit {
        Exit::At(at) => format!("at {at:#x}"),
        Exit::Fault { pc, kind } => format!("{kind:?} fault at {pc:#x}"),
        Exit::Runaway => "never".to_owned(),
    }
}
