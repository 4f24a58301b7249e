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
//!          push rbp ; mov rbp,rsp ; sub rsp,F
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
//! no_g, gsignal, no_room:  mov r12,&counter ; lock inc qword [r12] ; jmp reloc
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
//! `need_g0` = max(need, F + 16 + 2048).
//!
//! Raw words: ABIInternal RAX RBX RCX RDI RSI R8 R9 at entry and exit; ABI0 the first words of the argument area
//! (`min(7, f.args / 8)`, the rest zero), copied from the frame's own copy at entry and at exit.
