//! Records become visible when all of them is written, not before: trampolines that write them in another order are rejected
//! for that.

use iced_x86::{Code as Op, Decoder, DecoderOptions, Instruction, Register};

use super::fixture::{self, Case};
use crate::golang::Abi;
use crate::plan::{Plan, PlannedHook};
use crate::ring::layout::RING_HEAD;
use crate::verify::{RejectionCode as Code, check};

fn instructions(hook: &PlannedHook, code: &[u8]) -> Vec<Instruction> {
    let start = hook.trampoline.start.get();
    Decoder::with_ip(64, code, start, DecoderOptions::NONE)
        .into_iter()
        .take_while(|i| i.ip() < hook.trampoline.reloc.get())
        .collect()
}

/// The bytes of `[from, to)`, by addresses.
fn range(hook: &PlannedHook, from: u64, to: u64) -> std::ops::Range<usize> {
    let start = hook.trampoline.start.get();
    (from - start) as usize..(to - start) as usize
}

/// Ends of the stores of sequence words: `mov [r13],eax`.
fn ends(hook: &PlannedHook, code: &[u8]) -> Vec<u64> {
    instructions(hook, code)
        .iter()
        .filter(|i| {
            i.code() == Op::Mov_rm32_r32
                && i.memory_base() == Register::R13
                && i.memory_displacement64() == 0
                && i.op1_register() == Register::EAX
        })
        .map(Instruction::next_ip)
        .collect()
}

fn code_of(plan: &Plan, change: impl FnOnce(&PlannedHook, &mut Vec<u8>)) -> Plan {
    let mut plan = plan.clone();
    let hook = plan.hooks[0].clone();
    change(&hook, &mut plan.writes[0].new);
    plan
}

fn raw(minor: u16, abi: Abi) -> Case {
    Case {
        raw: true,
        ..Case::new(minor, abi)
    }
}

#[test]
fn the_first_of_several_records_is_published_last_in_the_shared_ring() {
    for (minor, abi) in [(13, Abi::Abi0), (21, Abi::AbiInternal), (27, Abi::Abi0)] {
        let (fake, plan) = fixture::plan(raw(minor, abi));
        check(&fake, &plan).unwrap();
        // Own ring: results, arguments, span; then the same in the shared one.
        let ends = ends(&plan.hooks[0], &plan.writes[0].new);
        assert_eq!(ends.len(), 6);
        let code = &plan.writes[0].new;
        let all = instructions(&plan.hooks[0], code);
        // The first of these blocks begins behind the exchange, its jump and the store of what it gave.
        let exchange = all.iter().position(|i| i.code() == Op::Cmpxchg_rm64_r64);
        let first = all[exchange.unwrap() + 2].next_ip();
        let blocks = [(first, ends[3]), (ends[3], ends[4]), (ends[4], ends[5])];
        for (order, expected) in [
            ([1, 0, 2], None),
            ([2, 0, 1], Some(Code::Order)),
            ([0, 2, 1], Some(Code::Order)),
        ] {
            let changed = code_of(&plan, |hook, code| {
                let moved: Vec<u8> = order
                    .iter()
                    .flat_map(|&i: &usize| code[range(hook, blocks[i].0, blocks[i].1)].to_vec())
                    .collect();
                code[range(hook, first, ends[5])].copy_from_slice(&moved);
            });
            let said = check(&fake, &changed).err().map(|list| list[0].code);
            assert_eq!(said, expected, "go1.{minor} {order:?}");
        }
        // In a ring with one writer its head says what is there, whatever the order.
        let [a, b, c] = [ends[0], ends[1], ends[2]];
        let swapped = code_of(&plan, |hook, code| {
            let moved = [
                code[range(hook, b, c)].to_vec(),
                code[range(hook, a, b)].to_vec(),
            ]
            .concat();
            code[range(hook, a, c)].copy_from_slice(&moved);
        });
        check(&fake, &swapped).unwrap();
    }
}

#[test]
fn a_sequence_word_is_written_behind_its_record() {
    let (fake, plan) = fixture::plan(Case::new(21, Abi::AbiInternal));
    let ends = ends(&plan.hooks[0], &plan.writes[0].new);
    assert_eq!(ends.len(), 2);
    // `mov dword [r13+4],tag; mov rax,[rsp+RDX]; add eax,1; mov [r13],eax`, with the tag last
    for (end, expected) in [(ends[0], None), (ends[1], Some(Code::Order))] {
        let changed = code_of(&plan, |hook, code| {
            let all = instructions(hook, code);
            let last = all.iter().position(|i| i.next_ip() == end).unwrap();
            let tag = &all[last - 3];
            assert_eq!(tag.code(), Op::Mov_rm32_imm32);
            let whole = range(hook, tag.ip(), end);
            code[whole].rotate_left(tag.len());
        });
        let said = check(&fake, &changed).err().map(|list| list[0].code);
        assert_eq!(said, expected);
    }
}

#[test]
fn a_ring_of_its_own_shows_records_by_its_head() {
    let (fake, plan) = fixture::plan(Case::new(21, Abi::AbiInternal));
    let changed = code_of(&plan, |hook, code| {
        let all = instructions(hook, code);
        let publish = all
            .iter()
            .position(|i| {
                i.mnemonic() == iced_x86::Mnemonic::Add
                    && i.memory_base() == Register::RDX
                    && i.memory_displacement64() == RING_HEAD
            })
            .unwrap();
        let (sequence, publish) = (&all[publish - 1], &all[publish]);
        let whole = range(hook, sequence.ip(), publish.next_ip());
        code[whole].rotate_left(sequence.len());
    });
    assert_eq!(check(&fake, &changed).unwrap_err()[0].code, Code::Order);
}
