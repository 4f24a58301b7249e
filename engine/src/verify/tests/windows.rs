//! Relocated windows by hand: each class of instruction, right and wrong in each way that it can be.

use super::fixture::{self, Case};
use crate::addr::RunAddr;
use crate::golang::Abi;
use crate::verify::writes::{Mapping, Memory};
use crate::verify::{Findings, RejectionCode as Code, displaced};

const ENTRY: u64 = fixture::TEXT;
const RELOC: u64 = 0x100_0000;

/// Bytes of a jump at `RELOC + offset`, `opcode` first, to `target`.
fn jump(opcode: &[u8], offset: u64, target: u64) -> Vec<u8> {
    let end = RELOC + offset + opcode.len() as u64 + 4;
    let distance = i32::try_from(target.wrapping_sub(end).cast_signed()).unwrap();
    [opcode, &distance.to_le_bytes()].concat()
}

/// What the verifier says of `window` moved as `code`, `moved` being pairs of offsets.
fn verdict(window: &[u8], code: &[u8], moved: &[(u64, u64)]) -> Vec<Code> {
    let (original, plan) = fixture::plan(Case::new(21, Abi::Abi0));
    let mut hook = plan.hooks[0].clone();
    hook.window = window.to_vec();
    hook.entry = RunAddr::new(ENTRY);
    hook.trampoline.start = RunAddr::new(RELOC);
    hook.trampoline.reloc = RunAddr::new(RELOC);
    hook.trampoline.end = RunAddr::new(RELOC + code.len() as u64);
    hook.moved = moved
        .iter()
        .map(|&(old, new)| (RunAddr::new(ENTRY + old), RunAddr::new(RELOC + new)))
        .collect();
    let memory = Memory {
        code: Mapping {
            start: RunAddr::new(RELOC),
            bytes: code,
        },
        data: Mapping::default(),
    };
    let mut findings = Findings::default();
    displaced::check(&original, &plan, &hook, &memory, &mut findings);
    findings.list.iter().map(|r| r.code).collect()
}

const RIGHT: &[Code] = &[];
const DIFFERS: &[Code] = &[Code::Displaced];
const MAP: &[Code] = &[Code::Moved];

#[test]
fn copies_are_exact_and_followed_by_the_jump_back() {
    // sub rsp,24; inc eax
    let window = [0x48, 0x83, 0xec, 0x18, 0xff, 0xc0];
    let moved = [(0, 0), (4, 4)];
    let code = [window.to_vec(), jump(&[0xe9], 6, ENTRY + 6)].concat();
    assert_eq!(verdict(&window, &code, &moved), RIGHT);
    for (i, bit) in [(0, 1), (3, 8), (4, 1), (5, 0x10), (6, 2), (7, 1), (9, 0x80)] {
        let mut wrong = code.clone();
        wrong[i] ^= bit;
        assert_eq!(verdict(&window, &wrong, &moved), DIFFERS, "byte {i}");
    }
    assert_eq!(verdict(&window, &code[..6], &moved), DIFFERS);
    assert_eq!(verdict(&window, &code, &[(0, 0)]), MAP);
    assert_eq!(verdict(&window, &code, &[(0, 0), (4, 0)]), MAP);
    assert_eq!(verdict(&window, &code, &[(0, 0), (3, 4)]), MAP);
    assert_eq!(verdict(&window, &code, &[(0, 0), (4, 5)]), DIFFERS);
    let longer = [window.to_vec(), jump(&[0xe9], 6, ENTRY + 6), vec![0x90]].concat();
    assert_eq!(verdict(&window, &longer, &moved), DIFFERS);
}

#[test]
fn addresses_relative_to_rip_stay_what_they_were() {
    // lea rax,[rip+0x100]
    let window = [0x48, 0x8d, 0x05, 0x00, 0x01, 0x00, 0x00];
    let moved = [(0, 0)];
    let back = jump(&[0xe9], 7, ENTRY + 7);
    let right = [
        jump(&[0x48, 0x8d, 0x05], 0, ENTRY + 7 + 0x100),
        back.clone(),
    ]
    .concat();
    assert_eq!(verdict(&window, &right, &moved), RIGHT);
    let copied = [window.to_vec(), back.clone()].concat();
    assert_eq!(verdict(&window, &copied, &moved), DIFFERS);
    let register = [
        jump(&[0x48, 0x8d, 0x0d], 0, ENTRY + 7 + 0x100),
        back.clone(),
    ]
    .concat();
    assert_eq!(verdict(&window, &register, &moved), DIFFERS);
    let loaded = [jump(&[0x48, 0x8b, 0x05], 0, ENTRY + 7 + 0x100), back].concat();
    assert_eq!(verdict(&window, &loaded, &moved), DIFFERS);
}

