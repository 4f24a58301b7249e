//! Files and pipes: open(2), read(2), write(2), stat(2), getdents(2) and their relatives.

use std::cell::RefCell;
use std::rc::Rc;

use super::super::files::{Descriptor, Event, NodeKind, Object, Stat};
use super::super::process::Machine;
use super::super::signals::Info;
use super::super::threads::Call;
use super::super::time::EPOCH;
use super::{No, Reply, done, fail};

/// Whether calls on this descriptor never wait.
fn nonblocking(machine: &Machine<'_>, fd: i32) -> bool {
    machine
        .files
        .get(fd)
        .is_ok_and(|d| d.open.borrow().flags & libc::O_NONBLOCK != 0)
}

/// `EAGAIN` makes a thread wait, unless the file is not to.
pub(super) fn wait_for(machine: &Machine<'_>, fd: i32, errno: i32) -> No {
    if errno == libc::EAGAIN && !nonblocking(machine, fd) {
        No::Block(None)
    } else {
        No::Error(errno)
    }
}

fn read_at(machine: &mut Machine<'_>, call: &Call, at: Option<u64>) -> Reply {
    let fd = call.int(0);
    let length = call.arg(2).min(1 << 24) as usize;
    let bytes = machine
        .files
        .read(fd, length, at)
        .map_err(|errno| wait_for(machine, fd, errno))?;
    machine.put(call.arg(1), &bytes)?;
    done(bytes.len() as i64)
}

pub(super) fn read(machine: &mut Machine<'_>, call: &Call) -> Reply {
    read_at(machine, call, None)
}

pub(super) fn pread(machine: &mut Machine<'_>, call: &Call) -> Reply {
    read_at(machine, call, Some(call.arg(3)))
}

/// The buffers of readv(2) and writev(2).
pub(super) fn vectors(machine: &Machine<'_>, at: u64, count: u64) -> Result<Vec<(u64, u64)>, No> {
    if count > 1024 {
        return Err(No::Error(libc::EINVAL));
    }
    (0..count)
        .map(|index| {
            let at = at.wrapping_add(16 * index);
            Ok((
                machine.user_word(at)?,
                machine.user_word(at.wrapping_add(8))?,
            ))
        })
        .collect()
}

/// Puts bytes into buffers, one after the other.
pub(super) fn scatter(
    machine: &mut Machine<'_>,
    vectors: &[(u64, u64)],
    mut bytes: &[u8],
) -> Result<(), No> {
    for &(at, length) in vectors {
        let (now, rest) = bytes.split_at(bytes.len().min(length as usize));
        machine.put(at, now)?;
        bytes = rest;
    }
    Ok(())
}

pub(super) fn readv(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let fd = call.int(0);
    let vectors = vectors(machine, call.arg(1), call.arg(2))?;
    let total: u64 = vectors
        .iter()
        .map(|(_, length)| length.min(&(1 << 24)))
        .sum();
    let bytes = machine
        .files
        .read(fd, total as usize, None)
        .map_err(|errno| wait_for(machine, fd, errno))?;
    scatter(machine, &vectors, &bytes)?;
    done(bytes.len() as i64)
}

fn write_bytes(machine: &mut Machine<'_>, fd: i32, bytes: &[u8], at: Option<u64>) -> Reply {
    match machine.files.write(fd, bytes, at) {
        Ok(written) => done(written as i64),
        Err(errno) => {
            if errno == libc::EPIPE {
                let info = Info::from_thread(libc::SIGPIPE, machine.pid);
                machine.post(Some(machine.current), info);
            }
            Err(wait_for(machine, fd, errno))
        }
    }
}

pub(super) fn write(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let bytes = machine.user(call.arg(1), call.arg(2))?;
    write_bytes(machine, call.int(0), &bytes, None)
}

pub(super) fn pwrite(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let bytes = machine.user(call.arg(1), call.arg(2))?;
    write_bytes(machine, call.int(0), &bytes, Some(call.arg(3)))
}

pub(super) fn writev(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let mut bytes = Vec::new();
    for (at, length) in vectors(machine, call.arg(1), call.arg(2))? {
        bytes.extend(machine.user(at, length)?);
    }
    write_bytes(machine, call.int(0), &bytes, None)
}

