//! A finished plan -> one that is broken on purpose, in one way, on its bytes.
//!
//! What is broken was right before: the plan was made and verified as any other. Nothing but a test writes the broken one.

mod code;
mod site;
mod tables;

use std::fmt;

use anyhow::{Context, Result, bail};
use gondwana_engine::golang::{Abi, Facts};
use gondwana_engine::plan::{Plan, WriteKind};
use gondwana_engine::ring::layout::{SKIPPED_DEEP, SKIPPED_GSIGNAL, SKIPPED_NO_ROOM};

use code::{Text, near, skip_of};
pub(crate) use site::Site;

/// One way to break a plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Mutation {
    /// The synthetic module is written but not linked.
    NoModule,
    /// `lastmoduledatap` still names the first module.
    NoLastModule,
    /// The `pcsp` tables end after the return address that the hooked function sees.
    PcspHole,
    /// `pcsp` is off by 8 at one instruction of the first trampoline.
    Depth(Site),
    /// The trampolines' functions lack the unsafe-point table and the flag `ASM`.
    Preemptible,
    /// The jumps at the entries go past the hook, to the relocated window.
    PastTheHook,
    /// A trampoline does not look whether the stack has room.
    NoRoomCheck,
    /// It does not look how deep the stack is.
    NoDepthCheck,
    /// It does not step aside on the signal stack.
    NoGsignalCheck,
    /// It does not recognise a restart after morestack.
    NoReentryCheck,
    /// One word more than `f.args` is copied, both ways.
    OneWordTooMany,
    /// RAX is saved where RBP belongs.
    FramePointer,
    /// The result is not saved at the exit, so that what returns is the argument, kept in a slot without a mark since the
    /// entry.
    PointerSlot(Site),
    /// One instruction of the first trampoline is replaced by `nop`.
    Deleted(Site),
}

impl fmt::Display for Mutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Depth(site) => write!(f, "pcsp off at {site}"),
            Self::Deleted(site) => write!(f, "without {site}"),
            Self::PointerSlot(_) => f.write_str("pointer slot unmarked"),
            Self::NoModule => f.write_str("no synthetic module"),
            Self::NoLastModule => f.write_str("no lastmoduledatap"),
            Self::PcspHole => f.write_str("pcsp with a hole after the call"),
            Self::Preemptible => f.write_str("module preemptible"),
            Self::PastTheHook => f.write_str("jump past the hook"),
            Self::NoRoomCheck => f.write_str("room check missing"),
            Self::NoDepthCheck => f.write_str("depth check missing"),
            Self::NoGsignalCheck => f.write_str("signal stack check missing"),
            Self::NoReentryCheck => f.write_str("re-entry check missing"),
            Self::OneWordTooMany => f.write_str("argument copy one word too long"),
            Self::FramePointer => f.write_str("RBP not saved"),
        }
    }
}

impl Mutation {
    /// Those that are about no single instruction.
    pub(crate) const WHOLE: [Self; 11] = [
        Self::NoModule,
        Self::PcspHole,
        Self::Preemptible,
        Self::OneWordTooMany,
        Self::NoReentryCheck,
        Self::NoRoomCheck,
        Self::NoDepthCheck,
        Self::NoGsignalCheck,
        Self::NoLastModule,
        Self::FramePointer,
        Self::PastTheHook,
    ];

