//! Whatever stands in a plan, the verifier answers; and what it says of hooks, places and order is checked, not believed.

use serde_json::Value;

use super::fixture::{self, Case};
use crate::golang::Abi;
use crate::plan::Plan;
use crate::site::CalleeStack;
use crate::verify::{RejectionCode as Code, check};

/// The paths of all values in `value` but the bytes of writes, which the test of flipped bits covers.
fn places(value: &Value, here: &str, out: &mut Vec<String>) {
    match value {
        Value::Array(list) if !(here.ends_with("/new") || here.ends_with("/old")) => {
            for (i, item) in list.iter().enumerate() {
                places(item, &format!("{here}/{i}"), out);
            }
        }
        Value::Object(fields) => {
            for (name, item) in fields {
                places(item, &format!("{here}/{name}"), out);
            }
        }
        _ => {}
    }
    out.push(here.to_owned());
}

/// Other values of the same type.
fn others(value: &Value) -> Vec<Value> {
    match value {
        Value::Number(number) => {
            let number = number.as_u64().unwrap_or_default();
            [
                0,
                1,
                number.wrapping_add(1),
                number.wrapping_sub(1),
                number.wrapping_add(16),
                number.wrapping_add(4096),
                u64::from(u32::MAX),
                1 << 63,
                u64::MAX,
            ]
            .into_iter()
            .filter(|other| *other != number)
            .map(Value::from)
            .collect()
        }
        Value::Bool(truth) => vec![Value::from(!truth)],
        Value::String(text) => [
            "Code",
            "Module",
            "Link",
            "LastModule",
            "Entry",
            "Nosplit",
            "Abi0",
            "AbiInternal",
            "x",
            "",
        ]
        .into_iter()
        .filter(|other| other != text)
        .map(Value::from)
        .collect(),
        Value::Array(list) => {
            let mut out = vec![Value::Array(Vec::new())];
            let mut longer = list.clone();
            longer.extend(list.last().cloned());
            out.push(Value::Array(longer));
            let mut shorter = list.clone();
            shorter.pop();
            out.push(Value::Array(shorter));
            let mut turned = list.clone();
            turned.reverse();
            out.push(Value::Array(turned));
            out.retain(|other| other != value);
            out
        }
        Value::Object(_) | Value::Null => vec![Value::Null],
    }
}

/// What a plan may say otherwise and stay as right: it describes the hook to people, or names what was not done.
fn is_only_told(place: &str) -> bool {
    place.starts_with("/refused") || place.ends_with("/inlined_copies")
}

#[test]
fn every_changed_value_is_rejected() {
    for case in [
        Case::new(13, Abi::Abi0),
        Case {
            raw: true,
            slide: 0x5555_5540_0000,
            ..Case::new(27, Abi::AbiInternal)
        },
    ] {
        let (fake, plan) = fixture::plan(case);
        let whole = serde_json::to_value(&plan).unwrap();
        let mut list = Vec::new();
        places(&whole, "", &mut list);
        let mut tried = 0;
        for place in list {
            for other in others(whole.pointer(&place).unwrap()) {
                let mut changed = whole.clone();
                *changed.pointer_mut(&place).unwrap() = other.clone();
                let Ok(mutant) = serde_json::from_value::<Plan>(changed) else {
                    continue;
                };
                tried += 1;
                let passes = check(&fake, &mutant).is_ok();
                // counters are padded to whole cache lines: some numbers of hooks give the same rings
                let (before, after) = (plan.placement.geometry, mutant.placement.geometry);
                if before.hooks != after.hooks
                    && after.is_valid()
                    && before.records() == after.records()
                {
                    assert!(after.hooks == 0 || passes, "{place} = {other}");
                    continue;
                }
                assert_eq!(
                    passes,
                    is_only_told(&place) || mutant == plan,
                    "{place} = {other}"
                );
            }
        }
        assert!(tried > 300, "{tried}");
    }
}

#[test]
fn a_hook_is_what_the_file_says() {
    let (mut fake, plan) = fixture::plan(Case::new(22, Abi::AbiInternal));
    fake.text[40] = 0xe8;
    check(&fake, &plan).unwrap();
    // a leaf may not call
    let case = Case {
        callee_stack: CalleeStack::Leaf(0),
        ..Case::new(22, Abi::AbiInternal)
    };
    let (_, plan) = fixture::plan(case);
    assert_eq!(check(&fake, &plan).unwrap_err()[0].code, Code::Hook);
    // a checked function must check
    let (mut fake, plan) = fixture::plan(Case::new(13, Abi::Abi0));
    fake.text[13] = 0x90;
    fake.text[14] = 0x90;
    assert_eq!(check(&fake, &plan).unwrap_err()[0].code, Code::Hook);
    // a later jump into the window
    let (mut fake, plan) = fixture::plan(Case::new(13, Abi::Abi0));
    fake.text[30..32].copy_from_slice(&[0xeb, 0xe3]);
    assert_eq!(check(&fake, &plan).unwrap_err()[0].code, Code::BranchTarget);
}

#[test]
fn deep_calls_are_told_by_the_variable_of_this_program() {
    for case in [Case::new(13, Abi::Abi0), Case::new(27, Abi::AbiInternal)] {
        let without = Case {
            max_stack: false,
            ..case
        };
        let (unknown, assumed) = fixture::plan(without);
        check(&unknown, &assumed).unwrap();
        let (mut fake, plan) = fixture::plan(case);
        let code = |fake: &fixture::Fake, plan: &Plan| check(fake, plan).unwrap_err()[0].code;
        // made for a program in which it was not found, or found elsewhere
        assert_eq!(code(&fake, &assumed), Code::Guards);
        assert_eq!(code(&unknown, &plan), Code::Guards);
        let mut told = assumed;
        told.max_stack_size = plan.max_stack_size;
        assert_eq!(code(&fake, &told), Code::Guards);
        told = plan.clone();
        told.max_stack_size = None;
        assert_eq!(code(&unknown, &told), Code::Code);
        fake.max_stack = fake.max_stack.map(|at| at + 8);
        assert_eq!(code(&fake, &plan), Code::Guards);
        fake.max_stack = fake.max_stack.map(|at| at - 8);
        // a word of the file that is another one
        fake.initial_max_stack = 250_000_000;
        assert_eq!(code(&fake, &plan), Code::Guards);
    }
}

#[test]
fn damaged_bytes_are_answered() {
    // many bytes at once, from a fixed sequence: what matters is that there is an answer, and soon
    let mut seed = 1u64;
    let mut next = |below: usize| {
        seed = seed
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below.max(1)
    };
    let (fake, plan) = fixture::plan(Case::new(18, Abi::Abi0));
    let mut passed = 0;
    for round in 0..3000 {
        let mut mutant = plan.clone();
        for _ in 0..=next(12) {
            let w = next(2);
            let bytes = &mut mutant.writes[w].new;
            let at = next(bytes.len());
            bytes[at] = match next(3) {
                0 => next(256) as u8,
                1 => bytes[next(bytes.len())],
                _ => [0x90, 0xcc, 0xeb, 0xe9, 0x48, 0xf0, 0x0f, 0x00][next(8)],
            };
        }
        passed += usize::from(check(&fake, &mutant).is_ok());
        assert!(passed * 20 <= round + 40, "{passed} of {round} pass");
    }
}
