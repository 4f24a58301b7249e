//! What `/proc` and pidfds tell about a process.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::addr::RunAddr;

/// A process id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Pid(pub i32);

/// A thread id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Tid(pub i32);

impl Pid {
    /// The calling process.
    #[must_use]
    pub fn this() -> Self {
        Self(nix::unistd::getpid().as_raw())
    }

    /// The thread that has the process's id.
    #[must_use]
    pub const fn leader(self) -> Tid {
        Tid(self.0)
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Tid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Threads of a process.
pub fn threads(pid: Pid) -> io::Result<Vec<Tid>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        if let Some(tid) = entry?.file_name().to_str().and_then(|n| n.parse().ok()) {
            found.push(Tid(tid));
        }
    }
    Ok(found)
}

/// Whether `tid` is a thread of `pid`.
#[must_use]
pub fn is_thread_of(tid: Tid, pid: Pid) -> bool {
    std::fs::exists(format!("/proc/{pid}/task/{tid}")).unwrap_or(false)
}

/// The path of the file that the process executes, as the kernel names it.
pub fn executable_path(pid: Pid) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/exe"))
}

/// Opens the file that the process executes, even if it was replaced or removed since.
pub fn executable(pid: Pid) -> io::Result<File> {
    File::open(format!("/proc/{pid}/exe"))
}

/// `AT_ENTRY` of the auxiliary vector: the entry point of the program (not of its interpreter).
pub fn entry_point(pid: Pid) -> io::Result<RunAddr> {
    let bytes = std::fs::read(format!("/proc/{pid}/auxv"))?;
    bytes
        .chunks_exact(16)
        .filter_map(|pair| {
            let (key, value) = pair.split_first_chunk::<8>()?;
            let value = value.first_chunk::<8>()?;
            Some((u64::from_ne_bytes(*key), u64::from_ne_bytes(*value)))
        })
        .find(|&(key, _)| key == libc::AT_ENTRY)
        .map(|(_, value)| RunAddr::new(value))
        .ok_or_else(|| invalid(format!("/proc/{pid}/auxv has no AT_ENTRY")))
}

/// The fields of `/proc/PID/stat` from the third on (the second may hold spaces and parentheses).
fn stat(pid: Pid) -> io::Result<Vec<String>> {
    let text = std::fs::read(format!("/proc/{pid}/stat"))?;
    let text = String::from_utf8_lossy(&text);
    let (_, rest) = text
        .rsplit_once(") ")
        .ok_or_else(|| invalid(format!("/proc/{pid}/stat has no name")))?;
    Ok(rest.split_whitespace().map(str::to_owned).collect())
}

/// When the process started, in clock ticks after boot: with the pid it names a process for ever.
pub fn start_time(pid: Pid) -> io::Result<u64> {
    stat(pid)?
        .get(22 - 3)
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| invalid(format!("/proc/{pid}/stat has no start time")))
}

/// Processes whose name (`comm`, at most 15 bytes) is this one.
pub fn named(name: &str) -> Vec<Pid> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok().map(Pid));
    pids.filter(|pid| {
        let comm = std::fs::read_to_string(format!("/proc/{pid}/comm"));
        comm.is_ok_and(|comm| comm.strip_suffix('\n') == Some(name))
    })
    .collect()
}

/// Whether a process has this file open, or one in this directory; `path` as the kernel tells it, without links.
pub fn has_open(pid: Pid, path: &Path) -> bool {
    let files = std::fs::read_dir(format!("/proc/{pid}/fd"));
    let mut files = files.into_iter().flatten().flatten();
    files.any(|file| std::fs::read_link(file.path()).is_ok_and(|open| open.starts_with(path)))
}

/// First and one past the last byte of the arguments, in the memory of a process of the same user.
pub fn arguments(pid: Pid) -> io::Result<(RunAddr, RunAddr)> {
    let fields = stat(pid)?;
    let field = |number: usize| fields.get(number - 3)?.parse().ok().map(RunAddr::new);
    field(48)
        .zip(field(49))
        .ok_or_else(|| invalid(format!("/proc/{pid}/stat does not say where arguments are")))
}

/// Where the heap that brk(2) grows begins.
pub fn heap_start(pid: Pid) -> io::Result<RunAddr> {
    stat(pid)?
        .get(47 - 3)
        .and_then(|field| field.parse().ok())
        .map(RunAddr::new)
        .ok_or_else(|| invalid(format!("/proc/{pid}/stat has no start of the heap")))
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// With this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Exit {
    /// Status word of wait(2).
    #[must_use]
    pub fn from_status(status: i32) -> Self {
        if libc::WIFSIGNALED(status) {
            Self::Signal(libc::WTERMSIG(status))
        } else {
            Self::Code(libc::WEXITSTATUS(status))
        }
    }
}

/// The status of a process that has ended and was not reaped; 0 where the reader may not know it.
fn exit_of_zombie(pid: Pid) -> Option<Exit> {
    let fields = stat(pid).ok()?;
    let ended = fields
        .first()
        .is_some_and(|state| state == "Z" || state == "X");
    let status = ended.then(|| fields.get(52 - 3)?.parse().ok())??;
    Some(Exit::from_status(status))
}