/// The directory that a relative path starts from.
fn base(machine: &Machine<'_>, fd: i32) -> Result<Vec<u8>, No> {
    if fd == libc::AT_FDCWD {
        return Ok(machine.files.directory.clone());
    }
    let open = machine.files.get(fd).map_err(No::Error)?.open.borrow();
    match open.object {
        Object::Directory(_) => Ok(open.path.clone()),
        _ => Err(No::Error(libc::ENOTDIR)),
    }
}

/// A path of a call, resolved.
fn path(
    machine: &Machine<'_>,
    fd: i32,
    at: u64,
    follow: bool,
) -> Result<(Vec<u8>, Option<NodeKind>), No> {
    let name = machine.user_path(at)?;
    let base = if name.starts_with(b"/") {
        b"/".to_vec()
    } else {
        base(machine, fd)?
    };
    machine
        .files
        .tree
        .resolve(&base, &name, follow)
        .map_err(No::Error)
}

fn open_at(machine: &mut Machine<'_>, fd: i32, at: u64, flags: i32, mode: u32) -> Reply {
    let follow = flags & libc::O_NOFOLLOW == 0;
    let (path, found) = path(machine, fd, at, follow)?;
    let written = flags & libc::O_ACCMODE != libc::O_RDONLY;
    let exclusive = libc::O_CREAT | libc::O_EXCL;
    let tree = &mut machine.files.tree;
    let object = match found {
        Some(_) if flags & exclusive == exclusive => return fail(libc::EEXIST),
        None if flags & libc::O_CREAT == 0 => return fail(libc::ENOENT),
        None => Object::File(tree.create(&path, mode)),
        Some(NodeKind::Directory) if written => return fail(libc::EISDIR),
        Some(NodeKind::Directory) => {
            Object::Directory(Rc::new(tree.list(&path).map_err(No::Error)?))
        }
        Some(_) if flags & libc::O_DIRECTORY != 0 => return fail(libc::ENOTDIR),
        Some(NodeKind::Link(_)) => return fail(libc::ELOOP),
        Some(NodeKind::Device(device)) => Object::Device(device),
        Some(kind) => {
            let file = tree.open(&path, &kind, written).map_err(No::Error)?;
            if flags & libc::O_TRUNC != 0 && written {
                file.borrow_mut().resize(0).map_err(No::Error)?;
            }
            Object::File(file)
        }
    };
    let status = flags & !(libc::O_CREAT | libc::O_EXCL | libc::O_TRUNC | libc::O_CLOEXEC);
    let mut descriptor = Descriptor::new(object, status, path);
    descriptor.close_on_exec = flags & libc::O_CLOEXEC != 0;
    let fd = machine.files.add(descriptor, 0).map_err(No::Error)?;
    done(i64::from(fd))
}

pub(super) fn open(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let mode = call.arg(2) as u32;
    open_at(machine, libc::AT_FDCWD, call.arg(0), call.int(1), mode)
}

pub(super) fn openat(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let mode = call.arg(3) as u32;
    open_at(machine, call.int(0), call.arg(1), call.int(2), mode)
}

pub(super) fn creat(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
    open_at(
        machine,
        libc::AT_FDCWD,
        call.arg(0),
        flags,
        call.arg(1) as u32,
    )
}

pub(super) fn close(machine: &mut Machine<'_>, call: &Call) -> Reply {
    machine.files.close(call.int(0)).map_err(No::Error)?;
    done(0)
}

pub(super) fn lseek(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let descriptor = machine.files.get(call.int(0)).map_err(No::Error)?;
    let mut open = descriptor.open.borrow_mut();
    let size = match &open.object {
        Object::File(file) => file.borrow().bytes.len() as i64,
        Object::Directory(_) | Object::Device(_) => 0,
        _ => return fail(libc::ESPIPE),
    };
    let from = match call.int(2) {
        libc::SEEK_SET => 0,
        libc::SEEK_CUR => open.offset as i64,
        libc::SEEK_END => size,
        _ => return fail(libc::EINVAL),
    };
    let to = from.checked_add(call.arg(1) as i64).filter(|&to| to >= 0);
    let to = to.ok_or(No::Error(libc::EINVAL))?;
    open.offset = to as u64;
    done(to)
}

