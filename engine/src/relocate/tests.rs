//! One small case per class of instruction, each in its long and short forms, and arbitrary bytes.

use iced_x86::{Decoder, DecoderOptions};
use proptest::prelude::*;

use super::check::{Checked, case, window_case};
use super::*;

const ENTRY: LinkAddr = LinkAddr::new(0x40_1000);

/// Moves `code` (padded with NOPs to a window) 16 MiB up in an image that was moved as well, and checks it.
fn moved(code: &[u8]) -> Relocated {
    let slide = Slide::between(ENTRY, RunAddr::new(0x5555_5540_1000));
    let at = RunAddr::new(0x5555_5640_0000);
    match window_case(&padded(code), ENTRY, at, slide).unwrap() {
        Checked::Moved(relocated) => relocated,
        other => panic!("{other:?}"),
    }
}

fn refused(code: &[u8]) -> RefusalCode {
    let slide = Slide::between(ENTRY, RunAddr::new(0x5555_5540_1000));
    match window_case(&padded(code), ENTRY, RunAddr::new(0x5555_5640_0000), slide).unwrap() {
        Checked::Refused(refusal) => refusal.code,
        other => panic!("{other:?}"),
    }
}

fn padded(code: &[u8]) -> Vec<u8> {
    let mut padded = code.to_vec();
    while padded.len() < 5 {
        padded.push(0x90);
    }
    padded
}

fn listing(relocated: &Relocated, at: RunAddr) -> Vec<String> {
    Decoder::with_ip(64, &relocated.bytes, at.get(), DecoderOptions::NONE)
        .into_iter()
        .map(|i| i.to_string())
        .collect()
}

#[test]
fn plain_instructions_are_copied() {
    // push rbp; mov rbp,rsp; sub rsp,0x18
    let code = [0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xec, 0x18];
    let relocated = moved(&code);
    assert!(relocated.bytes.starts_with(&code));
    assert_eq!(relocated.resume, Some(8));
    assert_eq!(relocated.moved.len(), 3);
}

#[test]
fn redundant_encodings_stay_as_they_are() {
    // mov rbp,rsp in its other direction; add with a useless prefix; a disp32 where a disp8 would do.
    let code = [0x48, 0x8b, 0xec, 0x66, 0x48, 0x8b, 0x84, 0x24, 8, 0, 0, 0];
    assert!(moved(&code).bytes.starts_with(&code));
}

#[test]
fn thread_local_loads_are_copied() {
    // mov rcx,fs:[-8], as at the entry of runtime.allocm in Go 1.13
    let code = [0x64, 0x48, 0x8b, 0x0c, 0x25, 0xf8, 0xff, 0xff, 0xff];
    let relocated = moved(&code);
    assert!(relocated.bytes.starts_with(&code));
    assert_eq!(relocated.bytes.len(), 9 + 5);
}

#[test]
fn rip_relative_loads_find_their_variable() {
    moved(&[0x48, 0x8b, 0x05, 0x10, 0x20, 0x30, 0x00]); // mov rax,[rip+0x302010]
}

#[test]
fn rip_relative_lea_finds_its_variable() {
    moved(&[0x48, 0x8d, 0x3d, 0xf0, 0xff, 0xff, 0xff]); // lea rdi,[rip-0x10]
}

#[test]
fn an_immediate_behind_a_rip_relative_operand_stays() {
    let relocated = moved(&[0x83, 0x3d, 0x10, 0x20, 0x30, 0x00, 0x7f]); // cmp dword [rip+0x302010],0x7f
    assert_eq!(relocated.bytes[6], 0x7f);
    let relocated = moved(&[0xc7, 0x05, 0, 1, 0, 0, 0xef, 0xbe, 0xad, 0xde]); // mov dword [rip+0x100],0xdeadbeef
    assert_eq!(relocated.bytes[6..10], [0xef, 0xbe, 0xad, 0xde]);
}

#[test]
fn vector_instructions_with_rip_relative_operands_move() {
    moved(&[0x66, 0x0f, 0x6f, 0x05, 0x10, 0x20, 0, 0]); // movdqa xmm0,[rip+0x2010]
    moved(&[0xc5, 0xfd, 0x6f, 0x05, 0x10, 0x20, 0, 0]); // vmovdqa ymm0,[rip+0x2010]
    moved(&[0x62, 0xf1, 0x7d, 0x48, 0x6f, 0x05, 0x10, 0x20, 0, 0]); // vmovdqa32 zmm0,[rip+0x2010]
}

#[test]
fn all_short_conditions_become_long() {
    for condition in 0..16u8 {
        let relocated = moved(&[0x70 | condition, 0x40]);
        assert_eq!(relocated.bytes[..2], [0x0f, 0x80 | condition]);
        assert_eq!(relocated.bytes.len(), 6 + 3 + 5);
    }
}

#[test]
fn all_long_conditions_stay_long() {
    for condition in 0..16u8 {
        let relocated = moved(&[0x0f, 0x80 | condition, 0x40, 1, 0, 0]);
        assert_eq!(relocated.bytes[..2], [0x0f, 0x80 | condition]);
    }
}

#[test]
fn jumps_end_the_window() {
    for code in [&[0xeb, 0x40][..], &[0xe9, 0x40, 1, 0, 0]] {
        let relocated = moved_without_padding(code);
        assert_eq!(relocated.bytes[0], 0xe9);
        assert_eq!((relocated.bytes.len(), relocated.resume), (5, None));
    }
}

