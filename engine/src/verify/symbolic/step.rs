//! One instruction: the small list of those that a trampoline may have, and what each does to a state.

use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use super::machine::{End, Stuck, World};
use super::state::{Event, Flags, RAX, RDX, RSP, State};
use super::term::{Atom, Terms};

pub(super) struct Machine<'a> {
    pub(super) terms: &'a mut Terms,
    pub(super) world: &'a dyn World,
    pub(super) state: &'a mut State,
    pub(super) instruction: &'a Instruction,
    pub(super) fork: Option<State>,
}

impl Machine<'_> {
    pub(super) fn stuck(&self, found: impl Into<String>, expected: &'static str) -> Stuck {
        Stuck {
            at: self.instruction.ip(),
            found: found.into(),
            expected,
        }
    }

    pub(super) fn unknown(&self) -> Stuck {
        self.stuck(
            format!("`{}`", self.instruction),
            "an instruction of a trampoline",
        )
    }

    pub(super) fn step(&mut self) -> Result<Option<End>, Stuck> {
        let i = self.instruction;
        let locked = i.has_lock_prefix();
        let may_lock = matches!(
            i.mnemonic(),
            Mnemonic::Inc | Mnemonic::Add | Mnemonic::Cmpxchg
        );
        let elided = i.has_xacquire_prefix() || i.has_xrelease_prefix();
        if i.has_rep_prefix() || i.has_repne_prefix() || elided || (locked && !may_lock) {
            return Err(self.unknown());
        }
        self.state.ip = i.next_ip();
        match i.mnemonic() {
            Mnemonic::Mov => {
                let value = self.source(1)?;
                self.put(0, value)?;
            }
            Mnemonic::Movzx => {
                let value = self.source(1)?;
                self.put(0, value)?;
            }
            Mnemonic::Movsxd if self.width(0)? == 8 => {
                let value = self.source(1)?;
                let value = self.terms.sext32(value);
                self.put(0, value)?;
            }
            Mnemonic::Lea if self.width(0)? == 8 => {
                let value = self.address()?;
                self.put(0, value)?;
            }
            Mnemonic::Push if self.width(0)? == 8 => {
                let value = self.source(0)?;
                let rsp = self.terms.offset(self.state.regs[RSP], -8);
                self.state.regs[RSP] = rsp;
                self.store(rsp, 8, value)?;
            }
            Mnemonic::Pop if i.op0_kind() == OpKind::Register && self.width(0)? == 8 => {
                let rsp = self.state.regs[RSP];
                let value = self.load(rsp, 8)?;
                self.state.regs[RSP] = self.terms.offset(rsp, 8);
                self.put(0, value)?;
            }
            Mnemonic::Add | Mnemonic::Inc | Mnemonic::Dec if i.op0_kind() == OpKind::Memory => {
                self.add_in_memory(locked)?;
            }
            Mnemonic::Add
            | Mnemonic::Sub
            | Mnemonic::Inc
            | Mnemonic::Dec
            | Mnemonic::And
            | Mnemonic::Or
            | Mnemonic::Xor
            | Mnemonic::Shl
            | Mnemonic::Shr
                if i.op0_kind() == OpKind::Register =>
            {
                self.arithmetic()?;
            }
            Mnemonic::Imul if i.op_count() >= 2 => self.multiply()?,
            Mnemonic::Cmp => {
                let (a, b) = (self.source(0)?, self.source(1)?);
                self.state.flags = Flags::Compare(a, b, self.width(0)?);
            }
            Mnemonic::Test => {
                let (a, b) = (self.source(0)?, self.source(1)?);
                let both = self.terms.and(a, b);
                self.state.flags = Flags::Result(both, self.width(0)?);
            }
            Mnemonic::Rdtsc => {
                let (phase, n) = (self.state.phase, self.state.tsc);
                self.state.tsc += 1;
                self.state.regs[RAX] = self.terms.atom(Atom::Tsc {
                    phase,
                    n,
                    high: false,
                });
                self.state.regs[RDX] = self.terms.atom(Atom::Tsc {
                    phase,
                    n,
                    high: true,
                });
            }
            Mnemonic::Cmpxchg if locked => self.exchange()?,
            Mnemonic::Call if i.op0_kind() == OpKind::NearBranch64 => {
                return Ok(Some(End::Call {
                    target: i.near_branch64(),
                    next: i.next_ip(),
                }));
            }
            Mnemonic::Ret if i.op_count() == 0 => return Ok(Some(End::Return)),
            Mnemonic::Jmp if i.op0_kind() == OpKind::NearBranch64 => {
                self.state.ip = i.near_branch64();
            }
            _ if i.is_jcc_short_or_near() => self.branch()?,
            _ => return Err(self.unknown()),
        }
        let offset = self.state.stack_offset(self.terms, self.state.regs[RSP]);
        match offset {
            Some(offset) if offset <= 0 && offset % 8 == 0 => Ok(None),
            _ => Err(self.stuck(
                format!("rsp = {}", self.terms.show(self.state.regs[RSP])),
                "a known, aligned distance below the entry's RSP",
            )),
        }
    }

    pub(super) fn add_in_memory(&mut self, locked: bool) -> Result<(), Stuck> {
        let width = self.width(0)?;
        let by = match self.instruction.mnemonic() {
            Mnemonic::Inc => self.terms.constant(1),
            Mnemonic::Add => self.source(1)?,
            _ => return Err(self.unknown()),
        };
        if self.instruction.memory_segment() == Register::FS {
            return Err(self.unknown());
        }
        let address = self.address()?;
        if self.state.stack_offset(self.terms, address).is_some() {
            return Err(self.unknown());
        }
        self.state.flags = Flags::Unknown;
        self.state.events.push(Event::Add {
            address,
            width,
            by,
            locked,
        });
        Ok(())
    }

    pub(super) fn arithmetic(&mut self) -> Result<(), Stuck> {
        let width = self.width(0)?;
        let a = self.source(0)?;
        let mnemonic = self.instruction.mnemonic();
        let b = match mnemonic {
            Mnemonic::Inc | Mnemonic::Dec => self.terms.constant(1),
            _ => self.source(1)?,
        };
        let result = match mnemonic {
            Mnemonic::Add | Mnemonic::Inc => self.terms.add(a, b),
            Mnemonic::Sub | Mnemonic::Dec => self.terms.sub(a, b),
            Mnemonic::And => self.terms.and(a, b),
            Mnemonic::Or => self.terms.or(a, b),
            Mnemonic::Xor => self.terms.xor(a, b),
            _ => {
                let by = self.terms.as_constant(b).filter(|&by| by < 64);
                let Some(by) = by.filter(|_| width == 8) else {
                    return Err(self.unknown());
                };
                match mnemonic {
                    Mnemonic::Shl => self.terms.scale(a, 1 << by),
                    _ => self.terms.shr(a, by as u8),
                }
            }
        };
        let result = self.terms.zext(result, width);
        self.state.flags = match mnemonic {
            Mnemonic::Sub => Flags::Compare(a, b, width),
            Mnemonic::Shl | Mnemonic::Shr => Flags::Unknown,
            _ => Flags::Result(result, width),
        };
        self.put(0, result)
    }

    pub(super) fn multiply(&mut self) -> Result<(), Stuck> {
        if self.width(0)? != 8 {
            return Err(self.unknown());
        }
        let (a, b) = match self.instruction.op_count() {
            2 => (self.source(0)?, self.source(1)?),
            _ => (self.source(1)?, self.source(2)?),
        };
        let Some(factor) = self.terms.as_constant(b) else {
            return Err(self.unknown());
        };
        let result = self.terms.scale(a, factor);
        self.state.flags = Flags::Unknown;
        self.put(0, result)
    }

    /// `lock cmpxchg [address], value`: goes on as lost, and forks a path on which it succeeded.
    pub(super) fn exchange(&mut self) -> Result<(), Stuck> {
        let width = self.width(0)?;
        if self.instruction.op0_kind() != OpKind::Memory
            || width != 8
            || self.instruction.memory_segment() == Register::FS
        {
            return Err(self.unknown());
        }
        let address = self.address()?;
        let value = self.source(1)?;
        if self.state.stack_offset(self.terms, address).is_some() {
            return Err(self.unknown());
        }
        let found = self.load(address, width)?;
        let mut won = self.state.clone();
        won.flags = Flags::Zero(true);
        won.events.push(Event::Exchange {
            address,
            width,
            expected: won.regs[RAX],
            value,
        });
        self.fork = Some(won);
        self.state.regs[RAX] = found;
        self.state.flags = Flags::Zero(false);
        self.state.failed_exchanges += 1;
        Ok(())
    }
}
