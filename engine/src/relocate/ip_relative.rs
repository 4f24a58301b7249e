//! RIP-relative operands: the 32-bit displacement is computed anew, all other bytes stay, immediates included.

use super::{Source, displacement, out_of_reach};
use crate::addr::{LinkAddr, RunAddr, Slide};
use crate::site::Refusal;

pub(super) fn emit(
    source: &Source<'_>,
    at: RunAddr,
    slide: Slide,
    out: &mut Vec<u8>,
) -> Result<(), Refusal> {
    let instruction = source.instruction;
    let unreachable = || out_of_reach(instruction);
    let target = LinkAddr::new(instruction.ip_rel_memory_address());
    let new = displacement(instruction, target, (at, source.bytes.len()), slide)?;
    let (before, rest) = source
        .bytes
        .split_at_checked(source.displacement_at)
        .ok_or_else(unreachable)?;
    let after = rest.get(new.len()..).ok_or_else(unreachable)?;
    out.extend_from_slice(before);
    out.extend(new);
    out.extend_from_slice(after);
    Ok(())
}
