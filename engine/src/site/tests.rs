//! Each guard of the decision, on a handful of bytes. Whole functions of real programs: `goldens/sites.rs`.

use super::*;

const ENTRY: LinkAddr = LinkAddr::new(0x40_1000);
/// Where `runtime.morestack_noctxt`, `runtime.morestackc` and `main.other` are in these tests.
const MORESTACK: u64 = 0x40_2000;
const MORESTACKC: u64 = 0x40_2100;
const OTHER: u64 = 0x40_2200;

/// A function under test: compiled, ABIInternal of Go 1.21, 16 bytes of arguments, no frame.
struct Case {
    code: Vec<u8>,
    name: &'static str,
    minor: u16,
    args: Option<u32>,
    flags: u8,
    args_map: bool,
    locals_map: bool,
    /// Bytes of the function that assembly branches to.
    assembly_branches: &'static [u64],
    hashed: bool,
    new: bool,
    depth: i32,
}

fn compiled(code: &[u8]) -> Case {
    Case {
        code: code.to_vec(),
        name: "main.f",
        minor: 21,
        args: Some(16),
        flags: 0,
        args_map: true,
        locals_map: true,
        assembly_branches: &[],
        hashed: false,
        new: false,
        depth: 0,
    }
}

fn assembly(code: &[u8]) -> Case {
    Case {
        locals_map: false,
        flags: 4,
        ..compiled(code)
    }
}

impl Case {
    fn find(&self) -> Result<Site<'_>, Refusal> {
        let end = ENTRY.checked_add(self.code.len() as u64).unwrap();
        decide(&Body {
            function: Function {
                name: self.name,
                entry: ENTRY,
                size: self.code.len() as u32,
                args: self.args,
                func_id: 0,
                flags: self.flags,
                deferreturn: 0,
                has_args_map: self.args_map,
                has_locals_map: self.locals_map,
                record: LinkAddr::new(0),
            },
            code: &self.code,
            version: GoVersion::new(self.minor, 0),
            compiled_abi: if self.minor >= 17 {
                Abi::AbiInternal
            } else {
                Abi::Abi0
            },
            assembly_branch: &|range| {
                let mut targets = self.assembly_branches.iter();
                let to = targets.find_map(|&offset| {
                    let to = ENTRY.checked_add(offset)?;
                    range.contains(&to).then_some(to)
                })?;
                let from = LinkAddr::new(OTHER);
                Some(Branch { from, to })
            },
            hashed: self.hashed,
            new: self.new,
            function_at: &|at| match at.get() {
                MORESTACK..MORESTACKC => {
                    Some(("runtime.morestack_noctxt", LinkAddr::new(MORESTACK)))
                }
                MORESTACKC => Some(("runtime.morestackc", at)),
                OTHER => Some(("main.other", at)),
                _ => None,
            },
            pcsp: &|| vec![(end, self.depth)],
        })
    }

    fn refused(&self) -> RefusalCode {
        self.find().expect_err("a refusal").code
    }

    fn window(&self) -> u8 {
        self.find().expect("a site").window_len
    }
}

/// `op rel32` at `offset` of the function, to `target`.
fn near(op: &[u8], offset: usize, target: u64) -> Vec<u8> {
    let next = ENTRY.get() + (offset + op.len() + 4) as u64;
    let mut bytes = op.to_vec();
    bytes.extend((target.wrapping_sub(next) as i32).to_le_bytes());
    bytes
}

/// `cmp rsp,[r14+0x10]; jbe tail; ret; tail: call TARGET; jmp entry`
fn checked(target: u64) -> Vec<u8> {
    let mut code = vec![0x49, 0x3b, 0x66, 0x10, 0x76, 0x01, 0xc3];
    code.extend(near(&[0xe8], 7, target));
    code.extend([0xeb, 0xf2]);
    code
}

/// Five harmless bytes, then `rest`.
fn after_window(rest: &[u8]) -> Vec<u8> {
    [&[0x48, 0x8d, 0x44, 0x24, 0x08], rest].concat()
}

const NOP5: [u8; 5] = [0x0f, 0x1f, 0x44, 0x00, 0x00];

#[test]
fn a_check_counts_if_it_leads_to_morestack() {
    let code = checked(MORESTACK);
    let case = compiled(&code);
    let site = case.find().unwrap();
    let check = site.stack_check.unwrap();
    assert_eq!(
        (check.end.get(), check.morestack.get()),
        (0x40_1006, 0x40_1007)
    );
    assert_eq!(
        (site.window_len, site.callee_stack),
        (6, CalleeStack::Checked)
    );
    assert_eq!(compiled(&checked(OTHER)).find().unwrap().stack_check, None);
    assert_eq!(
        compiled(&checked(MORESTACK + 1))
            .find()
            .unwrap()
            .stack_check,
        None
    );
}

