//! The guard against deep recursion: frames of hooks must not take the stack that the program needs near its limit.
//!
//! A goroutine's stack doubles until the next size would be above `runtime.maxstacksize`, so the largest power of two up to
//! that is all there is: more than half of it. A call gets a frame only while the stack with that frame and what the hook
//! asks for below it takes no more than 1/128 of the limit: then all frames of hooks together take at most 1/64 of what
//! there is, and a recursion that fills 98 % of it still fits.
//!
//! The variable is read at each call: `debug.SetMaxStack` changes it. From 1.16 on the runtime has a second bound which
//! nothing changes, 2,000,000,000 (`runtime/proc.go`, `maxstackceiling`); it is taken for all versions. A program whose
//! variable was not found ([`crate::image::Image::max_stack_size`]) gets frames as if its limit were 1 MiB, with which the
//! runtime starts (`runtime/stack.go`).
//!
//! g0 is not concerned: it does not grow, and its room was looked at.

use iced_x86::code_asm::{CodeAssembler, gpr64::*, qword_ptr};
use iced_x86::{Code, IcedError, Instruction, MemoryOperand, Register};

use super::{Context, Labels};
use crate::addr::RunAddr;
use crate::ring::layout::SKIPPED_DEEP;

/// The part of the limit that a stack with its hooks' frames may take is one in so many.
const PARTS: i32 = 128;
/// `runtime.maxstackceiling`.
const CEILING: i32 = 2_000_000_000;
/// What is taken for the limit where its variable is not known.
const ASSUMED: i32 = 1 << 20;

/// `R13 = RSP - need` lies within g's stack; jumps to the count of deep calls if that is too far from its top. R13 is lost.
/// The stack is at most 2⁴⁷ bytes, so that the product does not wrap.
pub(super) fn guard(
    a: &mut CodeAssembler,
    cx: &Context,
    max_stack: Option<RunAddr>,
    labels: &Labels,
) -> Result<(), IcedError> {
    a.sub(r13, qword_ptr(r14 + cx.facts.runtime.g_stack_hi as i32))?;
    a.imul_3(r13, r13, -PARTS)?;
    if let Some(variable) = max_stack {
        let operand = MemoryOperand::with_base_displ(Register::RIP, variable.get().cast_signed());
        let compare = Instruction::with2(Code::Cmp_r64_rm64, Register::R13, operand)?;
        a.add_instruction(compare)?;
        a.ja(labels.deep)?;
    }
    a.cmp(r13, max_stack.map_or(ASSUMED, |_| CEILING))?;
    a.ja(labels.deep)
}

/// Out of the common way: g0 gets its frame, everything else is counted and runs without.
pub(super) fn skip(
    a: &mut CodeAssembler,
    cx: &Context,
    labels: &mut Labels,
) -> Result<(), IcedError> {
    a.set_label(&mut labels.deep)?;
    a.cmp(r14, qword_ptr(r12 + cx.facts.runtime.m_g0 as i32))?;
    a.je(labels.admitted)?;
    super::count(a, cx, SKIPPED_DEEP)?;
    a.jmp(labels.reloc)
}
