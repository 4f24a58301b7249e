//! Arbitrary bytes as a function's code -> does what the rooms `site` and `relocate` make of them hold?
//!
//! The checker of tests and of the fuzz target `prologue_window`: it decodes the moved bytes and compares meanings, and
//! shares nothing with the generator. Not used by the engine itself.

use iced_x86::{Code, Decoder, DecoderOptions, Instruction, OpKind};

use super::{Relocated, length, window};
use crate::addr::{LinkAddr, RunAddr, Slide};
use crate::golang::{Abi, GoVersion, NEWEST, OLDEST};
use crate::image::Function;
use crate::site::{Body, Branch, Refusal, Site, decide, limits};

/// What came of a case without a fault.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Checked {
    /// Moved, and what came out means the same.
    Moved(Relocated),
    /// Not moved, with a reason.
    Refused(Refusal),
    /// Too few bytes to make a case of.
    Vacuous,
}

/// A case from a fuzzer's bytes: version, marks, distance, slide, then code.
pub fn case(data: &[u8]) -> Result<Checked, String> {
    let Some((&[minor, marks, a, b, c, d, slide, args], code)) = data.split_first_chunk::<8>()
    else {
        return Ok(Checked::Vacuous);
    };
    let entry = LinkAddr::new(0x40_1000);
    let slide = Slide::between(entry, RunAddr::new(0x40_1000 + (u64::from(slide) << 12)));
    let distance = i64::from(i32::from_le_bytes([a, b, c, d]));
    let at = RunAddr::new(slide.run(entry).get().wrapping_add_signed(distance));
    let version = GoVersion::new(OLDEST + u16::from(minor) % (NEWEST - OLDEST + 1), 0);
    site_case(code, entry, version, marks, args)?;
    window_case(code, entry, at, slide)
}

/// The decision on arbitrary code: a site must keep what it promises.
fn site_case(
    code: &[u8],
    entry: LinkAddr,
    version: GoVersion,
    marks: u8,
    args: u8,
) -> Result<(), String> {
    let function = Function {
        name: "main.f",
        entry,
        size: u32::try_from(code.len()).map_err(|error| error.to_string())?,
        args: (args != u8::MAX).then_some(u32::from(args)),
        func_id: 0,
        flags: marks & 4,
        deferreturn: 0,
        has_args_map: marks & 1 != 0,
        has_locals_map: marks & 2 != 0,
        record: LinkAddr::new(0),
    };
    let body = Body {
        function,
        code,
        version,
        compiled_abi: if marks & 8 == 0 {
            Abi::Abi0
        } else {
            Abi::AbiInternal
        },
        assembly_branch: &|range| {
            (marks & 16 != 0 && range.contains(&entry)).then_some(Branch {
                from: LinkAddr::new(0),
                to: entry,
            })
        },
        hashed: false,
        new: false,
        function_at: &|at| Some(("runtime.morestack_noctxt", at)),
        pcsp: &|| {
            vec![
                (entry.checked_add(3).unwrap_or(entry), 0),
                (entry.checked_add(64).unwrap_or(entry), 24),
            ]
        },
    };
    match decide(&body) {
        Ok(site) => check_site(&site, code),
        Err(_) => Ok(()),
    }
}

fn check_site(site: &Site<'_>, code: &[u8]) -> Result<(), String> {
    let len = usize::from(site.window_len);
    ensure(
        code.starts_with(site.window) && site.window.len() == len,
        "the window is not the code's start",
    )?;
    ensure(
        (limits::JUMP..=limits::MAX_WINDOW).contains(&len),
        "the window's length",
    )?;
    ensure(!site.displaced.is_empty(), "nothing is displaced")?;
    length(&site.displaced)
        .map(drop)
        .map_err(|refusal| format!("a site that cannot be moved: {refusal}"))
}

/// Moves a window of arbitrary code and checks the result.
pub fn window_case(
    code: &[u8],
    entry: LinkAddr,
    at: RunAddr,
    slide: Slide,
) -> Result<Checked, String> {
    let mut displaced = Vec::new();
    let mut taken = 0;
    for instruction in &mut Decoder::with_ip(64, code, entry.get(), DecoderOptions::NONE) {
        taken += instruction.len();
        displaced.push(instruction);
        if taken >= limits::JUMP {
            break;
        }
    }
    let Some(bytes) = code.get(..taken).filter(|_| taken >= limits::JUMP) else {
        return Ok(Checked::Vacuous);
    };
    match window(bytes, &displaced, at, slide) {
        Ok(relocated) => {
            let end = entry.checked_add(taken as u64).ok_or("the window's end")?;
            check(&displaced, end, &relocated, at, slide)?;
            Ok(Checked::Moved(relocated))
        }
        Err(refusal) => Ok(Checked::Refused(refusal)),
    }
}

