//! Site and placement -> the bytes of one trampoline (strategy `frame`).
//!
//! Never touches a process, never decides whether a function may be hooked. The trampoline is an ordinary Go wrapper
//! function (DESIGN.md §2), and this is its contract, which the room `verify` checks on its own:
//!
//! ```text
//! start:   [ABI0]  mov r14, fs:[tls_g]          ; ABIInternal has g in r14 already
//!          test r14,r14            ; je  no_g
//!          mov  r12,[r14+g.m]      ; test r12,r12 ; je no_g
//!          cmp  r14,[r12+m.gsignal]; je  gsignal
//!          lea  r13,[rip+thunk]    ; cmp [rsp],r13 ; je reloc      ; restart after morestack: the frame is there already
//!          lea  r13,[rsp-need]
//!          cmp  r14,[r12+m.g0]     ; jne 1f ; lea r13,[rsp-need_g0]
//!   1:     cmp  r13,[r14+stack.lo] ; jb  no_room                   ; stack.lo, never the poisonable stackguard0
//!          cmp  rsp,[r14+stack.hi] ; ja  no_room                   ; not on g's stack at all
//!          sub  r13,[r14+stack.hi] ; imul r13,r13,-128             ; 128 × (depth + need)
//!          cmp  r13,[rip+maxstacksize] ; ja deep
//!          cmp  r13,2000000000     ; ja  deep                      ; alone, and with 1 MiB, where the variable is not known
//!   5:     push rbp ; mov rbp,rsp ; sub rsp,F
//!          mov  [rsp+RAX],rax ; mov [rsp+RDX],rdx
//!          mov  r13,[r12+m.id]  (movsxd if 32 bits) ; cmp r13,rings ; jae 2f
//!          imul r13,r13,stride ; mov rax,&ring0.entered[hook] ; inc qword [rax+r13] ; jmp 3f
//!   2:     mov  rax,&shared.entered[hook] ; lock inc qword [rax]
//!   3:     rdtsc ; shl rdx,32 ; or rdx,rax ; mov [rsp+T0],rdx
//!          mov  rax,[rsp+RAX] ; mov rdx,[rsp+RDX]
//!          [raw]  argument words -> [rsp+ARGS…]
//!          [argp] mov r12,[r14+g._panic] ; test r12,r12 ; je 4f ; lea r13,[rsp+F+16] ; cmp [r12+argp],r13 ; jne 4f
//!                 mov [r12+argp],rsp                              ; what a compiled WRAPPER prologue does (<= 1.25)
//!   4:     copy f.args bytes from [rsp+F+16…] to [rsp…]
//!          call reloc
//! thunk:   [ABI0]  mov r14, fs:[tls_g]
//!          copy f.args bytes from [rsp…] to [rsp+F+16…]
//!          mov  [rsp+RAX],rax ; [raw] result words -> [rsp+RESULTS…]
//!          rdtsc ; shl rdx,32 ; or rdx,rax ; mov [rsp+T1],rdx
//!          reserve, write and publish the record(s) (crate::ring::layout), or count the loss
//!          mov  rax,[rsp+RAX]
//!          add  rsp,F ; pop rbp ; ret
//! deep:    cmp  r14,[r12+m.g0]     ; je  5b                        ; g0 does not grow
//!          mov  r12,&counter ; lock inc qword [r12] ; jmp reloc
//! no_g, gsignal, no_room:  mov r12,&counter ; lock inc qword [r12] ; jmp reloc     (the last one falls through)
//! reloc:   the relocated window ; jmp entry+n
//! ```
//!
//! Entry clobbers R12, R13 and flags (ABI0: R14 too); exit clobbers RDX, R12, R13 and flags (ABI0: R14 too): all scratch
//! there (`cmd/compile/abi-internal.md`; ABI0 has no callee-saved registers but RSP and, from 1.7, RBP). The frame is
//! addressed from RSP only: RBP after the call is not trustworthy (GO-COMPAT §6.3). Nothing in the frame is a pointer.
//!
//! Frame, from RSP: `f.args` rounded up to 8, then T0, T1, RAX, RDX (at exit: the record's position), and with raw words
//! seven argument and seven result words. `need` = F + 8 (RBP) + 8 (call) + what the callee may use unasked
//! ([`crate::site::CalleeStack`]): 16 if it checks, its frame + 16 for a leaf, the nosplit limit + 8 otherwise.
//! `need_g0` = max(need, F + 16 + 4096): g0 cannot grow, and is 8 KiB up to 1.20. What `deep` is for: `emit/deep.rs`.
//!
//! Raw words: ABIInternal RAX RBX RCX RDI RSI R8 R9 at entry and exit; ABI0 the first words of the argument area
//! (`min(7, f.args / 8)`, the rest zero), copied from the frame's own copy at entry and at exit.

