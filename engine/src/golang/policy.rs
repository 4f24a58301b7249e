//! Functions of the Go runtime and its neighbours that must never run under an inserted frame, by version range.
//!
//! Data, and look-ups on it; it never looks at code. How the list came to be: in the sources of the last patch of
//! every minor release, 1.5 to 1.27, each Go function (linux/amd64 files, tests left out) whose body calls
//! `getcallersp`, `getcallerfp`, `getargp`, `setcallerpc` or, from 1.24, their `internal/runtime/sys` forms was listed
//! with the releases that have it; the `getcallerpc` users were read one by one and left out where the value only feeds
//! the race detector, msan, asan or a trace. `getclosureptr` is harmless: a hook leaves RDX alone. Assembly was read
//! for stack switches and for registers that are live against the ABI. Each row names the deciding file.
//!
//! A row also covers what the compiler derives from the function: closures (`f.func1`, `f.gowrap2`), method values
//! (`f-fm`) and range-over-func bodies (`f-range1`).

use super::{Abi, GoVersion};

/// Why a function must not be framed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Ground {
    /// It records or compares its caller's PC, SP or frame pointer.
    CallerFrame,
    /// It leaves on another stack or with another g than it was entered with, or is a stack's outermost frame.
    StackSwitch,
    /// Registers that the ABI calls free are live at its entry or exit.
    Registers,
    /// It runs in a forked child before `exec`, or pops its own return address.
    ForkChild,
    /// Only the entry can be observed: it does not return, or the program sees who called it.
    EntryOnly,
    /// It runs on the signal stack while g still names the interrupted goroutine, or was injected by a signal.
    Signal,
}

/// One row: `name` (a trailing `*` matches any rest) in Go 1.`from` to 1.`to`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Name as the line table has it.
    pub name: &'static str,
    /// First minor release.
    pub from: u16,
    /// Last minor release; [`u16::MAX`] if the newest known one still has it.
    pub to: u16,
    /// Why.
    pub ground: Ground,
    /// What it does there, and the Go source file that says so.
    pub source: &'static str,
}

const NOW: u16 = u16::MAX;

const fn rule(
    name: &'static str,
    from: u16,
    to: u16,
    ground: Ground,
    source: &'static str,
) -> Rule {
    Rule {
        name,
        from,
        to,
        ground,
        source,
    }
}