/// `push rdx; call OTHER; pop rdx; cmp rsp,[r14+0x10]; jbe tail; ret; tail: call morestack; jmp` to `restart`.
fn behind_a_hook(restart: u8) -> Vec<u8> {
    let mut code = vec![0x52];
    code.extend(near(&[0xe8], 1, OTHER));
    code.extend([0x5a, 0x49, 0x3b, 0x66, 0x10, 0x76, 0x01, 0xc3]);
    code.extend(near(&[0xe8], 14, MORESTACK));
    code.extend([0xeb, restart.wrapping_sub(21)]);
    code
}

#[test]
fn the_call_before_a_check_may_move_if_morestack_comes_back_behind_it() {
    let code = behind_a_hook(7);
    let case = compiled(&code);
    let site = case.find().unwrap();
    assert_eq!((site.window_len, site.displaced.len()), (6, 2));
    assert_eq!(site.stack_check.unwrap().end.get(), 0x40_100d);
    // Morestack does not come back to the entry, so that room must be there at once.
    assert_eq!(site.callee_stack, CalleeStack::Nosplit);
    for restart in [0, 6, 8] {
        let code = behind_a_hook(restart);
        assert_eq!(compiled(&code).refused(), RefusalCode::DisplacedCall);
    }
}

#[test]
fn arguments_are_spilled_around_the_call_before_a_check() {
    // mov [rsp+8],eax; movsd [rsp+16],xmm0; call OTHER; mov eax,[rsp+8]; movsd xmm0,[rsp+16]; mov r14,fs:[-8];
    // cmp rsp,[r14+0x10]; jbe tail; ret; tail: call morestack; jmp behind the movsd
    let code = |float: u8| {
        let mut code = vec![0x89, 0x44, 0x24, 0x08, 0xf2, 0x0f, 0x11, 0x44, 0x24, 0x10];
        code.extend(near(&[0xe8], 10, OTHER));
        code.extend([0x8b, 0x44, 0x24, 0x08, 0xf2, 0x0f, 0x10, float, 0x24, 0x10]);
        code.extend([0x64, 0x4c, 0x8b, 0x34, 0x25, 0xf8, 0xff, 0xff, 0xff]);
        code.extend([0x49, 0x3b, 0x66, 0x10, 0x76, 0x01, 0xc3]);
        code.extend(near(&[0xe8], 41, MORESTACK));
        code.extend([0xeb, 0x19_u8.wrapping_sub(48)]);
        code
    };
    let right = code(0x44);
    // An ABI0 function by what stands behind the call; by what stands before it, none.
    assert_eq!(compiled(&right).refused(), RefusalCode::PrivateAbi);
    // Another register comes back than was spilled: something else.
    assert_eq!(compiled(&code(0x4c)).find().unwrap().stack_check, None);
}

#[test]
fn code_that_the_program_hashes_is_refused() {
    let code = after_window(&[0xc3]);
    let case = Case {
        hashed: true,
        ..compiled(&code)
    };
    assert_eq!(case.refused(), RefusalCode::Fips);
}

#[test]
fn a_check_of_the_system_stack_does_not_grow_it() {
    let site_stack = compiled(&checked(MORESTACKC)).find().unwrap().callee_stack;
    assert_eq!(site_stack, CalleeStack::Nosplit);
}

#[test]
fn what_a_function_needs_unasked() {
    let leaf = Case {
        depth: 24,
        ..compiled(&after_window(&[0xc3]))
    };
    assert_eq!(leaf.find().unwrap().callee_stack, CalleeStack::Leaf(24));
    let calls = compiled(&after_window(&near(&[0xe8], 5, OTHER)));
    assert_eq!(calls.find().unwrap().callee_stack, CalleeStack::Nosplit);
    let tail = compiled(&after_window(&near(&[0xe9], 5, OTHER)));
    assert_eq!(tail.find().unwrap().callee_stack, CalleeStack::Nosplit);
    let unknown = Case {
        depth: -1,
        ..compiled(&after_window(&[0xc3]))
    };
    assert_eq!(unknown.find().unwrap().callee_stack, CalleeStack::Nosplit);
}

#[test]
fn windows_are_whole_instructions() {
    assert_eq!(compiled(&after_window(&[0xc3])).window(), 5);
    // push rbp; mov rbp,rsp; sub rsp,0x18
    assert_eq!(
        compiled(&[0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x18, 0xc3]).window(),
        8
    );
    // Four one-byte instructions and the longest load.
    let mov = [0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8];
    assert_eq!(
        compiled(&[&[0x90; 4][..], &mov, &[0xc3]].concat()).window(),
        14
    );
}

