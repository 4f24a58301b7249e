//! The verifier works: of all single-bit flips of a plan's written bytes each is rejected, or proven to change nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use iced_x86::{Decoder, DecoderOptions, Instruction};

use super::fixture::{self, Case};
use crate::golang::Abi;
use crate::plan::{Plan, WriteKind};
use crate::verify::check;

/// One case per ABI and generation of tables, with and without raw words.
fn cases() -> Vec<Case> {
    [
        (5, Abi::Abi0, false, 24),
        (9, Abi::Abi0, true, 59),
        (13, Abi::Abi0, false, 0),
        (16, Abi::Abi0, true, 256),
        (17, Abi::AbiInternal, false, 12),
        (18, Abi::Abi0, false, 16),
        (21, Abi::AbiInternal, true, 40),
        (26, Abi::AbiInternal, false, 8),
        (27, Abi::Abi0, false, 8),
    ]
    .into_iter()
    .map(|(minor, abi, raw, args)| Case {
        raw,
        args,
        ..Case::new(minor, abi)
    })
    .collect()
}

/// The instruction of the code write that holds byte `at`, as the unchanged bytes divide it.
fn instruction_at(plan: &Plan, bytes: &[u8], at: usize) -> Option<(usize, Instruction)> {
    let write = plan.writes.iter().find(|w| w.kind == WriteKind::Code)?;
    let mut decoder = Decoder::with_ip(64, &write.new, write.at.get(), DecoderOptions::NONE);
    while decoder.can_decode() {
        let start = decoder.position();
        let instruction = decoder.decode();
        if (start..start + instruction.len()).contains(&at) {
            let here = &bytes[start..];
            let ip = instruction.ip();
            return Some((
                instruction.len(),
                Decoder::with_ip(64, here, ip, DecoderOptions::NONE).decode(),
            ));
        }
    }
    None
}

/// Why the flip changes nothing, if that can be proven: the bytes decode to the same instruction of the same length.
fn neutral(plan: &Plan, kind: WriteKind, flipped: &[u8], at: usize) -> Option<String> {
    if kind != WriteKind::Code {
        return None;
    }
    let write = plan.writes.iter().find(|w| w.kind == WriteKind::Code)?;
    let (len, before) = instruction_at(plan, &write.new, at)?;
    let (_, after) = instruction_at(plan, flipped, at)?;
    // iced compares code, operands, prefixes and length-independent contents; two codes can mean the same
    let same = after.len() == len
        && before.mnemonic() == after.mnemonic()
        && before.to_string() == after.to_string();
    same.then(|| {
        format!(
            "same instruction, other encoding ({:?} / {:?})",
            before.code(),
            after.code()
        )
    })
}

#[test]
fn every_flipped_bit_is_rejected_or_proven_neutral() {
    let mut text = String::new();
    for case in cases() {
        let (fake, plan) = fixture::plan(case);
        check(&fake, &plan).unwrap();
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        let mut codes: BTreeMap<String, usize> = BTreeMap::new();
        let (mut bits, mut mutant) = (0, plan.clone());
        for w in 0..plan.writes.len() {
            for at in 0..plan.writes[w].new.len() {
                for bit in 0..8 {
                    bits += 1;
                    mutant.writes[w].new[at] ^= 1 << bit;
                    match check(&fake, &mutant) {
                        Err(list) => {
                            *codes.entry(list[0].code.to_string()).or_default() += 1;
                        }
                        Ok(()) => {
                            let write = &mutant.writes[w];
                            let reason = neutral(&plan, write.kind, &write.new, at);
                            let reason = reason.unwrap_or_else(|| {
                                let code = &plan.writes[0].new;
                                let show = |bytes: &[u8]| instruction_at(&plan, bytes, at).map(|(_, i)| i.to_string());
                                format!("bit {bit} of byte {at:#x} of {:?} passes: {:?} {:?}", write.kind, show(code), show(&mutant.writes[0].new))
                            });
                            *reasons.entry(reason).or_default() += 1;
                        }
                    }
                    mutant.writes[w].new[at] ^= 1 << bit;
                }
            }
        }
        let name = format!(
            "go1.{} {:?} raw {} args {}",
            case.minor, case.abi, case.raw, case.args
        );
        let neutral: usize = reasons.values().sum();
        writeln!(text, "{name}: {bits} bits, {neutral} neutral {reasons:?}").unwrap();
        eprintln!("{name}: {codes:?}");
    }
    eprintln!("{text}");
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
