//! The relocated window against the original one, instruction by instruction.
//!
//! Each displaced instruction must stand at the place that the plan's map gives, as the same bytes; only what names an
//! address may differ, and must name the same address (or, inside the window, the new place of the same instruction). The
//! code ends with a jump to the byte behind the window unless the window ends the function, or ends with a `call`. That call
//! must push the return address of its original place and jump: then the callee returns behind the window, and nobody who
//! looks at the stack sees a difference. Up to 1.17 `runtime.jmpdefer` goes back five bytes from the return address of
//! `runtime.deferreturn` to make that call again, which is no longer there: it is rejected.

use iced_x86::{Code as Op, Decoder, DecoderOptions, FlowControl, Instruction, Mnemonic, OpKind};

use crate::addr::RunAddr;
use crate::plan::{Plan, PlannedHook};

use super::writes::Memory;
use super::{Findings, Original, RejectionCode as Code};

/// Bytes of the jump back.
const JUMP: u64 = 5;

struct Window<'a> {
    hook: &'a PlannedHook,
    /// The displaced instructions, at their original addresses.
    old: Vec<Instruction>,
    /// The relocated code.
    new: &'a [u8],
}

pub(super) type Finding = (Code, RunAddr, String, String);

/// Checks one hook.
pub(super) fn check(
    original: &dyn Original,
    plan: &Plan,
    hook: &PlannedHook,
    memory: &Memory<'_>,
    findings: &mut Findings,
) {
    let span = hook.trampoline;
    let Some(new) = memory.code.range(span.reloc, span.end) else {
        findings.add(
            Code::Hook,
            span.reloc,
            "outside the code",
            "a relocated window",
        );
        return;
    };
    let result = decode(hook).and_then(|old| {
        callee_does_not_look_back(original, plan, &old)?;
        Window { hook, old, new }.check()
    });
    if let Err((code, at, found, expected)) = result {
        findings.add(code, at, found, expected);
    }
}

fn ends_function(instruction: &Instruction) -> bool {
    matches!(
        instruction.flow_control(),
        FlowControl::Return | FlowControl::UnconditionalBranch | FlowControl::IndirectBranch
    ) || instruction.mnemonic() == Mnemonic::Ud2
}

/// `call rel32`.
fn is_call(instruction: &Instruction) -> bool {
    instruction.code() == Op::Call_rel32_64
}

/// A displaced call must be of a function's entry, and not of one that reads the code before its return address.
fn callee_does_not_look_back(
    original: &dyn Original,
    plan: &Plan,
    old: &[Instruction],
) -> Result<(), Finding> {
    let Some(call) = old.iter().find(|instruction| is_call(instruction)) else {
        return Ok(());
    };
    let link = plan
        .placement
        .slide
        .link(RunAddr::new(call.near_branch64()));
    let callee = original.function_at(link);
    if callee.is_some_and(|callee| callee.entry == link && callee.name != "runtime.deferreturn") {
        return Ok(());
    }
    let name = callee.map_or("no function", |callee| callee.name);
    Err((
        Code::Displaced,
        RunAddr::new(call.ip()),
        format!("a displaced call of {name}"),
        "a callee that does not look at the code before its return address".to_owned(),
    ))
}

/// The instructions of the window, up to one that ends the function; only fillers may follow that.
pub(super) fn decode(hook: &PlannedHook) -> Result<Vec<Instruction>, Finding> {
    let mut decoder = Decoder::with_ip(64, &hook.window, hook.entry.get(), DecoderOptions::NONE);
    let mut list = Vec::new();
    while decoder.can_decode() {
        let instruction = decoder.decode();
        let at = RunAddr::new(instruction.ip());
        if instruction.code() == Op::INVALID {
            return Err((
                Code::Displaced,
                at,
                "half an instruction".to_owned(),
                "a window of whole ones".to_owned(),
            ));
        }
        list.push(instruction);
        if ends_function(&instruction) {
            let rest = hook.window.get(decoder.position()..).unwrap_or_default();
            // int3, zeros (Go before 1.13) or one-byte nops
            let filler = rest.iter().all(|byte| matches!(byte, 0xcc | 0x00 | 0x90));
            if !filler {
                return Err((
                    Code::Displaced,
                    at,
                    format!("{rest:02x?} behind the end of the function"),
                    "fillers".to_owned(),
                ));
            }
            break;
        }
    }
    Ok(list)
}

