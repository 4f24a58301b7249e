//! The original program -> what the rules about single functions need to know of all of it, found out once for each plan.

use std::ops::Range;

use iced_x86::{Decoder, DecoderOptions, Instruction, OpKind};

use super::{Original, OriginalFunction, callee};
use crate::addr::LinkAddr;
use crate::golang::{Abi, Facts, policy};

/// A branch of assembly to somewhere outside of its own function.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Branch {
    pub(super) to: LinkAddr,
    pub(super) from: LinkAddr,
}

/// What holds for the whole program.
pub(super) struct Program<'a> {
    /// Convention of compiled functions. 1.17 could be built without registers for arguments: then `runtime.main` begins
    /// with a load of g, as it did before.
    pub(super) compiled: Abi,
    /// A function of a library by which the program rewrites its own functions.
    pub(super) patcher: Option<&'a str>,
    /// Branches of assembly, by ascending target.
    branches: Vec<Branch>,
    /// The code that the program hashes.
    hashed: Vec<Range<LinkAddr>>,
}

/// The marks around the code of the FIPS module (`cmd/link/internal/ld/fips140.go`).
const FIPS_MARKS: [&str; 2] = ["go:textfipsstart", "go:textfipsend"];

impl<'a> Program<'a> {
    /// Looks at every function of the line table once, and at the instructions of those that are assembly.
    pub(super) fn of(original: &'a dyn Original) -> Self {
        let facts = original.facts();
        let mut compiled = facts.compiled_abi;
        let mut branches = Vec::new();
        let mut patcher = None;
        let mut marks = [None; 2];
        for function in original.functions() {
            let text = || original.bytes(function.entry, function.size as usize);
            if function.name == "runtime.main" {
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
            if policy::patcher_of(function.name).is_some() {
                patcher = patcher.or(Some(function.name));
            }
            for (mark, name) in marks.iter_mut().zip(FIPS_MARKS) {
                if function.name == name {
                    *mark = Some(function.entry);
                }
            }
            if is_assembly(facts, &function) {
                leaving(&function, text().unwrap_or_default(), &mut branches);
            }
        }
        branches.sort_unstable();
        branches.dedup_by_key(|branch| branch.to);
        let told = original.hashed_text().into_iter();
        let marked = match marks {
            [Some(start), Some(end)] => Some((start, end)),
            _ => None,
        };
        let hashed = told.chain(marked).map(|(start, end)| start..end).collect();
        Self {
            compiled,
            patcher,
            branches,
            hashed,
        }
    }

    /// Whether the program hashes a byte of this range.
    pub(super) fn is_hashed(&self, range: Range<LinkAddr>) -> bool {
        self.hashed
            .iter()
            .any(|hashed| range.start < hashed.end && hashed.start < range.end)
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