/// All rows.
pub const RULES: &[Rule] = {
    use Ground::*;
    &[
        // Caller's SP, PC or FP.
        rule(
            "runtime.deferproc",
            5,
            NOW,
            CallerFrame,
            "d.sp, d.pc of the caller; returns twice (runtime/panic.go)",
        ),
        rule(
            "runtime.deferprocStack",
            13,
            NOW,
            CallerFrame,
            "d.sp, d.pc of the caller (runtime/panic.go)",
        ),
        rule(
            "runtime.deferprocat",
            22,
            NOW,
            CallerFrame,
            "d.pc of the caller (runtime/panic.go)",
        ),
        rule(
            "runtime.deferrangefunc",
            22,
            NOW,
            CallerFrame,
            "finds the caller's frame (runtime/panic.go)",
        ),
        rule(
            "runtime.deferconvert",
            22,
            NOW,
            CallerFrame,
            "d.pc of the caller (runtime/panic.go)",
        ),
        rule(
            "runtime.deferreturn",
            5,
            NOW,
            CallerFrame,
            "compares d.sp with the caller's SP (runtime/panic.go)",
        ),
        rule(
            "runtime.deferCallSave",
            17,
            21,
            CallerFrame,
            "saves caller PC and SP in the panic (runtime/panic.go)",
        ),
        rule(
            "runtime.reflectcallSave",
            14,
            17,
            CallerFrame,
            "saves caller PC and SP in the panic (runtime/panic.go)",
        ),
        rule(
            "runtime.(*_panic).*",
            22,
            NOW,
            CallerFrame,
            "unwinds from its caller's PC and SP (runtime/panic.go)",
        ),
        rule(
            "runtime.getargp",
            5,
            21,
            CallerFrame,
            "returns its caller's argument pointer (runtime/panic.go)",
        ),
        rule(
            "runtime.gopanic",
            5,
            NOW,
            CallerFrame,
            "argp of deferred calls, unwinds from its caller (runtime/panic.go)",
        ),
        rule(
            "runtime.gorecover",
            5,
            NOW,
            CallerFrame,
            "1.26+: counts the frames above it (runtime/panic.go)",
        ),
        rule(
            "runtime.dopanic",
            5,
            10,
            CallerFrame,
            "traces from caller PC and SP (runtime/panic.go)",
        ),
        rule(
            "runtime.fatalpanic",
            11,
            NOW,
            CallerFrame,
            "traces from caller PC and SP (runtime/panic.go)",
        ),
        rule(
            "runtime.fatalthrow",
            11,
            NOW,
            CallerFrame,
            "traces from caller PC and SP (runtime/panic.go)",
        ),
        rule(
            "runtime.panicwrap",
            5,
            NOW,
            CallerFrame,
            "names the caller by its PC (runtime/error.go)",
        ),
        rule(
            "runtime.panicindex",
            11,
            12,
            CallerFrame,
            "throws if its caller is the runtime's (runtime/panic.go)",
        ),
        rule(
            "runtime.panicslice",
            11,
            12,
            CallerFrame,
            "throws if its caller is the runtime's (runtime/panic.go)",
        ),
        rule(
            "runtime.panicshift",
            13,
            NOW,
            CallerFrame,
            "throws if its caller is the runtime's (runtime/panic.go)",
        ),
        rule(
            "runtime.goPanic*",
            13,
            NOW,
            CallerFrame,
            "throws if its caller is the runtime's (runtime/panic.go)",
        ),
        rule(
            "runtime.panicunsafe*",
            20,
            NOW,
            CallerFrame,
            "throws if its caller is the runtime's (runtime/unsafe.go)",
        ),
        rule(
            "runtime.entersyscall",
            5,
            NOW,
            CallerFrame,
            "syscallsp = caller's SP (runtime/proc.go)",
        ),
        rule(
            "runtime.reentersyscall",
            5,
            NOW,
            CallerFrame,
            "saves PC and SP for the unwinder (runtime/proc.go)",
        ),
        rule(
            "runtime.entersyscallblock",
            5,
            NOW,
            CallerFrame,
            "syscallsp = caller's SP (runtime/proc.go)",
        ),
        rule(
            "runtime.entersyscallblock_handoff",
            5,
            NOW,
            CallerFrame,
            "runs with syscallsp set (runtime/proc.go)",
        ),
        rule(
            "runtime.exitsyscall",
            5,
            NOW,
            CallerFrame,
            "\"syscall frame is no longer valid\" (runtime/proc.go)",
        ),
        rule(
            "runtime.callers",
            5,
            NOW,
            CallerFrame,
            "unwinds from caller PC and SP (runtime/traceback.go)",
        ),
        rule(
            "runtime.Stack",
            5,
            NOW,
            CallerFrame,
            "unwinds from caller PC and SP (runtime/mprof.go)",
        ),
        rule(
            "runtime.GoroutineProfile",
            5,
            NOW,
            CallerFrame,
            "unwinds from caller PC and SP (runtime/mprof.go)",
        ),
        rule(
            "runtime.goroutineProfileWithLabels*",
            15,
            NOW,
            CallerFrame,
            "unwinds from caller PC and SP (runtime/mprof.go)",
        ),
        rule(
            "runtime.(*mLockProfile).captureStack",
            22,
            NOW,
            CallerFrame,
            "unwinds from caller PC and SP (runtime/mprof.go)",
        ),
        rule(
            "runtime.saveblockevent",
            23,
            NOW,
            CallerFrame,
            "follows its own frame pointer (runtime/mprof.go)",
        ),
        rule(
            "runtime.traceStack",
            21,
            NOW,
            CallerFrame,
            "follows its own frame pointer (runtime/tracestack.go)",
        ),
        rule(
            "runtime.tracealloc",
            5,
            22,
            CallerFrame,
            "unwinds from caller PC and SP (runtime/mprof.go)",
        ),
        rule(
            "runtime.tracefree",
            5,
            22,
            CallerFrame,
            "unwinds from caller PC and SP (runtime/mprof.go)",
        ),
        rule(
            "runtime.ASanRead",
            18,
            NOW,
            CallerFrame,
            "reports caller SP and PC (runtime/asan.go)",
        ),
        rule(
            "runtime.ASanWrite",
            18,
            NOW,
            CallerFrame,
            "reports caller SP and PC (runtime/asan.go)",
        ),
        rule(
            "runtime.asanread",
            18,
            NOW,
            CallerFrame,
            "reports caller SP and PC (runtime/asan.go)",
        ),
        rule(
            "runtime.asanwrite",
            18,
            NOW,
            CallerFrame,
            "reports caller SP and PC (runtime/asan.go)",
        ),
        rule(
            "runtime.libcCall",
            16,
            NOW,
            CallerFrame,
            "libcallsp = caller's SP (runtime/sys_libc.go)",
        ),
        rule(
            "runtime.debugCall*",
            11,
            NOW,
            CallerFrame,
            "checks the interrupted frame (runtime/debugcall.go)",
        ),
        rule(
            "debugCall*",
            11,
            NOW,
            CallerFrame,
            "runs injected calls (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.getcallerpc",
            5,
            10,
            CallerFrame,
            "assembly body (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.getcallersp",
            5,
            10,
            CallerFrame,
            "assembly body (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.setcallerpc",
            5,
            8,
            CallerFrame,
            "writes its caller's return address (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.getfp",
            21,
            NOW,
            CallerFrame,
            "returns its caller's frame pointer (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.getcallerfp",
            21,
            NOW,
            CallerFrame,
            "returns its caller's frame pointer (runtime/stubs.go)",
        ),
        // A select statement of 1.5 to 1.8 returns to the chosen case: selectgo rewrites its own return address, and
        // selectsend and others record theirs and an offset from their arguments to a variable of the caller.
        rule(
            "runtime.selectgo",
            5,
            8,
            CallerFrame,
            "setcallerpc, writes beside its arguments (runtime/select.go)",
        ),
        rule(
            "runtime.selectsend",
            5,
            10,
            CallerFrame,
            "records its return address (runtime/select.go)",
        ),
        rule(
            "runtime.selectrecv",
            5,
            10,
            CallerFrame,
            "records its return address (runtime/select.go)",
        ),
        rule(
            "runtime.selectrecv2",
            5,
            10,
            CallerFrame,
            "records its return address (runtime/select.go)",
        ),
        rule(
            "runtime.selectdefault",
            5,
            10,
            CallerFrame,
            "records its return address (runtime/select.go)",
        ),
        rule(
            "runtime.stackBarrier",
            5,
            8,
            CallerFrame,
            "is a return address (runtime/asm_amd64.s)",
        ),
        // Stack and g switches, outermost frames.
        rule(
            "runtime.Goexit",
            5,
            NOW,
            StackSwitch,
            "unwinds from its caller, never returns (runtime/panic.go)",
        ),
        rule(
            "runtime.goexit",
            5,
            NOW,
            StackSwitch,
            "outermost frame (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.goexit0",
            5,
            NOW,
            StackSwitch,
            "runs on g0 by mcall, never returns (runtime/proc.go)",
        ),
        rule(
            "runtime.goexit1",
            5,
            NOW,
            StackSwitch,
            "leaves by mcall (runtime/proc.go)",
        ),
        rule(
            "runtime.recovery",
            5,
            NOW,
            StackSwitch,
            "leaves by gogo into another frame (runtime/panic.go)",
        ),
        rule(
            "runtime.gorecover1",
            5,
            NOW,
            StackSwitch,
            "unwinds (runtime/panic.go)",
        ),
        rule(
            "runtime.mcall",
            5,
            NOW,
            StackSwitch,
            "switches to g0 (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.gogo",
            5,
            NOW,
            StackSwitch,
            "switches to another goroutine (runtime/asm_amd64.s)",
        ),
        rule(
            "gogo",
            17,
            NOW,
            StackSwitch,
            "switches to another goroutine (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.gosave*",
            5,
            NOW,
            StackSwitch,
            "saves its caller's frame (runtime/asm_amd64.s)",
        ),
        rule(
            "gosave*",
            5,
            NOW,
            StackSwitch,
            "saves its caller's frame (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.save",
            5,
            NOW,
            StackSwitch,
            "saves a frame for the unwinder (runtime/proc.go)",
        ),
        rule(
            "runtime.systemstack*",
            5,
            NOW,
            StackSwitch,
            "switches to g0 (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.switchToCrashStack*",
            22,
            NOW,
            StackSwitch,
            "switches stacks (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.asmcgocall*",
            5,
            NOW,
            StackSwitch,
            "switches to g0 (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.morestack*",
            5,
            NOW,
            StackSwitch,
            "switches to g0 (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.newstack",
            5,
            NOW,
            StackSwitch,
            "leaves by gogo (runtime/stack.go)",
        ),
        rule(
            "runtime.cgocallback*",
            5,
            NOW,
            StackSwitch,
            "arguments at fixed offsets from g0.sched.sp (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.mstart*",
            5,
            NOW,
            StackSwitch,
            "outermost frame (runtime/proc.go)",
        ),
        rule(
            "runtime.rt0_*",
            5,
            NOW,
            StackSwitch,
            "outermost frame (runtime/asm_amd64.s)",
        ),
        rule(
            "_rt0_*",
            5,
            NOW,
            StackSwitch,
            "entry of the program (runtime/rt0_linux_amd64.s)",
        ),
        rule(
            "main",
            5,
            17,
            StackSwitch,
            "C entry (runtime/rt0_linux_amd64.s)",
        ),
        rule(
            "_cgo_topofstack",
            5,
            NOW,
            StackSwitch,
            "called by C (runtime/asm_amd64.s)",
        ),
        rule(
            "setg_gcc*",
            5,
            NOW,
            StackSwitch,
            "called by C (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.setg",
            5,
            NOW,
            StackSwitch,
            "changes g (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.needm*",
            5,
            NOW,
            StackSwitch,
            "entered without g, leaves with one (runtime/proc.go)",
        ),
        rule(
            "runtime.needAndBindM",
            21,
            NOW,
            StackSwitch,
            "entered without g, leaves with one (runtime/proc.go)",
        ),
        rule(
            "runtime.dropm*",
            5,
            NOW,
            StackSwitch,
            "leaves without g (runtime/proc.go)",
        ),
        rule(
            "runtime.clone",
            5,
            NOW,
            StackSwitch,
            "returns on two stacks (runtime/sys_linux_amd64.s)",
        ),
        rule(
            "runtime.exitThread",
            10,
            NOW,
            StackSwitch,
            "its stack is freed under it (runtime/sys_linux_amd64.s)",
        ),
        rule(
            "runtime.reflectcall*",
            5,
            NOW,
            StackSwitch,
            "argument size is a run-time value (runtime/asm_amd64.s)",
        ),
        rule(
            "reflect.call",
            5,
            NOW,
            StackSwitch,
            "argument size is a run-time value (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.call1*",
            5,
            NOW,
            StackSwitch,
            "argument size is a run-time value (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.call2*",
            5,
            NOW,
            StackSwitch,
            "argument size is a run-time value (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.call3*",
            5,
            NOW,
            StackSwitch,
            "argument size is a run-time value (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.call4*",
            5,
            NOW,
            StackSwitch,
            "argument size is a run-time value (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.call5*",
            5,
            NOW,
            StackSwitch,
            "argument size is a run-time value (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.call6*",
            5,
            NOW,
            StackSwitch,
            "argument size is a run-time value (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.call8*",
            5,
            NOW,
            StackSwitch,
            "argument size is a run-time value (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.callRet",
            9,
            NOW,
            StackSwitch,
            "part of reflectcall (runtime/asm_amd64.s)",
        ),
        rule(
            "callRet",
            9,
            NOW,
            StackSwitch,
            "part of reflectcall (runtime/asm_amd64.s)",
        ),
        rule(
            "reflect.makeFuncStub",
            5,
            NOW,
            StackSwitch,
            "\"reflect mismatch\"; registers (reflect/asm_amd64.s)",
        ),
        rule(
            "reflect.methodValueCall",
            5,
            NOW,
            StackSwitch,
            "\"reflect mismatch\"; registers (reflect/asm_amd64.s)",
        ),
        rule(
            "runtime.jmpdefer",
            5,
            17,
            StackSwitch,
            "rewrites its caller's return address (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.secretEraseRegisters*",
            26,
            NOW,
            Registers,
            "clears registers (runtime/asm_amd64.s)",
        ),
        // Live registers.
        rule(
            "runtime.gcWriteBarrier*",
            8,
            NOW,
            Registers,
            "no register is free (runtime/asm_amd64.s)",
        ),
        rule(
            "gcWriteBarrier*",
            21,
            NOW,
            Registers,
            "no register is free (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.duff*",
            5,
            NOW,
            Registers,
            "entered in the middle (runtime/duff_amd64.s)",
        ),
        rule(
            "runtime.panicIndex*",
            13,
            NOW,
            Registers,
            "operands in registers (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.panicSlice*",
            13,
            NOW,
            Registers,
            "operands in registers (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.panicBounds*",
            26,
            NOW,
            Registers,
            "looks up its return PC, all registers live (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.stackcheck",
            5,
            NOW,
            Registers,
            "clone keeps the new thread's function in R12 across it (runtime/sys_linux_amd64.s)",
        ),
        rule(
            "runtime.retpoline*",
            15,
            NOW,
            Registers,
            "no register is free (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.racefuncenter*",
            5,
            NOW,
            Registers,
            "caller PC in a register (runtime/race_amd64.s)",
        ),
        rule(
            "runtime.racefuncexit",
            5,
            NOW,
            Registers,
            "result registers live (runtime/race_amd64.s)",
        ),
        rule(
            "runtime.race*callback*",
            5,
            NOW,
            Registers,
            "called by C (runtime/race_amd64.s)",
        ),
        rule(
            "racecall*",
            5,
            NOW,
            Registers,
            "operands in registers (runtime/race_amd64.s)",
        ),
        rule(
            "runtime.racecall*",
            5,
            NOW,
            Registers,
            "operands in registers (runtime/race_amd64.s)",
        ),
        rule(
            "runtime.raceread*",
            5,
            NOW,
            Registers,
            "passes its return PC on (runtime/race_amd64.s)",
        ),
        rule(
            "runtime.racewrite*",
            5,
            NOW,
            Registers,
            "passes its return PC on (runtime/race_amd64.s)",
        ),
        rule(
            "runtime.spillArgs",
            17,
            NOW,
            Registers,
            "operands in registers (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.unspillArgs",
            17,
            NOW,
            Registers,
            "operands in registers (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.addmoduledata",
            5,
            NOW,
            Registers,
            "operand in DI (runtime/asm_amd64.s)",
        ),
        rule(
            "p256MulInternal",
            5,
            NOW,
            Registers,
            "R12 to R15 live (crypto/internal/.../p256_asm_amd64.s)",
        ),
        rule(
            "p256SqrInternal",
            5,
            NOW,
            Registers,
            "R12 to R15 live (crypto/internal/.../p256_asm_amd64.s)",
        ),
        // Between fork and exec.
        rule(
            "syscall.RawSyscall*",
            5,
            NOW,
            ForkChild,
            "(syscall/syscall_linux.go, syscall/asm_linux_amd64.s)",
        ),
        rule(
            "syscall.rawSyscallNoError",
            5,
            NOW,
            ForkChild,
            "(syscall/syscall_linux.go)",
        ),
        rule(
            "syscall.rawVforkSyscall",
            9,
            NOW,
            ForkChild,
            "pops its return address (syscall/asm_linux_amd64.s)",
        ),
        rule(
            "syscall.runtime_AfterForkInChild",
            5,
            NOW,
            ForkChild,
            "(runtime/proc.go)",
        ),
        rule(
            "syscall.forkAndExecInChild*",
            5,
            NOW,
            ForkChild,
            "(syscall/exec_linux.go)",
        ),
        rule(
            "syscall.capToIndex",
            9,
            NOW,
            ForkChild,
            "(syscall/exec_linux.go)",
        ),
        rule(
            "syscall.capToMask",
            9,
            NOW,
            ForkChild,
            "(syscall/exec_linux.go)",
        ),
        rule(
            "syscall.formatIDMappings",
            5,
            NOW,
            ForkChild,
            "(syscall/exec_linux.go)",
        ),
        rule(
            "syscall.doCheckClonePidfd",
            23,
            NOW,
            ForkChild,
            "(syscall/exec_linux.go)",
        ),
        rule(
            "os.checkClonePidfd",
            23,
            NOW,
            ForkChild,
            "(os/pidfd_linux.go)",
        ),
        rule(
            "os.doCheckClonePidfd",
            23,
            NOW,
            ForkChild,
            "(os/pidfd_linux.go)",
        ),
        rule(
            "runtime/internal/syscall.*Syscall6",
            18,
            22,
            ForkChild,
            "(runtime/internal/syscall/asm_linux_amd64.s)",
        ),
        rule(
            "internal/runtime/syscall.*Syscall6",
            23,
            NOW,
            ForkChild,
            "(internal/runtime/syscall/asm_linux_amd64.s)",
        ),
        rule(
            "internal/runtime/syscall/linux.*Syscall6",
            26,
            NOW,
            ForkChild,
            "(internal/runtime/syscall/linux/asm_linux_amd64.s)",
        ),
        rule(
            "runtime.beforefork*",
            5,
            NOW,
            ForkChild,
            "(runtime/proc.go)",
        ),
        rule("runtime.afterfork*", 5, NOW, ForkChild, "(runtime/proc.go)"),
        rule(
            "runtime.syscall_runtime_AfterForkInChild",
            5,
            NOW,
            ForkChild,
            "(runtime/proc.go)",
        ),
        rule(
            "runtime.clearSignalHandlers",
            9,
            NOW,
            ForkChild,
            "(runtime/signal_unix.go)",
        ),
        rule("runtime.setsig", 5, NOW, ForkChild, "(runtime/os_linux.go)"),
        rule("runtime.getsig", 5, NOW, ForkChild, "(runtime/os_linux.go)"),
        rule(
            "runtime.sigaction",
            5,
            NOW,
            ForkChild,
            "(runtime/cgo_sigaction.go)",
        ),
        rule(
            "runtime.sysSigaction*",
            9,
            NOW,
            ForkChild,
            "(runtime/os_linux.go)",
        ),
        rule(
            "runtime.asmSigaction*",
            5,
            NOW,
            ForkChild,
            "(runtime/os_linux.go)",
        ),
        rule(
            "runtime.callCgoSigaction*",
            8,
            NOW,
            ForkChild,
            "(runtime/cgo_sigaction.go)",
        ),
        rule(
            "runtime.rt_sigaction",
            5,
            NOW,
            ForkChild,
            "(runtime/os_linux.go)",
        ),
        rule(
            "runtime.rtsigprocmask",
            5,
            NOW,
            ForkChild,
            "(runtime/os_linux.go)",
        ),
        rule(
            "runtime.sigprocmask",
            5,
            NOW,
            ForkChild,
            "(runtime/os_linux.go)",
        ),
        rule(
            "runtime.msigrestore",
            5,
            NOW,
            ForkChild,
            "(runtime/signal_unix.go)",
        ),
        rule(
            "runtime.sigdelset",
            5,
            NOW,
            ForkChild,
            "(runtime/os_linux_generic.go)",
        ),
        rule(
            "runtime.sigfillset",
            5,
            NOW,
            ForkChild,
            "(runtime/os_linux_generic.go)",
        ),
        // Entry only.
        rule(
            "runtime.newproc",
            5,
            NOW,
            EntryOnly,
            "to 1.16 variadic; gopc = return PC, shown as creator (runtime/proc.go)",
        ),
        rule(
            "runtime.newcoro",
            22,
            NOW,
            EntryOnly,
            "gopc = return PC, shown as creator (runtime/coro.go)",
        ),
        rule(
            "runtime.synctestRun",
            25,
            NOW,
            EntryOnly,
            "gopc = return PC, shown as creator (runtime/synctest.go)",
        ),
        // Signals.
        rule(
            "runtime.sigpanic*",
            5,
            NOW,
            Signal,
            "injected as a call from the faulting instruction (runtime/signal_unix.go)",
        ),
        rule(
            "runtime.asyncPreempt*",
            14,
            NOW,
            Signal,
            "injected as a call from any instruction (runtime/preempt.go)",
        ),
        rule(
            "runtime.sigtramp*",
            5,
            NOW,
            Signal,
            "entered by the kernel (runtime/sys_linux_amd64.s)",
        ),
        rule(
            "runtime.cgoSigtramp",
            7,
            NOW,
            Signal,
            "entered by the kernel (runtime/sys_linux_amd64.s)",
        ),
        rule(
            "runtime.sigreturn*",
            5,
            NOW,
            Signal,
            "entered with the signal frame on the stack (runtime/sys_linux_amd64.s)",
        ),
        rule(
            "runtime.sigFetchG",
            14,
            NOW,
            Signal,
            "takes g from the signal stack (runtime/signal_unix.go)",
        ),
        rule(
            "runtime.sigfwd*",
            5,
            NOW,
            Signal,
            "on the signal stack, g is the interrupted one (runtime/signal_unix.go)",
        ),
        rule(
            "runtime.sigprofNonGo*",
            7,
            NOW,
            Signal,
            "on foreign threads (runtime/signal_unix.go)",
        ),
        rule(
            "runtime.adjustSignalStack*",
            11,
            NOW,
            Signal,
            "on the signal stack (runtime/signal_unix.go)",
        ),
        rule(
            "runtime.badsignal*",
            5,
            NOW,
            Signal,
            "on foreign threads (runtime/signal_unix.go)",
        ),
        rule(
            "runtime.setGsignalStack",
            8,
            NOW,
            Signal,
            "changes gsignal's bounds (runtime/signal_unix.go)",
        ),
        rule(
            "runtime.restoreGsignalStack",
            8,
            NOW,
            Signal,
            "changes gsignal's bounds (runtime/signal_unix.go)",
        ),
        rule(
            "runtime.sigblock",
            5,
            NOW,
            Signal,
            "before g0 is complete, after it is gone (runtime/signal_unix.go)",
        ),
        rule(
            "runtime.abort",
            5,
            NOW,
            Signal,
            "traps (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.breakpoint",
            5,
            NOW,
            Signal,
            "traps (runtime/asm_amd64.s)",
        ),
        rule(
            "runtime.crash",
            5,
            NOW,
            Signal,
            "raises (runtime/signal_unix.go)",
        ),
        rule(
            "runtime.dieFromSignal",
            8,
            NOW,
            Signal,
            "raises (runtime/signal_unix.go)",
        ),
    ]
};

