//! Runs the emitted bytes on [`State`]s until every path has ended.

use iced_x86::{
    Code, Decoder, DecoderOptions, Instruction, MemorySize, Mnemonic, OpKind, Register,
};

use super::state::{Condition, Event, Flags, Mark, RAX, RDX, RSP, State, below, equal, zero};
use super::term::{Atom, Byte, Phase, Terms, Val};

/// How many paths one phase may have.
const MAX_PATHS: usize = 256;

/// How a path ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::verify) enum End {
    /// Control reached the relocated window by a jump.
    Window,
    /// A call of `target`, with `next` as its return address.
    Call { target: u64, next: u64 },
    /// A return; RSP is still where the return address lies.
    Return,
    /// The retry of a lost exchange, from a state that covers this one.
    Again,
}

/// Why the executor stopped: at which instruction, what stood there, what may stand there.
#[derive(Clone, Debug)]
pub(in crate::verify) struct Stuck {
    pub(in crate::verify) at: u64,
    pub(in crate::verify) found: String,
    pub(in crate::verify) expected: &'static str,
}

/// What may be read outside the stack.
pub(in crate::verify) trait World {
    /// Whether `width` bytes at `address` may be read in this state, and then whether others write them.
    fn may_load(&self, terms: &mut Terms, state: &State, address: Val, width: u8)
    -> Option<Shared>;
    /// Lowest distance from the entry's RSP that holds something of the caller's which may be read, and one past the
    /// highest: the return address and the argument area.
    fn caller_area(&self) -> (i64, i64);
    /// The same for writes, in this phase.
    fn writable_caller_area(&self, phase: Phase) -> (i64, i64);
}

/// Whether a word can change between two reads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::verify) enum Shared {
    /// No: it belongs to the running goroutine and its M.
    No,
    /// Yes.
    Yes,
}

/// The bytes of one trampoline's own part, decoded where control goes.
pub(in crate::verify) struct Text<'a> {
    start: u64,
    bytes: &'a [u8],
    decoded: Vec<Option<Instruction>>,
    /// For each byte, 1 + the offset of the executed instruction that it belongs to.
    owner: Vec<u32>,
    /// Where backward jumps go, by a plain sweep: a hint where to look for repetition, no more.
    loops: Vec<u64>,
}

impl<'a> Text<'a> {
    /// `bytes` lie at `start`.
    pub(in crate::verify) fn new(start: u64, bytes: &'a [u8]) -> Self {
        let decoder = Decoder::with_ip(64, bytes, start, DecoderOptions::NONE);
        let backward = |i: Instruction| match i.op0_kind() {
            OpKind::NearBranch64 => Some(i.near_branch64()).filter(|&to| to <= i.ip()),
            _ => None,
        };
        Self {
            start,
            bytes,
            decoded: vec![None; bytes.len()],
            owner: vec![0; bytes.len()],
            loops: decoder.into_iter().filter_map(backward).collect(),
        }
    }

    fn at(&mut self, ip: u64) -> Result<Instruction, Stuck> {
        let stuck = |found: String, expected| Stuck {
            at: ip,
            found,
            expected,
        };
        let offset = ip
            .checked_sub(self.start)
            .and_then(|x| usize::try_from(x).ok())
            .filter(|&x| x < self.bytes.len())
            .ok_or_else(|| stuck(format!("control goes to {ip:#x}"), "inside the trampoline"))?;
        if let Some(Some(known)) = self.decoded.get(offset) {
            return Ok(*known);
        }
        let rest = self.bytes.get(offset..).unwrap_or_default();
        let mut decoder = Decoder::with_ip(64, rest, ip, DecoderOptions::NONE);
        let instruction = decoder.decode();
        if instruction.code() == Code::INVALID {
            return Err(stuck(
                format!("{:02x?}", rest.get(..rest.len().min(8)).unwrap_or_default()),
                "an instruction",
            ));
        }
        let mark = offset as u32 + 1;
        for owner in self
            .owner
            .get_mut(offset..offset + instruction.len())
            .unwrap_or_default()
        {
            if *owner != 0 && *owner != mark {
                return Err(stuck(
                    "control enters an instruction in its middle".to_owned(),
                    "instructions that do not overlap",
                ));
            }
            *owner = mark;
        }
        if let Some(slot) = self.decoded.get_mut(offset) {
            *slot = Some(instruction);
        }
        Ok(instruction)
    }

    /// The first byte that no path executed and that is not a filler (`int3`).
    pub(in crate::verify) fn unused(&self) -> Option<(u64, u8)> {
        self.owner
            .iter()
            .zip(self.bytes)
            .position(|(&owner, &byte)| owner == 0 && byte != 0xcc)
            .and_then(|i| Some((self.start.checked_add(i as u64)?, *self.bytes.get(i)?)))
    }
}