/// Writes a `struct stat`.
fn put_stat(machine: &mut Machine<'_>, at: u64, stat: Stat) -> Reply {
    let seconds = EPOCH / 1_000_000_000;
    let links = 1;
    let owner = 1000u64 | 1000 << 32;
    let words = [
        1,                                  // st_dev
        stat.inode,                         // st_ino
        links,                              // st_nlink
        u64::from(stat.mode) | owner << 32, // st_mode, st_uid
        owner >> 32,                        // st_gid, padding
        0,                                  // st_rdev
        stat.size,                          // st_size
        4096,                               // st_blksize
        stat.size.div_ceil(512),            // st_blocks
        seconds,
        0,
        seconds,
        0,
        seconds,
        0,
        0,
        0,
        0,
    ];
    machine.put_words(at, &words)?;
    done(0)
}

fn stat_at(machine: &mut Machine<'_>, fd: i32, at: u64, to: u64, follow: bool) -> Reply {
    let (path, _) = path(machine, fd, at, follow)?;
    let stat = machine.files.tree.stat(&path).map_err(No::Error)?;
    put_stat(machine, to, stat)
}

pub(super) fn stat(machine: &mut Machine<'_>, call: &Call) -> Reply {
    stat_at(machine, libc::AT_FDCWD, call.arg(0), call.arg(1), true)
}

pub(super) fn lstat(machine: &mut Machine<'_>, call: &Call) -> Reply {
    stat_at(machine, libc::AT_FDCWD, call.arg(0), call.arg(1), false)
}

fn stat_of(machine: &mut Machine<'_>, fd: i32, to: u64) -> Reply {
    let descriptor = machine.files.get(fd).map_err(No::Error)?;
    let open = descriptor.open.borrow();
    let (mode, size) = match &open.object {
        Object::File(file) => {
            let size = file.borrow().bytes.len() as u64;
            // The file may have been removed or renamed since.
            let mode = machine
                .files
                .tree
                .stat(&open.path)
                .map_or(0o644, |s| s.mode & 0o777);
            (libc::S_IFREG | mode, size)
        }
        Object::Directory(_) => (libc::S_IFDIR | 0o755, 4096),
        Object::Device(_) => (libc::S_IFCHR | 0o666, 0),
        Object::Input | Object::Output(_) | Object::Pipe(..) => (libc::S_IFIFO | 0o600, 0),
        Object::Event(_) | Object::Epoll(_) => (0o600, 0),
        Object::Socket(_) => (libc::S_IFSOCK | 0o777, 0),
    };
    let inode = machine
        .files
        .tree
        .stat(&open.path)
        .map_or(fd as u64, |s| s.inode);
    drop(open);
    put_stat(machine, to, Stat { inode, mode, size })
}

pub(super) fn fstat(machine: &mut Machine<'_>, call: &Call) -> Reply {
    stat_of(machine, call.int(0), call.arg(1))
}

pub(super) fn newfstatat(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let flags = call.int(3);
    if flags & libc::AT_EMPTY_PATH != 0 && machine.user_path(call.arg(1))?.is_empty() {
        return stat_of(machine, call.int(0), call.arg(2));
    }
    let follow = flags & libc::AT_SYMLINK_NOFOLLOW == 0;
    stat_at(machine, call.int(0), call.arg(1), call.arg(2), follow)
}

fn access_at(machine: &mut Machine<'_>, fd: i32, at: u64, mode: i32) -> Reply {
    let (path, _) = path(machine, fd, at, true)?;
    let stat = machine.files.tree.stat(&path).map_err(No::Error)?;
    if mode & libc::X_OK != 0 && stat.mode & 0o111 == 0 {
        return fail(libc::EACCES);
    }
    done(0)
}

pub(super) fn access(machine: &mut Machine<'_>, call: &Call) -> Reply {
    access_at(machine, libc::AT_FDCWD, call.arg(0), call.int(1))
}

pub(super) fn faccessat(machine: &mut Machine<'_>, call: &Call) -> Reply {
    access_at(machine, call.int(0), call.arg(1), call.int(2))
}

fn readlink_at(machine: &mut Machine<'_>, fd: i32, at: u64, to: u64, size: u64) -> Reply {
    let (_, found) = path(machine, fd, at, false)?;
    match found {
        Some(NodeKind::Link(target)) => {
            let kept = target.len().min(size as usize);
            machine.put(to, target.get(..kept).unwrap_or_default())?;
            done(kept as i64)
        }
        Some(_) => fail(libc::EINVAL),
        None => fail(libc::ENOENT),
    }
}

