//! A page that an instruction may not access -> the exact address, as the processor puts it into CR2.
//!
//! Unicorn says which page; which byte of it the instruction wanted first follows from its operands.

use iced_x86::{Decoder, DecoderOptions, InstructionInfoFactory, OpAccess, Register};

use super::cpu::Access;
use super::memory::PAGE;
use super::registers::Registers;

/// The first byte in the page at `page` that the instruction in `code` at RIP accesses; the page itself if that cannot be
/// told.
pub(super) fn address(
    code: &[u8],
    regs: &Registers,
    gs_base: u64,
    page: u64,
    access: Access,
) -> u64 {
    if access == Access::Fetch {
        return regs.rip.max(page);
    }
    let instruction = Decoder::with_ip(64, code, regs.rip, DecoderOptions::NONE).decode();
    let mut factory = InstructionInfoFactory::new();
    let info = factory.info(&instruction);
    let touched = info.used_memory().iter().filter_map(|memory| {
        let reads = matches!(
            memory.access(),
            OpAccess::Read | OpAccess::CondRead | OpAccess::ReadWrite | OpAccess::ReadCondWrite
        );
        let writes = matches!(
            memory.access(),
            OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite
        );
        if access == Access::Read && !reads || access == Access::Write && !writes {
            return None;
        }
        let start = memory.virtual_address(0, |register, _, _| value(regs, gs_base, register))?;
        let last = start.wrapping_add((memory.memory_size().size() as u64).max(1) - 1);
        let first = start.max(page);
        (first <= last && first - page < PAGE).then_some(first)
    });
    touched.min().unwrap_or(page)
}

/// What a register adds to an address.
fn value(regs: &Registers, gs_base: u64, register: Register) -> Option<u64> {
    let whole = match register.full_register() {
        Register::RAX => regs.rax,
        Register::RBX => regs.rbx,
        Register::RCX => regs.rcx,
        Register::RDX => regs.rdx,
        Register::RSI => regs.rsi,
        Register::RDI => regs.rdi,
        Register::RBP => regs.rbp,
        Register::RSP => regs.rsp,
        Register::R8 => regs.r8,
        Register::R9 => regs.r9,
        Register::R10 => regs.r10,
        Register::R11 => regs.r11,
        Register::R12 => regs.r12,
        Register::R13 => regs.r13,
        Register::R14 => regs.r14,
        Register::R15 => regs.r15,
        Register::FS => regs.fs_base,
        Register::GS => gs_base,
        Register::CS | Register::DS | Register::ES | Register::SS => 0,
        _ => return None,
    };
    Some(match register.size() {
        4 => whole & 0xffff_ffff,
        _ => whole,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_in_the_page_is_found() {
        let regs = Registers {
            rip: 0x40_0000,
            rax: 0x10,
            rcx: 0x7fff_0ffc,
            rsp: 0x2000,
            fs_base: 0x9000,
            ..Registers::default()
        };
        for (code, page, access, expected) in [
            (&[0x48, 0x89, 0x48, 0x08][..], 0, Access::Write, 0x18), // mov [rax+8],rcx
            (&[0x48, 0x8b, 0x01], 0x7fff_1000, Access::Read, 0x7fff_1000), // mov rax,[rcx]
            (&[0x48, 0x8b, 0x01], 0x7fff_0000, Access::Read, 0x7fff_0ffc),
            (&[0x50], 0x1000, Access::Write, 0x1ff8), // push rax
            (
                &[0x64, 0x48, 0x8b, 0x40, 0xf8],
                0x9000,
                Access::Read,
                0x9008,
            ), // mov rax,fs:[rax-8]
            (&[0x90], 0x40_1000, Access::Fetch, 0x40_1000),
            (&[0x90], 0x5000, Access::Read, 0x5000), // no operand: the page
        ] {
            assert_eq!(address(code, &regs, 0, page, access), expected, "{code:x?}");
        }
    }
}
