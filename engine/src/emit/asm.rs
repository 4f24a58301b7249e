//! The few assembling idioms that every part of a trampoline uses, over iced's code assembler.

use iced_x86::code_asm::{
    AsmRegister64, CodeAssembler, CodeLabel, byte_ptr, dword_ptr,
    gpr64::*,
    qword_ptr,
    registers::{gpr8::*, gpr16::*, gpr32::*},
    word_ptr,
};
use iced_x86::{Code, IcedError, Instruction, Register};

/// Loads a 64-bit constant in its long form, so that no address changes the length of the code.
pub(super) fn load_address(
    a: &mut CodeAssembler,
    register: Register,
    address: u64,
) -> Result<(), IcedError> {
    a.add_instruction(Instruction::with2(Code::Mov_r64_imm64, register, address)?)
}

/// `register = [rsp+offset]`.
pub(super) fn load_slot(
    a: &mut CodeAssembler,
    register: AsmRegister64,
    offset: u32,
) -> Result<(), IcedError> {
    a.mov(register, qword_ptr(rsp + offset as i32))
}

/// `[rsp+offset] = register`.
pub(super) fn store_slot(
    a: &mut CodeAssembler,
    offset: u32,
    register: AsmRegister64,
) -> Result<(), IcedError> {
    a.mov(qword_ptr(rsp + offset as i32), register)
}

/// Reads the time stamp counter into RDX; RAX is lost. Not serialising on purpose: `lfence` costs as much as the rest of
/// the probe, and a span's ends may drift by some instructions.
pub(super) fn read_tsc(a: &mut CodeAssembler) -> Result<(), IcedError> {
    a.rdtsc()?;
    a.shl(rdx, 32)?;
    a.or(rdx, rax)
}

/// Words up to which a copy is written out rather than looped.
const UNROLLED_WORDS: u32 = 8;

/// Copies exactly `bytes` bytes from `[rsp+from]` to `[rsp+to]` through R12 (and R13 as counter); flags are lost.
pub(super) fn copy_stack(
    a: &mut CodeAssembler,
    from: u32,
    to: u32,
    bytes: u32,
) -> Result<(), IcedError> {
    let words = bytes / 8;
    if words <= UNROLLED_WORDS {
        for word in 0..words {
            load_slot(a, r12, from + 8 * word)?;
            store_slot(a, to + 8 * word, r12)?;
        }
    } else {
        let mut next: CodeLabel = a.create_label();
        a.mov(r13d, words)?;
        a.set_label(&mut next)?;
        a.mov(r12, qword_ptr(rsp + r13 * 8 + (from as i32 - 8)))?;
        a.mov(qword_ptr(rsp + r13 * 8 + (to as i32 - 8)), r12)?;
        a.dec(r13)?;
        a.jne(next)?;
    }
    let mut done = 8 * words;
    if bytes - done >= 4 {
        a.mov(r12d, dword_ptr(rsp + (from + done) as i32))?;
        a.mov(dword_ptr(rsp + (to + done) as i32), r12d)?;
        done += 4;
    }
    if bytes - done >= 2 {
        a.mov(r12w, word_ptr(rsp + (from + done) as i32))?;
        a.mov(word_ptr(rsp + (to + done) as i32), r12w)?;
        done += 2;
    }
    if bytes > done {
        a.mov(r12b, byte_ptr(rsp + (from + done) as i32))?;
        a.mov(byte_ptr(rsp + (to + done) as i32), r12b)?;
    }
    Ok(())
}