pub(super) fn readlink(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let [at, to, size, ..] = call.args;
    readlink_at(machine, libc::AT_FDCWD, at, to, size)
}

pub(super) fn readlinkat(machine: &mut Machine<'_>, call: &Call) -> Reply {
    readlink_at(machine, call.int(0), call.arg(1), call.arg(2), call.arg(3))
}

pub(super) fn getdents64(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let descriptor = machine.files.get(call.int(0)).map_err(No::Error)?;
    let mut open = descriptor.open.borrow_mut();
    let Object::Directory(entries) = open.object.clone() else {
        return fail(libc::ENOTDIR);
    };
    let mut bytes = Vec::new();
    let mut next = open.offset as usize;
    for (name, stat) in entries.iter().skip(next) {
        // struct linux_dirent64: inode, offset of the next one, length, type, name and zero.
        let length = (19 + name.len() + 1).next_multiple_of(8);
        if bytes.len() + length > call.arg(2) as usize {
            break;
        }
        next += 1;
        let end = bytes.len() + length;
        bytes.extend(stat.inode.to_le_bytes());
        bytes.extend((next as u64).to_le_bytes());
        bytes.extend((length as u16).to_le_bytes());
        bytes.push((stat.mode >> 12 & 15) as u8);
        bytes.extend(name);
        bytes.resize(end, 0);
    }
    if bytes.is_empty() && next < entries.len() {
        return fail(libc::EINVAL);
    }
    open.offset = next as u64;
    drop(open);
    machine.put(call.arg(1), &bytes)?;
    done(bytes.len() as i64)
}

pub(super) fn getcwd(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let mut path = machine.files.directory.clone();
    path.push(0);
    if path.len() as u64 > call.arg(1) {
        return fail(libc::ERANGE);
    }
    machine.put(call.arg(0), &path)?;
    done(path.len() as i64)
}

pub(super) fn chdir(machine: &mut Machine<'_>, call: &Call) -> Reply {
    match path(machine, libc::AT_FDCWD, call.arg(0), true)? {
        (path, Some(NodeKind::Directory)) => {
            machine.files.directory = path;
            done(0)
        }
        (_, Some(_)) => fail(libc::ENOTDIR),
        (_, None) => fail(libc::ENOENT),
    }
}

pub(super) fn fcntl(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let fd = call.int(0);
    let argument = call.int(2);
    let descriptor = machine.files.get_mut(fd).map_err(No::Error)?;
    match call.int(1) {
        libc::F_GETFD => done(i64::from(descriptor.close_on_exec)),
        libc::F_SETFD => {
            descriptor.close_on_exec = argument & libc::FD_CLOEXEC != 0;
            done(0)
        }
        libc::F_GETFL => done(i64::from(descriptor.open.borrow().flags)),
        libc::F_SETFL => {
            const SETTABLE: i32 = libc::O_APPEND | libc::O_NONBLOCK;
            let mut open = descriptor.open.borrow_mut();
            open.flags = open.flags & !SETTABLE | argument & SETTABLE;
            done(0)
        }
        which @ (libc::F_DUPFD | libc::F_DUPFD_CLOEXEC) => {
            let mut copy = descriptor.clone();
            copy.close_on_exec = which == libc::F_DUPFD_CLOEXEC;
            let fd = machine.files.add(copy, argument).map_err(No::Error)?;
            done(i64::from(fd))
        }
        libc::F_GETLK => {
            // Nobody holds a lock.
            machine.put(call.arg(2), &(libc::F_UNLCK as u16).to_le_bytes())?;
            done(0)
        }
        libc::F_SETLK | libc::F_SETLKW => done(0),
        _ => fail(libc::EINVAL),
    }
}

pub(super) fn dup(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let mut copy = machine.files.get(call.int(0)).map_err(No::Error)?.clone();
    copy.close_on_exec = false;
    let fd = machine.files.add(copy, 0).map_err(No::Error)?;
    done(i64::from(fd))
}

pub(super) fn dup2(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let (from, to) = (call.int(0), call.int(1));
    let mut copy = machine.files.get(from).map_err(No::Error)?.clone();
    if from != to {
        copy.close_on_exec =
            call.number as i64 == libc::SYS_dup3 && call.int(2) & libc::O_CLOEXEC != 0;
        machine.files.put(to, copy);
    }
    done(i64::from(to))
}

