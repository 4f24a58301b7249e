//! Runs the original and the relocated windows of functions from equal states, and asks the oracle.
//!
//! Many functions share one machine: their windows stand in the text area at once and never overlap, everything else
//! there is `hlt`. Cases whose control may reach another function's entry run alone, with nothing else in place.

use gondwana_engine::golang::{Abi, Facts, GoVersion};

use crate::executor::unicorn::machine::{Machine, MachineError, Snapshot};
use crate::generate::relocation::{Case, Company};
use crate::generate::states::{self, STATE_SIZE, Stack, Target};
use crate::oracle::{Answer, relocation};

/// Where the states' memory lies: where Go has its heap, and so its stacks.
const STATES_AT: u64 = 0xc0_4000_0000;
/// Where calls return to: nothing is mapped there.
const RETURN_TO: u64 = 0x7fff_0000_0000;
/// The states of every case.
pub const STACKS: [Stack; 7] = [
    Stack::Enough,
    Stack::Enough,
    Stack::Enough,
    Stack::Enough,
    Stack::Short,
    Stack::Short,
    Stack::Preempt,
];

/// A failure of the executor, never of the code under test.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The emulator failed.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The case names a version that is not known.
    #[error(transparent)]
    Version(#[from] gondwana_engine::golang::Unsupported),
}

/// A machine with the states of one seed.
pub struct Executor {
    machine: Machine,
    states: Vec<Ready>,
}

/// A state, loaded.
struct Ready {
    stack: Stack,
    abi0: Snapshot,
    internal: Snapshot,
}

impl Executor {
    /// A machine with the states' memory. The image's memory is yet to be mapped.
    pub fn new(version: GoVersion, tls_g: i32, seed: u64) -> Result<Self, Error> {
        let facts = Facts::known_or_like(version)?;
        let target = Target {
            facts: &facts,
            tls_g,
            return_to: RETURN_TO,
        };
        let mut machine = Machine::new()?;
        let mut states = Vec::new();
        for (index, stack) in (0u64..).zip(STACKS) {
            let base = STATES_AT + index * STATE_SIZE;
            let (state, memory) = states::make(target, seed.wrapping_add(index), stack, base);
            machine.map(base, base + STATE_SIZE, false)?;
            machine.place(base, &memory)?;
            let mut load = |abi| {
                let registers = state.registers_for(abi);
                machine.snapshot(&registers, state.flags, state.fs_base, &state.vectors)
            };
            states.push(Ready {
                stack,
                abi0: load(Abi::Abi0)?,
                internal: load(Abi::AbiInternal)?,
            });
        }
        Ok(Self { machine, states })
    }

    /// An executor for this case alone, as `replay` needs it.
    pub fn for_case(case: &Case) -> Result<Self, Error> {
        let mut this = Self::new(case.version, case.tls_g, case.seed)?;
        let mut pages = std::collections::BTreeMap::new();
        let mut add = |low: u64, high: u64, executable: bool| {
            for page in (low >> 12)..=(high.saturating_sub(1).max(low) >> 12) {
                *pages.entry(page).or_insert(false) |= executable;
            }
        };
        add(case.entry, case.span_end(), true);
        add(case.relocated_at, case.relocated_end(), true);
        if let Some(check) = case.check {
            add(check.morestack, check.morestack + 1, true);
        }
        for data in &case.data {
            add(data.at, data.at + data.bytes.len() as u64, false);
        }
        for (page, executable) in pages {
            this.machine.map(page << 12, (page + 1) << 12, executable)?;
        }
        for data in &case.data {
            this.machine.place(data.at, &data.bytes)?;
        }
        Ok(this)
    }

    /// The machine, to map and fill an image's memory.
    pub fn machine(&mut self) -> &mut Machine {
        &mut self.machine
    }

    /// Runs cases that may stand together; `each` gets every case's answers, in the order of [`STACKS`].
    pub fn run<'c>(
        &mut self,
        cases: &'c [Case],
        mut each: impl FnMut(&'c Case, &[Answer]),
    ) -> Result<(), Error> {
        let of = |company| cases.iter().filter(move |case| case.company() == company);
        for case in of(Company::Any) {
            self.place(case)?;
        }
        for case in of(Company::Any) {
            each(case, &self.answers(case, false)?);
        }
        for case in of(Company::Any) {
            self.remove(case)?;
        }
        for company in [Company::Alone, Company::Guarded] {
            for case in of(company) {
                each(case, &self.one(case, company == Company::Guarded)?);
            }
        }
        self.machine.forget()?;
        Ok(())
    }

