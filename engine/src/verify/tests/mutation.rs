//! The verifier works: of all single-bit flips of a plan's written bytes each is rejected, or listed as neutral.
//!
//! A flip is neutral for one of two reasons, and only in code. Either the flipped bytes decode to the same instruction (an
//! ignored prefix bit, another encoding). Or the instruction differs and yet every path still has every specified effect:
//! that is what the verifier has just shown by accepting it, and the golden lists each of these for people to judge
//! (operands of a comparison for equality swapped, bits that a mask drops, a result that nothing uses).

use std::collections::BTreeMap;
use std::fmt::Write as _;

use iced_x86::{Decoder, DecoderOptions, Instruction};

use super::fixture::{self, Case};
use crate::golang::Abi;
use crate::plan::{Plan, WriteKind};
use crate::verify::check;

/// The instruction that holds byte `at` of the code, as the plan's own bytes divide it, read from `bytes`.
fn instruction_at(plan: &Plan, bytes: &[u8], at: usize) -> Instruction {
    let code = &plan.writes[0];
    let mut decoder = Decoder::with_ip(64, &code.new, code.at.get(), DecoderOptions::NONE);
    loop {
        let start = decoder.position();
        let ip = decoder.ip();
        let len = decoder.decode().len();
        if (start..start + len).contains(&at) {
            return Decoder::with_ip(64, &bytes[start..], ip, DecoderOptions::NONE).decode();
        }
    }
}

/// Flips every bit of every written byte; the text says which flips passed, and why.
fn survivors(case: Case) -> String {
    let (fake, plan) = fixture::plan(case);
    check(&fake, &plan).unwrap();
    assert_eq!(plan.writes[0].kind, WriteKind::Code);
    let (mut bits, mut same) = (0, 0);
    let mut others: BTreeMap<String, usize> = BTreeMap::new();
    let mut mutant = plan.clone();
    for w in 0..plan.writes.len() {
        for at in 0..plan.writes[w].new.len() {
            for bit in 0..8 {
                bits += 1;
                mutant.writes[w].new[at] ^= 1 << bit;
                if check(&fake, &mutant).is_ok() {
                    assert_eq!(
                        w, 0,
                        "{case:?}: bit {bit} of byte {at:#x} of write {w} passes"
                    );
                    let before = instruction_at(&plan, &plan.writes[0].new, at);
                    let after = instruction_at(&plan, &mutant.writes[0].new, at);
                    assert_eq!(before.len(), after.len());
                    if before == after || before.to_string() == after.to_string() {
                        same += 1;
                    } else {
                        *others.entry(format!("{before}  ->  {after}")).or_default() += 1;
                    }
                }
                mutant.writes[w].new[at] ^= 1 << bit;
            }
        }
    }
    let differ: usize = others.values().sum();
    let mut text = format!(
        "{bits} bits: {} rejected, {same} the same instruction, {differ} the same effects:\n",
        bits - same - differ
    );
    for (change, count) in others {
        writeln!(text, "{count} x {change}").unwrap();
    }
    text
}

macro_rules! every_bit {
    ($($name:ident: $minor:literal $abi:ident raw $raw:literal args $args:literal;)*) => {$(
        #[test]
        fn $name() {
            let case = Case {
                raw: $raw,
                args: $args,
                ..Case::new($minor, Abi::$abi)
            };
            insta::assert_snapshot!(stringify!($name), survivors(case));
        }
    )*};
}

// Each generation of the line table with each ABI that it has, and each change of `_func` and of the guards.
every_bit! {
    go1_5_abi0: 5 Abi0 raw false args 24;
    go1_13_abi0_raw: 13 Abi0 raw true args 61;
    go1_16_abi0: 16 Abi0 raw false args 0;
    go1_17_internal: 17 AbiInternal raw false args 12;
    go1_18_abi0: 18 Abi0 raw false args 131;
    go1_21_internal_raw: 21 AbiInternal raw true args 40;
    go1_26_abi0: 26 Abi0 raw false args 16;
    go1_27_internal: 27 AbiInternal raw false args 8;
}

#[test]
fn every_flipped_bit_of_what_is_expected_there_is_rejected() {
    let (fake, plan) = fixture::plan(Case::new(21, Abi::AbiInternal));
    let mut mutant = plan.clone();
    for w in 0..plan.writes.len() {
        for at in 0..plan.writes[w].old.len() {
            for bit in 0..8 {
                mutant.writes[w].old[at] ^= 1 << bit;
                assert!(
                    check(&fake, &mutant).is_err(),
                    "write {w} byte {at} bit {bit}"
                );
                mutant.writes[w].old[at] ^= 1 << bit;
            }
        }
    }
}
