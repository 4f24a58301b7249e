//! `call rel32` -> the return address of the original place, pushed, and a jump to the callee.
//!
//! ```text
//! push qword [rip+5] ; jmp callee ; dq return address
//! ```
//!
//! The callee returns into the function, behind the window, and unwinders find the return address that they would have found
//! (GO-COMPAT §6.5.8). No register and no flag is touched. Intel SDM volume 2, `PUSH` (`FF /6`) and `CALL`.

use iced_x86::Instruction;

use super::{Source, advance, displacement, out_of_reach};
use crate::addr::{LinkAddr, RunAddr, Slide};
use crate::site::Refusal;

/// `push qword [rip+5]`: the eight bytes behind the jump.
const PUSH: [u8; 6] = [0xff, 0x35, 5, 0, 0, 0];
/// Bytes of the jump.
const JUMP: usize = 5;

/// From here on, in the moved form, the return address is on the stack.
pub(super) const PUSHED: usize = PUSH.len();
/// Bytes of the moved form.
pub(super) const LENGTH: usize = PUSH.len() + JUMP + 8;

/// Appends the moved form, which will stand at `new`.
pub(super) fn emit(
    source: &Source<'_>,
    new: RunAddr,
    slide: Slide,
    bytes: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let instruction: &Instruction = source.instruction;
    let target = LinkAddr::new(instruction.near_branch_target());
    let jump = advance(new, PUSH.len()).ok_or_else(|| out_of_reach(instruction))?;
    let distance = displacement(instruction, target, (jump, JUMP), slide)?;
    bytes.extend(PUSH);
    bytes.push(0xe9);
    bytes.extend(distance);
    let back = slide.run(LinkAddr::new(instruction.next_ip()));
    bytes.extend(back.get().to_le_bytes());
    Ok(())
}
