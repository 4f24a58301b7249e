//! Executable bytes -> [`Gadget`]: a `syscall` instruction in the process from which control comes back by itself.
//!
//! A system call that the tracer has a thread make must not depend on the tracer's survival: if the tracer is killed in
//! the middle, the kernel lets the thread run on with the registers that it has. So the call is made at a `syscall` that
//! is followed by nothing but `pop`s and a `ret`, with a stack that leads back to where the thread stood.

use std::io;

use crate::addr::RunAddr;
use crate::os::ptrace::Registers;
use crate::os::{Mapping, ProcessMemory};

/// Longest run of `pop`s that is accepted.
const MAX_POPS: usize = 8;
/// How much of a mapping is searched.
const MAX_SEARCH: u64 = 16 << 20;

/// `syscall; pop…; ret` in the process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gadget {
    /// The `syscall` instruction.
    pub at: RunAddr,
    /// Registers that are popped after it, by number.
    pops: Vec<u8>,
}

impl Gadget {
    /// Searches executable mappings: the kernel's own (every process has it) first.
    pub fn find(memory: &ProcessMemory, maps: &[Mapping]) -> io::Result<Option<Self>> {
        let executable = |map: &&Mapping| map.protection.read && map.protection.execute;
        let (own, rest): (Vec<_>, Vec<_>) = maps
            .iter()
            .filter(executable)
            .partition(|map| map.name == "[vdso]");
        for map in own.into_iter().chain(rest) {
            let length = map.end.offset_from(map.start).unwrap_or(0).min(MAX_SEARCH);
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
            if memory.read(map.start, &mut bytes).is_err() {
                continue;
            }
            if let Some(found) = Self::search(&bytes, map.start) {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The first one in `bytes`, which lie at `base`.
    #[must_use]
    pub fn search(bytes: &[u8], base: RunAddr) -> Option<Self> {
        bytes.windows(2).enumerate().find_map(|(offset, pair)| {
            let pops = (pair == [0x0f, 0x05])
                .then(|| pops_before_return(bytes.get(offset + 2..)?))
                .flatten()?;
            let at = base.checked_add(u64::try_from(offset).ok()?)?;
            Some(Self { at, pops })
        })
    }

    /// The next instruction after the `syscall`.
    #[must_use]
    pub fn after(&self) -> RunAddr {
        RunAddr::new(self.at.get().wrapping_add(2))
    }

    /// What must stand at the stack pointer, and where that is, so that a thread with `regs` goes on where it stood with
    /// all popped registers unchanged.
    #[must_use]
    pub fn stack(&self, regs: &Registers) -> Option<(RunAddr, Vec<u8>)> {
        let mut words: Vec<u8> = Vec::new();
        for &number in &self.pops {
            words.extend(regs.by_number(number)?.to_le_bytes());
        }
        words.extend(regs.rip().get().to_le_bytes());
        let at = regs.rsp().checked_sub(u64::try_from(words.len()).ok()?)?;
        Some((at, words))
    }
}

/// Register numbers of the `pop`s that lead to a `ret` (Intel SDM vol. 2: `58+rd`, `41 58+rd`, `C3`).
fn pops_before_return(mut code: &[u8]) -> Option<Vec<u8>> {
    let mut pops = Vec::new();
    loop {
        match code {
            [0xc3, ..] => return Some(pops),
            // Not RSP (number 4).
            [op @ 0x58..=0x5f, rest @ ..] if *op != 0x5c => {
                pops.push(op - 0x58);
                code = rest;
            }
            [0x41, op @ 0x58..=0x5f, rest @ ..] => {
                pops.push(op - 0x58 + 8);
                code = rest;
            }
            _ => return None,
        }
        if pops.len() > MAX_POPS {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_way_back_counts() {
        let base = RunAddr::new(0x1000);
        let find = |bytes: &[u8]| Gadget::search(bytes, base);
        assert_eq!(find(&[0x0f, 0x05]), None);
        assert_eq!(find(&[0x0f, 0x05, 0x90, 0xc3]), None);
        assert_eq!(find(&[0x0f, 0x05, 0x5c, 0xc3]), None, "pop rsp");
        let found = find(&[0x0f, 0x05, 0x90, 0x0f, 0x05, 0x5b, 0x41, 0x5c, 0x5d, 0xc3]).unwrap();
        assert_eq!(found.at, RunAddr::new(0x1003));
        assert_eq!(found.pops, [3, 12, 5]);
    }

    #[test]
    fn the_kernels_own_code_has_one() {
        let me = crate::os::Pid::this();
        let maps = crate::os::maps::read(me).unwrap();
        let memory = ProcessMemory::open(me).unwrap();
        let found = Gadget::find(&memory, &maps).unwrap().unwrap();
        let home = maps
            .iter()
            .find(|map| map.start <= found.at && found.at < map.end);
        println!("{found:x?} in {home:x?}");
        assert!(home.unwrap().protection.execute);
    }
}
