//! The table of system calls: number -> handler. Each family has a file.
//!
//! A handler reads its arguments from registers and memory and answers; it never runs program code. Numbers are those of
//! `arch/x86/entry/syscalls/syscall_64.tbl`.

mod events;
mod files;
mod memory;
mod process;
mod signals;
mod sockets;
mod time;
mod user;

use super::Trouble;
use super::cpu::CpuError;
use super::futex::futex;
use super::process::Machine;
use super::threads::{Call, Wait};

/// What becomes of a call.
pub(super) enum Answer {
    /// It returns this.
    Return(i64),
    /// It waits, at most until a time.
    Wait(Wait, Option<u64>),
    /// It does not return in the usual way: the registers are set already, or the thread is gone.
    Nothing,
}

/// Why a call fails.
pub(super) enum No {
    /// With this `errno`.
    Error(i32),
    /// Not yet: it is to be made again when some file has changed, or at this time.
    Block(Option<u64>),
    /// The machine cannot do it.
    Trouble(Trouble),
}

impl From<CpuError> for No {
    fn from(error: CpuError) -> Self {
        Self::Trouble(error.into())
    }
}

impl From<Trouble> for No {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

pub(super) type Reply = Result<Answer, No>;

/// The call returns `value`.
#[allow(clippy::unnecessary_wraps, reason = "handlers end with it")]
pub(super) const fn done(value: i64) -> Reply {
    Ok(Answer::Return(value))
}

/// The call fails with `errno`.
pub(super) const fn fail(errno: i32) -> Reply {
    Err(No::Error(errno))
}

type Handler = fn(&mut Machine<'_>, &Call) -> Reply;

macro_rules! table {
    ($($name:ident => $handler:expr,)*) => {
        /// The handler of a call.
        fn handler(number: u64) -> Option<Handler> {
            paste_numbers!(number, $($name => $handler,)*)
        }
        const NAMES: &[(i64, &str)] = &[$((libc::$name, stringify!($name)),)*];
    };
}

macro_rules! paste_numbers {
    ($number:expr, $($name:ident => $handler:expr,)*) => {
        match $number as i64 {
            $(libc::$name => Some($handler as Handler),)*
            _ => None,
        }
    };
}

table! {
    // memory
    SYS_mmap => memory::mmap,
    SYS_munmap => memory::munmap,
    SYS_mprotect => memory::mprotect,
    SYS_madvise => memory::madvise,
    SYS_mincore => memory::mincore,
    SYS_mremap => memory::mremap,
    SYS_brk => memory::brk,
    SYS_mlock => |_, _| done(0),
    SYS_munlock => |_, _| done(0),
    SYS_msync => |_, _| done(0),
    // process and threads
    SYS_clone => process::clone,
    SYS_fork => process::fork,
    SYS_vfork => process::fork,
    SYS_execve => process::fork,
    SYS_exit => process::exit,
    SYS_exit_group => process::exit_group,
    SYS_futex => futex,
    SYS_arch_prctl => process::arch_prctl,
    SYS_prctl => process::prctl,
    SYS_set_tid_address => process::set_tid_address,
    SYS_sched_yield => process::sched_yield,
    SYS_sched_getaffinity => process::sched_getaffinity,
    SYS_getcpu => process::getcpu,
    SYS_getpid => process::getpid,
    SYS_gettid => process::gettid,
    SYS_getppid => |_, _| done(1),
    SYS_getpgid => process::getpid,
    SYS_getpgrp => process::getpid,
    SYS_getuid => |_, _| done(1000),
    SYS_geteuid => |_, _| done(1000),
    SYS_getgid => |_, _| done(1000),
    SYS_getegid => |_, _| done(1000),
    SYS_getgroups => |_, _| done(0),
    SYS_umask => |_, _| done(0o22),
    SYS_getrlimit => process::getrlimit,
    SYS_setrlimit => |_, _| done(0),
    SYS_prlimit64 => process::prlimit,
    SYS_getrusage => process::getrusage,
    SYS_uname => process::uname,
    SYS_sysinfo => process::sysinfo,
    SYS_getrandom => process::getrandom,
    SYS_wait4 => |_, _| fail(libc::ECHILD),
    SYS_waitid => |_, _| fail(libc::ECHILD),
    SYS_setpriority => |_, _| done(0),
    // signals
    SYS_rt_sigaction => signals::rt_sigaction,
    SYS_rt_sigprocmask => signals::rt_sigprocmask,
    SYS_rt_sigreturn => signals::rt_sigreturn,
    SYS_sigaltstack => signals::sigaltstack,
    SYS_tgkill => signals::tgkill,
    SYS_tkill => signals::tkill,
    SYS_kill => signals::kill,
    SYS_pause => |_, _| Ok(Answer::Wait(Wait::Signal, None)),
    // time
    SYS_clock_gettime => time::clock_gettime,
    SYS_clock_getres => time::clock_getres,
    SYS_gettimeofday => time::gettimeofday,
    SYS_time => time::time,
    SYS_times => time::times,
    SYS_nanosleep => time::nanosleep,
    SYS_clock_nanosleep => time::clock_nanosleep,
    SYS_setitimer => time::setitimer,
    SYS_timer_create => time::timer_create,
    SYS_timer_settime => time::timer_settime,
    SYS_timer_delete => time::timer_delete,
    // files
    SYS_read => files::read,
    SYS_pread64 => files::pread,
    SYS_readv => files::readv,
    SYS_write => files::write,
    SYS_pwrite64 => files::pwrite,
    SYS_writev => files::writev,
    SYS_open => files::open,
    SYS_openat => files::openat,
    SYS_creat => files::creat,
    SYS_close => files::close,
    SYS_lseek => files::lseek,
    SYS_stat => files::stat,
    SYS_lstat => files::lstat,
    SYS_fstat => files::fstat,
    SYS_newfstatat => files::newfstatat,
    SYS_access => files::access,
    SYS_faccessat => files::faccessat,
    SYS_faccessat2 => files::faccessat,
    SYS_readlink => files::readlink,
    SYS_readlinkat => files::readlinkat,
    SYS_getdents64 => files::getdents64,
    SYS_getcwd => files::getcwd,
    SYS_chdir => files::chdir,
    SYS_fcntl => files::fcntl,
    SYS_ioctl => |_, _| fail(libc::ENOTTY),
    SYS_dup => files::dup,
    SYS_dup2 => files::dup2,
    SYS_dup3 => files::dup2,
    SYS_pipe => files::pipe,
    SYS_pipe2 => files::pipe2,
    SYS_ftruncate => files::ftruncate,
    SYS_fsync => |_, _| done(0),
    SYS_fdatasync => |_, _| done(0),
    SYS_flock => |_, _| done(0),
    SYS_fchmod => |_, _| done(0),
    SYS_chmod => |_, _| done(0),
    SYS_fchmodat => |_, _| done(0),
    SYS_fchown => |_, _| done(0),
    SYS_utimensat => |_, _| done(0),
    SYS_mkdir => files::mkdir,
    SYS_mkdirat => files::mkdirat,
    SYS_unlink => files::unlink,
    SYS_unlinkat => files::unlinkat,
    SYS_rmdir => files::rmdir,
    SYS_rename => files::rename,
    SYS_renameat => files::renameat,
    SYS_renameat2 => files::renameat,
    SYS_symlinkat => files::symlinkat,
    SYS_eventfd2 => files::eventfd2,
    // waiting
    SYS_epoll_create => events::epoll_create,
    SYS_epoll_create1 => events::epoll_create1,
    SYS_epoll_ctl => events::epoll_ctl,
    SYS_epoll_wait => events::epoll_wait,
    SYS_epoll_pwait => events::epoll_wait,
    SYS_poll => events::poll,
    SYS_select => events::select,
    SYS_pselect6 => events::select,
    // sockets
    SYS_socket => sockets::socket,
    SYS_socketpair => sockets::socketpair,
    SYS_bind => sockets::bind,
    SYS_listen => sockets::listen,
    SYS_accept => sockets::accept,
    SYS_accept4 => sockets::accept4,
    SYS_connect => sockets::connect,
    SYS_getsockname => sockets::getsockname,
    SYS_getpeername => sockets::getpeername,
    SYS_setsockopt => sockets::setsockopt,
    SYS_getsockopt => sockets::getsockopt,
    SYS_shutdown => sockets::shutdown,
    SYS_sendto => sockets::sendto,
    SYS_recvfrom => sockets::recvfrom,
    SYS_sendmsg => sockets::sendmsg,
    SYS_recvmsg => sockets::recvmsg,
    // Newer calls that Go tries and does without.
    SYS_statx => missing,
    SYS_clone3 => missing,
    SYS_rseq => missing,
    SYS_membarrier => missing,
    SYS_pidfd_open => missing,
    SYS_pidfd_send_signal => missing,
    SYS_copy_file_range => missing,
    SYS_sendfile => missing,
    SYS_splice => missing,
    SYS_openat2 => missing,
    SYS_close_range => missing,
    SYS_fadvise64 => |_, _| done(0),
    SYS_fallocate => |_, _| fail(libc::EOPNOTSUPP),
    SYS_epoll_pwait2 => missing,
    SYS_inotify_init1 => missing,
    SYS_perf_event_open => |_, _| fail(libc::EACCES),
}

/// A kernel of before the call was introduced.
const fn missing(_: &mut Machine<'_>, _: &Call) -> Reply {
    fail(libc::ENOSYS)
}

/// The name of a call, without the prefix.
pub(super) fn name(number: u64) -> String {
    let found = NAMES.iter().find(|(n, _)| *n as u64 == number);
    found.map_or_else(
        || format!("call {number}"),
        |(_, name)| name.trim_start_matches("SYS_").to_owned(),
    )
}

/// Makes a call for the current thread.
pub(super) fn dispatch(machine: &mut Machine<'_>, call: &Call) -> Result<Answer, Trouble> {
    let Some(handler) = handler(call.number) else {
        let args: Vec<String> = call.args.iter().map(|arg| format!("{arg:#x}")).collect();
        return Err(Trouble::UnknownCall {
            number: call.number,
            args: args.join(", "),
            by: machine.symbolise_caller(),
        });
    };
    match handler(machine, call) {
        Ok(answer) => Ok(answer),
        Err(No::Error(errno)) => Ok(Answer::Return(-i64::from(errno))),
        Err(No::Block(until)) => Ok(Answer::Wait(Wait::Files(machine.files.changes()), until)),
        Err(No::Trouble(trouble)) => Err(trouble),
    }
}

/// Whether `SA_RESTART` makes an interrupted call start again (signal(7), "Interruption of system calls").
pub(super) fn restarts(call: &Call, wait: Wait) -> bool {
    match wait {
        Wait::Futex { .. } => call.until.is_none(),
        Wait::Time | Wait::Signal => false,
        Wait::Files(_) => !matches!(
            call.number as i64,
            libc::SYS_epoll_wait
                | libc::SYS_epoll_pwait
                | libc::SYS_poll
                | libc::SYS_select
                | libc::SYS_ppoll
                | libc::SYS_pselect6
        ),
    }
}