#[test]
fn a_function_that_ends_early_lends_its_padding() {
    for padding in [[0xcc; 4], [0; 4], [0x90; 4], [0x0f, 0x1f, 0x40, 0x00]] {
        let code = [&[0xc3][..], &padding].concat();
        let case = compiled(&code);
        let site = case.find().unwrap();
        assert_eq!(
            (site.window_len, site.displaced.len()),
            (5, 1),
            "{padding:x?}"
        );
    }
    assert_eq!(
        compiled(&[0xc3, 0xcc, 0xcc, 0xcc]).refused(),
        RefusalCode::TooShort
    );
    assert_eq!(
        compiled(&[0xc3, 0xcc, 0x90, 0xcc, 0x31, 0xc0]).refused(),
        RefusalCode::TooShort
    );
    assert_eq!(compiled(&[0x90; 4]).refused(), RefusalCode::TooShort);
    assert_eq!(compiled(&[]).refused(), RefusalCode::TooShort);
}

#[test]
fn entries_that_somebody_changed_are_left_alone() {
    assert_eq!(
        compiled(&[0xcc, 0x90, 0x90, 0x90, 0x90]).refused(),
        RefusalCode::Breakpoint
    );
    assert_eq!(
        compiled(&near(&[0xe9], 0, 0x7000_0000)).refused(),
        RefusalCode::AlreadyPatched
    );
    assert_eq!(compiled(&near(&[0xe9], 0, OTHER)).window(), 5);
}

#[test]
fn operands_that_cannot_fault_may_move() {
    for code in [
        &[0x48, 0x8b, 0x44, 0x24, 0x08][..], // mov rax,[rsp+8]
        &[0x49, 0x8b, 0x46, 0x30, 0x90],     // mov rax,[r14+0x30]
        &[0x48, 0x8b, 0x42, 0x08, 0x90],     // mov rax,[rdx+8]: the closure
        &[0x48, 0x8b, 0x05, 0, 1, 0, 0],     // mov rax,[rip+0x100]
        &[0x64, 0x48, 0x8b, 0x04, 0x25, 0xf8, 0xff, 0xff, 0xff],
        &[0x55, 0x48, 0x89, 0xe5, 0x48, 0x8b, 0x45, 0x10], // push rbp; mov rbp,rsp; mov rax,[rbp+0x10]
        &[0x48, 0x8d, 0x44, 0x88, 0x08],                   // lea rax,[rax+rcx*4+8]
        &[0x0f, 0x1f, 0x44, 0x00, 0x00],                   // nop [rax+rax]
    ] {
        let code = [code, &[0xc3]].concat();
        assert!(
            compiled(&code).find().is_ok(),
            "{code:x?}: {:?}",
            compiled(&code).find()
        );
    }
}

#[test]
fn operands_that_can_fault_may_not() {
    for code in [
        &[0x48, 0x8b, 0x40, 0x08, 0x90][..],         // mov rax,[rax+8]
        &[0x48, 0x8b, 0x45, 0x10, 0x90],             // mov rax,[rbp+0x10]
        &[0x48, 0x8b, 0x44, 0xcc, 0x08],             // mov rax,[rsp+rcx*8+8]
        &[0x31, 0xd2, 0x48, 0x8b, 0x42, 0x08],       // xor edx,edx; mov rax,[rdx+8]
        &[0x65, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0], // mov rax,gs:[0]
        &[0x45, 0x31, 0xf6, 0x49, 0x8b, 0x06],       // xor r14d,r14d; mov rax,[r14]
        &[0x48, 0xf7, 0xf1, 0x90, 0x90],             // div rcx
        &[0xff, 0x30, 0x90, 0x90, 0x90],             // push [rax]
        &[0xd7, 0x90, 0x90, 0x90, 0x90],             // xlat
    ] {
        assert_eq!(compiled(code).refused(), RefusalCode::MayFault, "{code:x?}");
    }
    // Assembly has no closure in RDX.
    assert_eq!(
        assembly(&[0x48, 0x8b, 0x42, 0x08, 0x90]).refused(),
        RefusalCode::MayFault
    );
    // Without the register ABI R14 is not g.
    let old = Case {
        minor: 13,
        ..compiled(&[0x49, 0x8b, 0x46, 0x30, 0x90])
    };
    assert_eq!(old.refused(), RefusalCode::MayFault);
}