impl Window<'_> {
    fn check(&self) -> Result<(), Finding> {
        let span = self.hook.trampoline;
        let olds: Vec<u64> = self.hook.moved.iter().map(|(old, _)| old.get()).collect();
        let expected: Vec<u64> = self.old.iter().map(Instruction::ip).collect();
        if olds != expected || self.old.is_empty() {
            return Err((
                Code::Moved,
                self.hook.entry,
                format!("{olds:x?}"),
                format!("{expected:x?}"),
            ));
        }
        let back = self.back()?;
        let starts: Vec<RunAddr> = self.hook.moved.iter().map(|(_, new)| *new).collect();
        let ends = starts.iter().skip(1).copied().chain([back]);
        let rising = starts.first() == Some(&span.reloc)
            && starts.iter().copied().zip(ends.clone()).all(|(a, b)| a < b);
        if !rising {
            return Err((
                Code::Moved,
                span.reloc,
                format!("{starts:?} up to {back}"),
                format!("rising from {}", span.reloc),
            ));
        }
        for ((old, start), end) in self.old.iter().zip(starts.iter().copied()).zip(ends) {
            self.instruction(old, start, end)?;
        }
        Ok(())
    }

    /// Where the last displaced instruction ends: at the jump back, which must be right, or at the end of it all.
    fn back(&self) -> Result<RunAddr, Finding> {
        let span = self.hook.trampoline;
        if self
            .old
            .last()
            .is_some_and(|last| ends_function(last) || is_call(last))
        {
            return Ok(span.end);
        }
        let wrong = |found: String| {
            let to = self.behind();
            (
                Code::Displaced,
                span.end,
                found,
                format!("a jump to {to:#x} as the last bytes"),
            )
        };
        let start = span
            .end
            .checked_sub(JUMP)
            .filter(|&start| start > span.reloc)
            .ok_or_else(|| wrong("nothing".to_owned()))?;
        let bytes = self.bytes(start, span.end);
        match self.single(bytes, start) {
            Some(jump)
                if jump.code() == Op::Jmp_rel32_64 && jump.near_branch64() == self.behind() =>
            {
                Ok(start)
            }
            _ => Err(wrong(format!("{bytes:02x?}"))),
        }
    }

    /// The byte behind the window.
    fn behind(&self) -> u64 {
        let len = self.hook.window.len() as u64;
        self.hook.entry.get().wrapping_add(len)
    }

    fn bytes(&self, from: RunAddr, to: RunAddr) -> &[u8] {
        let offset = |at: RunAddr| {
            at.offset_from(self.hook.trampoline.reloc)
                .and_then(|x| usize::try_from(x).ok())
        };
        match (offset(from), offset(to)) {
            (Some(from), Some(to)) => self.new.get(from..to).unwrap_or_default(),
            _ => &[],
        }
    }

    /// `bytes` as exactly one instruction at `at`.
    fn single(&self, bytes: &[u8], at: RunAddr) -> Option<Instruction> {
        let mut decoder = Decoder::with_ip(64, bytes, at.get(), DecoderOptions::NONE);
        let instruction = decoder.decode();
        (instruction.code() != Op::INVALID && instruction.len() == bytes.len())
            .then_some(instruction)
    }

    /// Where a jump to `target` must go now.
    fn moved_target(&self, target: u64) -> Option<u64> {
        if target < self.hook.entry.get() || target >= self.behind() {
            return Some(target);
        }
        let known = self.hook.moved.iter().find(|(old, _)| old.get() == target);
        known.map(|(_, new)| new.get())
    }

    fn instruction(&self, old: &Instruction, start: RunAddr, end: RunAddr) -> Result<(), Finding> {
        let bytes = self.bytes(start, end);
        let same = match old.flow_control() {
            FlowControl::Call if is_call(old) && old.next_ip() == self.behind() => {
                self.call(old, bytes, start)
            }
            FlowControl::Call | FlowControl::IndirectCall => false,
            FlowControl::ConditionalBranch if old.is_loop() || old.is_loopcc() || is_jrcxz(old) => {
                self.counted(old, start, end)
            }
            FlowControl::ConditionalBranch | FlowControl::UnconditionalBranch
                if old.op0_kind() == OpKind::NearBranch64 =>
            {
                self.branch(old, bytes, start)
            }
            _ if old.is_ip_rel_memory_operand() => self.ip_relative(old, bytes, start),
            _ => bytes == self.original(old),
        };
        if same {
            return Ok(());
        }
        let shown = self.single(bytes, start).map(|new| new.to_string());
        Err((
            Code::Displaced,
            start,
            format!("{bytes:02x?} {}", shown.unwrap_or_default()),
            format!("{:02x?} {old}", self.original(old)),
        ))
    }

    fn original(&self, old: &Instruction) -> &[u8] {
        let offset = old.ip().wrapping_sub(self.hook.entry.get());
        usize::try_from(offset)
            .ok()
            .and_then(|from| self.hook.window.get(from..from.checked_add(old.len())?))
            .unwrap_or_default()
    }

    /// A call: `push qword [rip+5]`, `jmp` to the same callee, and the original return address, which is what is pushed.
    fn call(&self, old: &Instruction, bytes: &[u8], start: RunAddr) -> bool {
        let (push, rest) = bytes.split_at(bytes.len().min(6));
        let (jump, back) = rest.split_at(rest.len().min(5));
        let at = start.checked_add(push.len() as u64).unwrap_or(start);
        let jumps = self.single(jump, at).is_some_and(|new| {
            new.code() == Op::Jmp_rel32_64
                && jump.first() == Some(&0xe9)
                && new.near_branch64() == old.near_branch64()
        });
        push == [0xff, 0x35, 5, 0, 0, 0] && jumps && back == old.next_ip().to_le_bytes()
    }

    /// `jmp` or `jcc`: the same condition, the same target, in the long form without prefixes or unchanged in length.
    fn branch(&self, old: &Instruction, bytes: &[u8], start: RunAddr) -> bool {
        let Some(new) = self.single(bytes, start) else {
            return false;
        };
        let plain = match bytes.first() {
            Some(0xe9) => new.len() == 5,
            Some(0x0f) => new.len() == 6,
            Some(0xeb | 0x70..=0x7f) => new.len() == 2,
            _ => false,
        };
        plain
            && new.mnemonic() == old.mnemonic()
            && new.op0_kind() == OpKind::NearBranch64
            && Some(new.near_branch64()) == self.moved_target(old.near_branch64())
    }

    /// A memory operand relative to RIP: all bytes as they were but the displacement, which names the same address.
    fn ip_relative(&self, old: &Instruction, bytes: &[u8], start: RunAddr) -> bool {
        let before = self.original(old);
        let mut decoder = Decoder::with_ip(64, bytes, start.get(), DecoderOptions::NONE);
        let new = decoder.decode();
        let offsets = decoder.get_constant_offsets(&new);
        if new.code() == Op::INVALID
            || bytes.len() != before.len()
            || !offsets.has_displacement()
            || offsets.displacement_size() != 4
        {
            return false;
        }
        let field = offsets.displacement_offset()..offsets.displacement_offset() + 4;
        let rest_same = bytes
            .iter()
            .zip(before)
            .enumerate()
            .all(|(i, (a, b))| field.contains(&i) || a == b);
        rest_same
            && new.len() == bytes.len()
            && new.memory_base() == old.memory_base()
            && new.ip_rel_memory_address() == old.ip_rel_memory_address()
    }

    /// `loop`, `jrcxz` and their kin have no long form: the same instruction once, and jumps. Both ways are followed.
    fn counted(&self, old: &Instruction, start: RunAddr, end: RunAddr) -> bool {
        let mut used = 0;
        let ways = [true, false].map(|taken| self.follow(old, start, end, taken, &mut used));
        let target = self.moved_target(old.near_branch64());
        let distinct = self.bytes(start, end).len();
        target.is_some() && ways == [target, Some(end.get())] && used == distinct
    }

    /// Where control leaves `[start, end)` if the counted branch is (not) taken. `used` gets the bytes executed: those of
    /// the first way, then those that only the second one executes.
    fn follow(
        &self,
        old: &Instruction,
        start: RunAddr,
        end: RunAddr,
        taken: bool,
        used: &mut usize,
    ) -> Option<u64> {
        let mut ip = start.get();
        let mut decided = false;
        for _ in 0..4 {
            if !(start.get()..end.get()).contains(&ip) {
                return decided.then_some(ip);
            }
            let rest = self.bytes(RunAddr::new(ip), end);
            let instruction = Decoder::with_ip(64, rest, ip, DecoderOptions::NONE).decode();
            let unprefixed = match instruction.mnemonic() {
                Mnemonic::Jmp => matches!(
                    (rest.first(), instruction.len()),
                    (Some(0xe9), 5) | (Some(0xeb), 2)
                ),
                _ => {
                    rest.get(..instruction.len().saturating_sub(1))
                        == self.original(old).split_last().map(|(_, head)| head)
                }
            };
            if !unprefixed {
                return None;
            }
            let counts = instruction.mnemonic() != Mnemonic::Jmp;
            if counts && decided {
                return None;
            }
            // The counted instruction lies on both ways, each jump on one of them.
            if !counts || taken {
                *used += instruction.len();
            }
            decided |= counts;
            ip = if counts && !taken {
                instruction.next_ip()
            } else {
                instruction.near_branch64()
            };
        }
        None
    }
}

fn is_jrcxz(instruction: &Instruction) -> bool {
    matches!(
        instruction.mnemonic(),
        Mnemonic::Jcxz | Mnemonic::Jecxz | Mnemonic::Jrcxz
    )
}
