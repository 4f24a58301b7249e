//! `rdtsc` and `rdtscp` in Unicorn -> a counter of ours.
//!
//! Left to itself Unicorn answers with the host's counter (`qemu/hw/i386/x86.c`, `cpu_get_tsc`), so no two runs would be
//! the same. It has a hook for both instructions whose callback says by its result that the instruction is done
//! (`qemu/target/i386/misc_helper.c`, `helper_rdtsc`); the binding's safe wrapper for instruction hooks has no result, so
//! these two are set through the C interface.

#![allow(
    unsafe_code,
    reason = "a callback whose result the binding's safe wrapper does not pass on"
)]

use std::ffi::{c_int, c_void};

use unicorn_engine::{
    HookType, RegisterX86, Unicorn, X86Insn, uc_engine, uc_error, uc_hook, uc_hook_add,
    uc_reg_read, uc_reg_write,
};

/// What the counter shows when the instruction at an address (RIP) executes.
type Read = Box<dyn Fn(u64) -> u64>;

/// The counter. Must live as long as the Unicorn instance that it was installed in.
pub(super) struct Counter {
    /// Unicorn holds its address, and reads it only while the instance runs.
    _read: Box<Read>,
}

impl Counter {
    /// Makes `rdtsc` and `rdtscp` of `uc` give what `read` says.
    pub(super) fn install(uc: &mut Unicorn<'static, ()>, read: Read) -> Result<Self, uc_error> {
        let read = Box::new(read);
        for (instruction, callback) in [
            (
                X86Insn::RDTSC,
                rdtsc as unsafe extern "C" fn(*mut uc_engine, *const Read) -> c_int,
            ),
            (X86Insn::RDTSCP, rdtscp),
        ] {
            let mut hook: uc_hook = Default::default();
            // SAFETY: the handle is that of a live instance. The callback has the signature that `UC_HOOK_INSN` wants for
            // these two instructions (`uc_cb_insn_cpuid_t`), and `user_data` is the address of a heap cell that the new
            // `Counter` owns: `Cpu` keeps that beside the instance and runs nothing after dropping either.
            let result = unsafe {
                uc_hook_add(
                    uc.get_handle(),
                    &raw mut hook,
                    HookType::INSN.0 as c_int,
                    callback as *mut c_void,
                    std::ptr::from_ref::<Read>(&read).cast_mut().cast(),
                    1,
                    0,
                    instruction as c_int,
                )
            };
            if result != uc_error::OK {
                return Err(result);
            }
        }
        Ok(Self { _read: read })
    }
}

/// Sets EDX:EAX; the result says that the instruction is done.
unsafe extern "C" fn rdtsc(uc: *mut uc_engine, read: *const Read) -> c_int {
    let mut rip = 0u64;
    // SAFETY: `uc` is the instance that called back; RIP is written as 64 bits.
    let result = unsafe { uc_reg_read(uc, RegisterX86::RIP as c_int, (&raw mut rip).cast()) };
    debug_assert_eq!(result, uc_error::OK);
    // SAFETY: Unicorn passes back the address that `install` gave it; the cell is alive and never written.
    let ticks = unsafe { &*read }(rip);
    set(uc, RegisterX86::RAX, ticks & 0xffff_ffff);
    set(uc, RegisterX86::RDX, ticks >> 32);
    1
}

/// As [`rdtsc`], and sets ECX to the number of the processor: 0.
unsafe extern "C" fn rdtscp(uc: *mut uc_engine, read: *const Read) -> c_int {
    set(uc, RegisterX86::RCX, 0);
    // SAFETY: as the caller promises.
    unsafe { rdtsc(uc, read) }
}

fn set(uc: *mut uc_engine, register: RegisterX86, value: u64) {
    // SAFETY: `uc` is the instance that called back; the value is read as the 64 bits that these registers have.
    let result = unsafe { uc_reg_write(uc, register as c_int, (&raw const value).cast()) };
    debug_assert_eq!(result, uc_error::OK);
}