#[test]
fn instructions_with_effects_beyond_the_function_stay() {
    assert_eq!(
        compiled(&near(&[0xe8], 0, OTHER)).refused(),
        RefusalCode::DisplacedCall
    );
    for code in [
        &[0x0f, 0x05, 0x90, 0x90, 0x90][..], // syscall
        &[0xcd, 0x80, 0x90, 0x90, 0x90],     // int 0x80
        &[0x90, 0xcc, 0x90, 0x90, 0x90],     // int3
        &[0x0f, 0x0b, 0xcc, 0xcc, 0xcc],     // ud2
        &[0xf3, 0x48, 0xab, 0x90, 0x90],     // rep stosq
        &[0xf0, 0x48, 0xff, 0x04, 0x24],     // lock inc qword [rsp]
        &[0xf4, 0x90, 0x90, 0x90, 0x90],     // hlt
        &[0xec, 0x90, 0x90, 0x90, 0x90],     // in al,dx
        &[0xc7, 0xf8, 0, 1, 0, 0],           // xbegin
    ] {
        assert_eq!(
            compiled(code).refused(),
            RefusalCode::SpecialInstruction,
            "{code:x?}"
        );
    }
}

#[test]
fn branches_into_the_window_are_found() {
    // At offset 5 a jump back to offset 1, the entry, offset 5.
    assert_eq!(
        compiled(&after_window(&[0xeb, 0xfa])).refused(),
        RefusalCode::BranchIntoWindow
    );
    assert_eq!(
        compiled(&after_window(&[0x74, 0xfd, 0xc3])).refused(),
        RefusalCode::BranchIntoWindow
    );
    assert_eq!(compiled(&after_window(&[0xeb, 0xf9])).window(), 5);
    assert_eq!(compiled(&after_window(&[0xeb, 0xfe])).window(), 5);
    // In the window: test; je +1, into the window itself; jne entry.
    assert_eq!(
        compiled(&[0x74, 0x01, 0x90, 0x90, 0x90, 0xc3]).refused(),
        RefusalCode::BranchIntoWindow
    );
    assert_eq!(
        compiled(&[0x48, 0x85, 0xc0, 0x75, 0xfb, 0xc3]).refused(),
        RefusalCode::WindowLoops
    );
}

#[test]
fn indirect_jumps_need_a_stack_check() {
    let table = [0xff, 0x24, 0xc1]; // jmp [rcx+rax*8]
    assert_eq!(
        compiled(&after_window(&table)).refused(),
        RefusalCode::IndirectJump
    );
    let mut code = checked(MORESTACK);
    code.extend(table);
    assert_eq!(compiled(&code).window(), 6);
    let register = [0xff, 0xe2]; // jmp rdx
    assert_eq!(compiled(&after_window(&register)).window(), 5);
    assert_eq!(
        assembly(&after_window(&register)).refused(),
        RefusalCode::IndirectJump
    );
}

#[test]
fn bytes_that_are_no_code_are_refused_unless_they_are_filler() {
    assert_eq!(
        compiled(&after_window(&[0x06, 0x06, 0xc3])).refused(),
        RefusalCode::Undecodable
    );
    assert_eq!(
        compiled(&[0x06, 0x90, 0x90, 0x90, 0x90]).refused(),
        RefusalCode::Undecodable
    );
    assert_eq!(compiled(&after_window(&[0xc3, 0, 0, 0])).window(), 5);
}

#[test]
fn arguments_must_be_known_and_small() {
    let code = after_window(&[0xc3]);
    assert_eq!(
        Case {
            args: None,
            ..compiled(&code)
        }
        .refused(),
        RefusalCode::UnknownArgs
    );
    assert_eq!(
        Case {
            args: Some(limits::MAX_ARGS + 8),
            ..compiled(&code)
        }
        .refused(),
        RefusalCode::LargeArgs
    );
    assert!(
        Case {
            args: Some(limits::MAX_ARGS),
            ..compiled(&code)
        }
        .find()
        .is_ok()
    );
}

#[test]
fn assembly_may_know_the_inside_of_any_function() {
    let code = after_window(&[0xc3]);
    for (branches, refused) in [
        (&[0][..], None),
        (&[1], Some(RefusalCode::BranchIntoWindow)),
        (&[4], Some(RefusalCode::BranchIntoWindow)),
        (&[5], None),
    ] {
        let case = Case {
            assembly_branches: branches,
            ..compiled(&code)
        };
        assert_eq!(
            case.find().err().map(|refusal| refusal.code),
            refused,
            "{branches:?}"
        );
    }
}

