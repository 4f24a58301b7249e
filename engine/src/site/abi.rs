//! Function -> its calling convention.
//!
//! Up to 1.16 everything is ABI0. From 1.17 on compiled functions are ABIInternal, except ABI wrappers and functions
//! with `//go:cgo_unsafe_args`, which are entered by ABI0 and therefore load g from TLS before anything else
//! (`cmd/internal/obj/x86/obj6.go`, `load_g`; `cmd/compile/internal/amd64/ssa.go`, `getgFromTLS`). Assembly is ABI0 if
//! it is declared in Go; else its registers are a private matter, and it is refused.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Register};

use super::prologue::{Cursor, load_of_g};
use super::{Body, Refusal, RefusalCode};
use crate::addr::LinkAddr;
use crate::golang::{Abi, policy};

/// Instructions at the entry among which an ABI0 function loads g: frame set-up, loads of up to 9 + 15 arguments from the
/// stack, `xorps x15,x15`, the load itself.
const G_LOADED_WITHIN: usize = 48;

/// `start`: the first instruction that the compiler would have put first, where a debugging option puts others before it.
pub(super) fn of(body: &Body<'_, '_>, start: Option<LinkAddr>) -> Result<Abi, Refusal> {
    let function = &body.function;
    if body.is_assembly() {
        if policy::is_runtime_package(function.name) {
            let detail =
                "assembly of the runtime: its callers rely on which registers it leaves alone";
            return Err(Refusal::new(
                RefusalCode::PrivateAbi,
                function.entry,
                detail,
            ));
        }
        if body.assembly_branch(0..1).is_some() {
            let detail =
                "assembly that other assembly calls: which registers it leaves alone may matter";
            return Err(Refusal::new(
                RefusalCode::PrivateAbi,
                function.entry,
                detail,
            ));
        }
        let args = function.args.unwrap_or(0);
        if policy::assembly_is_abi0(body.compiled_abi, function.has_args_map, args) {
            return Ok(Abi::Abi0);
        }
        return Err(Refusal::new(
            RefusalCode::PrivateAbi,
            function.entry,
            "assembly without a declared argument map",
        ));
    }
    if body.compiled_abi == Abi::AbiInternal && loads_g(body, start) {
        return Ok(Abi::Abi0);
    }
    Ok(body.compiled_abi)
}

/// Whether R14 is loaded from TLS before the first call. After a call it means nothing: an ABIInternal function restores
/// R14 so after calling an ABI0 one.
fn loads_g(body: &Body<'_, '_>, start: Option<LinkAddr>) -> bool {
    let entry = body.function.entry;
    let start = start.unwrap_or(entry);
    let code = start
        .offset_from(entry)
        .and_then(|offset| body.code.get(usize::try_from(offset).ok()?..))
        .unwrap_or_default();
    let decoder = Decoder::with_ip(64, code, start.get(), DecoderOptions::NONE);
    let mut previous = Instruction::default();
    for instruction in decoder.into_iter().take(G_LOADED_WITHIN) {
        let pair = [previous, instruction];
        let loads = |instructions| load_of_g(&mut Cursor { instructions }) == Some(Register::R14);
        if loads(&pair) || loads(&pair[1..]) {
            return true;
        }
        if !matches!(
            instruction.flow_control(),
            FlowControl::Next | FlowControl::ConditionalBranch
        ) {
            return false;
        }
        previous = instruction;
    }
    false
}