/// Checks that `relocated`, at `at`, does what `displaced` does and goes on at `end`.
pub fn check(
    displaced: &[Instruction],
    end: LinkAddr,
    relocated: &Relocated,
    at: RunAddr,
    slide: Slide,
) -> Result<(), String> {
    let promised = length(displaced)
        .map_err(|refusal| format!("moved, but its length is refused: {refusal}"))?;
    ensure(
        promised == relocated.bytes.len(),
        "the length differs from what was promised",
    )?;
    ensure(
        relocated.moved.len() == displaced.len(),
        "not every instruction is in the map",
    )?;
    let mut decoder = Decoder::with_ip(64, &relocated.bytes, at.get(), DecoderOptions::NONE);
    for (old, &(from, to)) in displaced.iter().zip(&relocated.moved) {
        ensure(from == slide.run(LinkAddr::new(old.ip())), "an old address")?;
        ensure(
            to.get() == decoder.ip(),
            "a new address is not where the code is",
        )?;
        let new = decoder.decode();
        same(old, &new, &mut decoder, slide).map_err(|what| format!("{old} -> {new}: {what}"))?;
    }
    match relocated.resume {
        None if relocated.pushed.is_some() => {
            let back = relocated
                .bytes
                .get(decoder.position()..)
                .unwrap_or_default();
            ensure(
                back == slide.run(end).get().to_le_bytes(),
                "another return address",
            )
        }
        None => ensure(!decoder.can_decode(), "code behind the end"),
        Some(resume) => {
            ensure(
                decoder.position() == resume as usize,
                "the jump back is not at its offset",
            )?;
            let back = decoder.decode();
            ensure(
                back.code() == Code::Jmp_rel32_64 && !decoder.can_decode(),
                "the last instruction is no jump back",
            )?;
            ensure(
                back.near_branch_target() == slide.run(end).get(),
                "the jump back goes elsewhere",
            )
        }
    }
}

/// Whether `new` means what `old` means, addresses moved by `slide`.
fn same(
    old: &Instruction,
    new: &Instruction,
    decoder: &mut Decoder<'_>,
    slide: Slide,
) -> Result<(), String> {
    let run = |link: u64| slide.run(LinkAddr::new(link)).get();
    if old.code() == Code::Call_rel32_64 {
        // The return address, which lies behind the jump, then the jump.
        let jump = decoder.decode();
        ensure(
            new.code() == Code::Push_rm64
                && new.is_ip_rel_memory_operand()
                && new.ip_rel_memory_address() == jump.next_ip(),
            "it does not push what follows",
        )?;
        return ensure(
            jump.code() == Code::Jmp_rel32_64
                && jump.near_branch_target() == run(old.near_branch_target()),
            "another callee",
        );
    }
    if old.op0_kind() == OpKind::NearBranch64 {
        ensure(old.mnemonic() == new.mnemonic(), "another operation")?;
        let mut target = new.near_branch_target();
        if old.is_jcx_short() || old.is_loop() || old.is_loopcc() {
            // Taken: to the near jump. Not taken: over it.
            let over = decoder.decode();
            let near = decoder.decode();
            ensure(old.code() == new.code(), "another counter")?;
            ensure(
                target == near.ip() && over.near_branch_target() == near.next_ip(),
                "the detour is broken",
            )?;
            target = near.near_branch_target();
        }
        return ensure(target == run(old.near_branch_target()), "another target");
    }
    if old.is_ip_rel_memory_operand() {
        ensure(
            new.ip_rel_memory_address() == run(old.ip_rel_memory_address()),
            "another operand",
        )?;
        let mut moved = *new;
        moved.set_memory_displacement64(old.memory_displacement64());
        return ensure(moved == *old, "more than the operand differs");
    }
    ensure(new == old, "another instruction")
}

fn ensure(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}
