//! The exit probe's last part: reserve slots in a ring, write the record(s), publish them, or count the loss.

use iced_x86::code_asm::{
    CodeAssembler, CodeLabel, dword_ptr, gpr64::*, qword_ptr, registers::gpr32::*,
};
use iced_x86::{IcedError, Register};

use super::asm::{load_address, load_slot, store_slot};
use super::frame::{Frame, RawSlots};
use super::{Context, load_m_id};
use crate::ring::layout::{Kind, RAW_WORDS, RECORD_SIZE, RING_HEAD, RING_LOST, RING_TAIL};

/// How many records one span takes.
fn records_of(frame: &Frame) -> u32 {
    if frame.raw.is_some() { 3 } else { 1 }
}

/// Everything from the reading of the M to the label `done`. Uses RAX, RDX, R12, R13 and the frame's RDX slot.
pub(super) fn emit(a: &mut CodeAssembler, cx: &Context, frame: &Frame) -> Result<(), IcedError> {
    let count = records_of(frame);
    let mut shared: CodeLabel = a.create_label();
    let mut retry: CodeLabel = a.create_label();
    let mut lost: CodeLabel = a.create_label();
    let mut lost_shared: CodeLabel = a.create_label();
    let mut done: CodeLabel = a.create_label();

    a.mov(r12, qword_ptr(r14 + cx.facts.runtime.g_m as i32))?;
    load_m_id(a, cx)?;
    a.cmp(r13, cx.geometry.rings as i32)?;
    a.jae(shared)?;

    // The M's own ring: one writer.
    a.imul_3(rdx, r13, cx.geometry.stride() as i32)?;
    load_address(a, Register::RAX, cx.ring_address(0))?;
    a.add(rdx, rax)?;
    a.mov(rax, qword_ptr(rdx + RING_HEAD as i32))?;
    jump_if_full(a, cx, count, lost)?;
    store_slot(a, frame.rdx, rax)?;
    write_records(a, cx, frame)?;
    a.add(qword_ptr(rdx + RING_HEAD as i32), count as i32)?;
    a.jmp(done)?;

    a.set_label(&mut lost)?;
    a.inc(qword_ptr(rdx + RING_LOST as i32))?;
    a.jmp(done)?;

    // The shared ring: reserve by compare and exchange; each record's sequence publishes it.
    a.set_label(&mut shared)?;
    load_address(a, Register::RDX, cx.ring_address(cx.geometry.rings))?;
    a.set_label(&mut retry)?;
    a.mov(rax, qword_ptr(rdx + RING_HEAD as i32))?;
    jump_if_full(a, cx, count, lost_shared)?;
    a.lea(r13, qword_ptr(rax + count as i32))?;
    a.lock().cmpxchg(qword_ptr(rdx + RING_HEAD as i32), r13)?;
    a.jne(retry)?;
    store_slot(a, frame.rdx, rax)?;
    write_records(a, cx, frame)?;
    a.jmp(done)?;

    a.set_label(&mut lost_shared)?;
    a.lock().inc(qword_ptr(rdx + RING_LOST as i32))?;

    a.set_label(&mut done)?;
    a.zero_bytes()
}

/// `head` in RAX, ring in RDX: jumps if `head - tail > slots - count`. R13 is lost.
fn jump_if_full(
    a: &mut CodeAssembler,
    cx: &Context,
    count: u32,
    lost: CodeLabel,
) -> Result<(), IcedError> {
    a.mov(r13, rax)?;
    a.sub(r13, qword_ptr(rdx + RING_TAIL as i32))?;
    a.cmp(r13, (cx.geometry.slots - count) as i32)?;
    a.ja(lost)
}

/// The position is in the frame's RDX slot, the ring in RDX, m in R12, g in R14.
fn write_records(a: &mut CodeAssembler, cx: &Context, frame: &Frame) -> Result<(), IcedError> {
    // A span announces its raw records, so they are written first and the span's sequence last of all: a reader that
    // sees the span sees all three.
    if let Some(RawSlots { args, results }) = frame.raw {
        write_raw(a, cx, frame, 2, Kind::Results, results)?;
        write_raw(a, cx, frame, 1, Kind::Args, args)?;
    }
    let runtime = &cx.facts.runtime;
    slot_address(a, cx, frame, 0)?;
    load_slot(a, rax, frame.t0)?;
    a.mov(qword_ptr(r13 + 8), rax)?;
    load_slot(a, rax, frame.t1)?;
    a.mov(qword_ptr(r13 + 16), rax)?;
    a.mov(rax, qword_ptr(r14 + runtime.g_goid as i32))?;
    a.mov(qword_ptr(r13 + 24), rax)?;
    a.mov(rax, qword_ptr(r12 + runtime.m_procid as i32))?;
    a.mov(qword_ptr(r13 + 32), rax)?;
    // Depth of the stack at the function's entry: stack.hi - address of the return address.
    a.mov(rax, qword_ptr(r14 + runtime.g_stack_hi as i32))?;
    a.sub(rax, rsp)?;
    a.sub(rax, (frame.size + 8) as i32)?;
    a.mov(qword_ptr(r13 + 40), rax)?;
    if runtime.m_id_is_32_bits {
        a.movsxd(rax, dword_ptr(r12 + runtime.m_id as i32))?;
    } else {
        a.mov(rax, qword_ptr(r12 + runtime.m_id as i32))?;
    }
    a.mov(qword_ptr(r13 + 48), rax)?;
    a.mov(qword_ptr(r13 + 56), 0)?;
    let kind = if frame.raw.is_some() {
        Kind::SpanRaw
    } else {
        Kind::Span
    };
    finish_record(a, cx, frame, 0, kind)
}

/// Record `index` of the span: seven words from the frame.
fn write_raw(
    a: &mut CodeAssembler,
    cx: &Context,
    frame: &Frame,
    index: u32,
    kind: Kind,
    from: u32,
) -> Result<(), IcedError> {
    slot_address(a, cx, frame, index)?;
    for word in 0..RAW_WORDS as u32 {
        load_slot(a, rax, from + 8 * word)?;
        a.mov(qword_ptr(r13 + (8 + 8 * word) as i32), rax)?;
    }
    finish_record(a, cx, frame, index, kind)
}

/// R13 = address of the slot of record `position + index` in the ring at RDX.
fn slot_address(
    a: &mut CodeAssembler,
    cx: &Context,
    frame: &Frame,
    index: u32,
) -> Result<(), IcedError> {
    load_slot(a, r13, frame.rdx)?;
    if index != 0 {
        a.add(r13, index as i32)?;
    }
    a.and(r13d, cx.geometry.slots - 1)?;
    a.shl(r13, RECORD_SIZE.trailing_zeros())?;
    a.lea(r13, qword_ptr(rdx + r13 + cx.geometry.records() as i32))
}

/// The second word says what it is, the sequence, written last, that it is whole.
fn finish_record(
    a: &mut CodeAssembler,
    cx: &Context,
    frame: &Frame,
    index: u32,
    kind: Kind,
) -> Result<(), IcedError> {
    a.mov(dword_ptr(r13 + 4), cx.hook | (kind as u32) << 24)?;
    load_slot(a, rax, frame.rdx)?;
    a.add(eax, index as i32 + 1)?;
    a.mov(dword_ptr(r13), eax)
}
