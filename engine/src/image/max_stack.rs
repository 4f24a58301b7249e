//! The code of a program -> `runtime.maxstacksize`, the variable that bounds how far a goroutine's stack may grow.
//!
//! | function | instruction |
//! |---|---|
//! | `runtime.main` (`proc.go`) | `mov qword [X],1000000000`: what it is from then on |
//! | `runtime.newstack` (`stack.go`) | reads `[X]` to compare the size of the new stack with it |
//! | `runtime.setMaxStack`, `runtime/debug.setMaxStack` (`rdebug.go`), where the program has them | write no other variable than `X` |
//!
//! From 1.16 on the runtime has a second bound, `maxstackceiling`, twice the first one: `runtime.main` stores
//! 2,000,000,000 there, so that the two are told apart. All witnesses must agree, and the file must have 1 MiB in the
//! variable, its initial value (`stack.go`); else there is no answer.

use iced_x86::{Decoder, DecoderOptions, Instruction, MemorySize, Mnemonic, OpKind};

use super::elf::Elf;
use super::{Function, limits};
use crate::addr::LinkAddr;

/// What `runtime.main` stores where a word has 64 bits.
const DEFAULT: u64 = 1_000_000_000;
/// What the variable holds before.
const INITIAL: u64 = 1 << 20;

/// The variable that all witnesses agree on.
pub(super) fn find(elf: &Elf<'_>, functions: &[Function<'_>]) -> Option<LinkAddr> {
    let mut witnesses = Witnesses::default();
    for function in functions {
        match function.name {
            "runtime.main" => words(elf, function, |one, at| {
                if stores_default(one) {
                    witnesses.stored.push(at);
                }
            }),
            "runtime.newstack" => words(elf, function, |one, at| {
                if !is_store(one) {
                    witnesses.read.push(at);
                }
            }),
            "runtime.setMaxStack" | "runtime/debug.setMaxStack" => {
                words(elf, function, |one, at| {
                    if is_store(one) {
                        witnesses.set.push(at);
                    }
                });
            }
            _ => {}
        }
    }
    witnesses
        .agreed()
        .filter(|&at| elf.pointer(at) == Some(INITIAL) && elf.is_writable(at))
}

/// Words of memory that functions of the runtime use.
#[derive(Default)]
struct Witnesses {
    /// `runtime.main` stores the default there.
    stored: Vec<LinkAddr>,
    /// `runtime.newstack` reads them.
    read: Vec<LinkAddr>,
    /// `debug.SetMaxStack` writes them.
    set: Vec<LinkAddr>,
}

impl Witnesses {
    fn agreed(&self) -> Option<LinkAddr> {
        let (&found, rest) = self.stored.split_first()?;
        let same = |others: &[LinkAddr]| others.iter().all(|&other| other == found);
        (same(rest) && same(&self.set) && self.read.contains(&found)).then_some(found)
    }
}

/// Hands out every instruction of `function` that names a word of memory by its address.
fn words(elf: &Elf<'_>, function: &Function<'_>, mut visit: impl FnMut(&Instruction, LinkAddr)) {
    let len = (function.size as usize).min(limits::RUNTIME_FUNCTION);
    let code = elf.bytes(function.entry, len).unwrap_or_default();
    for one in Decoder::with_ip(64, code, function.entry.get(), DecoderOptions::NONE) {
        let is_word = matches!(one.memory_size(), MemorySize::UInt64 | MemorySize::Int64);
        if one.is_ip_rel_memory_operand() && is_word {
            visit(&one, LinkAddr::new(one.ip_rel_memory_address()));
        }
    }
}

fn is_store(one: &Instruction) -> bool {
    one.mnemonic() == Mnemonic::Mov && one.op0_kind() == OpKind::Memory
}

fn stores_default(one: &Instruction) -> bool {
    is_store(one) && one.op1_kind() == OpKind::Immediate32to64 && one.immediate(1) == DEFAULT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_witnesses_must_agree() {
        let [a, b] = [LinkAddr::new(8), LinkAddr::new(16)];
        let agreed = |stored: &[_], read: &[_], set: &[_]| {
            let [stored, read, set] = [stored, read, set].map(<[LinkAddr]>::to_vec);
            Witnesses { stored, read, set }.agreed()
        };
        assert_eq!(agreed(&[a], &[b, a, b], &[]), Some(a));
        assert_eq!(agreed(&[a, a], &[a], &[a, a]), Some(a));
        assert_eq!(agreed(&[], &[a], &[a]), None);
        assert_eq!(agreed(&[a, b], &[a], &[a]), None);
        assert_eq!(agreed(&[a], &[b], &[a]), None);
        assert_eq!(agreed(&[a], &[a], &[a, b]), None);
    }
}
