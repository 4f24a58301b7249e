//! Why disturbance does not show a mutant.

use anyhow::{Result, bail};

use crate::table::{Fate, Table};

/// The mutant's name, or the beginning of its broken instruction; the explanation.
const EXPLAINED: &[(&str, &str)] = &[
    (
        "module preemptible",
        "a preempted call goes on with what it has read of its M, which shows if another processor lets that M write the same \
         ring meanwhile; up to 1.13 there is no such preemption, and no mark to leave out",
    ),
    (
        "room check missing",
        "what the hook needs reaches into the reserve below the guard, where these programs have nothing then",
    ),
    (
        "signal stack check missing",
        "the call is not made on a signal stack",
    ),
    (
        "depth check missing",
        "no call is deep in its stack here; `guards.rs` shows it by a recursion that fills 98 % of a stack",
    ),
    (
        "no lastmoduledatap",
        "these programs load no plugin, and whatever else looks for the last module wants nothing of the synthetic one",
    ),
    // Guards: what they keep away does not come to this call, and the flags that stand there instead let it pass.
    ("test r14,r14", "the call has a goroutine"),
    ("test r12,r12", "the goroutine has an M"),
    (
        "mov r12,[r14+",
        "R12 holds the M already, from the code before",
    ),
    (
        "cmp r14,[r12+",
        "the goroutine is not that of the signal stack",
    ),
    (
        "lea r13,[rsp-",
        "R13 holds an address within the stack already",
    ),
    ("cmp r14,[r12]", "the goroutine is not g0"),
    ("jne ", "the goroutine is then asked for as much room as g0"),
    ("cmp r13,[r14]", "there is room, and the flags say so"),
    ("cmp rsp,[r14+8]", "the call is on its goroutine's stack"),
    ("je ", "the branch is for what this call is not"),
    (
        "jb ",
        "there is room in these calls, or the reserve below it",
    ),
    ("ja ", "the call is on its stack, and the ring is not full"),
    ("jae ", "the M has a ring"),
    // Saved and copied, and not needed by this call.
    (
        "mov rbp,rsp",
        "only what walks frame pointers reads it: perf, and the execution tracer from 1.21 on",
    ),
    (
        "mov [rsp+",
        "the call passes nothing there that anything reads",
    ),
    (
        "mov r12,[rsp",
        "the function leaves its arguments as they were",
    ),
    (
        "mov rax,[rsp+0x18]",
        "the time of the end; without it the call has a duration of 0, with which nothing is compared",
    ),
    (
        "mov [r13+0x10],rax",
        "the time of the end; without it the call has a duration of 0, with which nothing is compared",
    ),
    (
        "jbe entry",
        "the function's own check of its stack; it uses the reserve below the guard instead",
    ),
    (
        "shl rdx,0x20",
        "the high half of the machine's counter is 0",
    ),
    ("or rdx,rax", "the time differs by less than the call takes"),
    // The record: the first one of its ring.
    (
        "mov r13,[r12+",
        "the M is that with the number 0, and R13 happens to be small",
    ),
    (
        "mov r13,rax",
        "the ring is empty, so that any small number will do",
    ),
    (
        "sub r13,[rdx",
        "the reader has taken nothing, so that the tail is 0",
    ),
    ("cmp r13,", "the ring is not full, and the flags say so"),
    ("mov r13,[rsp+", "R13 holds the position already"),
    ("and r13d,", "the position is smaller than the ring"),
    ("shl r13,6", "the position is 0"),
    ("mov qword ptr [r13+", "the record was 0 before"),
    (
        "mov rax,[rdx]",
        "the ring is empty, and RAX is not needed before the exchange gives it",
    ),
];

/// Why a mutant is not seen, if that is known.
pub(crate) fn why(mutant: &str) -> Option<&'static str> {
    find(mutant).map(|(_, why)| *why)
}

fn entry(mutant: &str) -> Option<&'static str> {
    find(mutant).map(|(name, _)| *name)
}

fn find(mutant: &str) -> Option<&'static (&'static str, &'static str)> {
    // `without 00c je 2b0`: what is deleted, behind its offset.
    let deleted = mutant
        .strip_prefix("without ")
        .and_then(|rest| rest.split_once(' '))
        .map(|(_, instruction)| instruction);
    EXPLAINED
        .iter()
        .find(|(name, _)| mutant == *name || deleted.is_some_and(|text| text.starts_with(name)))
}

/// What is executed and not caught is explained, whether the verifier rejects it or not.
pub(crate) fn check(table: &Table) -> Result<()> {
    let unexplained = table.rows.iter().filter(|row| {
        let unseen = matches!(
            row.fate,
            Fate::Survived | Fate::Rejected { executed: true, .. }
        );
        unseen && why(&row.mutant).is_none()
    });
    let unexplained = unexplained.map(|row| format!("{}: not explained: {row}", row.target));
    let is_used = |name: &str| {
        let mut rows = table.rows.iter();
        rows.any(|row| !matches!(row.fate, Fate::Caught(_)) && entry(&row.mutant) == Some(name))
    };
    let unused = EXPLAINED.iter().filter(|(name, _)| !is_used(name));
    let unused = unused.map(|(name, _)| format!("explained, and there is no such mutant: {name}"));
    let wrong: Vec<String> = unexplained.chain(unused).collect();
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}