mod asm;
mod deep;
mod depth;
mod frame;
mod record;

use iced_x86::code_asm::{
    AsmRegister64, CodeAssembler, CodeLabel, dword_ptr, gpr64::*, ptr, qword_ptr,
};
use iced_x86::{BlockEncoderOptions, IcedError, Register};

use crate::addr::RunAddr;
use crate::golang::{Abi, Facts};
use crate::ring::RingGeometry;
use crate::ring::layout::{
    RAW_WORDS, RING_ENTERED, SKIPPED_GSIGNAL, SKIPPED_NO_G, SKIPPED_NO_ROOM,
};
use crate::site::CalleeStack;

pub use depth::stack_delta;

use asm::{copy_stack, load_address, load_slot, read_tsc, store_slot};
use frame::Frame;

/// What one trampoline is made for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Facts of the Go version.
    pub facts: &'a Facts,
    /// Built with `-race`.
    pub race: bool,
    /// `fs:` offset of g; needed for [`Abi::Abi0`] only.
    pub tls_g: Option<i32>,
    /// Shape of the rings.
    pub geometry: RingGeometry,
    /// Where the rings are mapped.
    pub ring: RunAddr,
    /// Where `runtime.maxstacksize` is, if that is known.
    pub max_stack: Option<RunAddr>,
    /// Number of the hook.
    pub hook: u32,
    /// ABI of the hooked function.
    pub abi: Abi,
    /// Its `f.args`.
    pub args: u32,
    /// What it needs below its entry.
    pub callee_stack: CalleeStack,
    /// Record raw words.
    pub raw: bool,
}

/// A trampoline up to its relocated window, which the caller appends at [`Trampoline::reloc`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trampoline {
    /// The bytes.
    pub code: Vec<u8>,
    /// Offset of the return address that the hooked function sees.
    pub thunk: u32,
    /// Offset of the relocated window: the length of `code`.
    pub reloc: u32,
    /// Bytes between RSP and the return address, as `(end offset, depth)` steps that cover `[0, reloc)`.
    pub depth: Vec<(u32, i32)>,
}

/// A trampoline cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EmitError {
    /// An ABI0 function needs the `fs:` offset of g.
    #[error("the offset of g in thread-local storage is not known")]
    NoTls,
    /// `f.args` beyond what a frame can hold.
    #[error("{0} bytes of stack arguments do not fit a frame")]
    Args(u32),
    /// The rings cannot have this shape.
    #[error("impossible ring shape {0:?}")]
    Geometry(RingGeometry),
    /// An operand cannot name the variable.
    #[error("runtime.maxstacksize at {variable} is out of reach of a trampoline at {trampoline}")]
    OutOfReach {
        /// The variable.
        variable: RunAddr,
        /// The trampoline.
        trampoline: RunAddr,
    },
    /// The assembler refused.
    #[error("assembler: {0}")]
    Assembler(#[from] IcedError),
}

/// What all parts of one trampoline read.
struct Context<'a> {
    facts: &'a Facts,
    geometry: RingGeometry,
    ring: RunAddr,
    hook: u32,
}

impl Context<'_> {
    /// Address of a ring in the process. The mapping lies in user space, so this cannot wrap.
    fn ring_address(&self, index: u32) -> u64 {
        self.ring.get().wrapping_add(self.geometry.ring(index))
    }

    /// Address of this hook's counter of entered calls in a ring.
    fn entered_address(&self, index: u32) -> u64 {
        self.ring_address(index)
            .wrapping_add(RING_ENTERED + 8 * u64::from(self.hook))
    }
}

/// R13 = m.id, for m in R12.
fn load_m_id(a: &mut CodeAssembler, cx: &Context) -> Result<(), IcedError> {
    let runtime = &cx.facts.runtime;
    if runtime.m_id_is_32_bits {
        a.movsxd(r13, dword_ptr(r12 + runtime.m_id as i32))
    } else {
        a.mov(r13, qword_ptr(r12 + runtime.m_id as i32))
    }
}

/// How far an operand relative to RIP reaches, less what a trampoline may be long.
const REACH: u64 = (1 << 31) - (1 << 24);

/// The registers of the first integer arguments and results under ABIInternal.
const RAW_REGISTERS: [AsmRegister64; RAW_WORDS] = [rax, rbx, rcx, rdi, rsi, r8, r9];

