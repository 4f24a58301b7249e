//! A pending signal -> a frame on the thread's stack and its handler entered; and back (`arch/x86/kernel/signal_64.c`).
//!
//! The frame holds the whole state: general registers, x87 and vector registers in the format of `fxsave` (Intel SDM
//! volume 1, table 10-2), the mask, and the alternate stack.

use unicorn_engine::RegisterX86;

use super::cpu::{Cpu, CpuError};
use super::registers::Registers;
use super::signals::{Action, Info, Mask};
use super::threads::Thread;
use crate::executor::unicorn::machine::VECTORS;

/// Below the stack pointer lies memory that a function may use without moving it (System V ABI, 3.2.2).
const RED_ZONE: u64 = 128;
/// Size of the area of `fxsave`.
const FX_SIZE: usize = 512;
/// `uc_flags` of a frame with valid segment selectors, without extended state.
const UC_FLAGS: u64 = 0x6;
/// CS, GS, FS, SS of user code.
const SELECTORS: u64 = 0x002b_0000_0000_0033;

// `struct rt_sigframe`: return address, `struct ucontext`, `siginfo_t`.
const UCONTEXT: u64 = 8;
const SIGCONTEXT: u64 = UCONTEXT + 40;
const SIGMASK: u64 = SIGCONTEXT + 256;
const SIGINFO: u64 = SIGMASK + 8;
const FRAME_SIZE: u64 = SIGINFO + 128;
/// Words of `struct sigcontext` up to RIP, in their order.
const CONTEXT_WORDS: usize = 17;

/// Where the general registers of an interrupted thread lie in its frame: offset of RIP and RSP from the `ucontext`.
pub(super) const UCONTEXT_RIP: u64 = SIGCONTEXT - UCONTEXT + 8 * 16;
/// As [`UCONTEXT_RIP`], for RSP.
pub(super) const UCONTEXT_RSP: u64 = SIGCONTEXT - UCONTEXT + 8 * 15;

const ST: [RegisterX86; 8] = [
    RegisterX86::ST0,
    RegisterX86::ST1,
    RegisterX86::ST2,
    RegisterX86::ST3,
    RegisterX86::ST4,
    RegisterX86::ST5,
    RegisterX86::ST6,
    RegisterX86::ST7,
];

/// Enters the handler of `action` on the thread that the processor holds. `Ok(false)` if the stack has no room: the
/// process ends by SIGSEGV then.
pub(super) fn enter(
    cpu: &mut Cpu,
    thread: &mut Thread,
    action: &Action,
    info: &Info,
) -> Result<bool, CpuError> {
    let mut regs = cpu.registers()?;
    let on_alternate = |sp: u64| {
        thread
            .alternate
            .is_some_and(|(base, size)| sp > base && sp - base <= size)
    };
    let mut sp = regs.rsp.wrapping_sub(RED_ZONE);
    if action.has(libc::SA_ONSTACK)
        && !on_alternate(regs.rsp)
        && let Some((base, size)) = thread.alternate
    {
        sp = base.wrapping_add(size);
    }
    let fx = sp.wrapping_sub(FX_SIZE as u64) & !63;
    // The stack pointer is as after a call: 8 below a multiple of 16.
    let frame = (fx.wrapping_sub(FRAME_SIZE) & !15).wrapping_sub(8);
    let stack = thread.alternate.map_or([0, 2, 0], |(base, size)| {
        [base, u64::from(on_alternate(regs.rsp)), size]
    });

    let mut words = vec![action.restorer, UC_FLAGS, 0];
    words.extend(stack);
    words.extend(context(&regs));
    let (vector, error) = info.trap.unwrap_or_default();
    let cr2 = info.trap.map_or(0, |_| info.words[0]);
    words.extend([
        regs.rflags,
        SELECTORS,
        error,
        vector,
        thread.mask.0,
        cr2,
        fx,
    ]);
    words.extend([0; 8]);
    words.push(thread.mask.0);
    let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    debug_assert_eq!(bytes.len() as u64, SIGINFO);
    bytes.extend(info.to_bytes());
    let area = fxsave(cpu)?;
    if !action.has_restorer()
        || cpu.write(frame, &bytes).is_none()
        || cpu.write(fx, &area).is_none()
    {
        return Ok(false);
    }

    thread.mask = Mask(thread.mask.0 | action.mask.0).blockable();
    if !action.has(libc::SA_NODEFER) {
        thread.mask = thread.mask.with(info.signal).blockable();
    }
    regs.rip = action.handler;
    regs.rsp = frame;
    regs.rdi = info.signal as u64;
    regs.rsi = frame + SIGINFO;
    regs.rdx = frame + UCONTEXT;
    regs.rax = 0;
    // Direction, resume and trap flag are clear in a handler.
    regs.rflags &= !(0x400 | 0x1_0000 | 0x100);
    cpu.set_registers(&regs)?;
    Ok(true)
}

