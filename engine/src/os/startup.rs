//! What this process inherited and Rust's runtime changes before `main`: recorded before, put back before execve.
//!
//! The runtime ignores SIGPIPE and opens `/dev/null` for standard descriptors that are closed
//! (`library/std/src/sys/pal/unix/mod.rs`, `init`). A program that is started in place of this one must see neither.

use std::sync::atomic::{AtomicU8, Ordering};

const SIGPIPE_IGNORED: u8 = 8;

/// Bits 0-2: that standard descriptor was closed; bit 3: SIGPIPE was ignored.
static INHERITED: AtomicU8 = AtomicU8::new(0);

extern "C" fn record() {
    let mut found = 0;
    for fd in 0..3 {
        // SAFETY: F_GETFD takes no pointer.
        if unsafe { libc::fcntl(fd, libc::F_GETFD) } == -1 {
            found |= 1 << fd;
        }
    }
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: a null new action changes nothing; the old one is written to `action`, which has room for it.
    let known = unsafe { libc::sigaction(libc::SIGPIPE, std::ptr::null(), action.as_mut_ptr()) };
    // SAFETY: read only if the call succeeded and so has written the structure.
    if known == 0 && unsafe { action.assume_init() }.sa_sigaction == libc::SIG_IGN {
        found |= SIGPIPE_IGNORED;
    }
    // Relaxed: start-up code runs before any other thread exists.
    INHERITED.store(found, Ordering::Relaxed);
}

// SAFETY: the C runtime calls the functions of this section before `main`, one after another; `record` uses nothing
// that Rust's runtime sets up.
#[used]
#[unsafe(link_section = ".init_array")]
static RECORD: extern "C" fn() = record;

/// Whether standard descriptor `fd` (0, 1 or 2) was closed when this process started.
#[must_use]
pub fn was_closed(fd: i32) -> bool {
    (0..3).contains(&fd) && INHERITED.load(Ordering::Relaxed) & 1 << fd != 0
}

/// Puts back what was inherited. Call right before execve: standard output may be closed afterwards.
pub fn restore() {
    let inherited = INHERITED.load(Ordering::Relaxed);
    if inherited & SIGPIPE_IGNORED == 0 {
        // SAFETY: SIG_DFL installs no handler.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    }
    for fd in (0..3).filter(|&fd| was_closed(fd)) {
        // SAFETY: the descriptor was opened by Rust's runtime in place of a closed one and nothing owns it; the caller
        // replaces this process next.
        unsafe { libc::close(fd) };
    }
}
