//! Plans that are written without a fault for functions that must not be hooked, or not so: each is rejected for that reason.

use super::fixture::{self, Case, Fake, TEXT};
use crate::addr::LinkAddr;
use crate::golang::{Abi, GoVersion};
use crate::plan::Plan;
use crate::site::CalleeStack;
use crate::verify::{RejectionCode as Code, check};

/// What is said of the plan, each once.
fn codes(fake: &Fake, plan: &Plan) -> Vec<Code> {
    let mut codes: Vec<Code> = match check(fake, plan) {
        Ok(()) => Vec::new(),
        Err(list) => list.iter().map(|rejection| rejection.code).collect(),
    };
    codes.dedup();
    codes
}

/// A function whose window is these bytes, in Go 1.21 under ABIInternal.
fn displacing(window: &'static [u8]) -> Case {
    Case {
        window: Some(window),
        callee_stack: CalleeStack::Leaf(0),
        ..Case::new(21, Abi::AbiInternal)
    }
}

/// What is said of a compiled function with this window, or of assembly.
fn moving(window: &'static [u8], case: Case, assembly: bool) -> Vec<Code> {
    let (mut fake, plan) = fixture::plan(Case {
        window: Some(window),
        callee_stack: CalleeStack::Leaf(0),
        ..case
    });
    if assembly {
        fake.make_assembly();
    }
    codes(&fake, &plan)
}

const NOTHING: &[Code] = &[];
/// `lea rax,[rsp+8]`
const HARMLESS: &[u8] = &[0x48, 0x8d, 0x44, 0x24, 0x08];

#[test]
fn functions_that_show_their_caller_are_not_framed() {
    for (minor, name) in [
        (5, "runtime.deferproc"),
        (13, "runtime.deferproc.func1"),
        (21, "runtime.gopanic"),
        (27, "runtime.newproc"),
        (27, "runtime.gopanic-fm"),
        (21, "runtime/internal/syscall.Syscall6"),
        (27, "go:textfipsend"),
    ] {
        let case = Case {
            name,
            ..Case::new(minor, Abi::Abi0)
        };
        let (fake, plan) = fixture::plan(case);
        assert_eq!(codes(&fake, &plan), [Code::Forbidden], "go1.{minor} {name}");
    }
    let (mut fake, plan) = fixture::plan(Case {
        name: "runtime.selectgo",
        ..Case::new(9, Abi::Abi0)
    });
    assert_eq!(codes(&fake, &plan), NOTHING);
    fake.version = GoVersion::new(8, 3);
    assert_eq!(codes(&fake, &plan), [Code::Forbidden]);
}

#[test]
fn flags_of_the_line_table_forbid_a_frame() {
    for (minor, flags, expected) in [
        (16, 1, NOTHING),
        (17, 1, &[Code::Forbidden]),
        (27, 2, &[Code::Forbidden]),
    ] {
        let (mut fake, plan) = fixture::plan(Case::new(minor, Abi::Abi0));
        fake.functions[0].flags = flags;
        assert_eq!(codes(&fake, &plan), expected, "go1.{minor} {flags}");
    }
}

#[test]
fn code_that_the_program_hashes_is_not_touched() {
    let size = 64;
    let (mut fake, plan) = fixture::plan(Case::new(27, Abi::AbiInternal));
    for (range, expected) in [
        ((TEXT + size, TEXT + 2 * size), NOTHING),
        ((TEXT - 1, TEXT), NOTHING),
        ((TEXT - 1, TEXT + 1), &[Code::Forbidden]),
        ((TEXT + size - 1, TEXT + 2 * size), &[Code::Forbidden]),
    ] {
        fake.hashed = vec![(LinkAddr::new(range.0), LinkAddr::new(range.1))];
        assert_eq!(codes(&fake, &plan), expected, "{range:x?}");
    }
    // Marks in the line table, where nothing else tells.
    fake.hashed.clear();
    fake.push("go:textfipsstart", &[]).entry = LinkAddr::new(TEXT - size);
    assert_eq!(codes(&fake, &plan), NOTHING);
    fake.push("go:textfipsend", &[]);
    assert_eq!(codes(&fake, &plan), [Code::Forbidden]);
}

