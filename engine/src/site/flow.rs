//! One walk over all instructions of a function: does anything branch into the window, and does it call or leave? And what
//! assembly anywhere branches to.
//!
//! Linear, since Go puts no data between instructions (tables live in read-only data) and fills gaps with `int3`,
//! zeros or NOPs.

use std::collections::BTreeMap;

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind, Register};

use super::window::Window;
use super::{Body, Refusal, RefusalCode};
use crate::addr::LinkAddr;
use crate::golang::policy;
use crate::image::Image;
use crate::listing::text;

/// What the walk found.
pub(super) struct Flow {
    /// No calls, no jumps out of the function.
    pub(super) leaf: bool,
}

/// Walks the function. `check_end` is the end of its stack check, if it has one.
pub(super) fn walk(
    body: &Body<'_, '_>,
    window: &Window<'_>,
    check_end: Option<LinkAddr>,
) -> Result<Flow, Refusal> {
    let entry = body.function.entry;
    let length = window.bytes.len() as u64;
    if let Some(branch) = body.assembly_branch(1..length) {
        return Err(Refusal::new(
            RefusalCode::BranchIntoWindow,
            branch.to,
            format!("a branch of assembly at {}", branch.from),
        ));
    }
    // An indirect jump goes to a case of a switch (1.19 and later) or out of the function; no case begins inside a
    // stack check.
    let check_covers_window = check_end
        .and_then(|end| end.offset_from(entry))
        .is_some_and(|check| length <= check);
    let assembly = body.is_assembly();
    let mut arguments = assembly.then(|| Arguments::new(body));
    let mut leaf = true;
    let mut decoder = Decoder::with_ip(64, body.code, entry.get(), DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        let position = decoder.position();
        decoder.decode_out(&mut instruction);
        let at = LinkAddr::new(instruction.ip());
        let in_window = at.offset_from(entry).is_some_and(|offset| offset < length);
        match instruction.flow_control() {
            FlowControl::Next => {}
            FlowControl::Exception if instruction.is_invalid() => {
                let rest = body.code.get(position..).unwrap_or_default();
                if rest.iter().all(|byte| matches!(byte, 0 | 0x90 | 0xcc)) {
                    break;
                }
                return Err(Refusal::new(
                    RefusalCode::Undecodable,
                    at,
                    format!("{} bytes before the end", rest.len()),
                ));
            }
            FlowControl::IndirectBranch if in_window || check_covers_window => leaf = false,
            // A compiled function jumps to a register only to leave (a method wrapper's tail call, 1.27 and later).
            FlowControl::IndirectBranch
                if !assembly && instruction.op0_kind() == OpKind::Register =>
            {
                leaf = false
            }
            FlowControl::IndirectBranch => {
                return Err(Refusal::new(
                    RefusalCode::IndirectJump,
                    at,
                    text(&instruction),
                ));
            }
            FlowControl::IndirectCall => leaf = false,
            FlowControl::UnconditionalBranch
            | FlowControl::ConditionalBranch
            | FlowControl::Call
            | FlowControl::XbeginXabortXend
                if is_near(&instruction) =>
            {
                let target = LinkAddr::new(instruction.near_branch_target());
                match target.offset_from(entry) {
                    Some(offset) if offset > 0 && offset < length => {
                        return Err(Refusal::new(
                            RefusalCode::BranchIntoWindow,
                            at,
                            text(&instruction),
                        ));
                    }
                    Some(0) if in_window => {
                        return Err(Refusal::new(
                            RefusalCode::WindowLoops,
                            at,
                            text(&instruction),
                        ));
                    }
                    Some(offset) if offset < body.code.len() as u64 => {
                        leaf &= instruction.flow_control() != FlowControl::Call;
                    }
                    _ => leaf = false,
                }
            }
            _ => {}
        }
        if let Some(arguments) = &mut arguments {
            arguments.check(&instruction, at)?;
        }
    }
    Ok(Flow { leaf })
}

fn is_near(instruction: &Instruction) -> bool {
    matches!(
        instruction.op0_kind(),
        OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64
    )
}