    /// The one of [`Self::WHOLE`] with this name.
    #[allow(
        dead_code,
        reason = "not every test that shares this file starts programs by name"
    )]
    pub(crate) fn named(name: &str) -> Result<Self> {
        let mut all = Self::WHOLE.into_iter();
        all.find(|mutation| mutation.to_string() == name)
            .with_context(|| format!("no mutation `{name}`"))
    }

    /// All of a plan with one hook: each instruction is broken by itself.
    #[allow(
        dead_code,
        reason = "not every test that shares this file tries all of them"
    )]
    pub(crate) fn all(plan: &Plan) -> Result<Vec<Self>> {
        let hook = plan.hooks.first().context("no hook")?.clone();
        let mut plan = plan.clone();
        let text = Text::of(&mut plan)?;
        let sites = site::sites(&hook, text.trampoline(&hook));
        // `mov [rsp+RAX],rax` behind the thunk, under the convention that returns pointers in RAX.
        let thunk = hook.trampoline.thunk.offset_from(hook.trampoline.start);
        let slot = sites.iter().find(|site| {
            hook.abi == Abi::AbiInternal
                && thunk.is_some_and(|thunk| u64::from(site.offset) >= thunk)
                && site.text.starts_with("mov [rsp+")
                && site.text.ends_with("],rax")
        });
        let mut all = Self::WHOLE.to_vec();
        all.extend(slot.cloned().map(Self::PointerSlot));
        all.extend(sites.iter().cloned().map(Self::Depth));
        all.extend(sites.into_iter().map(Self::Deleted));
        Ok(all)
    }

    /// The plan, broken; `facts` are those of the program's Go version.
    pub(crate) fn apply(&self, facts: &Facts, plan: &Plan) -> Result<Plan> {
        let mut broken = plan.clone();
        let plan = &mut broken;
        match self {
            Self::NoModule => {
                // Nor is it named as the last one: from 1.26 on the runtime walks the list up to that before anything else.
                let links = [WriteKind::Link, WriteKind::LastModule];
                for write in plan.writes.iter_mut().filter(|w| links.contains(&w.kind)) {
                    write.new.clone_from(&write.old);
                }
            }
            Self::NoLastModule => plan.writes.retain(|w| w.kind != WriteKind::LastModule),
            Self::PcspHole => tables::change_depths(plan, facts, |hook, steps| {
                // The return address itself is still covered, so that stack growth works and only the rest is missed.
                let span = hook.trampoline;
                let thunk = span.thunk.offset_from(span.start).unwrap_or_default();
                tables::up_to(steps, thunk as u32 + 1)
            })?,
            Self::Depth(site) => tables::change_depths(plan, facts, |hook, steps| {
                if hook.id == 0 {
                    tables::deepened(&steps, site.offset, site.offset + site.length)
                } else {
                    steps
                }
            })?,
            Self::Preemptible => tables::allow_preemption(plan, facts)?,
            Self::PastTheHook => {
                let entries = plan
                    .writes
                    .iter_mut()
                    .filter(|w| w.kind == WriteKind::Entry);
                for (write, hook) in entries.zip(&plan.hooks) {
                    write.new = near(0xe9, write.at.get(), hook.trampoline.reloc.get())?;
                }
            }
            Self::NoRoomCheck => without_skip(plan, SKIPPED_NO_ROOM)?,
            Self::NoDepthCheck => without_skip(plan, SKIPPED_DEEP)?,
            Self::NoGsignalCheck => without_skip(plan, SKIPPED_GSIGNAL)?,
            Self::NoReentryCheck => {
                Text::of(plan)?.ignore("test of the return address", |hook, _, jump| {
                    jump.ip() < hook.trampoline.thunk.get()
                        && jump.near_branch_target() == hook.trampoline.reloc.get()
                })?;
            }
            Self::OneWordTooMany => Text::of(plan)?.copy_one_word_more()?,
            Self::FramePointer => Text::of(plan)?.save_another_register()?,
            Self::PointerSlot(site) | Self::Deleted(site) => {
                Text::of(plan)?.delete_at(site.offset, site.length)?;
            }
        }
        if let Some(module) = &mut plan.module
            && let Some(write) = plan.writes.iter().find(|w| w.kind == WriteKind::Module)
        {
            module.end = write
                .at
                .checked_add(write.new.len() as u64)
                .context("a module without an end")?;
        }
        Ok(broken)
    }
}

/// Ignores the jumps to the part that counts a call without its hook in this word.
fn without_skip(plan: &mut Plan, counter: u64) -> Result<()> {
    let Some(counter) = plan.placement.ring.checked_add(counter) else {
        bail!("no such counter");
    };
    Text::of(plan)?.ignore("such guard", |_, all, jump| {
        skip_of(all, counter.get()) == Some(jump.near_branch_target())
    })
}

/// What is prepared, with this plan, which nobody has verified; it must fit the mappings.
pub(crate) fn replace(
    prepared: &mut gondwana_engine::inject::prepare::Prepared,
    plan: Plan,
) -> Result<()> {
    for (kind, room) in [
        (WriteKind::Code, prepared.lengths.code),
        (WriteKind::Module, prepared.lengths.data),
    ] {
        let mut writes = plan.writes.iter().filter(|write| write.kind == kind);
        if writes.any(|write| write.new.len() as u64 > room) {
            bail!("what was broken does not fit its mapping");
        }
    }
    prepared.plan = gondwana_engine::verify::VerifiedPlan::unchecked_for_tests(plan);
    Ok(())
}
