//! Whether anything comes into the middle of the displaced bytes, where the jump lies now: branches of the function itself,
//! jumps of it whose target is not known, and branches of assembly anywhere. (To the first byte the jump leads on to the
//! trampoline, which recognises its own frame.)
//!
//! Compiled code branches into no other function, but into the runtime's copying code, which is assembly and never hooked.

use iced_x86::{Code as Op, Decoder, DecoderOptions, FlowControl, Instruction, OpKind};

use crate::addr::{LinkAddr, RunAddr};
use crate::plan::{Plan, PlannedHook};

use super::program::{Program, is_assembly};
use super::{Findings, Original, RejectionCode as Code, callee};

/// Checks one hook.
pub(super) fn check(
    original: &dyn Original,
    program: &Program<'_>,
    plan: &Plan,
    hook: &PlannedHook,
    findings: &mut Findings,
) {
    let slide = plan.placement.slide;
    let link = slide.link(hook.entry);
    let behind = link.checked_add(hook.window.len() as u64);
    let text = original.bytes(link, hook.size as usize);
    let (Some(text), Some(second), Some(behind)) = (text, link.checked_add(1), behind) else {
        // Said by the rule about writes.
        return;
    };
    if let Some(branch) = program.branch_into(second..behind) {
        findings.add(
            Code::BranchTarget,
            slide.run(branch.to),
            format!("a branch of assembly at {}", slide.run(branch.from)),
            "no way into the displaced bytes",
        );
    }
    let assembly = original
        .function_at(link)
        .is_none_or(|function| is_assembly(original.facts(), &function));
    let code = Decoder::with_ip(64, text, link.get(), DecoderOptions::NONE);
    // The cases of a switch begin behind the check of the stack.
    let checked =
        callee::end_of_check(code.into_iter(), hook.abi).is_some_and(|end| end >= behind.get());
    let sweep = Sweep {
        link,
        text,
        window: (second, behind),
        open: checked,
        assembly,
    };
    if let Some((at, found)) = sweep.run() {
        let at: RunAddr = slide.run(at);
        findings.add(
            Code::BranchTarget,
            at,
            found,
            "no way into the displaced bytes",
        );
    }
}

/// One look at all instructions of a function.
struct Sweep<'a> {
    link: LinkAddr,
    text: &'a [u8],
    /// The second byte of the displaced ones, and one past the last.
    window: (LinkAddr, LinkAddr),
    /// Whether no target of an indirect jump can lie in the window.
    open: bool,
    assembly: bool,
}

impl Sweep<'_> {
    /// The first instruction that leads into the window, or may.
    fn run(&self) -> Option<(LinkAddr, String)> {
        let (second, behind) = self.window;
        let mut decoder = Decoder::with_ip(64, self.text, self.link.get(), DecoderOptions::NONE);
        let mut instruction = Instruction::default();
        while decoder.can_decode() {
            let position = decoder.position();
            decoder.decode_out(&mut instruction);
            let at = LinkAddr::new(instruction.ip());
            if instruction.code() == Op::INVALID {
                let rest = self.text.get(position..).unwrap_or_default();
                let filler = rest.iter().all(|byte| matches!(byte, 0x00 | 0x90 | 0xcc));
                return (!filler).then(|| (at, format!("{} bytes that are no code", rest.len())));
            }
            if at < behind {
                // Displaced itself: where it goes from its new place is another rule's matter.
                continue;
            }
            let target = LinkAddr::new(instruction.near_branch_target());
            let leads = is_near(&instruction) && second <= target && target < behind;
            if leads || self.may_lead(&instruction) {
                return Some((at, format!("`{instruction}`")));
            }
        }
        None
    }

    /// An indirect jump. Compiled functions jump through a table to a case of a switch (1.19 and later), and to a register
    /// only to leave (1.27 and later).
    fn may_lead(&self, instruction: &Instruction) -> bool {
        let leaves = !self.assembly && instruction.op0_kind() == OpKind::Register;
        instruction.flow_control() == FlowControl::IndirectBranch && !self.open && !leaves
    }
}

fn is_near(instruction: &Instruction) -> bool {
    instruction.op_count() == 1
        && matches!(
            instruction.op0_kind(),
            OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64
        )
}