    /// Runs one case with nothing else in place.
    pub fn one(&mut self, case: &Case, guarded: bool) -> Result<Vec<Answer>, Error> {
        self.place(case)?;
        let answers = self.answers(case, guarded)?;
        self.remove(case)?;
        Ok(answers)
    }

    fn place(&mut self, case: &Case) -> Result<(), Error> {
        self.machine.place_code(case.entry, &case.window)?;
        self.machine
            .place_code(case.entry + case.window.len() as u64, &case.follow)?;
        self.machine
            .place_code(case.relocated_at, &case.relocated)?;
        Ok(())
    }

    fn remove(&mut self, case: &Case) -> Result<(), Error> {
        self.machine.erase(case.entry, case.span_end())?;
        self.machine
            .erase(case.relocated_at, case.relocated_end())?;
        Ok(())
    }

    fn answers(&mut self, case: &Case, guarded: bool) -> Result<Vec<Answer>, Error> {
        let mut answers = Vec::with_capacity(self.states.len());
        for state in &self.states {
            let from = match case.abi {
                Abi::Abi0 => &state.abi0,
                Abi::AbiInternal => &state.internal,
            };
            let original = self.machine.run(from, case.entry, guarded)?;
            let relocated = self.machine.run(from, case.relocated_at, guarded)?;
            answers.push(relocation::judge(case, state.stack, &original, &relocated));
        }
        Ok(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::relocation::{Check, Data};
    use crate::outcome::FLAGS;

    const ENTRY: u64 = 0x40_1000;
    const CODE: u64 = 0x60_0000;

    fn jump(opcode: &[u8], from: u64, to: u64) -> Vec<u8> {
        let next = from + opcode.len() as u64 + 4;
        let offset = i32::try_from(to.cast_signed() - next.cast_signed()).unwrap();
        [opcode, &offset.to_le_bytes()].concat()
    }

    fn case(window: &[u8], follow: &[u8], relocated: Vec<u8>) -> Case {
        Case {
            function: "main.f".to_owned(),
            version: GoVersion::new(21, 0),
            tls_g: -8,
            abi: Abi::AbiInternal,
            entry: ENTRY,
            size: 0x80,
            window: window.to_owned(),
            follow: follow.to_owned(),
            relocated_at: CODE,
            relocated,
            moved: vec![(ENTRY, CODE)],
            check: None,
            defined_flags: FLAGS,
            seed: 7,
            data: Vec::new(),
        }
    }

    /// `cmp rsp,[r14+0x10]; jbe entry+0x26`, the prologue of 1.17 and later.
    fn stack_check() -> Case {
        let window = [0x49, 0x3b, 0x66, 0x10, 0x76, 0x20];
        let mut relocated = window[..4].to_vec();
        relocated.extend(jump(&[0x0f, 0x86], CODE + 4, ENTRY + 0x26));
        relocated.extend(jump(&[0xe9], CODE + 10, ENTRY + 6));
        Case {
            check: Some(Check {
                end: ENTRY + 6,
                morestack: ENTRY + 0x26,
            }),
            ..case(&window, &[], relocated)
        }
    }

    /// `mov rcx,fs:[-8]` with `cmp rsp,[rcx+0x10]; jbe entry+0x4f` behind it, the prologue up to 1.16.
    fn tls_prologue() -> Case {
        let window = [0x64, 0x48, 0x8b, 0x0c, 0x25, 0xf8, 0xff, 0xff, 0xff];
        let mut relocated = window.to_vec();
        relocated.extend(jump(&[0xe9], CODE + 9, ENTRY + 9));
        Case {
            abi: Abi::Abi0,
            version: GoVersion::new(13, 15),
            check: Some(Check {
                end: ENTRY + 15,
                morestack: ENTRY + 0x4f,
            }),
            ..case(&window, &[0x48, 0x3b, 0x61, 0x10, 0x76, 0x40], relocated)
        }
    }

    /// `push rbp; mov rbp,rsp; sub rsp,0x18`: stores, and flags.
    fn frame() -> Case {
        let window = [0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x18];
        let mut relocated = window.to_vec();
        relocated.extend(jump(&[0xe9], CODE + 8, ENTRY + 8));
        case(&window, &[], relocated)
    }

    /// `movups xmm3,[rip+…]` at another distance.
    fn rip_relative() -> Case {
        let at = ENTRY + 0x3008;
        let window = jump(&[0x0f, 0x10, 0x1d], ENTRY, at);
        let mut relocated = jump(&[0x0f, 0x10, 0x1d], CODE, at);
        relocated.extend(jump(&[0xe9], CODE + 7, ENTRY + 7));
        Case {
            data: vec![Data {
                at,
                bytes: (1..=16).collect(),
            }],
            ..case(&window, &[], relocated)
        }
    }

    /// `push rdx; call …`, as closures begin in builds with `-d=maymorestack`.
    fn displaced_call() -> Case {
        let callee = ENTRY + 0x2000;
        let window = [&[0x52][..], &jump(&[0xe8], ENTRY + 1, callee)].concat();
        let mut relocated = vec![0x52, 0xff, 0x35, 5, 0, 0, 0];
        relocated.extend(jump(&[0xe9], CODE + 7, callee));
        relocated.extend((ENTRY + 6).to_le_bytes());
        case(&window, &[], relocated)
    }

    fn answers(case: &Case) -> Vec<Answer> {
        Executor::for_case(case).unwrap().one(case, true).unwrap()
    }

    #[test]
    fn true_relocations_agree_in_every_state() {
        for case in [
            stack_check(),
            tls_prologue(),
            frame(),
            rip_relative(),
            displaced_call(),
        ] {
            assert_eq!(
                answers(&case),
                vec![Answer::Agree; STACKS.len()],
                "{case:?}"
            );
        }
    }

    /// Bits whose flip changes no effect of the code: (case, bit).
    const NEUTRAL: [(usize, usize); 8] = [
        (0, 1),  // REX.X without an index
        (0, 89), // back to the original `jbe` instead of behind it
        (1, 8),  // REX.B without a base
        (1, 38), // the scale of no index
        (1, 39),
        (2, 9), // REX.X of register operands
        (2, 33),
        (2, 34), // REX.R of an opcode extension
    ];

    #[test]
    fn every_flipped_bit_of_a_relocated_window_is_seen() {
        let cases = [
            stack_check(),
            tls_prologue(),
            frame(),
            rip_relative(),
            displaced_call(),
        ];
        let mut unseen = Vec::new();
        for (number, case) in cases.iter().enumerate() {
            let mut executor = Executor::for_case(case).unwrap();
            for bit in 0..case.relocated.len() * 8 {
                let mut mutant = case.clone();
                mutant.relocated[bit / 8] ^= 1 << (bit % 8);
                let answers = executor.one(&mutant, true).unwrap();
                if !answers.iter().any(|a| matches!(a, Answer::Diverge(_))) {
                    unseen.push((number, bit));
                }
            }
        }
        assert_eq!(unseen, NEUTRAL);
    }

    #[test]
    fn a_stack_check_that_goes_elsewhere_is_seen_although_both_forms_agree() {
        let mut case = stack_check();
        case.check = Some(Check {
            end: ENTRY + 6,
            morestack: ENTRY + 0x27,
        });
        let diverging: Vec<bool> = answers(&case)
            .iter()
            .map(|a| matches!(a, Answer::Diverge(_)))
            .collect();
        assert_eq!(diverging, STACKS.map(|stack| stack != Stack::Enough));
    }

    #[test]
    fn faults_and_endless_loops_are_inconclusive() {
        // mov rax,[0x10]: nothing is there.
        let load = [0x48, 0x8b, 0x04, 0x25, 0x10, 0, 0, 0];
        let fault = case(&load, &[], load.to_vec());
        // jmp self
        let spin = case(&[0xeb, 0xfe, 0x90, 0x90, 0x90], &[], vec![0xeb, 0xfe]);
        for case in [fault, spin] {
            for answer in answers(&case) {
                assert!(matches!(answer, Answer::Inconclusive(_)), "{answer:?}");
            }
        }
        // One that faults against one that does not.
        let differs = case(&load, &[], jump(&[0xe9], CODE, ENTRY + 8));
        assert!(matches!(answers(&differs)[0], Answer::Diverge(_)));
    }

    #[test]
    fn a_case_survives_json() {
        let case = rip_relative();
        let text = serde_json::to_string(&case).unwrap();
        assert_eq!(serde_json::from_str::<Case>(&text).unwrap(), case);
    }

    #[test]
    fn memory_is_the_same_before_every_execution() {
        // add qword [rsp+8], 1 ; jmp back
        let add = [0x48, 0x83, 0x44, 0x24, 0x08, 0x01];
        let mut relocated = add.to_vec();
        relocated.extend(jump(&[0xe9], CODE + 6, ENTRY + 6));
        let case = case(&add, &[], relocated);
        let mut executor = Executor::for_case(&case).unwrap();
        for _ in 0..3 {
            assert!(
                executor
                    .one(&case, false)
                    .unwrap()
                    .iter()
                    .all(Answer::agrees)
            );
        }
    }
}