/// Makes the trampoline that will lie at `at`. Its length does not depend on `at` nor on any other address.
pub fn trampoline(request: &Request, at: RunAddr) -> Result<Trampoline, EmitError> {
    if !request.geometry.is_valid() || request.hook >= request.geometry.hooks {
        return Err(EmitError::Geometry(request.geometry));
    }
    let frame = Frame::new(request.args, request.raw).ok_or(EmitError::Args(request.args))?;
    let tls_g = match (request.abi, request.tls_g) {
        (Abi::Abi0, None) => return Err(EmitError::NoTls),
        (Abi::Abi0, offset) => offset,
        (Abi::AbiInternal, _) => None,
    };
    if let Some(variable) = request.max_stack
        && at.get().abs_diff(variable.get()) > REACH
    {
        return Err(EmitError::OutOfReach {
            variable,
            trampoline: at,
        });
    }
    let cx = Context {
        facts: request.facts,
        geometry: request.geometry,
        ring: request.ring,
        hook: request.hook,
    };
    let mut a = CodeAssembler::new(64)?;
    let mut labels = Labels::new(&mut a);
    guards(&mut a, &cx, request, &frame, tls_g, &mut labels)?;
    entry_probe(&mut a, &cx, request, &frame, &mut labels)?;
    exit_probe(&mut a, &cx, request, &frame, tls_g, &mut labels)?;
    skips(&mut a, &cx, &mut labels)?;
    a.set_label(&mut labels.reloc)?;
    a.zero_bytes()?;

    let result = a.assemble_options(
        at.get(),
        BlockEncoderOptions::RETURN_NEW_INSTRUCTION_OFFSETS,
    )?;
    let offset = |label: &CodeLabel| -> Result<u32, IcedError> {
        Ok((result.label_ip(label)?.wrapping_sub(at.get())) as u32)
    };
    let framed = frame.size as i32 + 8;
    let reloc = offset(&labels.reloc)?;
    let depth = vec![
        (offset(&labels.pushed)?, 0),
        (offset(&labels.framed)?, 8),
        (offset(&labels.unframed)?, framed),
        (offset(&labels.popped)?, 8),
        (reloc, 0),
    ];
    let thunk = offset(&labels.thunk)?;
    Ok(Trampoline {
        code: result.inner.code_buffer,
        thunk,
        reloc,
        depth,
    })
}

/// The places that more than one part names.
struct Labels {
    no_g: CodeLabel,
    gsignal: CodeLabel,
    no_room: CodeLabel,
    deep: CodeLabel,
    /// The frame may be made.
    admitted: CodeLabel,
    thunk: CodeLabel,
    reloc: CodeLabel,
    /// Right after `push rbp`.
    pushed: CodeLabel,
    /// Right after `sub rsp,F`.
    framed: CodeLabel,
    /// Right after `add rsp,F`.
    unframed: CodeLabel,
    /// Right after `pop rbp`.
    popped: CodeLabel,
}

impl Labels {
    fn new(a: &mut CodeAssembler) -> Self {
        Self {
            no_g: a.create_label(),
            gsignal: a.create_label(),
            no_room: a.create_label(),
            deep: a.create_label(),
            admitted: a.create_label(),
            thunk: a.create_label(),
            reloc: a.create_label(),
            pushed: a.create_label(),
            framed: a.create_label(),
            unframed: a.create_label(),
            popped: a.create_label(),
        }
    }
}

/// `mov r14, fs:[offset]`, where R14 is not g already.
fn load_g(a: &mut CodeAssembler, tls_g: Option<i32>) -> Result<(), IcedError> {
    match tls_g {
        Some(offset) => a.mov(r14, ptr(offset).fs()),
        None => Ok(()),
    }
}

