//! The code of a program -> the `fs:`-relative offset of the thread-local g.
//!
//! The offset is -8 unless C code brings thread-local data of its own, so it is decoded, not assumed: up to 1.16 every
//! function with a stack check loads g into RCX, from 1.17 on functions of the stack-only ABI load it into R14
//! (`cmd/internal/obj/x86/obj6.go`, `load_g_cx`, `load_g`; `cmd/compile/internal/amd64/ssa.go`, `getgFromTLS`). Two forms:
//!
//! ```text
//! 64 48 8b 0c 25 f8 ff ff ff     mov rcx, fs:[-8]
//! 48 c7 c1 f8 ff ff ff           mov rcx, -8            (code for position-independent programs)
//! 64 48 8b 09                    mov rcx, fs:[rcx]
//! ```

use iced_x86::{Code, Decoder, DecoderOptions, Instruction, OpKind, Register};

use super::elf::Elf;
use super::{Function, limits};

/// The offset that all loads of g agree on; `None` if there is none, or if two disagree.
pub(super) fn offset_of_g(elf: &Elf<'_>, functions: &[Function<'_>]) -> Option<i32> {
    let loads = functions.iter().filter_map(|function| {
        let len = (function.size as usize).min(limits::TLS_WINDOW);
        let code = elf.bytes(function.entry, len)?;
        may_load_g(code).then(|| load_of_g(code))
    });
    let mut loads = loads.take(limits::TLS_SITES).flatten();
    let first = loads.next()?;
    loads.all(|other| other == first).then_some(first)
}

/// Whether the bytes of a load stand anywhere in `code`: cheap, and may be wrong.
fn may_load_g(code: &[u8]) -> bool {
    const LOADS: [&[u8]; 4] = [
        &[0x48, 0x8b, 0x0c, 0x25],
        &[0x4c, 0x8b, 0x34, 0x25],
        &[0x48, 0x8b, 0x09],
        &[0x4d, 0x8b, 0x36],
    ];
    memchr::memchr_iter(0x64, code).any(|at| {
        code.get(at + 1..)
            .is_some_and(|rest| LOADS.iter().any(|load| rest.starts_with(load)))
    })
}

/// The offset in the first load of g in `code`, which starts at a function's entry.
fn load_of_g(code: &[u8]) -> Option<i32> {
    let mut previous = Instruction::default();
    for instruction in Decoder::new(64, code, DecoderOptions::NONE) {
        if let Some(offset) = load(&previous, &instruction) {
            return Some(offset);
        }
        previous = instruction;
    }
    None
}

fn load(previous: &Instruction, instruction: &Instruction) -> Option<i32> {
    let g = instruction.op0_register();
    let is_load = instruction.code() == Code::Mov_r64_rm64
        && instruction.op1_kind() == OpKind::Memory
        && instruction.segment_prefix() == Register::FS
        && matches!(g, Register::RCX | Register::R14)
        && instruction.memory_index() == Register::None;
    if !is_load {
        return None;
    }
    if instruction.memory_base() == Register::None {
        return i32::try_from(instruction.memory_displacement64() as i64).ok();
    }
    let has_offset = previous.code() == Code::Mov_rm64_imm32
        && previous.op0_kind() == OpKind::Register
        && previous.op0_register() == g
        && instruction.memory_base() == g
        && instruction.memory_displacement64() == 0;
    has_offset.then(|| previous.immediate32to64() as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_and_both_registers_are_read() {
        let direct = [0x64, 0x48, 0x8b, 0x0c, 0x25, 0xf8, 0xff, 0xff, 0xff];
        let direct_r14 = [0x90, 0x64, 0x4c, 0x8b, 0x34, 0x25, 0xf0, 0xff, 0xff, 0xff];
        let relaxed = [
            0x48, 0xc7, 0xc1, 0xf8, 0xff, 0xff, 0xff, 0x64, 0x48, 0x8b, 0x09,
        ];
        let relaxed_r14 = [
            0x49, 0xc7, 0xc6, 0xe8, 0xff, 0xff, 0xff, 0x64, 0x4d, 0x8b, 0x36,
        ];
        let cases: [(&[u8], i32); 4] = [
            (&direct, -8),
            (&direct_r14, -16),
            (&relaxed, -8),
            (&relaxed_r14, -24),
        ];
        for (code, offset) in cases {
            assert!(may_load_g(code), "{code:02x?}");
            assert_eq!(load_of_g(code), Some(offset), "{code:02x?}");
        }
    }

    #[test]
    fn bytes_inside_other_instructions_are_no_load() {
        // mov rax, imm64 that holds the bytes of a load.
        let hidden = [
            0x48, 0xb8, 0x64, 0x48, 0x8b, 0x0c, 0x25, 0xf8, 0xff, 0xff, 0xff, 0x90,
        ];
        assert!(may_load_g(&hidden));
        assert_eq!(load_of_g(&hidden), None);
        // The immediate went into another register.
        let other = [
            0x48, 0xc7, 0xc0, 0xf8, 0xff, 0xff, 0xff, 0x64, 0x48, 0x8b, 0x09,
        ];
        assert_eq!(load_of_g(&other), None);
        // gs, not fs.
        assert_eq!(
            load_of_g(&[0x65, 0x48, 0x8b, 0x0c, 0x25, 0xf8, 0xff, 0xff, 0xff]),
            None
        );
    }
}
