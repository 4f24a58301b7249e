//! [`Plan`] -> [`VerifiedPlan`], or every reason why not.
//!
//! Re-derives correctness from the plan's written bytes and the original file. Shares no logic with the rooms that made
//! them: it decodes the bytes itself, reads the synthetic module as the runtime of that Go version would, and knows of the
//! trampoline only its contract (the text of [`crate::emit`]), the record layout ([`crate::ring::layout`]) and the facts of
//! the Go version. It never repairs and never writes; on any contents of a plan, which may come from a file, it neither
//! panics nor runs without bound.
//!
//! | file | claim |
//! |---|---|
//! | `policy` | the function may run under a frame |
//! | `abi`, `callee` | what a hook says of the function's ABI and stack need is what the function's own bytes say |
//! | `window` | the displaced instructions may run elsewhere: none faults, calls, or does more than the function's own business |
//! | `targets` | nothing branches into the displaced bytes, neither the function itself nor any assembly |
//! | `writes` | each write is at its place, in order, over the bytes that the file has there; nothing overlaps |
//! | `symbolic/`, `frame`, `guards`, `entry`, `exit`, `record` | each trampoline, on **every** path, does what the contract says and nothing else |
//! | `displaced` | the relocated window is equivalent to the original one, and control leaves it to the right places |
//! | `depth` | at every byte of a trampoline, the `pcsp` of the synthetic module is the real distance to the return address |
//! | `module/` | the tables resolve every byte of every trampoline, and every field holds what GO-COMPAT §2.3 demands |
//!
//! Every byte that a plan writes is claimed by exactly one of these rules, or must be a filler: a changed bit does not pass
//! unless it leaves the meaning as it was.

mod abi;
mod callee;
mod depth;
mod displaced;
mod entry;
mod exit;
mod frame;
mod guards;
mod module;
mod original;
mod policy;
mod program;
mod record;
mod spec;
mod symbolic;
mod targets;
mod window;
mod writes;

#[cfg(test)]
mod tests;

use crate::addr::RunAddr;
use crate::image::Image;
use crate::plan::Plan;

pub use original::{Original, OriginalFunction};

/// A plan that was found correct. Only [`verify`] makes one.
#[derive(Clone, PartialEq, Debug)]
pub struct VerifiedPlan {
    plan: Plan,
}

impl VerifiedPlan {
    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// A plan that nobody checked, for tests that must see a broken hook fail. What is built for use has no such thing.
    #[cfg(feature = "test-support")]
    #[must_use]
    pub fn unchecked_for_tests(plan: Plan) -> Self {
        Self { plan }
    }
}

/// One reason why a plan must not be carried out.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, thiserror::Error)]
#[error("{code} at {at}: found {found}, expected {expected}")]
pub struct Rejection {
    /// Which rule.
    pub code: RejectionCode,
    /// The byte, instruction or write concerned.
    pub at: RunAddr,
    /// What is there.
    pub found: String,
    /// What the rule demands.
    pub expected: String,
}

/// Stable codes, one per rule; never renamed, only added. `Display` and serde give the kebab-case form.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RejectionCode {
    /// Mappings: alignment, shape of the rings, overlap, reach.
    Placement,
    /// A hook is not the function, window or number that it says.
    Hook,
    /// A function that must not run under a frame.
    Forbidden,
    /// The function takes its arguments in another way than the hook says, or in one that nobody knows.
    Abi,
    /// A displaced instruction may fault.
    MayFault,
    /// A displaced instruction may not run in a trampoline for another reason.
    Unmovable,
    /// Something branches, or may branch, into the displaced bytes.
    BranchTarget,
    /// A write's kind, order, length or range.
    Write,
    /// What a write expects to find is not what the file has there.
    Old,
    /// The jump at an entry.
    Entry,
    /// `firstmoduledata.next` or `lastmoduledatap`.
    Link,
    /// A trampoline holds something that it must not: an instruction, a memory access, a jump.
    Code,
    /// Bytes between trampolines, or never executed, that are not fillers.
    Filler,
    /// A path through the guards ends elsewhere than the contract says.
    Guards,
    /// A path that leaves the hook out does more than count that.
    Skip,
    /// The frame, registers or arguments at the call of the relocated window.
    Frame,
    /// Registers, results, stack or return address at the end.
    Exit,
    /// The record: its contents, its address, or the count of lost ones.
    Record,
    /// A record, or one of several that belong together, becomes visible before all of it is written.
    Order,
    /// A displaced instruction and its relocated form differ.
    Displaced,
    /// The map of displaced instructions.
    Moved,
    /// `pcsp` is not the stack depth.
    Depth,
    /// A field of the synthetic `moduledata` or a table that it names.
    Module,
    /// Bytes of the synthetic module that no rule accounts for.
    Unaccounted,
}

