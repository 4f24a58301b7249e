//! A verified plan -> memory of a stopped process, all of it or nothing.
//!
//! A write that fails may have been half done, so it is taken back with those before it. What cannot be taken back may
//! lead into our code: then everything that it needs stays, which [`NotInstalled::undone`] says.

use super::fail_at::{FailAt, Step};
use super::failure::{Failure, FailureCode, Result};
use super::session::Session;
use crate::addr::RunAddr;
use crate::os::ProcessMemory;
use crate::plan::{Plan, Write, WriteKind};
use crate::verify::VerifiedPlan;

/// Bytes that are compared at a time.
const PIECE: usize = 1 << 16;

/// Why nothing is installed.
#[derive(Debug)]
pub struct NotInstalled {
    /// The failure; where taking back failed as well, its text says so.
    pub failure: Failure,
    /// Whether the memory is as it was. If not, code and data of the plan must stay mapped.
    pub undone: bool,
}

impl From<Failure> for NotInstalled {
    /// A failure before the first write.
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            undone: true,
        }
    }
}

/// Writes the plan. All threads must be stopped and all mappings made.
///
/// # Errors
/// Nothing is written if any byte differs from the plan's `old`, or if a thread would go on inside a replaced
/// instruction. If a write fails, it and those before it are undone in reverse order.
pub fn install(
    session: &Session,
    memory: &ProcessMemory,
    plan: &VerifiedPlan,
    fail_at: FailAt,
) -> std::result::Result<(), NotInstalled> {
    if !session.all_stopped() {
        return Err(Failure::new(FailureCode::System, "a thread is running").into());
    }
    let plan = plan.plan();
    check_threads(session, plan)?;
    for write in &plan.writes {
        check_old(memory, plan, write)?;
    }
    let mut begun = 0;
    let result = plan.writes.iter().enumerate().try_for_each(|(index, one)| {
        begun = index + 1;
        write(memory, index, one, fail_at)
    });
    let Err(failure) = result.and_then(|()| fail_at.reached(Step::Installed)) else {
        return Ok(());
    };
    let begun = plan.writes.get(..begun).unwrap_or_default();
    match undo(memory, plan, begun, fail_at) {
        Ok(()) => Err(failure.into()),
        Err(second) => Err(NotInstalled {
            failure: Failure {
                detail: format!("{}; then {}", failure.detail, second.detail),
                ..failure
            },
            undone: false,
        }),
    }
}

fn write(memory: &ProcessMemory, index: usize, write: &Write, fail_at: FailAt) -> Result<()> {
    let failed = |error| Failure::system(format_args!("cannot write at {}", write.at))(error);
    fail_at.reached(Step::Write(index))?;
    if let Err(failure) = fail_at.reached(Step::HalfWrite(index)) {
        let half = write.new.get(..write.new.len().div_ceil(2));
        memory
            .write(write.at, half.unwrap_or_default())
            .map_err(failed)?;
        return Err(failure);
    }
    memory.write(write.at, &write.new).map_err(failed)
}

/// Puts back what stood there, last write first. All threads must still be stopped, with none of the new code run.
///
/// Where an entry cannot be put back the other entries are, and nothing else: its jump needs the code, and the code the
/// module and its link.
fn undo(memory: &ProcessMemory, plan: &Plan, begun: &[Write], fail_at: FailAt) -> Result<()> {
    let mut first = None;
    for (index, write) in begun.iter().enumerate().rev() {
        if first.is_some() && write.kind != WriteKind::Entry {
            break;
        }
        // Whatever the kernel says of the write, what can be read there tells.
        let result = fail_at.reached(Step::Undo(index)).and_then(|()| {
            let _ = memory.write(write.at, &write.old);
            check_old(memory, plan, write)
        });
        if let Err(failure) = result {
            first = first.or(Some(Failure {
                detail: format!("cannot undo at {}: {}", write.at, failure.detail),
                ..failure
            }));
        }
    }
    first.map_or(Ok(()), Err)
}

/// An entry that something else has changed since the file was loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Patched {
    /// The function's entry.
    pub entry: RunAddr,
    /// What was found there, for people.
    pub detail: String,
}

