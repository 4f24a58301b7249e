//! Displaced instructions -> the same instructions for another place, with the map from old to new addresses.
//!
//! Source of the encodings: Intel SDM volume 2, the pages of `Jcc`, `JMP`, `JCXZ/JECXZ/JRCXZ`, `LOOP` and section 2.2.1.6
//! (RIP-relative addressing). Every class has one form, the longest, so that [`length`] needs no address: sizes are
//! known before anything is placed. Never changes what is not an address: all other bytes are copied.

mod branch;
mod call;
mod copy;
mod counted;
mod ip_relative;

use iced_x86::{Code, Decoder, DecoderOptions, FlowControl, Instruction, OpKind};

use crate::addr::{LinkAddr, RunAddr, Slide};
use crate::listing::text;
use crate::site::{Refusal, RefusalCode, Site};

/// A window, moved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Relocated {
    /// The code; ends with a jump back to the function, unless the window ends the function.
    pub bytes: Vec<u8>,
    /// Every displaced instruction -> the first byte of its new form, in order.
    pub moved: Vec<(RunAddr, RunAddr)>,
    /// Offset of the jump back to the function; `None` if the window ends the function, or ends with a call, which
    /// returns there.
    pub resume: Option<u32>,
    /// From this offset on the return address of a displaced call is on the stack; `None` if none is displaced.
    pub pushed: Option<u32>,
}

/// How an instruction is moved.
enum Class {
    /// Nothing in it depends on where it stands.
    Copy,
    /// A memory operand or `lea` relative to RIP.
    IpRelative,
    /// `jmp` or `jcc`.
    Branch,
    /// `call`, as the last instruction.
    Call,
    /// `jrcxz`, `jecxz`, `loop`, `loope`, `loopne`: these have no long form.
    Counted,
}

/// Bytes of the jump back.
const BACK: usize = 5;

/// Moves the window of `site` to `at`, in a process in which the image has `slide`.
pub fn relocate(site: &Site<'_>, at: RunAddr, slide: Slide) -> Result<Relocated, Refusal> {
    window(site.window, &site.displaced, at, slide)
}

/// Moves `displaced`, the instructions in `window`, to `at`. The jump back goes to the end of `window`.
/// A `call` may only be the last one: it returns to the end of `window`.
pub fn window(
    window: &[u8],
    displaced: &[Instruction],
    at: RunAddr,
    slide: Slide,
) -> Result<Relocated, Refusal> {
    let mut bytes = Vec::with_capacity(window.len() + 3 * BACK);
    let mut moved = Vec::with_capacity(displaced.len());
    let mut pushed = None;
    for instruction in displaced {
        let old = LinkAddr::new(instruction.ip());
        let new = advance(at, bytes.len()).ok_or_else(|| out_of_reach(instruction))?;
        moved.push((slide.run(old), new));
        let source = Source::of(window, displaced, instruction)?;
        match class(instruction, displaced)? {
            Class::Copy => copy::emit(&source, &mut bytes),
            Class::IpRelative => ip_relative::emit(&source, new, slide, &mut bytes)?,
            Class::Branch => branch::emit(&source, new, slide, &mut bytes)?,
            Class::Call => {
                pushed = u32::try_from(bytes.len() + call::PUSHED).ok();
                call::emit(&source, new, slide, &mut bytes)?;
            }
            Class::Counted => counted::emit(&source, new, slide, &mut bytes)?,
        }
    }
    let mut resume = None;
    if let (Some(first), true) = (displaced.first(), falls_through(displaced)) {
        let end = LinkAddr::new(first.ip())
            .checked_add(window.len() as u64)
            .ok_or_else(|| out_of_reach(first))?;
        let back = displacement(first, end, (at, bytes.len() + BACK), slide)?;
        resume = u32::try_from(bytes.len()).ok();
        bytes.push(0xe9);
        bytes.extend(back);
    }
    Ok(Relocated {
        bytes,
        moved,
        resume,
        pushed,
    })
}

/// How many bytes [`window`] makes of `displaced`, wherever they are put.
pub fn length(displaced: &[Instruction]) -> Result<usize, Refusal> {
    let mut total = if falls_through(displaced) { BACK } else { 0 };
    for instruction in displaced {
        total += match class(instruction, displaced)? {
            Class::Copy | Class::IpRelative => instruction.len(),
            Class::Branch => branch::length(instruction),
            Class::Call => call::LENGTH,
            Class::Counted => counted::length(instruction),
        };
    }
    Ok(total)
}