impl std::fmt::Display for RejectionCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Placement => "placement",
            Self::Hook => "hook",
            Self::Forbidden => "forbidden",
            Self::Abi => "abi",
            Self::MayFault => "may-fault",
            Self::Unmovable => "unmovable",
            Self::BranchTarget => "branch-target",
            Self::Write => "write",
            Self::Old => "old",
            Self::Entry => "entry",
            Self::Link => "link",
            Self::Code => "code",
            Self::Filler => "filler",
            Self::Guards => "guards",
            Self::Skip => "skip",
            Self::Frame => "frame",
            Self::Exit => "exit",
            Self::Record => "record",
            Self::Order => "order",
            Self::Displaced => "displaced",
            Self::Moved => "moved",
            Self::Depth => "depth",
            Self::Module => "module",
            Self::Unaccounted => "unaccounted",
        })
    }
}

/// Collects rejections.
#[derive(Default)]
struct Findings {
    list: Vec<Rejection>,
}

impl Findings {
    fn add(
        &mut self,
        code: RejectionCode,
        at: RunAddr,
        found: impl Into<String>,
        expected: impl Into<String>,
    ) {
        self.list.push(Rejection {
            code,
            at,
            found: found.into(),
            expected: expected.into(),
        });
    }

    /// Adds a rejection unless `holds`; the texts are made only then.
    fn check(
        &mut self,
        holds: bool,
        code: RejectionCode,
        at: RunAddr,
        texts: impl FnOnce() -> (String, String),
    ) -> bool {
        if !holds {
            let (found, expected) = texts();
            self.add(code, at, found, expected);
        }
        holds
    }

    fn end(self) -> Result<(), Vec<Rejection>> {
        if self.list.is_empty() {
            Ok(())
        } else {
            Err(self.list)
        }
    }
}

/// Checks a plan against the file that it was made for.
///
/// # Errors
/// Every rule that the plan breaks. Where a rule is about bytes that an earlier one already rejected, it is not asked.
pub fn verify(image: &Image, plan: Plan) -> Result<VerifiedPlan, Vec<Rejection>> {
    verify_against(image, plan)
}

/// As [`verify`], against whatever can answer for the original program.
///
/// # Errors
/// As [`verify`].
pub fn verify_against(original: &dyn Original, plan: Plan) -> Result<VerifiedPlan, Vec<Rejection>> {
    check(original, &plan)?;
    Ok(VerifiedPlan { plan })
}

fn check(original: &dyn Original, plan: &Plan) -> Result<(), Vec<Rejection>> {
    let mut findings = Findings::default();
    let memory = writes::check(original, plan, &mut findings);
    findings.end()?;
    let mut findings = Findings::default();
    let depths = module::check(original, plan, &memory, &mut findings);
    if !plan.hooks.is_empty() {
        preconditions(original, plan, &mut findings);
    }
    for (hook, steps) in plan.hooks.iter().zip(&depths) {
        callee::check(original, plan, hook, &mut findings);
        displaced::check(original, plan, hook, &memory, &mut findings);
        depth::check(original, plan, hook, steps, &memory, &mut findings);
    }
    findings.end()?;
    let mut findings = Findings::default();
    for hook in &plan.hooks {
        frame::check(original, plan, hook, &memory, &mut findings);
    }
    findings.end()
}

/// What must hold of the hooked functions, whatever is written.
fn preconditions(original: &dyn Original, plan: &Plan, findings: &mut Findings) {
    let program = program::Program::of(original);
    for hook in &plan.hooks {
        policy::check(original, &program, plan, hook, findings);
        abi::check(original, &program, plan, hook, findings);
        window::check(original, plan, hook, findings);
        targets::check(original, &program, plan, hook, findings);
    }
}