/// The entries of the plan's hooks that are not as the file has them: somebody else hooks them, or debugs them.
pub fn patched(memory: &ProcessMemory, plan: &Plan) -> Result<Vec<Patched>> {
    let mut list = Vec::new();
    for hook in &plan.hooks {
        let mut found = vec![0; hook.window.len()];
        memory
            .read(hook.entry, &mut found)
            .map_err(Failure::system(format_args!(
                "cannot read at {}",
                hook.entry
            )))?;
        if let Some(detail) = change(&hook.window, &found) {
            list.push(Patched {
                entry: hook.entry,
                detail,
            });
        }
    }
    Ok(list)
}

/// What was changed, and by what kind of tool; `None` if nothing was.
fn change(old: &[u8], found: &[u8]) -> Option<String> {
    let offset = old
        .iter()
        .zip(found)
        .position(|(old, found)| old != found)?;
    let (old, new) = (old.get(offset)?, found.get(offset)?);
    let what = match (offset, new) {
        (_, 0xcc) => "a breakpoint or uprobe of another tool stands there",
        (0, 0xe9 | 0xeb | 0xff) => "another tool has put a jump there",
        _ => "another tool has changed it",
    };
    Some(format!(
        "{what}: byte {offset} is {new:#04x} in memory, {old:#04x} in the file"
    ))
}

fn check_threads(session: &Session, plan: &Plan) -> Result<()> {
    for tid in session.threads() {
        let rip = session.registers(tid)?.rip();
        let inside = plan.hooks.iter().find(|hook| {
            rip.offset_from(hook.entry)
                .is_some_and(|at| at > 0 && at < hook.window.len() as u64)
        });
        if let Some(hook) = inside {
            return Err(Failure::new(
                FailureCode::ThreadInWindow,
                format!(
                    "thread {tid} is at {rip}, inside the first bytes of {}",
                    hook.name
                ),
            ));
        }
    }
    Ok(())
}

fn check_old(memory: &ProcessMemory, plan: &Plan, write: &Write) -> Result<()> {
    // The code of all hooks is tens of MiB.
    for (index, old) in write.old.chunks(PIECE).enumerate() {
        let from = index * PIECE;
        let mut found = vec![0; old.len()];
        let at = RunAddr::new(write.at.get().wrapping_add(from as u64));
        memory
            .read(at, &mut found)
            .map_err(Failure::system(format_args!("cannot read at {at}")))?;
        let mut pairs = found.iter().zip(old).enumerate();
        if let Some((offset, (&found, &old))) = pairs.find(|(_, (found, old))| found != old) {
            return Err(Failure::new(
                FailureCode::MemoryDiffers,
                difference(plan, write, from + offset, found, old),
            ));
        }
    }
    Ok(())
}

/// What differs, for people: whose memory it is, and whom to suspect.
fn difference(plan: &Plan, write: &Write, offset: usize, found: u8, old: u8) -> String {
    /// `int3`, by which debuggers and the kernel's uprobes stop a program.
    const BREAKPOINT: u8 = 0xcc;
    let function = plan.hooks.iter().find(|hook| hook.entry == write.at);
    let whose = match (write.kind, function) {
        (WriteKind::Entry, Some(hook)) => format!("the first instruction of {}", hook.name),
        (WriteKind::Entry, None) => "the first instruction of a function".to_owned(),
        (WriteKind::Link | WriteKind::LastModule, _) => "the runtime's list of modules".to_owned(),
        (WriteKind::Code | WriteKind::Module, _) => "memory that was just mapped".to_owned(),
    };
    let suspect = if found == BREAKPOINT {
        "; a debugger or a uprobe has set a breakpoint there"
    } else {
        ""
    };
    format!(
        "{whose} was changed by something else{suspect} (byte {offset} at {} is {found:#04x}, not {old:#04x})",
        write.at
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_been_there_is_told_by_the_first_byte_that_differs() {
        let old = [0x49, 0x3b, 0x66, 0x10, 0x76, 0x20];
        let with = |offset: usize, byte: u8| {
            let mut found = old;
            found[offset] = byte;
            change(&old, &found).unwrap_or_default()
        };
        assert_eq!(change(&old, &old), None);
        assert_eq!(
            with(0, 0xcc),
            "a breakpoint or uprobe of another tool stands there: byte 0 is 0xcc in memory, 0x49 in the file"
        );
        assert!(with(4, 0xcc).starts_with("a breakpoint or uprobe"));
        assert!(with(0, 0xe9).starts_with("another tool has put a jump there"));
        assert!(with(5, 0x21).starts_with("another tool has changed it: byte 5"));
    }
}