#[test]
fn branches_keep_condition_and_target() {
    // cmp eax,ecx; jb +0x20 (out of the window); nop
    let window = [0x39, 0xc8, 0x72, 0x20, 0x90];
    let moved = [(0, 0), (2, 2), (4, 8)];
    let make = |opcode: &[u8], target: u64| {
        let tail = jump(&[0xe9], 9, ENTRY + 5);
        [
            window[..2].to_vec(),
            jump(opcode, 2, target),
            vec![0x90],
            tail,
        ]
        .concat()
    };
    let target = ENTRY + 4 + 0x20;
    assert_eq!(
        verdict(&window, &make(&[0x0f, 0x82], target), &moved),
        RIGHT
    );
    assert_eq!(
        verdict(&window, &make(&[0x0f, 0x83], target), &moved),
        DIFFERS
    );
    assert_eq!(
        verdict(&window, &make(&[0x0f, 0x82], target + 1), &moved),
        DIFFERS
    );
    assert_eq!(
        verdict(&window, &make(&[0x0f, 0x82], RELOC + 8), &moved),
        DIFFERS
    );
}

#[test]
fn branches_inside_the_window_move_with_it() {
    // xor eax,eax; inc eax; jne back to the inc
    let window = [0x31, 0xc0, 0xff, 0xc0, 0x75, 0xfc];
    let moved = [(0, 0), (2, 2), (4, 4)];
    let make = |target: u64| {
        let tail = jump(&[0xe9], 10, ENTRY + 6);
        [window[..4].to_vec(), jump(&[0x0f, 0x85], 4, target), tail].concat()
    };
    assert_eq!(verdict(&window, &make(RELOC + 2), &moved), RIGHT);
    assert_eq!(verdict(&window, &make(ENTRY + 2), &moved), DIFFERS);
    assert_eq!(verdict(&window, &make(RELOC), &moved), DIFFERS);
    assert_eq!(verdict(&window, &make(RELOC + 3), &moved), DIFFERS);
}

#[test]
fn counted_branches_go_the_same_two_ways() {
    // jrcxz +0x20; inc eax; nop
    let window = [0xe3, 0x20, 0xff, 0xc0, 0x90];
    let moved = [(0, 0), (2, 9), (4, 11)];
    let target = ENTRY + 2 + 0x20;
    let make = |first: [u8; 4], target: u64| {
        let tail = jump(&[0xe9], 12, ENTRY + 5);
        [
            first.to_vec(),
            jump(&[0xe9], 4, target),
            window[2..].to_vec(),
            tail,
        ]
        .concat()
    };
    assert_eq!(
        verdict(&window, &make([0xe3, 2, 0xeb, 5], target), &moved),
        RIGHT
    );
    // another instruction, another target, the ways exchanged, a loop, one way too long
    assert_eq!(
        verdict(&window, &make([0xe2, 2, 0xeb, 5], target), &moved),
        DIFFERS
    );
    assert_eq!(
        verdict(&window, &make([0xe3, 2, 0xeb, 5], target + 1), &moved),
        DIFFERS
    );
    assert_eq!(
        verdict(&window, &make([0xe3, 7, 0xeb, 0], target), &moved),
        DIFFERS
    );
    assert_eq!(
        verdict(&window, &make([0xe3, 2, 0xeb, 0xfc], target), &moved),
        DIFFERS
    );
    assert_eq!(
        verdict(&window, &make([0xe3, 2, 0xeb, 7], target), &moved),
        DIFFERS
    );
}

#[test]
fn calls_are_never_right() {
    let window = [0xe8, 0x00, 0x01, 0x00, 0x00];
    let code = [
        jump(&[0xe8], 0, ENTRY + 5 + 0x100),
        jump(&[0xe9], 5, ENTRY + 5),
    ]
    .concat();
    assert_eq!(verdict(&window, &code, &[(0, 0)]), DIFFERS);
}

#[test]
fn a_window_that_ends_the_function_has_no_jump_back() {
    let window = [0x31, 0xc0, 0xc3, 0xcc, 0xcc, 0xcc];
    let moved = [(0, 0), (2, 2)];
    assert_eq!(verdict(&window, &window[..3], &moved), RIGHT);
    assert_eq!(verdict(&window, &window, &moved), DIFFERS);
    // what follows the end is code: something may jump there
    let window = [0x31, 0xc0, 0xc3, 0xff, 0xc0, 0xc3];
    assert_eq!(verdict(&window, &window[..3], &moved), DIFFERS);
    // a tail jump
    let window = [0xeb, 0x20, 0xcc, 0xcc, 0xcc];
    let code = jump(&[0xe9], 0, ENTRY + 2 + 0x20);
    assert_eq!(verdict(&window, &code, &[(0, 0)]), RIGHT);
    let code = jump(&[0xe9], 0, ENTRY + 3);
    assert_eq!(verdict(&window, &code, &[(0, 0)]), DIFFERS);
}