/// The row that forbids a frame on the function of this name, if there is one.
#[must_use]
pub fn forbidden(version: GoVersion, name: &str) -> Option<&'static Rule> {
    // Every row names a function of these packages or an assembly symbol without package: most names end here.
    let listed = [
        "runtime",
        "syscall.",
        "reflect.",
        "os.",
        "internal/runtime/",
    ];
    if name.contains('.') && !listed.iter().any(|package| name.starts_with(package)) {
        return None;
    }
    let base = derived_from(name);
    RULES
        .iter()
        .filter(|rule| (rule.from..=rule.to).contains(&version.minor))
        .find(|rule| matches(rule.name, name) || (base != name && matches(rule.name, base)))
}

/// `pattern` with at most two `*`, each standing for any run of characters.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = name.strip_prefix(parts.next().unwrap_or_default()) else {
        return false;
    };
    let mut last = None;
    for part in parts {
        last = Some(part);
        match rest.find(part) {
            Some(at) => rest = rest.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    // Without a star, or with one before the last literal, the name must end where the pattern does.
    last == Some("") || rest.is_empty()
}

/// The function that the compiler derived `name` from: `runtime.f` of `runtime.f.func1.2`, `runtime.f-fm`,
/// `runtime.f-range1`, `runtime.f.gowrap1`, `runtime.f.deferwrap1`, `runtime.f·dwrap·1` (`cmd/compile`, closure names).
#[must_use]
pub fn derived_from(name: &str) -> &str {
    let mut base = name;
    loop {
        let numbered = |text: &str, prefix: &str| {
            text.strip_prefix(prefix)
                .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
        };
        let cut = if let Some((head, tail)) = base.rsplit_once('.')
            && ["func", "gowrap", "deferwrap", ""]
                .iter()
                .any(|prefix| numbered(tail, prefix))
        {
            head
        } else if let Some((head, tail)) = base.rsplit_once('-')
            && (tail == "fm" || numbered(tail, "range"))
        {
            head
        } else if let Some((head, _)) = base.split_once("·dwrap·") {
            head
        } else {
            return base;
        };
        base = cut;
    }
}

/// The flag bit of functions that are a stack's outermost frame (`TOPFRAME`, `internal/abi/symtab.go`), 1.17+.
const FLAG_TOP_FRAME: u8 = 1;
/// The flag bit of functions that write SP in ways that no table describes (`SPWRITE`), 1.17+.
const FLAG_SP_WRITE: u8 = 2;
/// The flag bit of assembly functions, 1.18+.
const FLAG_ASM: u8 = 4;

/// What `_func.flag` says against a frame.
#[must_use]
pub fn forbidding_flag(version: GoVersion, flags: u8) -> Option<&'static str> {
    match flags {
        _ if version.minor < 17 => None,
        flags if flags & FLAG_TOP_FRAME != 0 => Some("TOPFRAME"),
        flags if flags & FLAG_SP_WRITE != 0 => Some("SPWRITE"),
        _ => None,
    }
}

