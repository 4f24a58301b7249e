//! The first instructions of a function -> the call that `-d=maymorestack=NAME` puts before its stack check (1.18 and
//! later; `cmd/internal/obj/x86/obj6.go`, `stacksplit`):
//!
//! ```text
//! mov [rsp+N],REG …       the arguments that are in registers, to their homes in the caller's frame
//! push rdx                if it is a closure
//! call NAME
//! pop rdx                 if it is a closure
//! mov REG,[rsp+N] …       the same, back
//! ```
//!
//! What follows is the stack check, and the code that calls morestack jumps back to there, not to the function's entry. That
//! jump is the proof: a call that merely stands first is none of these.

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register,
};

use super::Body;
use crate::addr::LinkAddr;

/// Registers that carry arguments: nine for integers, fifteen for floats (`cmd/compile/abi-internal.md`).
const MOST_ARGUMENTS: usize = 9 + 15;

/// What looks like such a call; nothing says yet that morestack comes back behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Hook {
    /// The call.
    pub(super) call: LinkAddr,
    /// The first instruction behind all of it.
    pub(super) end: LinkAddr,
}

/// Recognises the call at the entry.
pub(super) fn recognise(body: &Body<'_, '_>) -> Option<Hook> {
    let entry = body.function.entry.get();
    let mut code = Decoder::with_ip(64, body.code, entry, DecoderOptions::NONE).into_iter();
    let mut spilled = Vec::new();
    let mut next = code.next()?;
    while let Some(slot) = spill(&next) {
        if spilled.len() == MOST_ARGUMENTS {
            return None;
        }
        spilled.push(slot);
        next = code.next()?;
    }
    let context = next.code() == Code::Push_r64 && next.op0_register() == Register::RDX;
    if context {
        next = code.next()?;
    }
    if next.flow_control() != FlowControl::Call || next.code() != Code::Call_rel32_64 {
        return None;
    }
    let callee = LinkAddr::new(next.near_branch_target());
    if (body.function_at)(callee)?.1 != callee {
        return None;
    }
    let call = LinkAddr::new(next.ip());
    if context {
        next = code.next()?;
        if next.code() != Code::Pop_r64 || next.op0_register() != Register::RDX {
            return None;
        }
    }
    for slot in spilled {
        next = code.next()?;
        if reload(&next) != Some(slot) {
            return None;
        }
    }
    Some(Hook {
        call,
        end: LinkAddr::new(next.next_ip()),
    })
}

/// The register that the instruction stores above the return address, and where.
fn spill(instruction: &Instruction) -> Option<(Register, u64)> {
    let stores = instruction.op0_kind() == OpKind::Memory
        && instruction.op1_kind() == OpKind::Register
        && moves(instruction);
    slot(instruction, instruction.op1_register()).filter(|_| stores)
}

/// The register that the instruction loads from above the return address, and from where.
fn reload(instruction: &Instruction) -> Option<(Register, u64)> {
    let loads = instruction.op0_kind() == OpKind::Register
        && instruction.op1_kind() == OpKind::Memory
        && moves(instruction);
    slot(instruction, instruction.op0_register()).filter(|_| loads)
}

fn moves(instruction: &Instruction) -> bool {
    matches!(
        instruction.mnemonic(),
        Mnemonic::Mov
            | Mnemonic::Movzx
            | Mnemonic::Movss
            | Mnemonic::Movsd
            | Mnemonic::Movups
            | Mnemonic::Movupd
    )
}

fn slot(instruction: &Instruction, register: Register) -> Option<(Register, u64)> {
    let at = instruction.memory_displacement64();
    let above = instruction.memory_base() == Register::RSP
        && instruction.memory_index() == Register::None
        && (at as i64) >= 8;
    above.then_some((register.full_register(), at))
}
