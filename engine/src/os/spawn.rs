//! A detached grandchild beside this process, and execve in place of it.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;

use super::process::Pid;

/// Which of the two processes this is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// The process that called.
    Caller,
    /// The grandchild.
    Grandchild,
}

/// Forks a grandchild in a session of its own that is no child of the caller: the caller can neither see it in wait(2)
/// nor get a SIGCHLD for it. A caller that is PID 1 of its namespace inherits it, as it does all orphans there.
///
/// # Errors
/// If the process has more than one thread (the copy could inherit held locks), or fork fails.
pub fn grandchild() -> io::Result<Side> {
    if super::process::threads(Pid::this())?.len() != 1 {
        return Err(io::Error::other("fork in a process with several threads"));
    }
    // A subreaper gets its orphaned grandchildren back; not so while the flag is down.
    let reaper = subreaper()?;
    if reaper {
        set_subreaper(false)?;
    }
    // SAFETY: this is the only thread, so the copy is whole and may do whatever this process may.
    let result = match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: as above.
            match unsafe { libc::fork() } {
                0 => {
                    // SAFETY: setsid takes nothing and touches no memory.
                    unsafe { libc::setsid() };
                    return Ok(Side::Grandchild);
                }
                other => {
                    // SAFETY: _exit ends this copy without running anything of the original's.
                    unsafe { libc::_exit(i32::from(other == -1)) }
                }
            }
        }
        child => reap(child),
    };
    if reaper {
        set_subreaper(true)?;
    }
    result.map(|()| Side::Caller)
}

fn reap(child: i32) -> io::Result<()> {
    let mut status = 0;
    loop {
        // SAFETY: `status` is one writable int.
        if unsafe { libc::waitpid(child, &raw mut status, 0) } == child {
            return if status == 0 {
                Ok(())
            } else {
                Err(io::Error::other("cannot fork twice"))
            };
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn subreaper() -> io::Result<bool> {
    let mut flag: libc::c_int = 0;
    // SAFETY: PR_GET_CHILD_SUBREAPER writes one int at the given place, which is one.
    match unsafe { libc::prctl(libc::PR_GET_CHILD_SUBREAPER, &raw mut flag) } {
        0 => Ok(flag != 0),
        _ => Err(io::Error::last_os_error()),
    }
}

fn set_subreaper(on: bool) -> io::Result<()> {
    // SAFETY: takes a number.
    match unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, libc::c_ulong::from(on)) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Lets `tracer` trace this process where only ancestors may (the Yama module); without Yama there is nothing to do.
pub fn allow_tracer(tracer: Pid) {
    let tracer = libc::c_ulong::try_from(tracer.0).unwrap_or_default();
    // SAFETY: takes a number. EINVAL where Yama is absent.
    unsafe { libc::prctl(libc::PR_SET_PTRACER, tracer) };
}

/// Ignores the signals by which terminals and service managers end whole groups: the grandchild ends with the program. And
/// the one for a file that has become too large: the write fails.
pub fn ignore_termination() {
    let signals = [
        libc::SIGTERM,
        libc::SIGINT,
        libc::SIGHUP,
        libc::SIGQUIT,
        libc::SIGXFSZ,
    ];
    for signal in signals {
        // SAFETY: SIG_IGN installs no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Gives this process a name of its own, in place of its file's, and `title` in place of its arguments, as far as there is
/// room: what is looked for by the arguments that this process was started with (`pgrep -f`) is another one.
///
/// They are overwritten: what reads them afterwards through [`std::env::args`] finds the title.
pub fn rename(name: &str, title: &str) -> io::Result<()> {
    std::fs::write("/proc/self/comm", name)?;
    let (start, end) = super::process::arguments(Pid::this())?;
    let length = end.offset_from(start).unwrap_or(0);
    let mut area = vec![0; usize::try_from(length).unwrap_or(0)];
    // A last byte other than zero says that the arguments are a title, which ends at its zero (Linux, fs/proc/base.c,
    // get_mm_cmdline).
    let Some((last, room)) = area.split_last_mut() else {
        return Ok(());
    };
    *last = b' ';
    // The title's own zero stays.
    let room = room.len().saturating_sub(1).min(title.len());
    for (to, from) in area.iter_mut().zip(title.bytes().take(room)) {
        *to = from;
    }
    super::ProcessMemory::open(Pid::this())?.write(start, &area)
}

/// Has the kernel end this process first when memory runs out.
pub fn go_first_without_memory() -> io::Result<()> {
    std::fs::write("/proc/self/oom_score_adj", "1000")
}

/// A second descriptor for what `fd` names, closed on execve, not below 3.
pub fn duplicate(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the number is only looked up; EBADF if it is not open.
    let new = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    if new < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(new) })
}

/// Has `fd` closed on execve.
pub fn close_on_exec(fd: RawFd) -> io::Result<()> {
    // SAFETY: takes numbers; EBADF if `fd` is not open.
    match unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Points standard input, output and error at `/dev/null` and closes every other descriptor but those of `keep`, so
/// that nothing of the program's (a pipe whose reader waits for its end) is held open.
///
/// The caller must not own descriptors other than those of `keep`.
pub fn drop_descriptors(keep: &[BorrowedFd<'_>]) -> io::Result<()> {
    use std::os::fd::IntoRawFd;
    let null = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?
        .into_raw_fd();
    for fd in 0..3 {
        // SAFETY: takes numbers; the standard descriptors are owned by nobody.
        if unsafe { libc::dup2(null, fd) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    let open: Vec<RawFd> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    for fd in open {
        if fd > 2 && !keep.iter().any(|kept| kept.as_raw_fd() == fd) {
            // SAFETY: by this function's contract nobody owns the descriptor (or it is the directory's, closed already).
            unsafe { libc::close(fd) };
        }
    }
    Ok(())
}

/// Replaces this process, searching `PATH` as execvp(3) does. Returns only if that fails.
#[must_use]
pub fn exec(program: &OsStr, arguments: &[OsString]) -> io::Error {
    let owned: Result<Vec<CString>, _> = std::iter::once(program)
        .chain(arguments.iter().map(OsString::as_os_str))
        .map(|text| CString::new(text.as_bytes()))
        .collect();
    let Ok(owned) = owned else {
        return io::ErrorKind::InvalidInput.into();
    };
    match nix::unistd::execvp(owned.first().map_or(c"", CString::as_c_str), &owned) {
        Ok(never) => match never {},
        Err(error) => error.into(),
    }
}
