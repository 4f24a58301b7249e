//! `jmp` and `jcc`, short or near -> `jmp rel32`, `jcc rel32`. Prefixes (hints, BND) are dropped: they change nothing.

use iced_x86::Instruction;

use super::{Source, displacement};
use crate::addr::{LinkAddr, RunAddr, Slide};
use crate::site::Refusal;

/// `e9 rel32`, `0f 8x rel32`.
pub(super) fn length(instruction: &Instruction) -> usize {
    if instruction.is_jmp_short_or_near() {
        5
    } else {
        6
    }
}

pub(super) fn emit(
    source: &Source<'_>,
    at: RunAddr,
    slide: Slide,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let instruction = source.instruction;
    let target = LinkAddr::new(instruction.near_branch_target());
    let new = displacement(instruction, target, (at, length(instruction)), slide)?;
    if instruction.is_jmp_short_or_near() {
        out.push(0xe9);
    } else {
        // The low four bits of an opcode 7x are the condition (SDM volume 2, appendix B.1.4.7).
        let condition = instruction.op_code().op_code() & 0x0f;
        out.extend([0x0f, 0x80 | condition as u8]);
    }
    out.extend(new);
    Ok(())
}
