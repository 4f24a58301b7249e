//! mmap(2), munmap(2), mprotect(2), madvise(2), mincore(2), mremap(2), brk(2).

use gondwana_engine::os::Protection;

use super::super::memory::{HIGHEST, PAGE};
use super::super::process::Machine;
use super::super::run::pages;
use super::super::threads::Call;
use super::{No, Reply, done, fail};

const MAP_FIXED_NOREPLACE: i32 = 0x10_0000;

fn protection(bits: i32) -> Protection {
    Protection {
        read: bits & libc::PROT_READ != 0,
        write: bits & libc::PROT_WRITE != 0,
        execute: bits & libc::PROT_EXEC != 0,
    }
}

/// A range of whole pages: `start` as given, the length rounded up.
fn range(call: &Call) -> Result<(u64, u64), No> {
    let (start, length) = (call.arg(0), call.arg(1));
    let length = pages(length).ok_or(No::Error(libc::EINVAL))?;
    let end = start.checked_add(length);
    if !start.is_multiple_of(PAGE) || end.is_none_or(|end| end > HIGHEST) {
        return Err(No::Error(libc::EINVAL));
    }
    Ok((start, length))
}

pub(super) fn mmap(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let (hint, flags) = (call.arg(0), call.int(3));
    let length = pages(call.arg(1)).filter(|&length| length > 0);
    let length = length.ok_or(No::Error(libc::EINVAL))?;
    let content = if flags & libc::MAP_ANONYMOUS == 0 {
        let offset = call.arg(5);
        let bytes = machine.files.bytes(call.int(4)).map_err(No::Error)?;
        let from = bytes.len().min(offset as usize);
        Some(bytes.get(from..).unwrap_or_default().to_vec())
    } else {
        None
    };
    let at = if flags & (libc::MAP_FIXED | MAP_FIXED_NOREPLACE) != 0 {
        let (at, length) = range(call)?;
        if flags & MAP_FIXED_NOREPLACE != 0 && machine.space.choose(at, length) != Some(at) {
            return fail(libc::EEXIST);
        }
        at
    } else {
        let at = machine.space.choose(hint, length);
        at.ok_or(No::Error(libc::ENOMEM))?
    };
    let access = protection(call.int(2));
    machine
        .space
        .map(&mut machine.cpu, at, length, access, "")?;
    if let Some(content) = content {
        let kept = content.len().min(length as usize);
        machine.put(at, content.get(..kept).unwrap_or_default())?;
    }
    done(at as i64)
}

pub(super) fn munmap(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let (start, length) = range(call)?;
    if length == 0 {
        return fail(libc::EINVAL);
    }
    machine.space.unmap(&mut machine.cpu, start, length)?;
    done(0)
}

pub(super) fn mprotect(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let (start, length) = range(call)?;
    if !machine.space.is_mapped_range(start, start + length) {
        return fail(libc::ENOMEM);
    }
    let access = protection(call.int(2));
    machine
        .space
        .protect(&mut machine.cpu, start, length, access)?;
    done(0)
}

pub(super) fn madvise(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let (start, length) = range(call)?;
    match call.int(2) {
        libc::MADV_DONTNEED => {
            machine.space.clear(&mut machine.cpu, start, length);
            done(0)
        }
        libc::MADV_NORMAL..=libc::MADV_WILLNEED
        | libc::MADV_FREE
        | libc::MADV_HUGEPAGE
        | libc::MADV_NOHUGEPAGE
        | libc::MADV_DONTFORK
        | libc::MADV_DOFORK => done(0),
        // MADV_COLLAPSE, MADV_POPULATE_*: a kernel of before.
        _ => fail(libc::EINVAL),
    }
}

/// Go up to 1.11 asks with this whether addresses are in use (`runtime/mem_linux.go`, `addrspace_free`).
pub(super) fn mincore(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let (start, length) = range(call)?;
    if !machine.space.is_mapped_range(start, start + length) {
        return fail(libc::ENOMEM);
    }
    let resident = vec![1; (length / PAGE) as usize];
    machine.put(call.arg(2), &resident)?;
    done(0)
}

/// Only shrinking in place and `MREMAP_MAYMOVE` to a fresh place.
pub(super) fn mremap(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let (start, old) = range(call)?;
    let new = pages(call.arg(2)).filter(|&new| new > 0);
    let new = new.ok_or(No::Error(libc::EINVAL))?;
    if !machine.space.is_mapped_range(start, start + old) {
        return fail(libc::EFAULT);
    }
    if new <= old {
        machine
            .space
            .unmap(&mut machine.cpu, start + new, old - new)?;
        return done(start as i64);
    }
    if call.int(3) != libc::MREMAP_MAYMOVE {
        return fail(libc::ENOMEM);
    }
    let content = machine.user(start, old)?;
    let access = machine
        .space
        .protection_of(start)
        .ok_or(No::Error(libc::EFAULT))?;
    let at = machine.space.find(new).ok_or(No::Error(libc::ENOMEM))?;
    machine.space.map(&mut machine.cpu, at, new, access, "")?;
    machine.put(at, &content)?;
    machine.space.unmap(&mut machine.cpu, start, old)?;
    done(at as i64)
}

pub(super) fn brk(machine: &mut Machine<'_>, call: &Call) -> Reply {
    let end = machine.space.set_brk(&mut machine.cpu, call.arg(0))?;
    done(end as i64)
}