/// A handle on a process that stays its own when the number is used again.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Opens the handle.
    pub fn open(pid: Pid) -> io::Result<Self> {
        // SAFETY: pidfd_open reads two numbers and touches no memory of this process.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.0, 0) };
        let fd = i32::try_from(fd).unwrap_or(-1);
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the kernel has just made this descriptor for us; nothing else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Waits at most `timeout` for the end of the process; whether it has ended.
    pub fn wait_end(&self, timeout: Duration) -> io::Result<bool> {
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(ready) => Ok(ready > 0),
            Err(nix::Error::EINTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// How a process that has ended did so, as far as its reader may know: while it is a zombie from its `stat`, after
    /// that from the handle (Linux 6.15 and later).
    #[must_use]
    pub fn exit(&self, pid: Pid) -> Option<Exit> {
        // Between the two looks at the handle it may be reaped.
        self.exit_from_handle()
            .or_else(|| exit_of_zombie(pid))
            .or_else(|| self.exit_from_handle())
    }

    /// `PIDFD_GET_INFO` with `PIDFD_INFO_EXIT` (linux/pidfd.h).
    fn exit_from_handle(&self) -> Option<Exit> {
        const INFO_EXIT: u64 = 1 << 3;
        /// `struct pidfd_info`, `PIDFD_INFO_SIZE_VER0` and later fields left out.
        #[repr(C)]
        #[derive(Default)]
        struct Info {
            mask: u64,
            cgroupid: u64,
            ids: [u32; 11],
            exit_code: i32,
        }
        // _IOWR(0xFF, 11, struct pidfd_info), whose size (64) is part of the number.
        const GET_INFO: libc::c_ulong = 3 << 30 | 64 << 16 | 0xff << 8 | 11;
        const { assert!(size_of::<Info>() == 64) };
        let mut info = Info {
            mask: INFO_EXIT,
            ..Info::default()
        };
        use std::os::fd::AsRawFd;
        // SAFETY: the ioctl reads and writes at most the 64 bytes that its number states, at a structure of that size.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), GET_INFO, &raw mut info) };
        (result == 0 && info.mask & INFO_EXIT != 0).then(|| Exit::from_status(info.exit_code))
    }
}

/// Opens descriptor `fd` of another process, for reading and writing.
pub fn open_descriptor(pid: Pid, fd: i32) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(format!("/proc/{pid}/fd/{fd}"))
}

/// Whether executing this file gives privileges: set-user-id, set-group-id, or file capabilities.
#[must_use]
pub fn gives_privileges(file: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::MetadataExt as _;
    let bits = libc::S_ISUID | libc::S_ISGID;
    if std::fs::metadata(file).is_ok_and(|found| found.mode() & bits != 0) {
        return true;
    }
    let Ok(path) = std::ffi::CString::new(file.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: both names are C strings; with a size of 0 nothing is written, and the size of the value is returned.
    let size = unsafe {
        libc::getxattr(
            path.as_ptr(),
            c"security.capability".as_ptr(),
            std::ptr::null_mut(),
            0,
        )
    };
    size > 0
}

/// Whether this process may trace any other: then what it traces keeps privileges across execve.
#[must_use]
pub fn may_trace_all() -> bool {
    const SYS_PTRACE: u32 = 19; // linux/capability.h
    std::fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| {
            let line = status
                .lines()
                .find_map(|line| line.strip_prefix("CapEff:"))?;
            u64::from_str_radix(line.trim(), 16).ok()
        })
        .is_some_and(|set| set >> SYS_PTRACE & 1 != 0)
}

/// Sends a signal to one thread.
pub fn signal_thread(pid: Pid, tid: Tid, signal: i32) -> io::Result<()> {
    // SAFETY: tgkill reads three numbers and touches no memory of this process.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, pid.0, tid.0, signal) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Name of this host and release of its kernel.
#[must_use]
pub fn host() -> (String, String) {
    let read = |name| {
        std::fs::read_to_string(format!("/proc/sys/kernel/{name}"))
            .map(|text| text.trim().to_owned())
            .unwrap_or_default()
    };
    (read("hostname"), read("osrelease"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_described() {
        let me = Pid::this();
        assert!(threads(me).unwrap().contains(&me.leader()));
        assert!(is_thread_of(me.leader(), me));
        assert!(!is_thread_of(Tid(1), me));
        assert!(start_time(me).unwrap() > 0);
        assert!(entry_point(me).unwrap().get() > 0);
        assert_eq!(
            executable_path(me).unwrap(),
            std::env::current_exe().unwrap()
        );
    }

    #[test]
    fn the_end_of_a_process_is_seen_before_and_after_it_is_reaped() {
        for (script, expected) in [("exit 7", Exit::Code(7)), ("kill -9 $$", Exit::Signal(9))] {
            let mut child = std::process::Command::new("sh")
                .args(["-c", script])
                .spawn()
                .unwrap();
            let pid = Pid(child.id().try_into().unwrap());
            let handle = PidFd::open(pid).unwrap();
            assert!(handle.wait_end(Duration::from_secs(10)).unwrap());
            assert_eq!(handle.exit(pid), Some(expected));
            child.wait().unwrap();
            // Before Linux 6.15 nothing is known of a process that was reaped.
            assert!([Some(expected), None].contains(&handle.exit(pid)));
        }
    }
}