#[test]
fn programs_that_rewrite_themselves_are_not_touched() {
    let (mut fake, plan) = fixture::plan(Case::new(21, Abi::AbiInternal));
    fake.push("github.com/bytedance/mockeys.Mock", &[]);
    assert_eq!(codes(&fake, &plan), NOTHING);
    fake.push("github.com/bytedance/mockey.Mock", &[]);
    assert_eq!(codes(&fake, &plan), [Code::Forbidden]);
}

#[test]
fn functions_of_a_newer_runtime_are_not_framed() {
    for (name, expected) in [
        ("runtime.unheardOf", &[Code::Forbidden][..]),
        ("runtime.newobject", NOTHING),
        ("main.unheardOf", NOTHING),
    ] {
        let (mut fake, plan) = fixture::plan(Case {
            name,
            ..Case::new(27, Abi::AbiInternal)
        });
        assert_eq!(codes(&fake, &plan), NOTHING, "{name}");
        fake.assumed_like = Some(GoVersion::new(27, 3));
        assert_eq!(codes(&fake, &plan), expected, "{name}");
        let wrapper = fake.facts.func_id_wrapper.unwrap();
        fake.functions[0].func_id = wrapper;
        assert_eq!(codes(&fake, &plan), NOTHING, "a wrapper, {name}");
    }
}

#[test]
fn what_may_fault_is_not_displaced() {
    let compiled = displacing(&[]);
    for (window, expected) in [
        (HARMLESS, NOTHING),
        // mov rax,[rax]; nop2
        (&[0x48, 0x8b, 0x00, 0x66, 0x90], &[Code::MayFault]),
        // mov [rbx],eax; nop3
        (&[0x89, 0x03, 0x0f, 0x1f, 0x00], &[Code::MayFault]),
        // div rcx; nop2
        (&[0x48, 0xf7, 0xf1, 0x66, 0x90], &[Code::MayFault]),
        // mov rax,[r14+16]; mov rcx,[rdx+8]: g, the closure
        (&[0x49, 0x8b, 0x46, 0x10, 0x48, 0x8b, 0x4a, 0x08], NOTHING),
        // mov rdx,[rdx+8]; mov rcx,[rdx]: what the closure holds
        (
            &[0x48, 0x8b, 0x52, 0x08, 0x48, 0x8b, 0x0a],
            &[Code::MayFault],
        ),
        // mov rbp,rsp; mov rax,[rbp+16]
        (&[0x48, 0x89, 0xe5, 0x48, 0x8b, 0x45, 0x10], NOTHING),
        // mov rax,[rsp+rcx]; nop
        (&[0x48, 0x8b, 0x04, 0x0c, 0x90], &[Code::MayFault]),
        // mov rax,[0x400000]: absolute
        (
            &[0x48, 0x8b, 0x04, 0x25, 0x00, 0x00, 0x40, 0x00],
            &[Code::MayFault],
        ),
        // mov rax,fs:[rcx]
        (&[0x64, 0x48, 0x8b, 0x01, 0x90], &[Code::MayFault]),
        // mov rcx,-8; mov rcx,fs:[rcx]; mov rax,[rcx+16]
        (
            &[
                0x48, 0xc7, 0xc1, 0xf8, 0xff, 0xff, 0xff, 0x64, 0x48, 0x8b, 0x09, 0x48, 0x8b, 0x41,
                0x10,
            ],
            NOTHING,
        ),
        // mov rax,gs:[8]
        (
            &[0x65, 0x48, 0x8b, 0x04, 0x25, 0x08, 0x00, 0x00, 0x00],
            &[Code::MayFault],
        ),
        // prefetcht0 [rax]; lea rcx,[rbx]: they name memory and do not touch it
        (&[0x0f, 0x18, 0x08, 0x48, 0x8d, 0x0b], NOTHING),
    ] {
        assert_eq!(moving(window, compiled, false), expected, "{window:02x?}");
    }
    // mov rcx,[rdx+8]; nop: in assembly nobody has read it
    let closure = &[0x48, 0x8b, 0x4a, 0x08, 0x90];
    let assembly = Case::new(21, Abi::Abi0);
    assert_eq!(moving(closure, compiled, false), NOTHING);
    assert_eq!(moving(closure, assembly, true), [Code::MayFault]);
    // mov rcx,[r14+16]; nop: under ABI0 that is no g
    assert_eq!(
        moving(&[0x49, 0x8b, 0x4e, 0x10, 0x90], assembly, true),
        [Code::MayFault]
    );
}