fn new_pipe(machine: &mut Machine<'_>, at: u64, flags: i32) -> Reply {
    let (read, write) = machine.files.pipe(flags).map_err(No::Error)?;
    let pair = u64::from(read as u32) | u64::from(write as u32) << 32;
    machine.put_words(at, &[pair])?;
    done(0)
}

pub(super) fn pipe(machine: &mut Machine<'_>, call: &Call) -> Reply {
    new_pipe(machine, call.arg(0), 0)
}

pub(super) fn pipe2(machine: &mut Machine<'_>, call: &Call) -> Reply {
    new_pipe(machine, call.arg(0), call.int(1))
}

pub(super) fn eventfd2(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let flags = call.int(1);
    let event = Event::new(call.arg(0) & 0xffff_ffff, flags & libc::EFD_SEMAPHORE != 0);
    let object = Object::Event(Rc::new(RefCell::new(event)));
    let status = libc::O_RDWR | flags & libc::O_NONBLOCK;
    let mut descriptor = Descriptor::new(object, status, Vec::new());
    descriptor.close_on_exec = flags & libc::O_CLOEXEC != 0;
    let fd = machine.files.add(descriptor, 0).map_err(No::Error)?;
    done(i64::from(fd))
}

pub(super) fn ftruncate(machine: &mut Machine<'_>, call: &Call) -> Reply {
    match machine.files.object(call.int(0)).map_err(No::Error)? {
        Object::File(file) => {
            file.borrow_mut().resize(call.arg(1)).map_err(No::Error)?;
            done(0)
        }
        _ => fail(libc::EINVAL),
    }
}

fn mkdir_at(machine: &mut Machine<'_>, fd: i32, at: u64, mode: u64) -> Reply {
    let (path, _) = path(machine, fd, at, false)?;
    let tree = &mut machine.files.tree;
    tree.make(&path, NodeKind::Directory, mode as u32)
        .map_err(No::Error)?;
    done(0)
}

pub(super) fn mkdir(machine: &mut Machine<'_>, call: &Call) -> Reply {
    mkdir_at(machine, libc::AT_FDCWD, call.arg(0), call.arg(1))
}

pub(super) fn mkdirat(machine: &mut Machine<'_>, call: &Call) -> Reply {
    mkdir_at(machine, call.int(0), call.arg(1), call.arg(2))
}

fn unlink_at(machine: &mut Machine<'_>, fd: i32, at: u64, directory: bool) -> Reply {
    let (path, _) = path(machine, fd, at, false)?;
    let tree = &mut machine.files.tree;
    tree.remove(&path, directory).map_err(No::Error)?;
    done(0)
}

pub(super) fn unlink(machine: &mut Machine<'_>, call: &Call) -> Reply {
    unlink_at(machine, libc::AT_FDCWD, call.arg(0), false)
}

pub(super) fn rmdir(machine: &mut Machine<'_>, call: &Call) -> Reply {
    unlink_at(machine, libc::AT_FDCWD, call.arg(0), true)
}

pub(super) fn unlinkat(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let directory = call.int(2) & libc::AT_REMOVEDIR != 0;
    unlink_at(machine, call.int(0), call.arg(1), directory)
}

fn rename_at(machine: &mut Machine<'_>, from: (i32, u64), to: (i32, u64)) -> Reply {
    let (from, _) = path(machine, from.0, from.1, false)?;
    let (to, _) = path(machine, to.0, to.1, false)?;
    machine.files.tree.rename(&from, &to).map_err(No::Error)?;
    done(0)
}

pub(super) fn rename(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let here = libc::AT_FDCWD;
    rename_at(machine, (here, call.arg(0)), (here, call.arg(1)))
}

pub(super) fn renameat(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let (from, to) = ((call.int(0), call.arg(1)), (call.int(2), call.arg(3)));
    rename_at(machine, from, to)
}

pub(super) fn symlinkat(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let target = machine.user_path(call.arg(0))?;
    let (path, _) = path(machine, call.int(1), call.arg(2), false)?;
    let tree = &mut machine.files.tree;
    tree.make(&path, NodeKind::Link(target), 0o777)
        .map_err(No::Error)?;
    done(0)
}