/// As a function that ends before the fifth byte: what follows is padding and not displaced.
fn moved_without_padding(code: &[u8]) -> Relocated {
    let displaced = [Decoder::with_ip(64, code, ENTRY.get(), DecoderOptions::NONE).decode()];
    let slide = Slide::between(ENTRY, RunAddr::new(0x5555_5540_1000));
    let at = RunAddr::new(0x5555_5640_0000);
    let window = padded(code);
    let relocated = super::window(&window, &displaced, at, slide).unwrap();
    let end = ENTRY.checked_add(window.len() as u64).unwrap();
    super::check::check(&displaced, end, &relocated, at, slide).unwrap();
    relocated
}

#[test]
fn returns_end_the_window() {
    for code in [&[0xc3][..], &[0xc2, 8, 0]] {
        let relocated = moved_without_padding(code);
        assert_eq!((relocated.bytes.as_slice(), relocated.resume), (code, None));
    }
}

#[test]
fn indirect_jumps_end_the_window() {
    assert_eq!(moved_without_padding(&[0xff, 0xe0]).bytes, [0xff, 0xe0]); // jmp rax
    moved_without_padding(&[0xff, 0x25, 0x10, 0, 0, 0]); // jmp [rip+0x10]
}

#[test]
fn counted_branches_take_a_detour() {
    let at = RunAddr::new(0x5555_5640_0000);
    for code in [[0xe3, 0x10], [0xe2, 0x10], [0xe1, 0x10], [0xe0, 0xf0]] {
        let relocated = moved(&code);
        assert_eq!(
            relocated.bytes.len(),
            2 + 2 + 5 + 3 + 5,
            "{:?}",
            listing(&relocated, at)
        );
    }
    moved(&[0x67, 0xe3, 0x10]); // jecxz
}

#[test]
fn a_call_leaves_the_original_return_address() {
    let relocated = moved(&[0xe8, 0, 1, 0, 0]); // call
    assert_eq!((relocated.resume, relocated.pushed), (None, Some(6)));
    let back = 0x5555_5540_1005_u64.to_le_bytes();
    assert_eq!(relocated.bytes[11..], back);
    let relocated = moved(&[0x52, 0xe8, 0, 1, 0, 0]); // push rdx; call
    assert_eq!(relocated.pushed, Some(7));
}

#[test]
fn what_cannot_be_moved_is_refused() {
    assert_eq!(refused(&[0xff, 0xd0]), RefusalCode::NotRelocatable); // call rax
    assert_eq!(
        refused(&[0xc7, 0xf8, 0, 1, 0, 0]),
        RefusalCode::NotRelocatable
    ); // xbegin
    assert_eq!(
        refused(&[0x67, 0x8b, 0x05, 0, 1, 0, 0]),
        RefusalCode::NotRelocatable
    ); // mov eax,[eip+0x100]
    assert_eq!(refused(&[0x06]), RefusalCode::NotRelocatable); // no instruction
    assert_eq!(refused(&[0x0f, 0x0b]), RefusalCode::NotRelocatable); // ud2
}

#[test]
fn reach_ends_at_two_gigabytes() {
    let load = [0x48, 0x8b, 0x05, 0, 0, 0, 0];
    let far = |distance: u64| {
        let at = RunAddr::new(ENTRY.get() + distance);
        window_case(&load, ENTRY, at, Slide::ZERO).unwrap()
    };
    assert!(matches!(far(0x7fff_fff0), Checked::Moved(_)));
    assert!(matches!(
        far(0x8000_0100),
        Checked::Refused(Refusal {
            code: RefusalCode::OutOfReach,
            ..
        })
    ));
    let end = window_case(&load, ENTRY, RunAddr::new(u64::MAX - 3), Slide::ZERO).unwrap();
    assert!(matches!(
        end,
        Checked::Refused(Refusal {
            code: RefusalCode::OutOfReach,
            ..
        })
    ));
}

#[test]
fn the_checker_notices_a_wrong_target() {
    let code = [0x74, 0x10, 0x90, 0x90, 0x90];
    let displaced: Vec<_> = Decoder::with_ip(64, &code, ENTRY.get(), DecoderOptions::NONE)
        .into_iter()
        .collect();
    let at = RunAddr::new(0x50_0000);
    let good = super::window(&code, &displaced, at, Slide::ZERO).unwrap();
    let end = ENTRY.checked_add(5).unwrap();
    assert_eq!(
        super::check::check(&displaced, end, &good, at, Slide::ZERO),
        Ok(())
    );
    for byte in 0..good.bytes.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad.bytes[byte] ^= 1 << bit;
            assert!(
                super::check::check(&displaced, end, &bad, at, Slide::ZERO).is_err(),
                "bit {bit} of byte {byte}"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn arbitrary_bytes_are_moved_or_refused(data in proptest::collection::vec(any::<u8>(), 0..80)) {
        prop_assert!(case(&data).is_ok(), "{:?}", case(&data));
    }

    #[test]
    fn arbitrary_code_near_by_mostly_moves(code in proptest::collection::vec(any::<u8>(), 20..32)) {
        let result = window_case(&code, ENTRY, RunAddr::new(0x60_0000), Slide::ZERO);
        prop_assert!(result.is_ok(), "{result:?}");
    }
}