#[test]
fn what_is_not_the_functions_own_is_not_displaced() {
    let compiled = displacing(&[]);
    for window in [
        // syscall; int3…; hlt; lock inc [rsp]; rep stosb; out dx,al; rdtsc is harmless
        &[0x0f, 0x05, 0x0f, 0x1f, 0x00][..],
        &[0xcd, 0x80, 0x0f, 0x1f, 0x00],
        &[0xf4, 0x0f, 0x1f, 0x40, 0x00],
        &[0xf0, 0xff, 0x04, 0x24, 0x90],
        &[0xf3, 0xaa, 0x0f, 0x1f, 0x00],
        &[0xee, 0x0f, 0x1f, 0x40, 0x00],
    ] {
        let said = moving(window, compiled, false);
        assert!(said.contains(&Code::Unmovable), "{window:02x?}: {said:?}");
    }
    assert_eq!(
        moving(&[0x0f, 0x31, 0x0f, 0x1f, 0x00], compiled, false),
        NOTHING
    );
}

#[test]
fn assembly_is_abi0_if_it_says_so_and_keeps_to_it() {
    let case = Case {
        window: Some(HARMLESS),
        callee_stack: CalleeStack::Leaf(0),
        ..Case::new(21, Abi::Abi0)
    };
    let said = |change: &dyn Fn(&mut Fake)| {
        let (mut fake, plan) = fixture::plan(case);
        fake.make_assembly();
        change(&mut fake);
        codes(&fake, &plan)
    };
    assert_eq!(said(&|_| ()), NOTHING);
    // no map of its arguments: a private convention, or ABIInternal
    assert_eq!(
        said(&|fake| fake.functions[0].has_args_map = false),
        [Code::Abi]
    );
    // other assembly calls it
    let call = |fake: &mut Fake, offset: u64| {
        let from = TEXT + fake.text.len() as u64;
        let distance = (TEXT + offset).wrapping_sub(from + 5) as i32;
        let code = [&[0xe8][..], &distance.to_le_bytes()].concat();
        let caller = fake.push("main.asm", &code);
        caller.has_locals_map = false;
    };
    assert_eq!(said(&|fake| call(fake, 0)), [Code::Abi]);
    assert_eq!(said(&|fake| call(fake, 5)), NOTHING);
    // mov rax,[rsp+32]: behind 24 bytes of arguments; mov rax,[rsp]: the return address; and rsp,-16
    for code in [
        &[0x48, 0x8b, 0x44, 0x24, 0x20][..],
        &[0x48, 0x8b, 0x04, 0x24],
        &[0x48, 0x83, 0xe4, 0xf0],
        &[0x48, 0x29, 0xc4],
    ] {
        assert_eq!(
            said(&|fake| fake.text[16..16 + code.len()].copy_from_slice(code)),
            [Code::Abi],
            "{code:02x?}"
        );
    }
    assert_eq!(
        said(&|fake| fake.text[16..21].copy_from_slice(&[0x48, 0x8b, 0x44, 0x24, 0x18])),
        NOTHING
    );
}

#[test]
fn assembly_of_the_runtime_is_not_hooked() {
    let (mut fake, plan) = fixture::plan(Case {
        name: "runtime.memmove2",
        window: Some(HARMLESS),
        callee_stack: CalleeStack::Leaf(0),
        ..Case::new(21, Abi::Abi0)
    });
    fake.make_assembly();
    assert_eq!(codes(&fake, &plan), [Code::Abi]);
}

