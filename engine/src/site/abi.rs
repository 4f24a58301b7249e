//! Function -> its calling convention.
//!
//! Up to 1.16 everything is ABI0. From 1.17 on compiled functions are ABIInternal, except ABI wrappers and functions
//! with `//go:cgo_unsafe_args`, which are entered by ABI0 and therefore load g from TLS before anything else
//! (`cmd/internal/obj/x86/obj6.go`, `load_g`; `cmd/compile/internal/amd64/ssa.go`, `getgFromTLS`). Assembly is ABI0 if
//! it is declared in Go; else its registers are a private matter, and it is refused.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, Register};

use super::prologue::{Cursor, load_of_g};
use super::{Body, Refusal, RefusalCode};
use crate::golang::{Abi, policy};

/// Instructions at the entry among which an ABI0 function loads g: frame set-up (up to three), `xorps x15,x15`, the load
/// itself (up to two).
const G_LOADED_WITHIN: usize = 6;

pub(super) fn of(body: &Body<'_, '_>) -> Result<Abi, Refusal> {
    let function = &body.function;
    if body.is_assembly() {
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
    if body.compiled_abi == Abi::AbiInternal && loads_g(body) {
        return Ok(Abi::Abi0);
    }
    Ok(body.compiled_abi)
}

/// Whether R14 is loaded from TLS at the entry. After a call it means nothing: an ABIInternal function restores R14 so
/// after calling an ABI0 one.
fn loads_g(body: &Body<'_, '_>) -> bool {
    let head: Vec<Instruction> = Decoder::with_ip(
        64,
        body.code,
        body.function.entry.get(),
        DecoderOptions::NONE,
    )
    .into_iter()
    .take(G_LOADED_WITHIN)
    .collect();
    let mut rest = Cursor {
        instructions: &head,
    };
    loop {
        if load_of_g(&mut rest.clone()) == Some(Register::R14) {
            return true;
        }
        match rest.next() {
            Some(instruction)
                if matches!(
                    instruction.flow_control(),
                    FlowControl::Next | FlowControl::ConditionalBranch
                ) => {}
            _ => return false,
        }
    }
}
