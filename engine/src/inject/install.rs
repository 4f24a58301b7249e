//! A verified plan -> memory of a stopped process, all of it or nothing.

use super::failure::{Failure, FailureCode, Result};
use super::session::Session;
use crate::os::ProcessMemory;
use crate::plan::{Plan, Write};
use crate::verify::VerifiedPlan;

/// What was written, so that it can be taken back.
#[derive(Debug)]
pub struct Installed<'p> {
    done: Vec<&'p Write>,
}

/// Writes the plan. All threads must be stopped and all mappings made. `before` is asked before each write: an error
/// from it counts as the write's (tests make writes fail that way).
///
/// # Errors
/// Nothing is written if any byte differs from the plan's `old`, or if a thread would go on inside a replaced
/// instruction. If a write fails, those before it are undone in reverse order.
pub fn install<'p>(
    session: &Session,
    memory: &ProcessMemory,
    plan: &'p VerifiedPlan,
    mut before: impl FnMut(usize) -> Result<()>,
) -> Result<Installed<'p>> {
    if !session.all_stopped() {
        return Err(Failure::new(FailureCode::System, "a thread is running"));
    }
    let plan = plan.plan();
    check_threads(session, plan)?;
    for write in &plan.writes {
        check_old(memory, write)?;
    }
    let mut installed = Installed { done: Vec::new() };
    for (index, write) in plan.writes.iter().enumerate() {
        let result = before(index).and_then(|()| {
            memory
                .write(write.at, &write.new)
                .map_err(Failure::system(format_args!(
                    "cannot write at {}",
                    write.at
                )))
        });
        if let Err(failure) = result {
            installed.undo(memory)?;
            return Err(failure);
        }
        installed.done.push(write);
    }
    Ok(installed)
}

impl Installed<'_> {
    /// Puts back what stood there, last write first. All threads must still be stopped, with none of the new code run.
    pub fn undo(&self, memory: &ProcessMemory) -> Result<()> {
        for write in self.done.iter().rev() {
            memory
                .write(write.at, &write.old)
                .map_err(Failure::system(format_args!("cannot undo at {}", write.at)))?;
        }
        Ok(())
    }
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

fn check_old(memory: &ProcessMemory, write: &Write) -> Result<()> {
    let mut found = vec![0; write.old.len()];
    memory
        .read(write.at, &mut found)
        .map_err(Failure::system(format_args!("cannot read at {}", write.at)))?;
    match found.iter().zip(&write.old).position(|(a, b)| a != b) {
        None => Ok(()),
        Some(offset) => Err(Failure::new(
            FailureCode::MemoryDiffers,
            format!(
                "byte {offset} at {} is {:#04x} where the plan expects {:#04x}",
                write.at,
                found.get(offset).copied().unwrap_or_default(),
                write.old.get(offset).copied().unwrap_or_default()
            ),
        )),
    }
}