#[test]
fn assembly_must_be_declared_and_keep_to_it() {
    let code = after_window(&[0xc3]);
    assert_eq!(assembly(&code).find().unwrap().abi, Abi::Abi0);
    assert_eq!(
        Case {
            args_map: false,
            ..assembly(&code)
        }
        .refused(),
        RefusalCode::PrivateAbi
    );
    assert_eq!(
        Case {
            name: "runtime.memmove",
            ..assembly(&code)
        }
        .refused(),
        RefusalCode::PrivateAbi
    );
    assert_eq!(
        Case {
            assembly_branches: &[0],
            ..assembly(&code)
        }
        .refused(),
        RefusalCode::PrivateAbi
    );
    // and rsp,-32; sub rsp,rax; xchg rax,rsp; leave
    for switch in [
        &[0x48, 0x83, 0xe4, 0xe0][..],
        &[0x48, 0x29, 0xc4],
        &[0x48, 0x94],
        &[0xc9],
    ] {
        let switched = [&NOP5[..], switch, &[0xc3]].concat();
        assert_eq!(assembly(&switched).refused(), RefusalCode::SpecialFrame);
    }
    // mov rax,[rsp+0x18] is the third word of two.
    let beyond = [&NOP5[..], &[0x48, 0x8b, 0x44, 0x24, 0x18, 0xc3]].concat();
    assert_eq!(assembly(&beyond).refused(), RefusalCode::ArgsMismatch);
    assert!(
        Case {
            args: Some(24),
            ..assembly(&beyond)
        }
        .find()
        .is_ok()
    );
    let framed = Case {
        depth: 8,
        ..assembly(&beyond)
    };
    assert!(
        framed.find().is_ok(),
        "with a frame of 8 bytes it is the second word"
    );
    let own_return = [&NOP5[..], &[0x48, 0x8b, 0x04, 0x24, 0xc3]].concat(); // mov rax,[rsp]
    assert_eq!(assembly(&own_return).refused(), RefusalCode::ReturnAddress);
    assert!(
        Case {
            depth: 8,
            ..assembly(&own_return)
        }
        .find()
        .is_ok()
    );
    let switches = [&NOP5[..], &[0x48, 0x89, 0xc4, 0xc3]].concat(); // mov rsp,rax
    assert_eq!(assembly(&switches).refused(), RefusalCode::SpecialFrame);
}

#[test]
fn abi0_functions_load_g_before_they_call() {
    let load = [0x64, 0x4c, 0x8b, 0x34, 0x25, 0xf8, 0xff, 0xff, 0xff];
    let abi = |code: &[u8]| compiled(code).find().unwrap().abi;
    assert_eq!(
        abi(&after_window(&[&load[..], &[0xc3]].concat())),
        Abi::Abi0
    );
    let call = near(&[0xe8], 5, OTHER);
    assert_eq!(
        abi(&after_window(&[&call[..], &load, &[0xc3]].concat())),
        Abi::AbiInternal
    );
    let old = Case {
        minor: 16,
        ..compiled(&after_window(&[0xc3]))
    };
    assert_eq!(old.find().unwrap().abi, Abi::Abi0);
}

#[test]
fn policy_comes_first() {
    let code = after_window(&[0xc3]);
    let named = |name, minor| {
        Case {
            name,
            minor,
            ..compiled(&code)
        }
        .find()
        .map(|_| ())
        .map_err(|refusal| refusal.code)
    };
    assert_eq!(named("runtime.gopanic", 21), Err(RefusalCode::CallerFrame));
    assert_eq!(named("runtime.mcall", 21), Err(RefusalCode::StackSwitch));
    assert_eq!(named("syscall.RawSyscall", 9), Err(RefusalCode::ForkChild));
    assert_eq!(named("runtime.newproc", 21), Err(RefusalCode::EntryOnly));
    assert_eq!(named("runtime.sigpanic", 21), Err(RefusalCode::Signal));
    assert_eq!(named("go:buildid", 21), Err(RefusalCode::NotCode));
    assert_eq!(named("runtime.selectgo", 8), Err(RefusalCode::CallerFrame));
    assert_eq!(named("runtime.selectgo", 21), Ok(()));
    assert_eq!(
        Case {
            flags: 1,
            ..compiled(&code)
        }
        .refused(),
        RefusalCode::SpecialFrame
    );
    assert_eq!(
        Case {
            flags: 2,
            ..compiled(&code)
        }
        .refused(),
        RefusalCode::SpecialFrame
    );
    assert!(
        Case {
            flags: 2,
            minor: 16,
            ..compiled(&code)
        }
        .find()
        .is_ok()
    );
}
