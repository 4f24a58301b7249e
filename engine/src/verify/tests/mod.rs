//! Plans of a made-up program: right ones pass, wrong ones do not.

mod fixture;
mod mutation;
mod order;
mod plans;
mod preconditions;
mod windows;

use fixture::Case;
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic};

use super::{Rejection, verify_against};
use crate::golang::Abi;
use crate::site::CalleeStack;

fn show(list: &[Rejection]) -> String {
    list.iter().map(|r| format!("{r}\n")).collect()
}

#[track_caller]
fn accepted(case: Case) {
    let (fake, plan) = fixture::plan(case);
    if let Err(list) = verify_against(&fake, plan) {
        panic!("{case:?}:\n{}", show(&list));
    }
}

#[test]
fn plans_of_every_version_and_abi_pass() {
    for case in Case::all() {
        accepted(case);
    }
}

#[test]
fn argument_areas_of_all_sizes_pass() {
    for args in (0..40).chain([127, 128, 129, 512, 4099]) {
        for abi in [Abi::Abi0, Abi::AbiInternal] {
            for raw in [false, true] {
                let case = Case::new(21, abi);
                accepted(Case { args, raw, ..case });
            }
        }
    }
}

/// Where a plan lies is chosen before it is made, by these bounds.
#[test]
fn no_hook_is_larger_than_there_is_room_for() {
    use crate::plan::{MAX_FIXED, MAX_TABLES, MAX_TRAMPOLINE};
    let (mut code, mut tables) = (0, 0);
    for case in Case::all() {
        for args in [0, 24, 4096] {
            for raw in [false, true] {
                let cost = fixture::plan(Case { args, raw, ..case }).1.memory();
                code = code.max(cost.code);
                tables = tables.max(cost.tables);
            }
        }
    }
    println!("longest trampoline {code}, module of one hook {tables}");
    assert!(code <= MAX_TRAMPOLINE && tables <= MAX_FIXED + MAX_TABLES);
}

#[test]
fn every_kind_of_callee_passes() {
    for callee_stack in [
        CalleeStack::Checked,
        CalleeStack::Leaf(0),
        CalleeStack::Leaf(312),
        CalleeStack::Leaf(100_000),
        CalleeStack::Nosplit,
    ] {
        for slide in [0, 0x5555_5540_0000] {
            let case = Case::new(24, Abi::AbiInternal);
            accepted(Case {
                callee_stack,
                slide,
                ..case
            });
        }
    }
}

/// Each guard of the contract guards: where any of its jumps leads on instead, the plan is rejected, and for that reason.
#[test]
fn trampolines_without_one_of_their_guards_are_rejected() {
    use super::RejectionCode as Code;
    for case in Case::all() {
        let (fake, plan) = fixture::plan(case);
        let start = plan.hooks[0].trampoline.start.get();
        let decoder = Decoder::with_ip(64, &plan.writes[0].new, start, DecoderOptions::NONE);
        let guards = decoder
            .into_iter()
            .take_while(|i| i.mnemonic() != Mnemonic::Push);
        let jumps: Vec<Instruction> = guards.filter(Instruction::is_jcc_short_or_near).collect();
        assert!(jumps.len() >= 6, "{case:?}");
        for (i, jump) in jumps.iter().enumerate() {
            let mut broken = plan.clone();
            // Its displacement is what it ends with: a byte or four.
            let end = (jump.next_ip() - start) as usize;
            let width = if jump.len() == 2 { 1 } else { 4 };
            broken.writes[0].new[end - width..end].fill(0);
            let list = verify_against(&fake, broken).expect_err("a missing guard");
            // Without the first two a read behind them is one of nothing.
            let expected = if i < 2 { Code::Code } else { Code::Guards };
            assert_eq!(list[0].code, expected, "{case:?} {jump}:\n{}", show(&list));
        }
    }
}
