//! `jrcxz`, `jecxz`, `loop`, `loope`, `loopne`: short only. They branch to a near jump that stands behind them:
//!
//! ```text
//!     jrcxz 1f
//!     jmp 2f
//! 1:  jmp target
//! 2:
//! ```

use iced_x86::Instruction;

use super::{Source, displacement, out_of_reach};
use crate::addr::{LinkAddr, RunAddr, Slide};
use crate::site::Refusal;

/// `eb 05`: over the near jump.
const OVER: [u8; 2] = [0xeb, 5];

/// The instruction itself, the jump over, the near jump.
pub(super) fn length(instruction: &Instruction) -> usize {
    instruction.len() + OVER.len() + 5
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
    let (_, before) = source
        .bytes
        .split_last()
        .ok_or_else(|| out_of_reach(instruction))?;
    out.extend_from_slice(before);
    out.push(OVER.len() as u8);
    out.extend(OVER);
    out.push(0xe9);
    out.extend(new);
    Ok(())
}