/// Whether a function is assembly: its flag says so from 1.18 on; before, assembly has no locals map, unless it says
/// `NO_LOCAL_POINTERS`, which only functions do that are refused for other reasons.
#[must_use]
pub fn is_assembly(version: GoVersion, flags: u8, has_locals_map: bool) -> bool {
    !has_locals_map || (version.minor >= 18 && flags & FLAG_ASM != 0)
}

/// Whether an assembly function follows ABI0.
///
/// From 1.17 on the assembler adds `FUNCDATA_ArgsPointerMaps` to ABI0 functions with a Go declaration, and to no other
/// (`cmd/internal/obj/plist.go`, `Flushplist`). Before, it did so only for names without package (`·f`), so that a
/// declared argument size is the second sign: bodies shared through registers are declared `$0-0`.
#[must_use]
pub fn assembly_is_abi0(compiled: Abi, has_args_map: bool, args: u32) -> bool {
    has_args_map || (compiled == Abi::Abi0 && args > 0)
}

/// Whether the function belongs to the runtime or what it is made of. Its assembly calls its own assembly with values in
/// registers that ABI0 lets the callee destroy: `clone` keeps the new thread's function in R12 across `settls` and
/// `stackcheck` (`runtime/sys_linux_amd64.s`), so that a trampoline there ends the program.
pub fn is_runtime_package(name: &str) -> bool {
    const PACKAGES: [&str; 5] = [
        "runtime.",
        "runtime/internal/",
        "internal/runtime/",
        "internal/bytealg.",
        "internal/cpu.",
    ];
    PACKAGES.iter().any(|package| name.starts_with(package))
}

