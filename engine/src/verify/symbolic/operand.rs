//! Operands: registers of every width, immediates, memory. Says which memory may be touched at all.

use iced_x86::{MemorySize, Mnemonic, OpKind, Register};

use super::machine::{Shared, Stuck};
use super::state::{Event, RSP};
use super::step::Machine;
use super::term::{Atom, Byte, Val};

impl Machine<'_> {
    /// Bytes of operand `n`.
    pub(super) fn width(&self, n: u32) -> Result<u8, Stuck> {
        let size = match self.instruction.op_kind(n) {
            OpKind::Register => self.instruction.op_register(n).size(),
            OpKind::Memory => self.instruction.memory_size().size(),
            _ => return Err(self.unknown()),
        };
        match size {
            1 | 2 | 4 | 8 => Ok(size as u8),
            _ => Err(self.unknown()),
        }
    }

    pub(super) fn number(&self, register: Register) -> Result<usize, Stuck> {
        let high = matches!(
            register,
            Register::AH | Register::BH | Register::CH | Register::DH
        );
        if !register.is_gpr() || high {
            return Err(self.unknown());
        }
        Ok(register.full_register().number() & 15)
    }

    /// The value of operand `n`, zero-extended.
    pub(super) fn source(&mut self, n: u32) -> Result<Val, Stuck> {
        match self.instruction.op_kind(n) {
            OpKind::Register => {
                let number = self.number(self.instruction.op_register(n))?;
                let width = self.width(n)?;
                Ok(self.terms.zext(self.state.regs[number], width))
            }
            OpKind::Memory => {
                let width = self.width(n)?;
                if matches!(
                    self.instruction.memory_size(),
                    MemorySize::Unknown | MemorySize::Fword6 | MemorySize::SegPtr32
                ) {
                    return Err(self.unknown());
                }
                if self.instruction.memory_segment() == Register::FS {
                    return self.thread_local(width);
                }
                let address = self.address()?;
                self.load(address, width)
            }
            OpKind::Immediate8
            | OpKind::Immediate16
            | OpKind::Immediate32
            | OpKind::Immediate64
            | OpKind::Immediate8to16
            | OpKind::Immediate8to32
            | OpKind::Immediate8to64
            | OpKind::Immediate32to64 => {
                let value = self.instruction.immediate(n);
                // iced extends to 64 bits; the operation is as wide as its destination
                let width = if n == 0 { 8 } else { self.width(0)? };
                let value = self.terms.constant(value);
                Ok(self.terms.zext(value, width))
            }
            _ => Err(self.unknown()),
        }
    }

    pub(super) fn thread_local(&mut self, width: u8) -> Result<Val, Stuck> {
        let i = self.instruction;
        if width != 8
            || i.mnemonic() != Mnemonic::Mov
            || i.memory_base() != Register::None
            || i.memory_index() != Register::None
        {
            return Err(self.unknown());
        }
        let disp = i.memory_displacement64().cast_signed();
        Ok(self.terms.atom(Atom::Tls(self.state.phase, disp)))
    }

    /// The address that the memory operand names.
    pub(super) fn address(&mut self) -> Result<Val, Stuck> {
        let i = self.instruction;
        if i.is_ip_rel_memory_operand() && i.memory_base() == Register::RIP {
            return Ok(self.terms.constant(i.ip_rel_memory_address()));
        }
        let segment = i.memory_segment();
        if segment == Register::FS || segment == Register::GS {
            return Err(self.unknown());
        }
        let mut address = self.terms.constant(i.memory_displacement64());
        if i.memory_base() != Register::None {
            if !i.memory_base().is_gpr64() {
                return Err(self.unknown());
            }
            let base = self.state.regs[self.number(i.memory_base())?];
            address = self.terms.add(address, base);
        }
        if i.memory_index() != Register::None {
            if !i.memory_index().is_gpr64() {
                return Err(self.unknown());
            }
            let index = self.state.regs[self.number(i.memory_index())?];
            let index = self.terms.scale(index, u64::from(i.memory_index_scale()));
            address = self.terms.add(address, index);
        }
        Ok(address)
    }

    pub(super) fn load(&mut self, address: Val, width: u8) -> Result<Val, Stuck> {
        if let Some(at) = self.state.stack_offset(self.terms, address) {
            let (low, high) = self.world.caller_area();
            let top = self.state.stack_offset(self.terms, self.state.regs[RSP]);
            let end = at.checked_add(i64::from(width));
            let own = top.is_some_and(|top| at >= top) && end.is_some_and(|end| end <= 0);
            let callers = at >= low && end.is_some_and(|end| end <= high);
            let mut bytes = [Byte::Known(0); 8];
            for (i, byte) in bytes.iter_mut().enumerate().take(usize::from(width)) {
                *byte = self.state.byte(at.wrapping_add(i as i64));
            }
            if !(own || callers) || bytes.contains(&Byte::Undefined) {
                return Err(self.stuck(
                    format!("`{}` reads rsp0{at:+#x}", self.instruction),
                    "a read of the return address, the arguments or written parts of the frame",
                ));
            }
            return Ok(self.terms.join(bytes));
        }
        match self.world.may_load(self.terms, self.state, address, width) {
            Some(shared) => {
                let nonce = match shared {
                    Shared::No => 0,
                    Shared::Yes => self.terms.nonce(),
                };
                Ok(self.terms.atom(Atom::Load {
                    phase: self.state.phase,
                    address,
                    width,
                    nonce,
                }))
            }
            None => Err(self.stuck(
                format!(
                    "`{}` reads {width} bytes at {}",
                    self.instruction,
                    self.terms.show(address)
                ),
                "a read that the contract names, after the tests that make it safe",
            )),
        }
    }

    pub(super) fn store(&mut self, address: Val, width: u8, value: Val) -> Result<(), Stuck> {
        let Some(at) = self.state.stack_offset(self.terms, address) else {
            self.state.events.push(Event::Store {
                address,
                width,
                value,
            });
            return Ok(());
        };
        let top = self.state.stack_offset(self.terms, self.state.regs[RSP]);
        let (low, high) = self.world.writable_caller_area(self.state.phase);
        let end = at.checked_add(i64::from(width));
        let own = top.is_some_and(|top| at >= top) && end.is_some_and(|end| end <= 0);
        let callers = at >= low && end.is_some_and(|end| end <= high);
        if !(own || callers) {
            return Err(self.stuck(
                format!("`{}` writes rsp0{at:+#x}", self.instruction),
                "a write inside the frame or (at exit) the argument area",
            ));
        }
        self.state.stack_writes += 1;
        for (i, byte) in self
            .terms
            .bytes(value)
            .into_iter()
            .enumerate()
            .take(usize::from(width))
        {
            self.state.set_byte(at.wrapping_add(i as i64), byte);
        }
        Ok(())
    }

    /// Writes operand `n`.
    pub(super) fn put(&mut self, n: u32, value: Val) -> Result<(), Stuck> {
        let width = self.width(n)?;
        if self.instruction.op_kind(n) == OpKind::Memory {
            if self.instruction.memory_segment() == Register::FS {
                return Err(self.unknown());
            }
            let address = self.address()?;
            return self.store(address, width, value);
        }
        let number = self.number(self.instruction.op_register(n))?;
        self.state.regs[number] = match width {
            8 => value,
            4 => self.terms.zext(value, 4),
            _ => {
                let mut bytes = self.terms.bytes(self.state.regs[number]);
                let new = self.terms.bytes(value);
                for (to, from) in bytes.iter_mut().zip(new).take(usize::from(width)) {
                    *to = from;
                }
                self.terms.join(bytes)
            }
        };
        Ok(())
    }
}
