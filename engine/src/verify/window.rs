//! Whether the displaced instructions may run anywhere else at all: none may fault, since the fault's PC would not be the
//! function's (GO-COMPAT §6.5.8), call, or change more than the function's own state.
//!
//! What each register holds is followed from the entry: a place in the stack, g, the closure, a constant. Memory is touched
//! through those alone, or at an address relative to RIP.

use iced_x86::{
    Code as Op, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register, UsedMemory,
};

use crate::addr::RunAddr;
use crate::golang::Abi;
use crate::plan::{Plan, PlannedHook};

use super::program::is_assembly;
use super::{Findings, Original, RejectionCode as Code, depth, displaced};

/// What a register is known to hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Known {
    /// An address in the stack.
    Stack,
    /// g.
    Goroutine,
    /// The closure, which the caller has read already.
    Closure,
    /// What the code itself gives: an immediate, or a word of the program's data.
    Constant,
    /// Anything.
    Nothing,
}

/// R14, RDX and RSP in the encoding's order.
const R14: usize = 14;
const RDX: usize = 2;
const RSP: usize = 4;

struct Registers {
    known: [Known; 16],
    info: InstructionInfoFactory,
}

/// Checks one hook.
pub(super) fn check(
    original: &dyn Original,
    plan: &Plan,
    hook: &PlannedHook,
    findings: &mut Findings,
) {
    let Ok(instructions) = displaced::decode(hook) else {
        // Said by the rule about displaced instructions.
        return;
    };
    let link = plan.placement.slide.link(hook.entry);
    let assembly = original
        .function_at(link)
        .is_none_or(|function| is_assembly(original.facts(), &function));
    let mut registers = Registers::at_entry(hook.abi, assembly);
    for instruction in &instructions {
        let at = RunAddr::new(instruction.ip());
        if is_special(instruction) {
            findings.add(
                Code::Unmovable,
                at,
                format!("`{instruction}`"),
                "an instruction about the function's own state alone",
            );
        }
        if registers.may_fault(instruction) {
            findings.add(
                Code::MayFault,
                at,
                format!("`{instruction}`"),
                "no fault: memory of the stack, g, the closure or the program alone",
            );
        }
        registers.step(instruction);
    }
}

/// Traps, indirect calls, and what is not the function's own business. Whether a call can be moved is another rule's matter:
/// `displaced`.
fn is_special(instruction: &Instruction) -> bool {
    let flow = match instruction.flow_control() {
        FlowControl::Next | FlowControl::ConditionalBranch | FlowControl::IndirectBranch => true,
        FlowControl::UnconditionalBranch => !instruction.is_jmp_far(),
        FlowControl::Return => matches!(instruction.code(), Op::Retnq | Op::Retnq_imm16),
        FlowControl::Call => instruction.code() == Op::Call_rel32_64,
        FlowControl::IndirectCall
        | FlowControl::Interrupt
        | FlowControl::XbeginXabortXend
        | FlowControl::Exception => false,
    };
    !flow
        || instruction.is_jmp_far_indirect()
        || instruction.is_privileged()
        || instruction.is_string_instruction()
        || instruction.has_lock_prefix()
        || instruction.has_rep_prefix()
        || instruction.has_repne_prefix()
        || matches!(
            instruction.mnemonic(),
            Mnemonic::In
                | Mnemonic::Out
                | Mnemonic::Cli
                | Mnemonic::Sti
                | Mnemonic::Hlt
                | Mnemonic::Enter
        )
}

impl Registers {
    fn at_entry(abi: Abi, assembly: bool) -> Self {
        let mut known = [Known::Nothing; 16];
        known[RSP] = Known::Stack;
        if abi == Abi::AbiInternal {
            known[R14] = Known::Goroutine;
        }
        // Nothing but the closure is passed there (`cmd/compile/abi-internal.md`), to compiled functions.
        if !assembly {
            known[RDX] = Known::Closure;
        }
        Self {
            known,
            info: InstructionInfoFactory::new(),
        }
    }

    /// What a 64-bit register holds.
    fn of(&self, register: Register) -> Known {
        let known = register
            .is_gpr64()
            .then(|| self.known.get(register.number()));
        known.flatten().copied().unwrap_or(Known::Nothing)
    }

    fn may_fault(&mut self, instruction: &Instruction) -> bool {
        if matches!(instruction.mnemonic(), Mnemonic::Div | Mnemonic::Idiv) {
            return true;
        }
        let relative = instruction.is_ip_rel_memory_operand();
        let used: Vec<UsedMemory> = self.info.info(instruction).used_memory().to_vec();
        used.iter()
            .filter(|memory| !matches!(memory.access(), OpAccess::NoMemAccess | OpAccess::None))
            .any(|memory| !self.is_there(memory, relative))
    }

    /// Whether memory is sure to be there.
    fn is_there(&self, memory: &UsedMemory, relative: bool) -> bool {
        if memory.index() != Register::None {
            return false;
        }
        let base = memory.base();
        let known = self.of(base);
        match memory.segment() {
            Register::GS => false,
            Register::FS => base == Register::None || known == Known::Constant,
            _ if base == Register::None || base == Register::RIP => relative,
            _ => matches!(known, Known::Stack | Known::Goroutine | Known::Closure),
        }
    }

    /// Forgets what an instruction overwrites, and learns what it loads.
    fn step(&mut self, instruction: &Instruction) {
        let learned = self.learned(instruction);
        let stack_stays = depth::change(&mut self.info, instruction).is_some();
        let written: Vec<Register> = self
            .info
            .info(instruction)
            .used_registers()
            .iter()
            .filter(|used| {
                !matches!(
                    used.access(),
                    OpAccess::Read | OpAccess::CondRead | OpAccess::NoMemAccess | OpAccess::None
                )
            })
            .map(|used| used.register().full_register())
            .filter(|register| register.is_gpr64())
            .collect();
        for register in written {
            if let Some(slot) = self.known.get_mut(register.number())
                && !(register == Register::RSP && stack_stays)
            {
                *slot = Known::Nothing;
            }
        }
        if let Some((register, known)) = learned
            && let Some(slot) = self.known.get_mut(register.number())
        {
            *slot = known;
        }
    }

    fn learned(&self, instruction: &Instruction) -> Option<(Register, Known)> {
        let to = instruction.op0_register();
        if instruction.op0_kind() != OpKind::Register || !to.is_gpr64() {
            return None;
        }
        let known = match (instruction.mnemonic(), instruction.op1_kind()) {
            (Mnemonic::Mov, OpKind::Register) => self.of(instruction.op1_register()),
            (Mnemonic::Mov, OpKind::Memory) if instruction.memory_segment() == Register::FS => {
                Known::Goroutine
            }
            (Mnemonic::Mov, OpKind::Memory) if instruction.is_ip_rel_memory_operand() => {
                Known::Constant
            }
            (Mnemonic::Mov, OpKind::Memory) => Known::Nothing,
            (Mnemonic::Mov, _) => Known::Constant,
            (Mnemonic::Lea, _) if instruction.memory_index() == Register::None => {
                match self.of(instruction.memory_base()) {
                    Known::Stack => Known::Stack,
                    _ => Known::Nothing,
                }
            }
            _ => return None,
        };
        Some((to, known))
    }
}
