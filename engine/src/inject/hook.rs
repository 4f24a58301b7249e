//! A program under trace -> a program that is hooked and let go, or as it was.

use super::change::Change;
use super::fail_at::{FailAt, Step};
use super::failure::{Failure, FailureCode, Result};
use super::ground::{FRONT, Ground};
use super::prepare::{self, Chosen, Description, Wanted};
use super::session::Session;
use crate::os::{Limit, Pid, limits};
use crate::ring::Reader;

/// What is to be done.
#[derive(Debug)]
pub struct Request {
    /// The process, which has just executed the program.
    pub pid: Pid,
    /// What to hook.
    pub wanted: Wanted,
    /// Whether the program must not run unhooked.
    pub require: bool,
    /// Failures that a test asks for.
    pub fail_at: FailAt,
    /// What a test changes of the plan.
    pub change: Change,
}

/// A program that is not hooked: traced still, or changed still.
#[derive(Debug)]
pub enum Rest {
    /// Traced.
    Session(Session),
    /// And prepared.
    Ground(Box<Ground>),
}

impl From<Session> for Rest {
    fn from(session: Session) -> Self {
        Self::Session(session)
    }
}

/// Hooks the program and lets it go. On failure the program is as it was, and stopped, if it has not ended. `missing` is told
/// before the program's own first line of what cannot be hooked of what was asked for.
pub fn hook(
    session: Session,
    request: &Request,
    known: &mut Description,
    missing: impl FnOnce(&Failure),
) -> std::result::Result<Reader, (Failure, Option<Rest>)> {
    let mut ground = Ground::new(session, request.fail_at).map_err(|failure| (failure, None))?;
    let steps = || -> Result<Reader> {
        request.fail_at.reached(Step::Executed)?;
        let file = prepare::read(request.pid)?;
        let image = prepare::parse(request.pid, &file)?;
        let slide = prepare::slide(request.pid, &image)?;
        let chosen = Chosen::new(&image, slide, &request.wanted, known)?;
        // Before the program has run anything.
        required(request, chosen.missing(known))?;
        chosen.may_plan(&limits_of(request.pid)?)?;
        let around = prepare::around(request.pid, &image, slide, ground.maps())?;
        let front = around.near(FRONT).ok_or_else(|| {
            Failure::new(
                FailureCode::Mapping,
                "there is no free memory near the program's code",
            )
        })?;
        ground.run_to_main(chosen.main, front)?;

        // The runtime has what it needs: what is left now is left to the program and to us.
        let limits = limits_of(request.pid)?;
        let around = prepare::around(request.pid, &image, slide, ground.maps())?;
        let mut prepared = chosen.plan(around, &limits, known)?;
        let lacks = required(request, prepared.missing.take())?;
        request.change.make(&mut prepared)?;
        request.fail_at.reached(Step::Planned)?;
        let placement = prepared.plan.plan().placement;
        let reader = ground.map(&placement, prepared.lengths)?;
        let patched = ground.patched(&prepared.plan)?;
        let plan = if patched.is_empty() {
            prepared.plan
        } else {
            chosen.plan_without(&patched, placement, known)?
        };
        ground.install(&plan)?;
        if let Some(failure) = lacks {
            missing(&failure);
        }
        Ok(reader)
    };
    match steps() {
        Ok(reader) => {
            let detached = ground.detach();
            // From here on the program is hooked; a thread that could not be let go is one that has ended.
            drop(detached);
            // Too late to fail, not to die.
            let _ = request.fail_at.reached(Step::Detached);
            Ok(reader)
        }
        Err(failure) if failure.code == FailureCode::Ended => Err((failure, None)),
        Err(failure) => {
            known.hooks.clear();
            known.memory = None;
            match ground.clear() {
                Ok(()) => Err((failure, Some(Rest::Ground(Box::new(ground))))),
                Err(second) => {
                    let detail = format!("{}; then {}", failure.detail, second.detail);
                    Err((
                        Failure { detail, ..failure },
                        Some(Rest::Ground(Box::new(ground))),
                    ))
                }
            }
        }
    }
}

fn limits_of(pid: Pid) -> Result<Vec<Limit>> {
    limits::of(pid).map_err(Failure::system("cannot read its limits"))
}

/// What is to be said of a pattern that has no hook.
///
/// # Errors
/// Each must have one.
fn required(request: &Request, missing: Option<Failure>) -> Result<Option<Failure>> {
    match missing {
        Some(failure) if request.require => Err(failure),
        missing => Ok(missing.filter(|failure| failure.code == FailureCode::NothingMatches)),
    }
}