/// Names of the line table that stand for data in the text segment: the build ID (`cmd/link`, `go.buildid`).
#[must_use]
pub fn is_pseudo(name: &str) -> bool {
    matches!(
        name,
        "go.buildid" | "go:buildid" | "runtime.text" | "runtime.etext" | "go.link.pkghashbytes"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_hold_in_their_versions_only() {
        let ground =
            |minor, name: &str| forbidden(GoVersion::new(minor, 0), name).map(|rule| rule.ground);
        assert_eq!(ground(8, "runtime.selectgo"), Some(Ground::CallerFrame));
        assert_eq!(ground(9, "runtime.selectgo"), None);
        assert_eq!(ground(27, "runtime.panicBounds"), Some(Ground::Registers));
        assert_eq!(ground(27, "runtime.allocm"), None);
        assert_eq!(ground(27, "main.gopanic"), None);
        assert_eq!(ground(13, "gosave"), Some(Ground::StackSwitch));
        assert_eq!(
            ground(21, "runtime/internal/syscall.Syscall6"),
            Some(Ground::ForkChild)
        );
    }

    #[test]
    fn what_the_compiler_derives_is_covered() {
        for name in [
            "runtime.gopanic.func1",
            "runtime.gopanic.func1.2",
            "runtime.gopanic-fm",
            "runtime.gopanic.gowrap1",
        ] {
            assert!(forbidden(GoVersion::new(22, 0), name).is_some(), "{name}");
        }
        assert_eq!(derived_from("main.f.func1.2"), "main.f");
        assert_eq!(derived_from("main.f-range12"), "main.f");
        assert_eq!(derived_from("main.f·dwrap·3"), "main.f");
        assert_eq!(derived_from("main.function"), "main.function");
    }

    #[test]
    fn stars_match_any_run() {
        assert!(matches("a*c", "abbc") && matches("a*", "a") && matches("a", "a"));
        assert!(!matches("a*c", "abcd") && !matches("a", "ab") && !matches("a*c", "b"));
    }

    #[test]
    fn rows_are_sound() {
        for rule in RULES {
            assert!(rule.from >= 5 && rule.from <= rule.to, "{}", rule.name);
            assert!(rule.source.contains('('), "{} names no source", rule.name);
        }
    }
}
