//! The entry of `runtime.main` -> [`Marker`]: a detour by which the tracer notices that the Go runtime is initialised.
//!
//! A breakpoint would kill the program if the tracer died before it was hit. The detour makes a harmless system call
//! (getpid) at an address that the tracer watches, then runs the displaced instructions and goes on: without a tracer
//! nothing happens. `runtime.main` is the first function of the first goroutine and takes no arguments, so RAX, RCX and
//! R11, which a system call changes, are free at its entry (`cmd/compile/abi-internal.md`, `runtime/asm_amd64.s`).

use iced_x86::{
    BlockEncoder, BlockEncoderOptions, Code, Decoder, DecoderOptions, FlowControl, Instruction,
    InstructionBlock, Register,
};

use crate::addr::RunAddr;

/// Length of the jump that is written at the entry.
const JUMP: usize = 5;
/// As many bytes of the function as must be read: the longest window of five bytes or more.
pub const WINDOW: usize = JUMP + 14;
/// Room that the detour takes at most.
pub const ROOM: usize = 256;

/// What to write where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Marker {
    /// The function's entry.
    pub entry: RunAddr,
    /// What stands there.
    pub old: [u8; JUMP],
    /// What is to stand there.
    pub new: [u8; JUMP],
    /// The detour.
    pub code: Vec<u8>,
    /// Where the detour's system call returns to.
    pub after_call: RunAddr,
}

impl Marker {
    /// For the function at `entry` that begins with `bytes`; the detour will lie at `at`. `None` if the function begins
    /// with something that cannot be moved.
    #[must_use]
    pub fn new(entry: RunAddr, bytes: &[u8; WINDOW], at: RunAddr) -> Option<Self> {
        let mut moved = Vec::new();
        let mut returns = false;
        let mut decoder = Decoder::with_ip(64, bytes, entry.get(), DecoderOptions::NONE);
        while decoder.position() < JUMP {
            let instruction = decoder.decode();
            if let Some(call) = displaced_call(&instruction) {
                // It returns into the function, behind the jump that is written here.
                moved.extend(call?);
                returns = true;
                break;
            }
            let plain = matches!(
                instruction.flow_control(),
                FlowControl::Next | FlowControl::ConditionalBranch
            );
            let back = entry.get()..entry.get().checked_add(WINDOW as u64)?;
            let into_window = instruction.flow_control() == FlowControl::ConditionalBranch
                && back.contains(&instruction.near_branch_target());
            if instruction.is_invalid() || !plain || into_window {
                return None;
            }
            moved.push(instruction);
        }
        if !returns {
            moved.push(Instruction::with_branch(Code::Jmp_rel32_64, decoder.ip()).ok()?);
        }

        // mov eax, SYS_getpid; syscall
        let mut code = vec![0xb8];
        code.extend(u32::try_from(libc::SYS_getpid).ok()?.to_le_bytes());
        code.extend([0x0f, 0x05]);
        let after_call = at.checked_add(code.len() as u64)?;
        let block = InstructionBlock::new(&moved, after_call.get());
        let encoded = BlockEncoder::encode(64, block, BlockEncoderOptions::NONE).ok()?;
        code.extend(encoded.code_buffer);
        if code.len() > ROOM {
            return None;
        }

        let old = *bytes.first_chunk()?;
        Some(Self {
            entry,
            old,
            new: jump(entry, at)?,
            code,
            after_call,
        })
    }
}

/// `call rel32` with the return address of its original place, as builds with `-d=maymorestack` begin (1.18 and later).
/// The outer `None` is any other instruction.
fn displaced_call(instruction: &Instruction) -> Option<Option<[Instruction; 3]>> {
    if instruction.code() != Code::Call_rel32_64 {
        return None;
    }
    let make = || {
        Some([
            Instruction::with2(Code::Mov_r64_imm64, Register::RAX, instruction.next_ip()).ok()?,
            Instruction::with1(Code::Push_r64, Register::RAX).ok()?,
            Instruction::with_branch(Code::Jmp_rel32_64, instruction.near_branch_target()).ok()?,
        ])
    };
    Some(make())
}

/// `jmp rel32` at `from`.
fn jump(from: RunAddr, to: RunAddr) -> Option<[u8; JUMP]> {
    let next = from.checked_add(JUMP as u64)?;
    let distance = to.get().wrapping_sub(next.get()).cast_signed();
    let [a, b, c, d] = i32::try_from(distance).ok()?.to_le_bytes();
    Some([0xe9, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: RunAddr = RunAddr::new(0x43_a000);
    const AT: RunAddr = RunAddr::new(0x2000_0000);

    fn window(code: &[u8]) -> [u8; WINDOW] {
        let mut bytes = [0x90; WINDOW];
        bytes[..code.len()].copy_from_slice(code);
        bytes
    }

    #[test]
    fn the_stack_check_is_moved_with_its_branch() {
        // Go 1.21: cmp rsp,[r14+0x10]; jbe +0x2f0
        let bytes = window(&[0x49, 0x3b, 0x66, 0x10, 0x0f, 0x86, 0xf0, 0x02, 0, 0]);
        let marker = Marker::new(ENTRY, &bytes, AT).unwrap();
        assert_eq!(marker.after_call, RunAddr::new(AT.get() + 7));
        let listing = crate::listing::listing(&marker.code, AT, |_| None);
        let texts: Vec<&str> = listing.lines().map(|l| l[40..].trim()).collect();
        assert_eq!(
            texts,
            [
                "mov eax,0x27",
                "syscall",
                "cmp rsp,[r14+0x10]",
                "jbe 0x43a2fa",
                "jmp 0x43a00a"
            ]
        );
        let listing = crate::listing::listing(&marker.new, ENTRY, |_| None);
        assert!(listing.contains("jmp 0x20000000"), "{listing}");
        assert_eq!(marker.old, bytes[..5]);
    }

    #[test]
    fn thread_local_loads_are_moved() {
        // Go 1.5-1.16: mov rcx,fs:[0xfffffffffffffff8]
        let bytes = window(&[0x64, 0x48, 0x8b, 0x0c, 0x25, 0xf8, 0xff, 0xff, 0xff]);
        let marker = Marker::new(ENTRY, &bytes, AT).unwrap();
        assert!(marker.code.windows(9).any(|part| part == &bytes[..9]));
    }

    #[test]
    fn a_call_returns_behind_the_jump() {
        // Go 1.18 and later with -d=maymorestack: call +0x100
        let bytes = window(&[0xe8, 0, 1, 0, 0]);
        let marker = Marker::new(ENTRY, &bytes, AT).unwrap();
        let listing = crate::listing::listing(&marker.code, AT, |_| None);
        let texts: Vec<&str> = listing.lines().map(|l| l[40..].trim()).collect();
        assert_eq!(
            texts,
            [
                "mov eax,0x27",
                "syscall",
                "mov rax,0x43a005",
                "push rax",
                "jmp 0x43a105"
            ]
        );
    }

    #[test]
    fn what_cannot_be_moved_is_refused() {
        for code in [
            &[0xff, 0xd0][..],                   // call rax
            &[0xc3][..],                         // ret
            &[0xeb, 0x10][..],                   // jmp
            &[0x75, 0x01, 0x90, 0x90, 0x90][..], // jne into the window
            &[0x06][..],                         // no instruction
        ] {
            assert_eq!(Marker::new(ENTRY, &window(code), AT), None, "{code:x?}");
        }
        let far = RunAddr::new(0x7fff_0000_0000);
        assert_eq!(Marker::new(ENTRY, &window(&[0x90]), far), None);
    }
}
