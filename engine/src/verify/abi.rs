//! How the hooked function takes its arguments, from its own bytes and tables: what the hook says must be that.
//!
//! Compiled functions have the program's convention, but those entered by ABI0, which load g from thread-local storage before
//! they call anything. Assembly is ABI0 if it was declared so, nothing else relies on its registers, and it uses of the stack
//! above its frame what its declaration says.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpKind,
    Register,
};

use crate::addr::LinkAddr;
use crate::golang::Abi;
use crate::golang::policy::RUNTIME_PACKAGES;
use crate::plan::{Plan, PlannedHook};

use super::program::{Program, is_assembly};
use super::{Findings, Original, OriginalFunction, RejectionCode as Code, depth};

/// Instructions among which an ABI0 function loads g: it may fetch all its arguments first.
const LOADED_WITHIN: usize = 48;

/// Checks one hook.
pub(super) fn check(
    original: &dyn Original,
    program: &Program<'_>,
    plan: &Plan,
    hook: &PlannedHook,
    findings: &mut Findings,
) {
    let link = plan.placement.slide.link(hook.entry);
    let Some(function) = original.function_at(link) else {
        // Said by the rule about writes.
        return;
    };
    let text = original
        .bytes(link, function.size as usize)
        .unwrap_or_default();
    let found = if is_assembly(original.facts(), &function) {
        assembly(original, program, &function, text)
    } else if program.compiled == Abi::AbiInternal && loads_r14(text, link) {
        Ok(Abi::Abi0)
    } else {
        Ok(program.compiled)
    };
    match found {
        Ok(abi) => {
            findings.check(abi == hook.abi, Code::Abi, hook.entry, || {
                (hook.abi.to_string(), abi.to_string())
            });
        }
        Err(why) => findings.add(
            Code::Abi,
            hook.entry,
            format!("{}, and {why}", hook.abi),
            "assembly with a declared convention that it keeps",
        ),
    }
}

/// Whether R14 becomes g on the way from the entry, before anything is called: after a call an ABIInternal function does so
/// as well, if it has called an ABI0 one.
fn loads_r14(text: &[u8], entry: LinkAddr) -> bool {
    let decoder = Decoder::with_ip(64, text, entry.get(), DecoderOptions::NONE);
    for instruction in decoder.into_iter().take(LOADED_WITHIN) {
        if instruction.mnemonic() == Mnemonic::Mov
            && instruction.op0_kind() == OpKind::Register
            && instruction.op0_register() == Register::R14
            && instruction.op1_kind() == OpKind::Memory
            && instruction.memory_segment() == Register::FS
        {
            return true;
        }
        if !matches!(
            instruction.flow_control(),
            FlowControl::Next | FlowControl::ConditionalBranch
        ) {
            return false;
        }
    }
    false
}

fn assembly(
    original: &dyn Original,
    program: &Program<'_>,
    function: &OriginalFunction<'_>,
    text: &[u8],
) -> Result<Abi, String> {
    if RUNTIME_PACKAGES
        .iter()
        .any(|package| function.name.starts_with(package))
    {
        return Err("its callers in the runtime rely on registers that it leaves alone".to_owned());
    }
    let entry = function.entry;
    let behind = entry.checked_add(1).unwrap_or(entry);
    if let Some(branch) = program.branch_into(entry..behind) {
        return Err(format!("other assembly, at {}, comes here", branch.from));
    }
    // The assembler gives ABI0 functions with a Go declaration a map of their arguments (`cmd/internal/obj/plist.go`,
    // `Flushplist`); up to 1.16 only if their name has no package, but bodies shared through registers are `$0-0` there.
    let sized = function.args.is_some_and(|args| args > 0);
    let declared = function.has_args_map || (sized && program.compiled == Abi::Abi0);
    if !declared {
        return Err("it has no map of its arguments".to_owned());
    }
    stack_use(original, function, text)?;
    Ok(Abi::Abi0)
}

/// Of the stack above its frame, assembly may use its declared arguments: what lies beyond, and the return address, are
/// others under a frame.
fn stack_use(
    original: &dyn Original,
    function: &OriginalFunction<'_>,
    text: &[u8],
) -> Result<(), String> {
    let steps = original.stack_steps(function.entry);
    let mut steps = steps.iter().peekable();
    let args = i64::from(function.args.unwrap_or(0));
    let mut info = InstructionInfoFactory::new();
    let decoder = Decoder::with_ip(64, text, function.entry.get(), DecoderOptions::NONE);
    for instruction in decoder {
        let at = LinkAddr::new(instruction.ip());
        while steps.next_if(|(end, _)| *end <= at).is_some() {}
        if depth::change(&mut info, &instruction).is_none() || is_lea_of_rsp(&instruction) {
            return Err(format!("it switches stacks: `{instruction}`"));
        }
        let names_stack = instruction.memory_base() == Register::RSP
            && instruction.op_kinds().any(|kind| kind == OpKind::Memory);
        let Some((_, deep)) = steps.peek().filter(|_| names_stack) else {
            continue;
        };
        let displacement = instruction.memory_displacement64().cast_signed();
        // Counted from the return address.
        let place = displacement.saturating_sub(i64::from(*deep));
        if (0..8).contains(&place) {
            return Err(format!("it uses its return address: `{instruction}`"));
        }
        if place >= 8 && place - 8 >= args {
            return Err(format!(
                "it uses more than {args} bytes of arguments: `{instruction}`"
            ));
        }
    }
    Ok(())
}

fn is_lea_of_rsp(instruction: &Instruction) -> bool {
    instruction.mnemonic() == Mnemonic::Lea && instruction.op0_register() == Register::RSP
}