/// From the entry to the frame: is there a g, is this not the signal stack, not a restart, is there room, and is it
/// not too deep?
fn guards(
    a: &mut CodeAssembler,
    cx: &Context,
    request: &Request,
    frame: &Frame,
    tls_g: Option<i32>,
    labels: &mut Labels,
) -> Result<(), IcedError> {
    let runtime = &cx.facts.runtime;
    let (need, need_g0) = frame.need(request.callee_stack, cx.facts, request.race);
    load_g(a, tls_g)?;
    a.test(r14, r14)?;
    a.je(labels.no_g)?;
    a.mov(r12, qword_ptr(r14 + runtime.g_m as i32))?;
    a.test(r12, r12)?;
    a.je(labels.no_g)?;
    a.cmp(r14, qword_ptr(r12 + runtime.m_gsignal as i32))?;
    a.je(labels.gsignal)?;
    a.lea(r13, ptr(labels.thunk))?;
    a.cmp(qword_ptr(rsp), r13)?;
    a.je(labels.reloc)?;
    let mut bounded: CodeLabel = a.create_label();
    a.lea(r13, qword_ptr(rsp - need as i32))?;
    a.cmp(r14, qword_ptr(r12 + runtime.m_g0 as i32))?;
    a.jne(bounded)?;
    a.lea(r13, qword_ptr(rsp - need_g0 as i32))?;
    a.set_label(&mut bounded)?;
    a.cmp(r13, qword_ptr(r14 + runtime.g_stack_lo as i32))?;
    a.jb(labels.no_room)?;
    a.cmp(rsp, qword_ptr(r14 + runtime.g_stack_hi as i32))?;
    a.ja(labels.no_room)?;
    deep::guard(a, cx, request.max_stack, labels)?;
    a.set_label(&mut labels.admitted)?;
    a.push(rbp)?;
    a.set_label(&mut labels.pushed)?;
    a.mov(rbp, rsp)?;
    a.sub(rsp, frame.size as i32)?;
    a.set_label(&mut labels.framed)?;
    a.zero_bytes()
}

/// Count, take the time, keep the raw words, move `_panic.argp`, copy the arguments, call.
fn entry_probe(
    a: &mut CodeAssembler,
    cx: &Context,
    request: &Request,
    frame: &Frame,
    labels: &mut Labels,
) -> Result<(), IcedError> {
    let mut shared: CodeLabel = a.create_label();
    let mut counted: CodeLabel = a.create_label();
    store_slot(a, frame.rax, rax)?;
    store_slot(a, frame.rdx, rdx)?;
    load_m_id(a, cx)?;
    a.cmp(r13, cx.geometry.rings as i32)?;
    a.jae(shared)?;
    a.imul_3(r13, r13, cx.geometry.stride() as i32)?;
    load_address(a, Register::RAX, cx.entered_address(0))?;
    a.inc(qword_ptr(rax + r13))?;
    a.jmp(counted)?;
    a.set_label(&mut shared)?;
    load_address(a, Register::RAX, cx.entered_address(cx.geometry.rings))?;
    a.lock().inc(qword_ptr(rax))?;
    a.set_label(&mut counted)?;
    read_tsc(a)?;
    store_slot(a, frame.t0, rdx)?;
    load_slot(a, rax, frame.rax)?;
    load_slot(a, rdx, frame.rdx)?;
    if let (Some(raw), Abi::AbiInternal) = (frame.raw, request.abi) {
        store_raw_registers(a, raw.args)?;
    }
    if let Some(argp) = cx.facts.panic_argp {
        let mut unchanged: CodeLabel = a.create_label();
        a.mov(r12, qword_ptr(r14 + cx.facts.runtime.g_panic as i32))?;
        a.test(r12, r12)?;
        a.je(unchanged)?;
        a.lea(r13, qword_ptr(rsp + frame.caller_args() as i32))?;
        a.cmp(qword_ptr(r12 + argp as i32), r13)?;
        a.jne(unchanged)?;
        a.mov(qword_ptr(r12 + argp as i32), rsp)?;
        a.set_label(&mut unchanged)?;
        a.zero_bytes()?;
    }
    copy_stack(a, frame.caller_args(), 0, frame.args)?;
    if let (Some(raw), Abi::Abi0) = (frame.raw, request.abi) {
        store_raw_words(a, frame.args, raw.args)?;
    }
    a.call(labels.reloc)?;
    a.set_label(&mut labels.thunk)?;
    a.zero_bytes()
}

/// Copy the results back, take the time, write the record, leave.
fn exit_probe(
    a: &mut CodeAssembler,
    cx: &Context,
    request: &Request,
    frame: &Frame,
    tls_g: Option<i32>,
    labels: &mut Labels,
) -> Result<(), IcedError> {
    load_g(a, tls_g)?;
    copy_stack(a, 0, frame.caller_args(), frame.args)?;
    store_slot(a, frame.rax, rax)?;
    match (frame.raw, request.abi) {
        (Some(raw), Abi::AbiInternal) => store_raw_registers(a, raw.results)?,
        (Some(raw), Abi::Abi0) => store_raw_words(a, frame.args, raw.results)?,
        (None, _) => {}
    }
    read_tsc(a)?;
    store_slot(a, frame.t1, rdx)?;
    record::emit(a, cx, frame)?;
    load_slot(a, rax, frame.rax)?;
    a.add(rsp, frame.size as i32)?;
    a.set_label(&mut labels.unframed)?;
    a.pop(rbp)?;
    a.set_label(&mut labels.popped)?;
    a.ret()
}

