//! The first bytes of a function -> the instructions that a jump displaces, if they may run elsewhere.

use iced_x86::{
    Code, Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic,
    OpAccess, OpKind, Register,
};

use super::limits::JUMP;
use super::{Body, Refusal, RefusalCode};
use crate::addr::LinkAddr;
use crate::golang::Abi;
use crate::listing::text;

/// What the jump displaces.
pub(super) struct Window<'d> {
    /// At least [`JUMP`] bytes from the entry.
    pub(super) bytes: &'d [u8],
    /// The instructions in them; padding after a `ret` or `jmp` is left out.
    pub(super) displaced: Vec<Instruction>,
}

/// Takes the smallest number of whole instructions that make room for the jump.
pub(super) fn take<'d>(body: &Body<'d, '_>) -> Result<Window<'d>, Refusal> {
    let entry = body.function.entry;
    let code = body.code;
    entry_is_untouched(body)?;
    let mut displaced = Vec::with_capacity(JUMP);
    let mut length = 0;
    let mut decoder = Decoder::with_ip(64, code, entry.get(), DecoderOptions::NONE);
    while length < JUMP {
        if !decoder.can_decode() {
            return Err(too_short(entry, length));
        }
        let instruction = decoder.decode();
        let at = LinkAddr::new(instruction.ip());
        if instruction.is_invalid() {
            return Err(Refusal::new(
                RefusalCode::Undecodable,
                at,
                hex(code.get(length..).unwrap_or_default()),
            ));
        }
        length += instruction.len();
        let ends = matches!(
            instruction.flow_control(),
            FlowControl::Return
                | FlowControl::UnconditionalBranch
                | FlowControl::IndirectBranch
                | FlowControl::Interrupt
                | FlowControl::Exception
        );
        displaced.push(instruction);
        if ends && length < JUMP {
            let after = code
                .get(length..JUMP)
                .ok_or_else(|| too_short(entry, code.len()))?;
            if !is_padding(code.get(length..).unwrap_or_default(), after.len()) {
                return Err(too_short(entry, length));
            }
            length = JUMP;
        }
    }
    let bytes = code
        .get(..length)
        .ok_or_else(|| too_short(entry, code.len()))?;
    Ok(Window { bytes, displaced })
}

fn too_short(entry: LinkAddr, length: usize) -> Refusal {
    Refusal::new(
        RefusalCode::TooShort,
        entry,
        format!("{length} bytes, at least {JUMP} needed"),
    )
}