/// Where assembly calls or jumps to outside of itself, and from where. Assembly may rely on which registers other assembly
/// leaves alone, whatever its declared convention: `runtime.clone` keeps the new thread's function in R12 across
/// `runtime.settls`. And it may know another function's inside: `runtime.duffzero`, bodies that share their ends.
pub(super) fn branches_of_assembly(image: &Image<'_>) -> BTreeMap<LinkAddr, LinkAddr> {
    let version = image.version();
    let assembly = image
        .functions()
        .iter()
        .filter(|function| policy::is_assembly(version, function.flags, function.has_locals_map));
    let mut branches = BTreeMap::new();
    for function in assembly {
        let code = image
            .bytes(function.entry, function.size as usize)
            .unwrap_or_default();
        let end = function
            .entry
            .get()
            .saturating_add(u64::from(function.size));
        for instruction in Decoder::with_ip(64, code, function.entry.get(), DecoderOptions::NONE) {
            let target = instruction.near_branch_target();
            if is_near(&instruction) && !(function.entry.get()..end).contains(&target) {
                branches.insert(LinkAddr::new(target), LinkAddr::new(instruction.ip()));
            }
        }
    }
    branches
}

/// Checks that assembly uses the stack above its frame as it is declared to. What lies beyond the declared arguments,
/// and the return address itself, differ under an inserted frame. (`runtime.procyield` is declared `$0-0` and reads
/// an argument, `runtime/asm_amd64.s`.)
struct Arguments {
    steps: std::vec::IntoIter<(LinkAddr, i32)>,
    step: Option<(LinkAddr, i32)>,
    args: i64,
}

impl Arguments {
    fn new(body: &Body<'_, '_>) -> Self {
        let mut steps = (body.pcsp)().into_iter();
        let step = steps.next();
        Self {
            steps,
            step,
            args: i64::from(body.function.args.unwrap_or(0)),
        }
    }

    fn check(&mut self, instruction: &Instruction, at: LinkAddr) -> Result<(), Refusal> {
        while self.step.is_some_and(|(end, _)| end <= at) {
            self.step = self.steps.next();
        }
        // Stack switches by hand, before 1.17 had a flag for them: `runtime.nanotime` goes to g0 for the vDSO.
        if sets_stack_pointer(instruction) {
            return Err(Refusal::new(
                RefusalCode::SpecialFrame,
                at,
                text(instruction),
            ));
        }
        let Some((_, delta)) = self.step else {
            return Ok(());
        };
        let named = instruction.op_kinds().any(|kind| kind == OpKind::Memory);
        if !named || instruction.memory_base() != Register::RSP {
            return Ok(());
        }
        // Offset from the return address: 0 is the return address, 8 the first argument.
        let offset = (instruction.memory_displacement64() as i64).saturating_sub(i64::from(delta));
        let refuse = |code| {
            Err(Refusal::new(
                code,
                at,
                format!("{} with a frame of {delta} bytes", text(instruction)),
            ))
        };
        match offset {
            0..8 => refuse(RefusalCode::ReturnAddress),
            8.. if offset - 8 >= self.args => refuse(RefusalCode::ArgsMismatch),
            _ => Ok(()),
        }
    }
}

/// Whether RSP gets a value that has nothing to do with its old one, or by an amount that no table can know.
fn sets_stack_pointer(instruction: &Instruction) -> bool {
    if instruction.op0_kind() != OpKind::Register || instruction.op0_register() != Register::RSP {
        // `xchg reg,rsp` is written in either order.
        let second = instruction.op1_kind() == OpKind::Register
            && instruction.op1_register() == Register::RSP;
        return match instruction.mnemonic() {
            Mnemonic::Xchg | Mnemonic::Xadd => second,
            mnemonic => matches!(mnemonic, Mnemonic::Enter | Mnemonic::Leave),
        };
    }
    match instruction.mnemonic() {
        Mnemonic::Add | Mnemonic::Sub => instruction.op1_kind() == OpKind::Register,
        // These read it.
        Mnemonic::Cmp | Mnemonic::Test => false,
        _ => true,
    }
}
