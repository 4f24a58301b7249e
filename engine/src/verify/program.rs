//! The original program -> what the rules about single functions need to know of all of it, found out once for each plan.

use std::ops::Range;

use iced_x86::{Decoder, DecoderOptions, Instruction, OpKind};

use super::{Original, OriginalFunction, callee};
use crate::addr::LinkAddr;
use crate::golang::{Abi, Facts};

/// Symbols around the code that the program hashes itself (`crypto/internal/fips140/check`, `cmd/link/internal/ld/
/// fips140.go`, 1.24 and later).
const HASHED: [&str; 2] = ["go:textfipsstart", "go:textfipsend"];

/// A branch of assembly to somewhere outside of its own function.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Branch {
    pub(super) to: LinkAddr,
    pub(super) from: LinkAddr,
}

/// What holds for the whole program.
pub(super) struct Program {
    /// Convention of compiled functions. 1.17 could be built without registers for arguments: then `runtime.main` begins
    /// with a load of g, as it did before.
    pub(super) compiled: Abi,
    /// The code that the program hashes.
    pub(super) hashed: Option<Range<LinkAddr>>,
    /// Branches of assembly, by ascending target.
    branches: Vec<Branch>,
}

impl Program {
    /// Looks at every function of the line table once, and at the instructions of those that are assembly.
    pub(super) fn of(original: &dyn Original) -> Self {
        let facts = original.facts();
        let mut compiled = facts.compiled_abi;
        let mut hashed = [None; 2];
        let mut branches = Vec::new();
        for function in original.functions() {
            let text = || original.bytes(function.entry, function.size as usize);
            if let Some(bound) = HASHED.iter().position(|name| *name == function.name) {
                hashed[bound] = Some(function.entry);
            } else if function.name == "runtime.main" {
                let code = Decoder::with_ip(
                    64,
                    text().unwrap_or_default(),
                    function.entry.get(),
                    DecoderOptions::NONE,
                );
                if callee::loads_g(code.into_iter()) {
                    compiled = Abi::Abi0;
                }
            }
            if is_assembly(facts, &function) {
                leaving(&function, text().unwrap_or_default(), &mut branches);
            }
        }
        branches.sort_unstable();
        branches.dedup_by_key(|branch| branch.to);
        Self {
            compiled,
            hashed: match hashed {
                [Some(start), Some(end)] => Some(start..end),
                // Half of the marks is more than none: nothing behind the first one, or before the last one, is touched.
                [Some(start), None] => Some(start..LinkAddr::new(u64::MAX)),
                [None, Some(end)] => Some(LinkAddr::new(0)..end),
                [None, None] => None,
            },
            branches,
        }
    }

    /// A branch of assembly into this range.
    pub(super) fn branch_into(&self, range: Range<LinkAddr>) -> Option<Branch> {
        let first = self
            .branches
            .partition_point(|branch| branch.to < range.start);
        self.branches
            .get(first)
            .copied()
            .filter(|branch| branch.to < range.end)
    }
}

/// Compiled functions have a map of the pointers in their locals; the flag came with 1.18.
pub(super) fn is_assembly(facts: &Facts, function: &OriginalFunction<'_>) -> bool {
    let flagged = facts
        .func_flag_asm
        .is_some_and(|bit| function.flags & bit != 0);
    flagged || !function.has_locals_map
}

/// Adds where `text`, a function's bytes, branches to outside of them.
fn leaving(function: &OriginalFunction<'_>, text: &[u8], branches: &mut Vec<Branch>) {
    let start = function.entry.get();
    let own = start..start.saturating_add(u64::from(function.size));
    let mut decoder = Decoder::with_ip(64, text, start, DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut instruction);
        let near = instruction.op_count() == 1
            && matches!(
                instruction.op0_kind(),
                OpKind::NearBranch16 | OpKind::NearBranch32 | OpKind::NearBranch64
            );
        let to = instruction.near_branch_target();
        if near && !own.contains(&to) {
            branches.push(Branch {
                to: LinkAddr::new(to),
                from: LinkAddr::new(instruction.ip()),
            });
        }
    }
}