/// Runs `first` and every path that forks off it until each has ended; at most `max_steps` instructions in all.
pub(in crate::verify) fn explore(
    terms: &mut Terms,
    text: &mut Text<'_>,
    world: &dyn World,
    window: u64,
    first: State,
    max_steps: u32,
) -> Result<Vec<(State, End)>, Stuck> {
    let mut ended = Vec::new();
    let mut waiting = vec![first];
    let mut steps = 0;
    while let Some(mut state) = waiting.pop() {
        let end = loop {
            steps += 1;
            if steps > max_steps || waiting.len() + ended.len() > MAX_PATHS {
                return Err(Stuck {
                    at: state.ip,
                    found: format!("{steps} steps on {} paths", waiting.len() + ended.len()),
                    expected: "an end",
                });
            }
            if state.ip == window {
                break End::Window;
            }
            let instruction = text.at(state.ip)?;
            if text.loops.contains(&state.ip) && revisit(terms, &mut state) {
                break End::Again;
            }
            let mut machine = Machine {
                terms,
                world,
                state: &mut state,
                instruction: &instruction,
                fork: None,
            };
            match machine.step()? {
                Some(end) => break end,
                None => waiting.extend(machine.fork.take()),
            }
        };
        ended.push((state, end));
    }
    Ok(ended)
}

/// At the target of a backward jump. A loop that a lost exchange repeats has no counter: when control comes back with
/// nothing done meanwhile, what differs from the first visit is forgotten (any value may stand there) and the loop is run
/// once more from that state; when it comes back again, that state covers all later rounds.
fn revisit(terms: &mut Terms, state: &mut State) -> bool {
    let found = state.marks.iter().find(|mark| mark.ip == state.ip).cloned();
    let Some(mark) = found else {
        state.marks.push(Mark {
            ip: state.ip,
            regs: state.regs,
            stack_writes: state.stack_writes,
            events: state.events.len(),
            path: state.path.len(),
            failed_exchanges: state.failed_exchanges,
        });
        return false;
    };
    let idle = mark.failed_exchanges < state.failed_exchanges
        && mark.stack_writes == state.stack_writes
        && mark.events == state.events.len();
    if !idle {
        return false;
    }
    if let Some((ip, general)) = state.generalised {
        let pairs = general.iter().zip(&state.regs).zip(&mark.regs);
        return ip == state.ip
            && pairs.into_iter().all(|((known, now), before)| {
                let forgotten = known != before;
                let any = matches!(terms.as_atom(*known), Some(Atom::Any(_)));
                let read = shared_word(terms, *known);
                known == now
                    || (forgotten && (any || (read.is_some() && read == shared_word(terms, *now))))
            });
    }
    for (now, before) in state.regs.iter_mut().zip(&mark.regs) {
        if now != before {
            *now = match (shared_word(terms, *now), shared_word(terms, *before)) {
                // any value at all that could have been read there
                (Some(word), Some(other)) if word == other => {
                    let nonce = terms.nonce();
                    let (phase, address, width) = word;
                    terms.atom(Atom::Load {
                        phase,
                        address,
                        width,
                        nonce,
                    })
                }
                _ => terms.any(),
            };
        }
    }
    state.flags = Flags::Unknown;
    state.path.truncate(mark.path);
    state.generalised = Some((state.ip, state.regs));
    false
}

/// The place of a word that others write, if `value` was read from one.
fn shared_word(terms: &Terms, value: Val) -> Option<(Phase, Val, u8)> {
    match terms.as_atom(value) {
        Some(&Atom::Load {
            phase,
            address,
            width,
            nonce: 1..,
        }) => Some((phase, address, width)),
        _ => None,
    }
}

struct Machine<'a> {
    terms: &'a mut Terms,
    world: &'a dyn World,
    state: &'a mut State,
    instruction: &'a Instruction,
    fork: Option<State>,
}

