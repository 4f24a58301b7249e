//! The first instructions of a function -> its stack check.
//!
//! Source: `cmd/internal/obj/x86/obj6.go`, `load_g_cx`/`load_g` and `stacksplit`, Go 1.5 to 1.27. `G` is the register
//! that holds g (RCX to 1.16, R14 from 1.17), `guard` is `[G+0x10]` or, on the system stack, `[G+0x18]`, F the frame:
//!
//! ```text
//! load     mov G,fs:[disp]  |  mov G,imm; mov G,fs:[G]  |  mov G,[rip+x]; mov G,fs:[G]  |  nothing (ABIInternal)
//! small    cmp rsp,guard; jbe L
//! medium   lea S,[rsp-(F-128)]; cmp S,guard; jbe L
//! huge     mov S,rsp; sub S,F-128; jb L; cmp S,guard; jbe L                                            1.17 and later
//! huge     mov S,guard; cmp S,-1314; je L; lea T,[rsp+Guard]; sub T,S; cmp T,F+Guard-128; jbe L        to 1.16
//! ```
//!
//! Before all that, builds with `-d=maymorestack` make a call ([`super::may_more_stack`]).
//!
//! A check counts only if the code at L calls `runtime.morestack*`: a comparison that merely looks like one does not.

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register,
};

use super::limits::MAX_TAIL;
use super::may_more_stack::{self, Hook};
use super::{Body, StackCheck};
use crate::addr::LinkAddr;
use crate::golang::Abi;

/// Instructions of the longest form: two to load g, seven to check.
const LONGEST: usize = 9;

/// `StackPreempt`, sign-extended (`runtime/stack.go`).
const STACK_PREEMPT: i64 = -1314;

/// A stack check.
pub(super) struct Found {
    pub(super) check: StackCheck,
    /// Whether morestack grows the stack and the function then begins anew at its entry. On the system stack (`morestackc`)
    /// it ends the program; behind a [`Hook`] the entry is not run again.
    pub(super) grows: bool,
    /// The call before the check, in builds that make one.
    pub(super) hook: Option<Hook>,
}

/// Recognises the stack check at the entry.
pub(super) fn recognise(body: &Body<'_, '_>) -> Option<Found> {
    let entry = body.function.entry;
    let Some(hook) = may_more_stack::recognise(body) else {
        let (check, tail) = check_at(body, entry)?;
        return Some(Found {
            check,
            grows: tail.grows && tail.restart.is_none_or(|restart| restart == entry),
            hook: None,
        });
    };
    let (check, tail) = check_at(body, hook.end)?;
    (tail.restart == Some(hook.end)).then_some(Found {
        check,
        grows: false,
        hook: Some(hook),
    })
}

/// The stack check that begins at `start`, and the code to which it branches.
fn check_at(body: &Body<'_, '_>, start: LinkAddr) -> Option<(StackCheck, Tail)> {
    let offset = usize::try_from(start.offset_from(body.function.entry)?).ok()?;
    let head = head(body.code.get(offset..)?, start);
    let mut rest = Cursor {
        instructions: &head,
    };
    let g =
        load_of_g(&mut rest).or((body.compiled_abi == Abi::AbiInternal).then_some(Register::R14))?;
    let branch = small(&mut rest.clone(), g)
        .or_else(|| medium(&mut rest.clone(), g))
        .or_else(|| huge(&mut rest.clone(), g))
        .or_else(|| huge_before_1_17(&mut rest.clone(), g))?;
    let morestack = LinkAddr::new(branch.near_branch_target());
    let tail = calls_morestack(body, morestack)?;
    let check = StackCheck {
        end: LinkAddr::new(branch.next_ip()),
        morestack,
    };
    Some((check, tail))
}

/// The code that calls morestack.
struct Tail {
    /// Whether that morestack grows the stack.
    grows: bool,
    /// Where it jumps afterwards, if that was found.
    restart: Option<LinkAddr>,
}

/// Whether the code begins by loading g, as compiled functions without the register ABI do.
pub(super) fn begins_with_load_of_g(code: &[u8], entry: LinkAddr) -> bool {
    load_of_g(&mut Cursor {
        instructions: &head(code, entry),
    })
    .is_some()
}

/// The register into which g is loaded from thread-local storage by the instructions at the cursor; moves past them.
pub(super) fn load_of_g(rest: &mut Cursor<'_>) -> Option<Register> {
    let mut ahead = rest.clone();
    let first = ahead.next()?;
    let register = first.op0_register();
    let from_tls =
        |i: &Instruction| i.op1_kind() == OpKind::Memory && i.memory_segment() == Register::FS;
    match first.code() {
        Code::Mov_r64_rm64 if from_tls(first) => {}
        // Initial-exec TLS: the offset comes from the GOT, or from the instruction after the linker relaxed it.
        Code::Mov_rm64_imm32 | Code::Mov_r64_rm64
            if first.op0_kind() == OpKind::Register
                && (first.op1_kind() != OpKind::Memory || first.is_ip_rel_memory_operand()) =>
        {
            let second = ahead.next()?;
            let loads = second.code() == Code::Mov_r64_rm64
                && from_tls(second)
                && second.op0_register() == register
                && second.memory_base() == register;
            if !loads {
                return None;
            }
        }
        _ => return None,
    }
    *rest = ahead;
    Some(register)
}

fn small(rest: &mut Cursor<'_>, g: Register) -> Option<Instruction> {
    compares_with_guard(rest.next()?, Register::RSP, g)?;
    jbe(rest.next()?)
}

