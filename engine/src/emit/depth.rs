//! How displaced instructions move the stack pointer, for the `pcsp` table of the relocated window.

use iced_x86::{Instruction, Mnemonic, OpKind, Register};

/// What one instruction adds to the distance between RSP and the return address, in bytes; `None` if it sets RSP in a
/// way that is not followed here, and the function must be refused.
#[must_use]
pub fn stack_delta(instruction: &Instruction) -> Option<i32> {
    use iced_x86::{InstructionInfoFactory, OpAccess};
    let to_rsp = instruction.op_count() > 0
        && instruction.op0_kind() == OpKind::Register
        && instruction.op0_register() == Register::RSP;
    match instruction.mnemonic() {
        // A return or call leaves the window; what follows starts anew.
        Mnemonic::Ret | Mnemonic::Call | Mnemonic::Jmp => Some(0),
        Mnemonic::Sub | Mnemonic::Add if to_rsp => {
            let amount = match instruction.op1_kind() {
                OpKind::Immediate8to64 | OpKind::Immediate32to64 => {
                    i32::try_from(instruction.immediate(1) as i64)
                }
                _ => return None,
            };
            let amount = amount.ok()?;
            if instruction.mnemonic() == Mnemonic::Sub {
                Some(amount)
            } else {
                amount.checked_neg()
            }
        }
        Mnemonic::Lea if to_rsp => {
            let plain = instruction.memory_base() == Register::RSP
                && instruction.memory_index() == Register::None;
            let moved = i32::try_from(instruction.memory_displacement64() as i64).ok()?;
            if plain { moved.checked_neg() } else { None }
        }
        Mnemonic::Push | Mnemonic::Pop | Mnemonic::Pushfq | Mnemonic::Popfq if !to_rsp => {
            instruction.stack_pointer_increment().checked_neg()
        }
        _ => {
            let writes_rsp = InstructionInfoFactory::new()
                .info(instruction)
                .used_registers()
                .iter()
                .any(|used| {
                    used.register().full_register() == Register::RSP
                        && !matches!(
                            used.access(),
                            OpAccess::Read | OpAccess::CondRead | OpAccess::None
                        )
                });
            if writes_rsp { None } else { Some(0) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Decoder, DecoderOptions};

    fn delta(bytes: &[u8]) -> Option<i32> {
        stack_delta(&Decoder::new(64, bytes, DecoderOptions::NONE).decode())
    }

    #[test]
    fn prologue_instructions_are_followed() {
        assert_eq!(delta(&[0x55]), Some(8)); // push rbp
        assert_eq!(delta(&[0x5d]), Some(-8)); // pop rbp
        assert_eq!(delta(&[0x48, 0x83, 0xec, 0x18]), Some(0x18)); // sub rsp,18h
        assert_eq!(delta(&[0x48, 0x83, 0xec, 0x80]), Some(-128)); // sub rsp,-128
        assert_eq!(delta(&[0x48, 0x81, 0xc4, 0, 1, 0, 0]), Some(-256)); // add rsp,100h
        assert_eq!(delta(&[0x48, 0x8d, 0x64, 0x24, 0xf0]), Some(16)); // lea rsp,[rsp-10h]
        assert_eq!(delta(&[0x48, 0x89, 0xe5]), Some(0)); // mov rbp,rsp
        assert_eq!(delta(&[0x49, 0x3b, 0x66, 0x10]), Some(0)); // cmp rsp,[r14+10h]
        assert_eq!(delta(&[0xc3]), Some(0)); // ret
    }

    #[test]
    fn other_ways_to_set_the_stack_pointer_are_not() {
        assert_eq!(delta(&[0x48, 0x89, 0xc4]), None); // mov rsp,rax
        assert_eq!(delta(&[0x48, 0x83, 0xe4, 0xf0]), None); // and rsp,-16
        assert_eq!(delta(&[0x5c]), None); // pop rsp
        assert_eq!(delta(&[0xc9]), None); // leave
        assert_eq!(delta(&[0x48, 0x29, 0xc4]), None); // sub rsp,rax
    }
}