/// Leaves a handler (rt_sigreturn(2)): the stack pointer is behind the return address of its frame. `Ok(false)` if that is
/// no frame.
pub(super) fn leave(cpu: &mut Cpu, thread: &mut Thread) -> Result<bool, CpuError> {
    let now = cpu.registers()?;
    let frame = now.rsp.wrapping_sub(8);
    let mut bytes = [0; SIGINFO as usize];
    if cpu.read(frame, &mut bytes).is_none() {
        return Ok(false);
    }
    let word = |at: u64| {
        let part = bytes.get(at as usize..).and_then(|part| part.first_chunk());
        part.map_or(0, |part| u64::from_le_bytes(*part))
    };
    let saved = |index: u64| word(SIGCONTEXT + 8 * index);
    let regs = Registers {
        r8: saved(0),
        r9: saved(1),
        r10: saved(2),
        r11: saved(3),
        r12: saved(4),
        r13: saved(5),
        r14: saved(6),
        r15: saved(7),
        rdi: saved(8),
        rsi: saved(9),
        rbp: saved(10),
        rbx: saved(11),
        rdx: saved(12),
        rax: saved(13),
        rcx: saved(14),
        rsp: saved(15),
        rip: saved(16),
        rflags: saved(17),
        fs_base: now.fs_base,
    };
    let fx = saved(23);
    let mut area = [0; FX_SIZE];
    if fx != 0 {
        if cpu.read(fx, &mut area).is_none() {
            return Ok(false);
        }
        fxrstor(cpu, &area)?;
    }
    cpu.set_registers(&regs)?;
    thread.mask = Mask(word(SIGMASK)).blockable();
    let stack = [
        word(UCONTEXT + 16),
        word(UCONTEXT + 24),
        word(UCONTEXT + 32),
    ];
    thread.alternate = (stack[1] & 2 == 0).then_some((stack[0], stack[2]));
    Ok(true)
}

/// Has the processor forget the exception that it stopped at. It would remember it until its own interrupt emulation
/// delivered it, which never happens here, and take the next one for a double fault (`target/i386/excp_helper.c`,
/// `check_exception`).
pub(super) fn forget_exception(cpu: &mut Cpu) -> Result<(), CpuError> {
    let regs = cpu.registers()?;
    let gs_base = cpu.register(RegisterX86::GS_BASE)?;
    let area = fxsave(cpu)?;
    cpu.reset()?;
    fxrstor(cpu, &area)?;
    cpu.set_register(RegisterX86::GS_BASE, gs_base)?;
    cpu.set_registers(&regs)
}

/// `struct sigcontext` up to RIP.
const fn context(regs: &Registers) -> [u64; CONTEXT_WORDS] {
    [
        regs.r8, regs.r9, regs.r10, regs.r11, regs.r12, regs.r13, regs.r14, regs.r15, regs.rdi,
        regs.rsi, regs.rbp, regs.rbx, regs.rdx, regs.rax, regs.rcx, regs.rsp, regs.rip,
    ]
}

/// The area that `fxsave64` would write.
fn fxsave(cpu: &Cpu) -> Result<[u8; FX_SIZE], CpuError> {
    let mut area = [0; FX_SIZE];
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = area.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    let two = |value: u64| (value as u16).to_le_bytes();
    put(0, &two(cpu.register(RegisterX86::FPCW)?));
    put(2, &two(cpu.register(RegisterX86::FPSW)?));
    // One bit per register that is in use, where the full tag word has two.
    let tags = cpu.register(RegisterX86::FPTAG)?;
    let used = (0..8)
        .filter(|n| tags >> (2 * n) & 3 != 3)
        .fold(0u8, |bits, n| bits | 1 << n);
    put(4, &[used]);
    put(
        24,
        &(cpu.register(RegisterX86::MXCSR)? as u32).to_le_bytes(),
    );
    put(28, &0xffffu32.to_le_bytes());
    for (index, &register) in ST.iter().enumerate() {
        put(32 + 16 * index, &cpu.wide(register)?);
    }
    for (index, &register) in VECTORS.iter().enumerate() {
        put(160 + 16 * index, &cpu.wide(register)?);
    }
    Ok(area)
}