/// The ways round the hook: each is counted.
fn skips(a: &mut CodeAssembler, cx: &Context, labels: &mut Labels) -> Result<(), IcedError> {
    deep::skip(a, cx, labels)?;
    for (label, counter) in [
        (&mut labels.no_g, SKIPPED_NO_G),
        (&mut labels.gsignal, SKIPPED_GSIGNAL),
        (&mut labels.no_room, SKIPPED_NO_ROOM),
    ] {
        a.set_label(label)?;
        count(a, cx, counter)?;
        if counter != SKIPPED_NO_ROOM {
            a.jmp(labels.reloc)?;
        }
    }
    Ok(())
}

/// One more in a counter of the mapping's header. R12 is lost.
fn count(a: &mut CodeAssembler, cx: &Context, counter: u64) -> Result<(), IcedError> {
    load_address(a, Register::R12, cx.ring.get().wrapping_add(counter))?;
    a.lock().inc(qword_ptr(r12))
}

/// Raw words under ABIInternal: the registers.
fn store_raw_registers(a: &mut CodeAssembler, to: u32) -> Result<(), IcedError> {
    for (word, register) in (0u32..).zip(RAW_REGISTERS) {
        store_slot(a, to + 8 * word, register)?;
    }
    Ok(())
}

/// Raw words under ABI0: the frame's copy of the argument area, as far as it reaches; then zeros.
fn store_raw_words(a: &mut CodeAssembler, args: u32, to: u32) -> Result<(), IcedError> {
    for word in 0..RAW_WORDS as u32 {
        if 8 * (word + 1) <= args {
            load_slot(a, r12, 8 * word)?;
            store_slot(a, to + 8 * word, r12)?;
        } else {
            a.mov(qword_ptr(rsp + (to + 8 * word) as i32), 0)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golang::GoVersion;

    fn request(facts: &Facts, abi: Abi, args: u32, raw: bool) -> Request<'_> {
        Request {
            facts,
            race: false,
            tls_g: Some(-8),
            geometry: RingGeometry::for_hooks(3).unwrap(),
            ring: RunAddr::new(0x7f00_0000_0000),
            max_stack: Some(RunAddr::new(0x10_0000)),
            hook: 2,
            abi,
            args,
            callee_stack: CalleeStack::Checked,
            raw,
        }
    }

    #[test]
    fn no_address_changes_the_length() {
        for (minor, abi) in [
            (5, Abi::Abi0),
            (13, Abi::Abi0),
            (21, Abi::AbiInternal),
            (27, Abi::Abi0),
        ] {
            let facts = Facts::for_version(GoVersion::new(minor, 0)).unwrap();
            for args in [0, 1, 8, 15, 64, 72, 2000] {
                for raw in [false, true] {
                    let near =
                        trampoline(&request(&facts, abi, args, raw), RunAddr::new(0x1000)).unwrap();
                    let low = Request {
                        ring: RunAddr::new(0x10_000),
                        max_stack: Some(RunAddr::new(0x7fff_8f00_0000)),
                        ..request(&facts, abi, args, raw)
                    };
                    let far = trampoline(&low, RunAddr::new(0x7fff_ffff_0000)).unwrap();
                    assert_eq!(
                        (near.code.len(), near.thunk, &near.depth),
                        (far.code.len(), far.thunk, &far.depth)
                    );
                    assert!(
                        near.depth.is_sorted_by(|a, b| a.0 < b.0),
                        "{:?}",
                        near.depth
                    );
                    assert_eq!(near.depth.last().unwrap().0, near.reloc);
                }
            }
        }
    }

    #[test]
    fn impossible_requests_are_refused() {
        let facts = Facts::for_version(GoVersion::new(21, 0)).unwrap();
        let at = RunAddr::new(0x1000);
        let no_tls = Request {
            tls_g: None,
            ..request(&facts, Abi::Abi0, 0, false)
        };
        assert!(matches!(trampoline(&no_tls, at), Err(EmitError::NoTls)));
        let huge = request(&facts, Abi::Abi0, u32::MAX, false);
        assert!(matches!(trampoline(&huge, at), Err(EmitError::Args(_))));
        let far = request(&facts, Abi::AbiInternal, 0, false);
        assert!(matches!(
            trampoline(&far, RunAddr::new(0x8000_1000)),
            Err(EmitError::OutOfReach { .. })
        ));
        let no_such_hook = Request {
            hook: 3,
            ..request(&facts, Abi::Abi0, 0, false)
        };
        assert!(matches!(
            trampoline(&no_such_hook, at),
            Err(EmitError::Geometry(_))
        ));
    }
}
