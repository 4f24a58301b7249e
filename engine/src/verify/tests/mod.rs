//! Plans of a made-up program: right ones pass, wrong ones do not.

mod fixture;
mod mutation;

use fixture::Case;

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