/// Sets what `fxrstor64` would.
fn fxrstor(cpu: &mut Cpu, area: &[u8; FX_SIZE]) -> Result<(), CpuError> {
    let bytes = |at: usize, len: usize| area.get(at..at + len).unwrap_or_default();
    let number = |at: usize, len: usize| {
        bytes(at, len)
            .iter()
            .rev()
            .fold(0u64, |value, &byte| value << 8 | u64::from(byte))
    };
    cpu.set_register(RegisterX86::FPCW, number(0, 2))?;
    cpu.set_register(RegisterX86::FPSW, number(2, 2))?;
    let used = number(4, 1);
    let tags = (0..8)
        .filter(|n| used >> n & 1 == 0)
        .fold(0u64, |tags, n| tags | 3 << (2 * n));
    cpu.set_register(RegisterX86::FPTAG, tags)?;
    cpu.set_register(RegisterX86::MXCSR, number(24, 4) & 0xffff)?;
    for (index, &register) in ST.iter().enumerate() {
        cpu.set_wide(register, bytes(32 + 16 * index, 10))?;
    }
    for (index, &register) in VECTORS.iter().enumerate() {
        cpu.set_wide(register, bytes(160 + 16 * index, 16))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::memory::{READ_WRITE, Space};
    use super::super::threads::Tid;
    use super::*;

    #[test]
    fn a_handler_gets_and_gives_back_the_whole_state() {
        let mut space = Space::new(0x10_0000);
        let mut cpu = Cpu::new(space.rights()).unwrap();
        space
            .map(&mut cpu, 0x2_0000, 0x4000, READ_WRITE, "")
            .unwrap();
        let before = Registers {
            rax: 1,
            r15: 15,
            rsp: 0x2_1000,
            rip: 0x5000,
            rflags: 0x247,
            fs_base: 0x9000,
            ..Registers::default()
        };
        cpu.set_registers(&before).unwrap();
        cpu.set_register(RegisterX86::MXCSR, 0x1f81).unwrap();
        cpu.set_register(RegisterX86::FPCW, 0x27f).unwrap();
        for (n, &register) in VECTORS.iter().enumerate() {
            cpu.set_wide(register, &[n as u8 + 1; 16]).unwrap();
        }
        cpu.set_register(RegisterX86::FPTAG, 0).unwrap();
        cpu.set_wide(RegisterX86::ST3, &[7; 10]).unwrap();
        let mut thread = Thread::new(Tid(1), &cpu, Mask::default().with(10)).unwrap();
        thread.alternate = Some((0x2_2000, 0x2000));
        let action = Action {
            handler: 0x7000,
            flags: (libc::SA_ONSTACK | libc::SA_SIGINFO) as u64 | 0x0400_0000,
            restorer: 0x8000,
            mask: Mask::default().with(12),
        };
        let info = Info::from_thread(23, 1);
        assert!(enter(&mut cpu, &mut thread, &action, &info).unwrap());

        let inside = cpu.registers().unwrap();
        assert_eq!((inside.rip, inside.rdi), (0x7000, 23));
        assert!(inside.rsp > 0x2_2000 && inside.rsp % 16 == 8, "{inside:x?}");
        assert_eq!(inside.rsi, inside.rsp + SIGINFO);
        for signal in [10, 12, 23] {
            assert!(thread.mask.has(signal));
        }
        // The handler changes everything, and returns.
        let after = Registers {
            rsp: inside.rsp + 8,
            fs_base: before.fs_base,
            ..Registers::default()
        };
        cpu.set_registers(&after).unwrap();
        for &register in &VECTORS {
            cpu.set_wide(register, &[0; 16]).unwrap();
        }
        cpu.set_wide(RegisterX86::ST3, &[0; 10]).unwrap();
        cpu.set_register(RegisterX86::MXCSR, 0x1f80).unwrap();
        cpu.set_register(RegisterX86::FPCW, 0x37f).unwrap();
        assert!(leave(&mut cpu, &mut thread).unwrap());

        assert_eq!(cpu.registers().unwrap(), before);
        assert_eq!(thread.mask, Mask::default().with(10));
        assert_eq!(thread.alternate, Some((0x2_2000, 0x2000)));
        for (n, &register) in VECTORS.iter().enumerate() {
            assert_eq!(*cpu.wide(register).unwrap(), [n as u8 + 1; 16]);
        }
        assert_eq!(*cpu.wide(RegisterX86::ST3).unwrap(), [7; 10]);
        assert_eq!(cpu.register(RegisterX86::MXCSR).unwrap(), 0x1f81);
        assert_eq!(cpu.register(RegisterX86::FPCW).unwrap(), 0x27f);
    }

    #[test]
    fn a_stack_without_room_is_said() {
        let space = Space::new(0x10_0000);
        let mut cpu = Cpu::new(space.rights()).unwrap();
        let mut thread = Thread::new(Tid(1), &cpu, Mask::default()).unwrap();
        let action = Action {
            handler: 0x7000,
            flags: 0x0400_0000,
            ..Action::default()
        };
        let info = Info::from_thread(23, 1);
        assert!(!enter(&mut cpu, &mut thread, &action, &info).unwrap());
        assert!(!leave(&mut cpu, &mut thread).unwrap());
    }
}