/// Refuses an entry where somebody else has been: a breakpoint, or a jump to where the program has no code.
fn entry_is_untouched(body: &Body<'_, '_>) -> Result<(), Refusal> {
    let entry = body.function.entry;
    match body.code.first() {
        Some(0xcc) => Err(Refusal::new(RefusalCode::Breakpoint, entry, "int3")),
        Some(0xe9) => {
            let jump = Decoder::with_ip(64, body.code, entry.get(), DecoderOptions::NONE).decode();
            let target = LinkAddr::new(jump.near_branch_target());
            if jump.code() == Code::Jmp_rel32_64 && (body.function_at)(target).is_none() {
                return Err(Refusal::new(
                    RefusalCode::AlreadyPatched,
                    entry,
                    format!("jmp {target}"),
                ));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whether the first `needed` bytes, which follow the end of a function, are filler: all `int3`, all zero (up to about
/// 1.12), or NOPs (`cmd/link`, `CodePad`; `cmd/internal/obj/x86`, function alignment).
fn is_padding(bytes: &[u8], needed: usize) -> bool {
    let all = |filler| bytes.iter().take(needed).all(|&byte| byte == filler);
    if all(0xcc) || all(0) {
        return true;
    }
    let mut decoder = Decoder::new(64, bytes, DecoderOptions::NONE);
    while decoder.position() < needed {
        if !decoder.can_decode() || decoder.decode().mnemonic() != Mnemonic::Nop {
            return false;
        }
    }
    true
}

/// Refuses instructions that must not run in a trampoline (GO-COMPAT 6.5.8): such as fault, since the fault's PC would
/// not be the function's; calls; whatever changes more than the function's own state. `hook` is the one call that may move,
/// which a debugging option puts before the stack check ([`super::may_more_stack`]).
pub(super) fn may_move(
    window: &Window<'_>,
    abi: Abi,
    assembly: bool,
    hook: Option<LinkAddr>,
) -> Result<(), Refusal> {
    let mut safe = SafeBases::new(abi, assembly);
    for instruction in &window.displaced {
        if hook == Some(LinkAddr::new(instruction.ip())) {
            continue;
        }
        if let Some((code, detail)) = objection(instruction, &safe) {
            return Err(Refusal::new(code, LinkAddr::new(instruction.ip()), detail));
        }
        safe.step(instruction);
    }
    Ok(())
}

fn objection(instruction: &Instruction, safe: &SafeBases) -> Option<(RefusalCode, String)> {
    let says = |code| Some((code, text(instruction)));
    match instruction.flow_control() {
        FlowControl::Call | FlowControl::IndirectCall => {
            // `syscall` and `vmcall` are calls to the decoder.
            let into_program = instruction.mnemonic() == Mnemonic::Call;
            return says(if into_program {
                RefusalCode::DisplacedCall
            } else {
                RefusalCode::SpecialInstruction
            });
        }
        FlowControl::Interrupt | FlowControl::Exception | FlowControl::XbeginXabortXend => {
            return says(RefusalCode::SpecialInstruction);
        }
        FlowControl::Return
            if instruction.code() != Code::Retnq && instruction.code() != Code::Retnq_imm16 =>
        {
            return says(RefusalCode::SpecialInstruction);
        }
        _ => {}
    }
    if instruction.is_privileged()
        || instruction.is_string_instruction()
        || instruction.has_lock_prefix()
        || instruction.has_rep_prefix()
        || instruction.has_repne_prefix()
        || instruction.is_jmp_far()
        || instruction.is_jmp_far_indirect()
    {
        return says(RefusalCode::SpecialInstruction);
    }
    match instruction.mnemonic() {
        Mnemonic::In
        | Mnemonic::Out
        | Mnemonic::Cli
        | Mnemonic::Sti
        | Mnemonic::Hlt
        | Mnemonic::Enter => says(RefusalCode::SpecialInstruction),
        Mnemonic::Div | Mnemonic::Idiv => says(RefusalCode::MayFault),
        // These name an address and do not touch it.
        Mnemonic::Lea
        | Mnemonic::Nop
        | Mnemonic::Prefetchnta
        | Mnemonic::Prefetcht0
        | Mnemonic::Prefetcht1
        | Mnemonic::Prefetcht2
        | Mnemonic::Prefetchw => None,
        _ if touches_memory(instruction) && !safe.allows(instruction) => {
            says(RefusalCode::MayFault)
        }
        _ => None,
    }
}

fn touches_memory(instruction: &Instruction) -> bool {
    instruction.op_kinds().any(|kind| {
        !matches!(
            kind,
            OpKind::Register
                | OpKind::NearBranch16
                | OpKind::NearBranch32
                | OpKind::NearBranch64
                | OpKind::Immediate8
                | OpKind::Immediate8_2nd
                | OpKind::Immediate16
                | OpKind::Immediate32
                | OpKind::Immediate64
                | OpKind::Immediate8to16
                | OpKind::Immediate8to32
                | OpKind::Immediate8to64
                | OpKind::Immediate32to64
        )
    })
}

/// Registers that hold an address which cannot fault: the stack, g, the closure, and RBP once it was set from RSP.
struct SafeBases {
    registers: Vec<Register>,
    factory: InstructionInfoFactory,
}

impl SafeBases {
    fn new(abi: Abi, assembly: bool) -> Self {
        let mut registers = vec![Register::RSP];
        if abi == Abi::AbiInternal {
            registers.push(Register::R14);
        }
        // A compiled function reads RDX at its entry only as its closure, which the caller has read already: no
        // argument is passed there (`cmd/compile/abi-internal.md`).
        if !assembly {
            registers.push(Register::RDX);
        }
        Self {
            registers,
            factory: InstructionInfoFactory::new(),
        }
    }

    /// Whether the memory operand is on the stack, in g, in thread-local storage, or a global variable.
    fn allows(&self, instruction: &Instruction) -> bool {
        if instruction
            .op_kinds()
            .any(|kind| kind != OpKind::Memory && kind >= OpKind::MemorySegSI)
        {
            return false;
        }
        let (base, index) = (instruction.memory_base(), instruction.memory_index());
        match instruction.memory_segment() {
            Register::FS => index == Register::None,
            Register::GS => false,
            _ => {
                index == Register::None && (base == Register::RIP || self.registers.contains(&base))
            }
        }
    }

    /// Follows one instruction: forgets what it overwrites, learns g loads and frame pointer set-ups.
    fn step(&mut self, instruction: &Instruction) {
        let learned = self.learns(instruction);
        let info = self.factory.info(instruction);
        for used in info.used_registers() {
            let written = !matches!(
                used.access(),
                OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess | OpAccess::None
            );
            let full = used.register().full_register();
            if written && full != Register::RSP {
                self.registers.retain(|&safe| safe != full);
            }
        }
        self.registers.extend(learned);
    }

    fn learns(&self, instruction: &Instruction) -> Option<Register> {
        let target = instruction.op0_register();
        let from_stack = match instruction.code() {
            // `mov rcx, fs:[disp]`, `mov rcx, fs:[rcx]`: g.
            Code::Mov_r64_rm64 if instruction.op1_kind() == OpKind::Memory => {
                instruction.memory_segment() == Register::FS
            }
            Code::Mov_r64_rm64 | Code::Mov_rm64_r64 => {
                instruction.op0_kind() == OpKind::Register
                    && instruction.op1_register() == Register::RSP
            }
            Code::Lea_r64_m => {
                instruction.memory_base() == Register::RSP
                    && instruction.memory_index() == Register::None
            }
            _ => false,
        };
        from_stack.then_some(target)
    }
}

/// A few bytes for an error text.
fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect::<Vec<_>>()
        .join(" ")
}
