//! The stack depth of a trampoline, by abstract interpretation of its bytes, against the module's `pcsp` tables.
//!
//! Depth is the distance from RSP to the return address. It is 0 at the trampoline's first byte and, on every way there
//! (also from the call, whose return address is then the relevant one), at the relocated window. Every byte of an
//! instruction has the depth before it; a filler has that of the byte before it, so that there is one right table.

use iced_x86::{
    Code as Op, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory,
    Mnemonic, OpKind, Register,
};

use crate::addr::RunAddr;
use crate::plan::{Plan, PlannedHook};

use super::writes::Memory;
use super::{Findings, Original, RejectionCode as Code};

type Finding = (RunAddr, String, String);

/// Checks one hook; `steps` are the module's `pcsp` for it.
pub(super) fn check(
    original: &dyn Original,
    plan: &Plan,
    hook: &PlannedHook,
    steps: &[(u64, i32)],
    memory: &Memory<'_>,
    findings: &mut Findings,
) {
    let span = hook.trampoline;
    let Some(bytes) = memory.code.range(span.start, span.end) else {
        findings.add(Code::Hook, span.start, "outside the code", "a trampoline");
        return;
    };
    let result = walk(hook, bytes).and_then(|depths| {
        compare(hook, &depths, steps).and_then(|()| moved(original, plan, hook, &depths))
    });
    if let Err((at, found, expected)) = result {
        findings.add(Code::Depth, at, found, expected);
    }
}

/// The depth of each byte of `[start, end)`, where an instruction lies that control reaches.
fn walk(hook: &PlannedHook, bytes: &[u8]) -> Result<Vec<Option<i32>>, Finding> {
    let span = hook.trampoline;
    let mut depths: Vec<Option<i32>> = vec![None; bytes.len()];
    let mut info = InstructionInfoFactory::new();
    let mut waiting = vec![(span.start.get(), 0i32), (span.reloc.get(), 0)];
    while let Some((ip, depth)) = waiting.pop() {
        let at = RunAddr::new(ip);
        let wrong = |found: String, expected: &str| (at, found, expected.to_owned());
        let Some(offset) = at
            .offset_from(span.start)
            .and_then(|x| usize::try_from(x).ok())
            .filter(|&x| x < bytes.len())
        else {
            // Control leaves the trampoline: whose depth that is, other rules say.
            continue;
        };
        match depths.get(offset) {
            Some(Some(known)) if *known == depth => continue,
            Some(Some(known)) => {
                return Err(wrong(format!("depths {known} and {depth}"), "one depth"));
            }
            _ => {}
        }
        let rest = bytes.get(offset..).unwrap_or_default();
        let instruction = Decoder::with_ip(64, rest, ip, DecoderOptions::NONE).decode();
        if instruction.code() == Op::INVALID {
            return Err(wrong("no instruction".to_owned(), "an instruction"));
        }
        for slot in depths
            .get_mut(offset..offset + instruction.len())
            .unwrap_or_default()
        {
            *slot = Some(depth);
        }
        let change = change(&mut info, &instruction)
            .ok_or_else(|| wrong(format!("`{instruction}`"), "a known change of RSP"))?;
        let after = depth
            .checked_add(change)
            .filter(|&after| after >= 0)
            .ok_or_else(|| wrong(format!("depth {depth} then {change:+}"), "a depth"))?;
        let near = instruction.op0_kind() == OpKind::NearBranch64;
        match instruction.flow_control() {
            FlowControl::Next | FlowControl::Call | FlowControl::IndirectCall => {
                waiting.push((instruction.next_ip(), after));
            }
            FlowControl::UnconditionalBranch if near => {
                waiting.push((instruction.near_branch64(), after));
            }
            FlowControl::ConditionalBranch => {
                waiting.push((instruction.next_ip(), after));
                waiting.push((instruction.near_branch64(), after));
            }
            FlowControl::Return if depth != 0 => {
                return Err(wrong(format!("a return at depth {depth}"), "at depth 0"));
            }
            _ => {}
        }
    }
    Ok(depths)
}

/// By how much an instruction makes the distance to the return address larger, if that can be said.
pub(super) fn change(info: &mut InstructionInfoFactory, instruction: &Instruction) -> Option<i32> {
    let to_rsp =
        instruction.op0_kind() == OpKind::Register && instruction.op0_register() == Register::RSP;
    match instruction.mnemonic() {
        // What a call or a return pops and pushes is the return address itself.
        Mnemonic::Call | Mnemonic::Ret => Some(0),
        Mnemonic::Push | Mnemonic::Pop | Mnemonic::Pushfq | Mnemonic::Popfq if !to_rsp => {
            instruction.stack_pointer_increment().checked_neg()
        }
        Mnemonic::Sub if to_rsp => immediate(instruction),
        Mnemonic::Add if to_rsp => immediate(instruction)?.checked_neg(),
        Mnemonic::Lea
            if to_rsp
                && instruction.memory_base() == Register::RSP
                && instruction.memory_index() == Register::None =>
        {
            i32::try_from(instruction.memory_displacement64().cast_signed())
                .ok()?
                .checked_neg()
        }
        _ => {
            let used = info.info(instruction);
            let written = used.used_registers().iter().any(|register| {
                register.register().full_register() == Register::RSP
                    && !matches!(
                        register.access(),
                        iced_x86::OpAccess::Read | iced_x86::OpAccess::CondRead
                    )
            });
            (!written).then_some(0)
        }
    }
}

fn immediate(instruction: &Instruction) -> Option<i32> {
    match instruction.op1_kind() {
        OpKind::Immediate8to64 | OpKind::Immediate32to64 => {
            i32::try_from(instruction.immediate(1).cast_signed()).ok()
        }
        _ => None,
    }
}

/// Compares byte by byte, up to the next trampoline.
fn compare(
    hook: &PlannedHook,
    depths: &[Option<i32>],
    steps: &[(u64, i32)],
) -> Result<(), Finding> {
    let start = hook.trampoline.start;
    let size = steps.last().map_or(0, |&(end, _)| end);
    let mut steps = steps.iter().peekable();
    let mut known = 0;
    let fillers = std::iter::repeat(&None);
    for (offset, depth) in (0..size).zip(depths.iter().chain(fillers)) {
        while steps.next_if(|&&(end, _)| end <= offset).is_some() {}
        let found = steps.peek().map(|&&(_, value)| value);
        known = depth.unwrap_or(known);
        if found != Some(known) {
            return Err((
                start.checked_add(offset).unwrap_or(start),
                format!("pcsp {found:?}"),
                format!("{known}"),
            ));
        }
    }
    Ok(())
}

/// At each displaced instruction, and where control goes back, the depth is what the program's own table says.
fn moved(
    original: &dyn Original,
    plan: &Plan,
    hook: &PlannedHook,
    depths: &[Option<i32>],
) -> Result<(), Finding> {
    let span = hook.trampoline;
    for &(old, new) in &hook.moved {
        let offset = new
            .offset_from(span.start)
            .and_then(|x| usize::try_from(x).ok());
        let here = offset.and_then(|x| depths.get(x).copied().flatten());
        let there = original.stack_delta(plan.placement.slide.link(old));
        if here.is_none() || there.is_some_and(|there| Some(there) != here) {
            return Err((
                new,
                format!("depth {here:?}"),
                format!("{there:?} as at {old}"),
            ));
        }
    }
    Ok(())
}
