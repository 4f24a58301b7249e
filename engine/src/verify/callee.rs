//! What a hook says that the hooked function needs below its entry, against the function's own bytes: the room check of the
//! trampoline is worth as much as that.

use iced_x86::{
    Code as Op, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register,
};

use crate::golang::Abi;
use crate::plan::{Plan, PlannedHook};
use crate::site::CalleeStack;

use super::{Findings, Original, RejectionCode as Code};

/// `g.stackguard0` and `g.stackguard1` (`runtime/runtime2.go`, every version).
const GUARDS: [u64; 2] = [16, 24];
/// The longest stack check, that of frames beyond 4 KiB up to 1.16, has eight instructions.
const CHECK_LENGTH: usize = 12;

/// Checks one hook.
pub(super) fn check(
    original: &dyn Original,
    plan: &Plan,
    hook: &PlannedHook,
    findings: &mut Findings,
) {
    let link = plan.placement.slide.link(hook.entry);
    let Some(text) = original.bytes(link, hook.size as usize) else {
        findings.add(Code::Hook, hook.entry, "no text", "the function's text");
        return;
    };
    let code = || Decoder::with_ip(64, text, link.get(), DecoderOptions::NONE).into_iter();
    match hook.callee_stack {
        CalleeStack::Nosplit => {}
        CalleeStack::Checked => {
            findings.check(
                end_of_check(code(), hook.abi).is_some(),
                Code::Hook,
                hook.entry,
                || {
                    (
                        "no stack check".to_owned(),
                        "a function that checks its stack".to_owned(),
                    )
                },
            );
        }
        CalleeStack::Leaf(frame) => {
            let steps = original.stack_steps(link);
            let deepest = steps.iter().map(|(_, depth)| *depth).max();
            findings.check(
                deepest.is_some_and(|depth| i64::from(depth) <= i64::from(frame)),
                Code::Hook,
                hook.entry,
                || (format!("a leaf of {frame} bytes"), format!("{deepest:?}")),
            );
            let end = link.get().wrapping_add(u64::from(hook.size));
            let leaves = |target| !(link.get()..end).contains(&target);
            let other = code().find(|i| calls(i, &leaves));
            findings.check(other.is_none(), Code::Hook, hook.entry, || {
                let shown = other.map(|i| format!("`{i}`"));
                (
                    "a leaf".to_owned(),
                    format!("a function with {}", shown.unwrap_or_default()),
                )
            });
        }
    }
}

/// Whether control can get from here into another function that then uses this stack.
fn calls(instruction: &Instruction, leaves: &dyn Fn(u64) -> bool) -> bool {
    match instruction.flow_control() {
        // The decoder files `syscall` under calls; the kernel has a stack of its own.
        FlowControl::Call => instruction.mnemonic() != Mnemonic::Syscall,
        FlowControl::IndirectCall => true,
        FlowControl::UnconditionalBranch | FlowControl::ConditionalBranch => {
            instruction.op0_kind() == OpKind::NearBranch64 && leaves(instruction.near_branch64())
        }
        _ => false,
    }
}

/// A read of the thread-local g.
fn tls_load(instruction: &Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Mov
        && instruction.op0_kind() == OpKind::Register
        && instruction.op1_kind() == OpKind::Memory
        && instruction.memory_segment() == Register::FS
}

/// The function begins by loading g (`mov reg, fs:[…]`, in position-independent code after an immediate or an address).
pub(super) fn loads_g(code: impl Iterator<Item = Instruction>) -> bool {
    code.take(2).any(|i| tls_load(&i))
}

/// Before anything is called or left there is a read of a stack guard of g, and a conditional jump on it: where that ends.
pub(super) fn end_of_check(code: impl Iterator<Item = Instruction>, abi: Abi) -> Option<u64> {
    let mut g = match abi {
        Abi::AbiInternal => Some(Register::R14),
        Abi::Abi0 => None,
    };
    let mut read = false;
    for instruction in code.take(CHECK_LENGTH) {
        if instruction.code() == Op::INVALID {
            return None;
        }
        if tls_load(&instruction) {
            g = Some(instruction.op0_register());
            continue;
        }
        let names_g = g.is_some_and(|g| instruction.memory_base() == g)
            && instruction.memory_index() == Register::None
            && GUARDS.contains(&instruction.memory_displacement64());
        match instruction.flow_control() {
            FlowControl::Next => read |= names_g,
            FlowControl::ConditionalBranch if read => {
                let code = instruction.condition_code();
                if code == iced_x86::ConditionCode::be {
                    return Some(instruction.next_ip());
                }
            }
            FlowControl::ConditionalBranch => {}
            _ => return None,
        }
    }
    None
}