#[test]
fn compiled_functions_have_the_programs_convention_or_load_g() {
    // compiled, and said to be ABI0: it does not load g
    let (fake, plan) = fixture::plan(Case {
        window: Some(HARMLESS),
        callee_stack: CalleeStack::Leaf(0),
        ..Case::new(21, Abi::Abi0)
    });
    assert_eq!(codes(&fake, &plan), [Code::Abi]);
    // entered by ABI0, and said to be ABIInternal: it loads g behind its window
    let (mut fake, plan) = fixture::plan(displacing(HARMLESS));
    assert_eq!(codes(&fake, &plan), NOTHING);
    fake.text[5..14].copy_from_slice(&[0x64, 0x4c, 0x8b, 0x34, 0x25, 0xf8, 0xff, 0xff, 0xff]);
    assert_eq!(codes(&fake, &plan), [Code::Abi]);
    // after a call that means nothing
    let call = |fake: &mut Fake| fake.text[5..10].copy_from_slice(&[0xe8, 0, 0, 0, 0]);
    let (mut fake, plan) = fixture::plan(Case {
        callee_stack: CalleeStack::Nosplit,
        ..displacing(HARMLESS)
    });
    call(&mut fake);
    fake.text[10..19].copy_from_slice(&[0x64, 0x4c, 0x8b, 0x34, 0x25, 0xf8, 0xff, 0xff, 0xff]);
    assert_eq!(codes(&fake, &plan), NOTHING);
    // a program built without the register convention says so in its main function
    fake.push(
        "runtime.main",
        &[0x64, 0x48, 0x8b, 0x0c, 0x25, 0xf8, 0xff, 0xff, 0xff],
    );
    assert_eq!(codes(&fake, &plan), [Code::Abi]);
}

#[test]
fn nothing_branches_into_the_displaced_bytes() {
    let case = displacing(HARMLESS);
    // of the function: jmp into byte 2; jne to the entry, which leads to the trampoline
    let (mut fake, plan) = fixture::plan(case);
    fake.text[30..32].copy_from_slice(&[0xeb, 0xe2]);
    assert_eq!(codes(&fake, &plan), [Code::BranchTarget]);
    fake.text[30..32].copy_from_slice(&[0x75, 0xe0]);
    assert_eq!(codes(&fake, &plan), NOTHING);
    // of assembly elsewhere: into each byte but the first, and the one behind
    for (offset, expected) in [
        (0, NOTHING),
        (1, &[Code::BranchTarget]),
        (4, &[Code::BranchTarget]),
        (5, NOTHING),
    ] {
        let (mut fake, plan) = fixture::plan(case);
        let from = TEXT + fake.text.len() as u64;
        let distance = (TEXT + offset).wrapping_sub(from + 5) as i32;
        let code = [&[0xe9][..], &distance.to_le_bytes()].concat();
        fake.push("main.asm", &code).has_locals_map = false;
        assert_eq!(codes(&fake, &plan), expected, "byte {offset}");
    }
}

#[test]
fn no_jump_goes_where_nobody_knows() {
    // jmp [rax+rcx*8]
    const SWITCH: [u8; 3] = [0xff, 0x24, 0xc8];
    let nosplit = Case {
        callee_stack: CalleeStack::Nosplit,
        ..displacing(HARMLESS)
    };
    let (mut fake, plan) = fixture::plan(nosplit);
    fake.text[20..23].copy_from_slice(&SWITCH);
    assert_eq!(codes(&fake, &plan), [Code::BranchTarget]);
    // jmp rax leaves a compiled function, and goes anywhere in assembly
    let (mut fake, plan) = fixture::plan(nosplit);
    fake.text[20..22].copy_from_slice(&[0xff, 0xe0]);
    assert_eq!(codes(&fake, &plan), NOTHING);
    let (mut fake, plan) = fixture::plan(Case {
        abi: Abi::Abi0,
        ..nosplit
    });
    fake.text[20..22].copy_from_slice(&[0xff, 0xe0]);
    fake.make_assembly();
    assert_eq!(codes(&fake, &plan), [Code::BranchTarget]);
    // no case of a switch begins inside the check of the stack
    let (mut fake, plan) = fixture::plan(Case::new(21, Abi::AbiInternal));
    fake.text[20..23].copy_from_slice(&SWITCH);
    assert_eq!(codes(&fake, &plan), NOTHING);
    // bytes that are no code may be anything
    let (mut fake, plan) = fixture::plan(nosplit);
    fake.text[40] = 0x06;
    assert_eq!(codes(&fake, &plan), [Code::BranchTarget]);
}