fn medium(rest: &mut Cursor<'_>, g: Register) -> Option<Instruction> {
    let lea = rest.next()?;
    let below =
        lea.code() == Code::Lea_r64_m && is_stack(lea) && (lea.memory_displacement64() as i64) < 0;
    if !below {
        return None;
    }
    compares_with_guard(rest.next()?, lea.op0_register(), g)?;
    jbe(rest.next()?)
}

fn huge(rest: &mut Cursor<'_>, g: Register) -> Option<Instruction> {
    let mov = rest.next()?;
    let copies = mov.mnemonic() == Mnemonic::Mov
        && mov.op0_kind() == OpKind::Register
        && mov.op1_kind() == OpKind::Register
        && mov.op1_register() == Register::RSP;
    if !copies {
        return None;
    }
    let scratch = mov.op0_register();
    let sub = rest.next()?;
    if sub.mnemonic() != Mnemonic::Sub
        || sub.op0_register() != scratch
        || sub.op1_kind() == OpKind::Register
    {
        return None;
    }
    let below = rest.next()?;
    if below.mnemonic() != Mnemonic::Jb {
        return None;
    }
    compares_with_guard(rest.next()?, scratch, g)?;
    let last = jbe(rest.next()?)?;
    (last.near_branch_target() == below.near_branch_target()).then_some(last)
}

fn huge_before_1_17(rest: &mut Cursor<'_>, g: Register) -> Option<Instruction> {
    let load = rest.next()?;
    if load.code() != Code::Mov_r64_rm64 || !is_guard(load, g) {
        return None;
    }
    let guard = load.op0_register();
    let cmp = rest.next()?;
    let preempt = cmp.mnemonic() == Mnemonic::Cmp
        && cmp.op0_register() == guard
        && cmp.op1_kind() == OpKind::Immediate32to64
        && cmp.immediate(1) as i64 == STACK_PREEMPT;
    let je = rest.next()?;
    if !preempt || je.mnemonic() != Mnemonic::Je {
        return None;
    }
    let lea = rest.next()?;
    let room = lea.op0_register();
    if lea.code() != Code::Lea_r64_m || !is_stack(lea) {
        return None;
    }
    let sub = rest.next()?;
    if sub.mnemonic() != Mnemonic::Sub || sub.op0_register() != room || sub.op1_register() != guard
    {
        return None;
    }
    let cmp = rest.next()?;
    if cmp.mnemonic() != Mnemonic::Cmp
        || cmp.op0_register() != room
        || cmp.op1_kind() == OpKind::Register
    {
        return None;
    }
    let last = jbe(rest.next()?)?;
    (last.near_branch_target() == je.near_branch_target()).then_some(last)
}

fn is_stack(instruction: &Instruction) -> bool {
    instruction.memory_base() == Register::RSP && instruction.memory_index() == Register::None
}

/// `[G+0x10]` or `[G+0x18]`: `g.stackguard0`, `g.stackguard1` (`runtime/runtime2.go`; the same in every version).
fn is_guard(instruction: &Instruction, g: Register) -> bool {
    instruction.op1_kind() == OpKind::Memory
        && instruction.memory_base() == g
        && instruction.memory_index() == Register::None
        && matches!(instruction.memory_displacement64(), 0x10 | 0x18)
}

fn compares_with_guard(instruction: &Instruction, left: Register, g: Register) -> Option<()> {
    let compares = instruction.code() == Code::Cmp_r64_rm64
        && instruction.op0_register() == left
        && is_guard(instruction, g);
    compares.then_some(())
}

fn jbe(instruction: &Instruction) -> Option<Instruction> {
    (instruction.mnemonic() == Mnemonic::Jbe).then_some(*instruction)
}

/// The code at `tail`, if it calls morestack. It spills argument registers before the call (1.17 and later), reloads them
/// after it, jumps back, and does nothing else.
fn calls_morestack(body: &Body<'_, '_>, tail: LinkAddr) -> Option<Tail> {
    let offset = usize::try_from(tail.offset_from(body.function.entry)?).ok()?;
    let mut decoder = Decoder::with_ip(
        64,
        body.code.get(offset..)?,
        tail.get(),
        DecoderOptions::NONE,
    );
    let call = next_branch(&mut decoder, FlowControl::Call)?;
    let target = LinkAddr::new(call.near_branch_target());
    let (name, entry) = (body.function_at)(target)?;
    if entry != target || !name.starts_with("runtime.morestack") {
        return None;
    }
    Some(Tail {
        grows: name != "runtime.morestackc",
        restart: next_branch(&mut decoder, FlowControl::UnconditionalBranch)
            .map(|jump| LinkAddr::new(jump.near_branch_target())),
    })
}

/// The next instruction that does not lead to the one behind it, if it is of this kind.
fn next_branch(decoder: &mut Decoder<'_>, kind: FlowControl) -> Option<Instruction> {
    for _ in 0..MAX_TAIL {
        if !decoder.can_decode() {
            return None;
        }
        let instruction = decoder.decode();
        match instruction.flow_control() {
            FlowControl::Next if !instruction.is_invalid() => {}
            found if found == kind => return Some(instruction),
            _ => return None,
        }
    }
    None
}

fn head(code: &[u8], entry: LinkAddr) -> Vec<Instruction> {
    Decoder::with_ip(64, code, entry.get(), DecoderOptions::NONE)
        .into_iter()
        .take(LONGEST)
        .collect()
}

/// Instructions yet to be looked at.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    pub(super) instructions: &'a [Instruction],
}

impl<'a> Cursor<'a> {
    pub(super) fn next(&mut self) -> Option<&'a Instruction> {
        let (first, rest) = self.instructions.split_first()?;
        self.instructions = rest;
        Some(first)
    }
}