/// Whether control goes on behind the last displaced instruction.
fn falls_through(displaced: &[Instruction]) -> bool {
    displaced.last().is_some_and(|last| {
        !matches!(
            last.flow_control(),
            FlowControl::Return
                | FlowControl::UnconditionalBranch
                | FlowControl::IndirectBranch
                | FlowControl::Call
        )
    })
}

fn class(instruction: &Instruction, displaced: &[Instruction]) -> Result<Class, Refusal> {
    let not_relocatable = || {
        let at = LinkAddr::new(instruction.ip());
        Refusal::new(RefusalCode::NotRelocatable, at, text(instruction))
    };
    if instruction.is_invalid()
        || instruction.op0_kind() == OpKind::NearBranch16
        || instruction.op0_kind() == OpKind::NearBranch32
    {
        return Err(not_relocatable());
    }
    match instruction.flow_control() {
        FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => {
            if instruction.op0_kind() != OpKind::NearBranch64 {
                Err(not_relocatable())
            } else if instruction.is_jmp_short_or_near() || instruction.is_jcc_short_or_near() {
                Ok(Class::Branch)
            } else if instruction.is_jcx_short() || instruction.is_loop() || instruction.is_loopcc()
            {
                Ok(Class::Counted)
            } else {
                Err(not_relocatable())
            }
        }
        FlowControl::Call
            if instruction.code() == Code::Call_rel32_64
                && displaced.last() == Some(instruction) =>
        {
            Ok(Class::Call)
        }
        // Behind any other call control would come back into the window.
        FlowControl::Call
        | FlowControl::IndirectCall
        | FlowControl::Interrupt
        | FlowControl::Exception
        | FlowControl::XbeginXabortXend => Err(not_relocatable()),
        FlowControl::Next | FlowControl::Return | FlowControl::IndirectBranch => {
            // EIP-relative operands (0x67 prefix) wrap at 4 GiB: no compiler emits them.
            match (
                instruction.is_ip_rel_memory_operand(),
                instruction.memory_base(),
            ) {
                (false, _) => Ok(Class::Copy),
                (true, iced_x86::Register::RIP) => Ok(Class::IpRelative),
                (true, _) => Err(not_relocatable()),
            }
        }
    }
}

/// One instruction with its bytes and where its displacement lies in them.
struct Source<'a> {
    instruction: &'a Instruction,
    bytes: &'a [u8],
    displacement_at: usize,
}

impl<'a> Source<'a> {
    /// Decodes the bytes again: they, not their decoded form, are what is copied.
    fn of(
        window: &'a [u8],
        displaced: &[Instruction],
        instruction: &'a Instruction,
    ) -> Result<Self, Refusal> {
        let changed = || {
            let at = LinkAddr::new(instruction.ip());
            Refusal::new(
                RefusalCode::NotRelocatable,
                at,
                "the window's bytes are not the decoded instruction",
            )
        };
        let start = displaced.first().map_or(0, Instruction::ip);
        let offset = instruction
            .ip()
            .checked_sub(start)
            .and_then(|offset| usize::try_from(offset).ok());
        let bytes = offset
            .and_then(|offset| window.get(offset..offset.checked_add(instruction.len())?))
            .ok_or_else(changed)?;
        let mut decoder = Decoder::with_ip(64, bytes, instruction.ip(), DecoderOptions::NONE);
        if decoder.decode() != *instruction {
            return Err(changed());
        }
        let displacement_at = decoder
            .get_constant_offsets(instruction)
            .displacement_offset();
        Ok(Self {
            instruction,
            bytes,
            displacement_at,
        })
    }
}

fn out_of_reach(instruction: &Instruction) -> Refusal {
    Refusal::new(
        RefusalCode::OutOfReach,
        LinkAddr::new(instruction.ip()),
        text(instruction),
    )
}

/// The 32-bit displacement from the end of the `len` bytes that `instruction` takes at `at`, to where `target` has gone.
fn displacement(
    instruction: &Instruction,
    target: LinkAddr,
    (at, len): (RunAddr, usize),
    slide: Slide,
) -> Result<[u8; 4], Refusal> {
    let distance = || {
        let next = advance(at, len)?;
        let distance = slide.run(target).get().wrapping_sub(next.get()) as i64;
        i32::try_from(distance).ok()
    };
    distance()
        .map(i32::to_le_bytes)
        .ok_or_else(|| out_of_reach(instruction))
}

fn advance(at: RunAddr, bytes: usize) -> Option<RunAddr> {
    at.checked_add(u64::try_from(bytes).ok()?)
}

pub mod check;

#[cfg(test)]
mod tests;
