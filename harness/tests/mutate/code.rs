//! Breaks the code of a plan: its trampolines, byte by byte.

use anyhow::{Context, Result, ensure};
use gondwana_engine::plan::{Plan, PlannedHook, WriteKind};
use iced_x86::code_asm::{CodeAssembler, qword_ptr, r12, rax, rsp};
use iced_x86::{Code, Instruction, Mnemonic, OpKind, Register};

use super::site::instructions;

const NOP: u8 = 0x90;
/// What a mapping is made of.
const PAGE: usize = 4096;
/// Bytes of the two copies of one more word, at most.
const COPIES: usize = 64;
/// Bytes of a call or jump with a 32-bit displacement.
const NEAR: usize = 5;

/// The code that a plan writes.
pub(crate) struct Text<'p> {
    start: u64,
    hooks: &'p [PlannedHook],
    old: &'p mut Vec<u8>,
    new: &'p mut Vec<u8>,
}

impl<'p> Text<'p> {
    pub(crate) fn of(plan: &'p mut Plan) -> Result<Self> {
        let mut writes = plan.writes.iter_mut();
        let write = writes
            .find(|write| write.kind == WriteKind::Code)
            .context("the plan writes no code")?;
        Ok(Self {
            start: write.at.get(),
            hooks: &plan.hooks,
            old: &mut write.old,
            new: &mut write.new,
        })
    }

    /// The bytes of one trampoline.
    pub(crate) fn trampoline(&self, hook: &PlannedHook) -> &[u8] {
        let span = hook.trampoline;
        let [from, to] = [span.start, span.end].map(|at| (at.get() - self.start) as usize);
        self.new.get(from..to).unwrap_or_default()
    }

    fn place(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        let from = at.checked_sub(self.start).context("before the code")? as usize;
        let place = self.new.get_mut(from..from + bytes.len());
        place.context("behind the code")?.copy_from_slice(bytes);
        Ok(())
    }

    /// Replaces an instruction by `nop`.
    fn delete(&mut self, instruction: &Instruction) -> Result<()> {
        self.place(instruction.ip(), &vec![NOP; instruction.len()])
    }

    /// In each trampoline, lets the conditional jumps that `is` names lead on, whatever they ask; there must be such a one.
    pub(crate) fn ignore(
        &mut self,
        what: &str,
        is: impl Fn(&PlannedHook, &[Instruction], &Instruction) -> bool,
    ) -> Result<()> {
        for hook in self.hooks {
            let all = instructions(hook, self.trampoline(hook));
            let jumps = all.iter().filter(|i| i.is_jcc_short_or_near());
            let ignored: Vec<&Instruction> = jumps.filter(|i| is(hook, &all, i)).collect();
            ensure!(
                !ignored.is_empty(),
                "the trampoline of {} has no {what}",
                hook.name
            );
            for jump in ignored {
                // The displacement is what it ends with.
                let width: usize = if jump.is_jcc_near() { 4 } else { 1 };
                self.place(jump.next_ip() - width as u64, &vec![0; width])?;
            }
        }
        Ok(())
    }

    /// In the first trampoline, replaces the instruction at an offset by `nop`.
    pub(crate) fn delete_at(&mut self, offset: u32, length: u32) -> Result<()> {
        let hook = self.hooks.first().context("no hook")?;
        let at = hook.trampoline.start.get() + u64::from(offset);
        self.place(at, &vec![NOP; length as usize])
    }

    /// `push rbp` becomes `push rax` (Intel SDM volume 2, PUSH: 55, 50).
    pub(crate) fn save_another_register(&mut self) -> Result<()> {
        for hook in self.hooks {
            let all = instructions(hook, self.trampoline(hook));
            let push = all.iter().find(|i| i.code() == Code::Push_r64);
            self.place(push.context("no push")?.ip(), &[0x50])?;
        }
        Ok(())
    }

    /// One word more than `f.args` is copied, both ways: behind the end of the code lie the copies, and the trampolines go
    /// there for what they do last before the call and before the return. The first ones do, as many as the page has room for.
    pub(crate) fn copy_one_word_more(&mut self) -> Result<()> {
        let room = self.new.len().next_multiple_of(PAGE);
        ensure!(
            self.new.len() + COPIES <= room,
            "the page of the code is full"
        );
        for hook in self.hooks {
            if self.new.len() + COPIES > room {
                break;
            }
            let all = instructions(hook, self.trampoline(hook));
            let window = hook.trampoline.reloc.get();
            let thunk = hook.trampoline.thunk.get();
            let call = all
                .iter()
                .find(|i| i.mnemonic() == Mnemonic::Call && i.near_branch_target() == window);
            let call = call.context("no call of the window")?.ip();
            let frame = all
                .iter()
                .find(|i| i.mnemonic() == Mnemonic::Sub && i.op0_register() == Register::RSP);
            let frame = frame.context("no frame")?.immediate(1) as i32;
            let leave = all.iter().position(|i| {
                i.ip() > thunk && i.mnemonic() == Mnemonic::Add && i.op0_register() == Register::RSP
            });
            let last = leave.and_then(|leave| all.get(leave.checked_sub(1)?));
            let last = last
                .filter(|i| {
                    i.op0_register() == Register::RAX
                        && i.op1_kind() == OpKind::Memory
                        && i.len() >= NEAR
                })
                .context("nothing to replace before the return")?;
            let args = hook.args as i32;
            let (own, callers) = (args, frame + 16 + args);

            // The return address of the call lies below the frame meanwhile.
            let mut a = CodeAssembler::new(64)?;
            a.mov(r12, qword_ptr(rsp + (callers + 8)))?;
            a.mov(qword_ptr(rsp + (own + 8)), r12)?;
            a.jmp(window)?;
            let to = self.append(&mut a)?;
            self.place(call, &near(0xe8, call, to)?)?;

            let mut a = CodeAssembler::new(64)?;
            a.mov(r12, qword_ptr(rsp + own))?;
            a.mov(qword_ptr(rsp + callers), r12)?;
            a.mov(rax, qword_ptr(rsp + last.memory_displacement32() as i32))?;
            a.jmp(last.next_ip())?;
            let to = self.append(&mut a)?;
            self.delete(last)?;
            self.place(last.ip(), &near(0xe9, last.ip(), to)?)?;
        }
        Ok(())
    }

    /// Appends code; where it lies.
    fn append(&mut self, a: &mut CodeAssembler) -> Result<u64> {
        let at = self.start + self.new.len() as u64;
        self.new.extend(a.assemble(at)?);
        self.old.resize(self.new.len(), 0);
        Ok(at)
    }
}

/// `e8` or `e9` at `from`, to `to`.
pub(crate) fn near(opcode: u8, from: u64, to: u64) -> Result<Vec<u8>> {
    let distance = to.wrapping_sub(from + NEAR as u64).cast_signed();
    let distance = i32::try_from(distance).context("too far")?;
    Ok([&[opcode][..], &distance.to_le_bytes()].concat())
}

/// Where the part lies that counts in a word of the rings' header and then runs the function without its hook; what it asks
/// before it counts belongs to it.
pub(crate) fn skip_of(all: &[Instruction], counter: u64) -> Option<u64> {
    let count = all
        .iter()
        .position(|i| i.code() == Code::Mov_r64_imm64 && i.immediate64() == counter)?;
    // The part before ends with a jump that always leads away.
    let before = all.get(..count)?;
    let first = before
        .iter()
        .rposition(|i| matches!(i.mnemonic(), Mnemonic::Jmp | Mnemonic::Ret))?;
    all.get(first + 1).map(Instruction::ip)
}