impl Machine<'_> {
    fn stuck(&self, found: impl Into<String>, expected: &'static str) -> Stuck {
        Stuck {
            at: self.instruction.ip(),
            found: found.into(),
            expected,
        }
    }

    fn unknown(&self) -> Stuck {
        self.stuck(
            format!("`{}`", self.instruction),
            "an instruction of a trampoline",
        )
    }

    fn step(&mut self) -> Result<Option<End>, Stuck> {
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

    /// Bytes of operand `n`.
    fn width(&self, n: u32) -> Result<u8, Stuck> {
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

    fn number(&self, register: Register) -> Result<usize, Stuck> {
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
    fn source(&mut self, n: u32) -> Result<Val, Stuck> {
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

    fn thread_local(&mut self, width: u8) -> Result<Val, Stuck> {
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
    fn address(&mut self) -> Result<Val, Stuck> {
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

    fn load(&mut self, address: Val, width: u8) -> Result<Val, Stuck> {
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

    fn store(&mut self, address: Val, width: u8, value: Val) -> Result<(), Stuck> {
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
    fn put(&mut self, n: u32, value: Val) -> Result<(), Stuck> {
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

    fn add_in_memory(&mut self, locked: bool) -> Result<(), Stuck> {
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

    fn arithmetic(&mut self) -> Result<(), Stuck> {
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

    fn multiply(&mut self) -> Result<(), Stuck> {
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
    fn exchange(&mut self) -> Result<(), Stuck> {
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

    /// A conditional jump: decided by constants or by what the path knows, else both ways.
    fn branch(&mut self) -> Result<(), Stuck> {
        let target = self.instruction.near_branch64();
        let truth = match self.condition()? {
            Decided::Now(truth) => truth,
            Decided::By(condition, negated) => match self.state.decides(condition) {
                Some(truth) => truth != negated,
                None => {
                    let mut taken = self.state.clone();
                    taken.ip = target;
                    taken.path.push((condition, !negated));
                    self.fork = Some(taken);
                    self.state.path.push((condition, negated));
                    return Ok(());
                }
            },
        };
        if truth {
            self.state.ip = target;
        }
        Ok(())
    }

    fn condition(&mut self) -> Result<Decided, Stuck> {
        use iced_x86::ConditionCode as C;
        let code = self.instruction.condition_code();
        match (self.state.flags, code) {
            (Flags::Zero(zero), C::e) => Ok(Decided::Now(zero)),
            (Flags::Zero(zero), C::ne) => Ok(Decided::Now(!zero)),
            (Flags::Result(value, width), C::e | C::ne | C::s | C::ns) => {
                let negated = matches!(code, C::ne | C::ns);
                match (self.terms.as_constant(value), code) {
                    (Some(x), C::e | C::ne) => Ok(Decided::Now((x == 0) != negated)),
                    (Some(x), _) => {
                        let sign = x >> (u32::from(width) * 8 - 1) & 1 == 1;
                        Ok(Decided::Now(sign != negated))
                    }
                    (None, C::e | C::ne) => Ok(Decided::By(zero(self.terms, value), negated)),
                    _ => Err(self.unknown()),
                }
            }
            (Flags::Compare(a, b, width), _) => self.compare(a, b, width, code),
            _ => Err(self.unknown()),
        }
    }

    fn compare(
        &mut self,
        a: Val,
        b: Val,
        width: u8,
        code: iced_x86::ConditionCode,
    ) -> Result<Decided, Stuck> {
        use iced_x86::ConditionCode as C;
        let shift = 64 - u32::from(width) * 8;
        // Two addresses in the stack compare by their distances: the stack does not wrap.
        let constants = match (self.terms.as_constant(a), self.terms.as_constant(b)) {
            (Some(x), Some(y)) => Some((x << shift, y << shift)),
            _ => match (
                self.state.stack_offset(self.terms, a),
                self.state.stack_offset(self.terms, b),
            ) {
                (Some(x), Some(y)) if width == 8 => {
                    // moved to the middle of the unsigned range, so that both orders agree
                    let flip = 1u64 << 62;
                    Some((
                        x.cast_unsigned().wrapping_add(flip),
                        y.cast_unsigned().wrapping_add(flip),
                    ))
                }
                _ => None,
            },
        };
        if let Some((x, y)) = constants {
            let (sx, sy) = (x.cast_signed(), y.cast_signed());
            let truth = match code {
                C::e => x == y,
                C::ne => x != y,
                C::b => x < y,
                C::ae => x >= y,
                C::be => x <= y,
                C::a => x > y,
                C::l => sx < sy,
                C::ge => sx >= sy,
                C::le => sx <= sy,
                C::g => sx > sy,
                C::s => sx.wrapping_sub(sy) < 0,
                C::ns => sx.wrapping_sub(sy) >= 0,
                _ => return Err(self.unknown()),
            };
            return Ok(Decided::Now(truth));
        }
        let (condition, negated) = match code {
            C::e => (equal(self.terms, a, b), false),
            C::ne => (equal(self.terms, a, b), true),
            C::b => below(self.terms, a, b),
            C::ae => {
                let (condition, negated) = below(self.terms, a, b);
                (condition, !negated)
            }
            C::a => below(self.terms, b, a),
            C::be => {
                let (condition, negated) = below(self.terms, b, a);
                (condition, !negated)
            }
            _ => return Err(self.unknown()),
        };
        Ok(Decided::By(condition, negated))
    }
}

enum Decided {
    Now(bool),
    /// By a condition, negated or not.
    By(Condition, bool),
}
