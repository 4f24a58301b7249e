//! Instructions -> where g is, the stack guard, and what of it small frames may take.
//!
//! | what | where | instructions |
//! |---|---|---|
//! | g in R14 or in RCX, `g.stackguard0` | compiled functions | `cmp rsp,[g+10]` at the entry |
//! | `StackSmall` | those with larger frames | `lea x,[rsp-(frame-StackSmall)]` in front of it |
//! | `StackGuard` | `runtime.rt0_go` (`asm_amd64.s`) | `mov x,[g+lo]; add x,StackGuard; mov [g+10],x` |
//!
//! The limit for chains of nosplit functions is what is left of the guard without `StackSmall` (`runtime/stack.go`; no
//! version keeps a `StackSystem` on Linux).

use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use super::code::{decode, load, store};
use super::functions::is_compiled;
use super::{Claim, unproven};
use crate::golang::Abi;
use crate::golang::tables::{ABI_IS_CHOSEN, G};
use crate::image::error::ImageError;
use crate::image::{Function, Image, limits};

/// Instructions at the entry among which the stack check stands.
const HEAD: usize = 4;
/// Compiled functions that are looked at, spread over the whole program: all are compiled by one compiler.
const FUNCTIONS: usize = 4096;
const STACK_SMALL: &str = "StackSmall";
const STACK_GUARD: &str = "stackGuard";

/// A stack check.
struct Check {
    /// The register that g is in.
    g: Register,
    /// What a frame needs more than this below RSP, where the check says so.
    below: Option<u64>,
}

/// The stack check of a function that begins with these instructions.
fn check(head: &[Instruction], guards: [Option<u64>; 2]) -> Option<Check> {
    let at = head.iter().position(|one| {
        one.mnemonic() == Mnemonic::Cmp
            && one.op1_kind() == OpKind::Memory
            && one.memory_index() == Register::None
            && one.segment_prefix() == Register::None
            && guards.contains(&Some(one.memory_displacement64()))
    })?;
    let compare = head.get(at)?;
    let lea = head.get(..at)?.iter().rfind(|one| {
        one.mnemonic() == Mnemonic::Lea
            && one.op0_register() == compare.op0_register()
            && one.memory_base() == Register::RSP
            && one.memory_index() == Register::None
    });
    Some(Check {
        g: compare.memory_base(),
        below: lea.map(|one| one.memory_displacement64().wrapping_neg()),
    })
}

/// g is where the version has it in most compiled functions, and all agree about small frames.
pub(super) fn stack_checks(image: &Image<'_>, claim: &Claim) -> Result<(), ImageError> {
    let guards =
        ["stackguard0", "stackguard1"].map(|field| G.offset(field, claim.release).map(u64::from));
    let [expected, other] = match image.facts.compiled_abi {
        Abi::AbiInternal => [Register::R14, Register::RCX],
        Abi::Abi0 => [Register::RCX, Register::R14],
    };
    let small = claim.constant(STACK_SMALL, false).unwrap_or(0);
    let step = image.functions.len() / FUNCTIONS + 1;
    let sample = image.functions.iter().step_by(step);
    let (mut compiled, mut known, mut contrary, mut frames) = (0usize, 0usize, 0usize, 0usize);
    for function in sample.filter(|one| is_compiled(image, one)) {
        compiled += 1;
        let Some(check) = check(&decode(image, function, HEAD), guards) else {
            continue;
        };
        known += usize::from(check.g == expected);
        contrary += usize::from(check.g == other);
        let is_compared = check.g == expected && frames < limits::FRAMES;
        let Some(below) = check.below.filter(|_| is_compared) else {
            continue;
        };
        frames += 1;
        let frame = frame(image, function);
        if frame.checked_sub(below).map(i128::from) != Some(i128::from(small)) {
            let found = format!(
                "{} of {frame} bytes that checks for {below} of them",
                function.name
            );
            return Err(unproven(
                function.entry,
                found,
                "a check for all but StackSmall of them",
            ));
        }
    }
    let found = || {
        format!(
            "{known} of {compiled} compiled functions with the known stack check, {contrary} with the other one"
        )
    };
    let at = image.module.minpc;
    if contrary > known && !ABI_IS_CHOSEN.contains(&claim.release) {
        return Err(unproven(at, found(), "g where the version has it"));
    }
    if known * 2 <= compiled || compiled == 0 {
        claim.missing(|| unproven(at, found(), "more than half of them"))?;
    }
    if image.tls_g.is_none() {
        claim.missing(|| unproven(at, "no load of g", "loads that agree"))?;
    }
    stack_guard(image, claim)
}

/// Bytes of a function's frame: the most that its SP deltas have.
fn frame(image: &Image<'_>, function: &Function<'_>) -> u64 {
    let deepest = image.pcsp(function).map(|(_, depth)| depth).max();
    u64::try_from(deepest.unwrap_or(0)).unwrap_or(0)
}

/// `StackGuard`, where the first goroutine gets its guard.
fn stack_guard(image: &Image<'_>, claim: &Claim) -> Result<(), ImageError> {
    let guard0 = G.offset("stackguard0", claim.release);
    let expected = claim
        .constant(STACK_GUARD, image.race)
        .and_then(|guard| u64::try_from(guard).ok());
    let found = image
        .functions_named("runtime.rt0_go")
        .take(limits::NAMESAKES)
        .find_map(|function| {
            let code = decode(image, function, usize::MAX);
            code.windows(3).find_map(|three| match three {
                [from, add, to] => {
                    let (low, _, offset) = load(from)?;
                    let (_, guard, value) = store(to)?;
                    let adds = add.mnemonic() == Mnemonic::Add
                        && add.op0_register() == low
                        && matches!(
                            add.op1_kind(),
                            OpKind::Immediate32to64 | OpKind::Immediate8to64
                        );
                    (adds
                        && value == low
                        && offset == image.facts.runtime.g_stack_lo
                        && Some(guard) == guard0)
                        .then(|| (function.entry, add.immediate(1)))
                }
                _ => None,
            })
        });
    match found {
        Some((_, guard)) if Some(guard) == expected => Ok(()),
        Some((at, guard)) => {
            let found = format!(
                "a stack guard of {guard} in runtime.rt0_go, {expected:?} by {}",
                claim.tables()
            );
            Err(unproven(at, found, "the stack guard of the version"))
        }
        None => claim.missing(|| {
            unproven(
                image.module.minpc,
                "no stack guard in runtime.rt0_go",
                "the stack guard of the version",
            )
        }),
    }
}
