//! The ways in which a plan is broken, as data.

use gondwana_engine::plan::{Plan, PlannedHook, Sabotage, Write, WriteKind};
use gondwana_engine::verify::VerifiedPlan;
use iced_x86::{Code, Decoder, DecoderOptions, Instruction};

/// One broken plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Mutant {
    /// A rule that the generator leaves out.
    Sabotaged(&'static str, Sabotage),
    /// `pcsp` is off by 8 at one instruction.
    Depth(Site),
    /// `lastmoduledatap` still names the first module.
    NoLastModule,
    /// RAX is saved where RBP belongs.
    FramePointer,
    /// The result is not saved at the exit, so that what returns is the argument, kept in a slot without a mark since the
    /// entry.
    PointerSlot(Site),
    /// One instruction is replaced by `nop`.
    Deleted(Site),
}

/// An instruction of a trampoline.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Site {
    /// Its offset.
    pub(crate) offset: u32,
    /// Its length.
    pub(crate) length: u32,
    /// It, with offsets in place of addresses.
    pub(crate) text: String,
}

/// The broken rules that the generator knows, with their names in the table.
const SABOTAGED: [(&str, Sabotage); 7] = [
    ("no synthetic module", Sabotage::NoModule),
    ("pcsp with a hole after the call", Sabotage::PcspHole),
    ("module preemptible", Sabotage::Preemptible),
    ("argument copy one word too long", Sabotage::OneWordTooMany),
    ("re-entry check missing", Sabotage::NoReentryCheck),
    ("room check missing", Sabotage::NoRoomCheck),
    ("signal stack check missing", Sabotage::NoGsignalCheck),
];

impl std::fmt::Display for Mutant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sabotaged(name, _) => f.write_str(name),
            Self::Depth(site) => write!(f, "pcsp off at {site}"),
            Self::NoLastModule => f.write_str("no lastmoduledatap"),
            Self::FramePointer => f.write_str("RBP not saved"),
            Self::PointerSlot(_) => f.write_str("pointer slot unmarked"),
            Self::Deleted(site) => write!(f, "without {site}"),
        }
    }
}

impl std::fmt::Display for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:03x} {}", self.offset, self.text)
    }
}

impl Mutant {
    /// All mutants of a plan with one hook.
    pub(crate) fn all(plan: &Plan) -> Vec<Self> {
        let Some((hook, code)) = plan.hooks.first().zip(code(plan)) else {
            return Vec::new();
        };
        let sites = sites(hook, &code.new);
        let mut mutants: Vec<Self> = SABOTAGED
            .into_iter()
            .map(|(name, sabotage)| Self::Sabotaged(name, sabotage))
            .collect();
        mutants.push(Self::NoLastModule);
        mutants.push(Self::FramePointer);
        mutants.extend(pointer_slot(hook, &code.new).map(Self::PointerSlot));
        mutants.extend(sites.iter().cloned().map(Self::Depth));
        mutants.extend(sites.into_iter().map(Self::Deleted));
        mutants
    }

    /// Whether it is one of a series, one for each instruction.
    pub(crate) const fn is_one_of_many(&self) -> bool {
        matches!(self, Self::Depth(_) | Self::Deleted(_))
    }

    /// The instruction that it is about, if it is about one.
    pub(crate) const fn site(&self) -> Option<&Site> {
        match self {
            Self::Depth(site) | Self::Deleted(site) | Self::PointerSlot(site) => Some(site),
            Self::Sabotaged(..) | Self::NoLastModule | Self::FramePointer => None,
        }
    }

    /// What the generator is told to break.
    pub(crate) const fn sabotage(&self) -> Option<Sabotage> {
        match self {
            Self::Sabotaged(_, sabotage) => Some(*sabotage),
            Self::Depth(site) => Some(Sabotage::PcspOff {
                from: site.offset,
                to: site.offset + site.length,
            }),
            _ => None,
        }
    }

    /// Breaks a finished plan, where [`Mutant::sabotage`] does not.
    pub(crate) fn apply(&self, plan: &VerifiedPlan) -> VerifiedPlan {
        let mut plan = plan.plan().clone();
        match self {
            Self::Sabotaged(..) | Self::Depth(_) => {}
            Self::NoLastModule => plan.writes.retain(|w| w.kind != WriteKind::LastModule),
            Self::FramePointer => {
                if let Some((hook, code)) = plan.hooks.first().cloned().zip(code_mut(&mut plan)) {
                    let push = instructions(&hook, &code.new)
                        .find(|i| i.code() == Code::Push_r64)
                        .and_then(|i| i.ip().checked_sub(hook.trampoline.start.get()));
                    if let Some(byte) = push.and_then(|at| code.new.get_mut(at as usize)) {
                        // `push rbp` is 55, `push rax` 50 (Intel SDM volume 2, PUSH).
                        *byte = 0x50;
                    }
                }
            }
            Self::PointerSlot(site) | Self::Deleted(site) => {
                if let Some(code) = code_mut(&mut plan) {
                    let range = site.offset as usize..(site.offset + site.length) as usize;
                    code.new.get_mut(range).unwrap_or_default().fill(0x90);
                }
            }
        }
        VerifiedPlan::unverified(plan)
    }
}

fn code(plan: &Plan) -> Option<&Write> {
    plan.writes.iter().find(|w| w.kind == WriteKind::Code)
}

fn code_mut(plan: &mut Plan) -> Option<&mut Write> {
    plan.writes.iter_mut().find(|w| w.kind == WriteKind::Code)
}

/// The instructions of the first trampoline, which starts where the code does.
fn instructions(hook: &PlannedHook, code: &[u8]) -> impl Iterator<Item = Instruction> {
    let span = hook.trampoline;
    let length = span.end.offset_from(span.start).unwrap_or_default() as usize;
    let bytes = code.get(..length).unwrap_or_default().to_vec();
    let decoded: Vec<Instruction> =
        Decoder::with_ip(64, &bytes, span.start.get(), DecoderOptions::NONE)
            .into_iter()
            .collect();
    decoded.into_iter()
}

fn sites(hook: &PlannedHook, code: &[u8]) -> Vec<Site> {
    let start = hook.trampoline.start;
    instructions(hook, code)
        .map(|instruction| Site {
            offset: (instruction.ip() - start.get()) as u32,
            length: instruction.len() as u32,
            text: text(&instruction, hook, code),
        })
        .collect()
}

/// The instruction; branches name their target by its offset, and the ones out of the trampoline by the function's.
fn text(instruction: &Instruction, hook: &PlannedHook, code: &[u8]) -> String {
    let span = hook.trampoline;
    let target = instruction.near_branch_target();
    if target == 0 {
        let at = (instruction.ip() - span.start.get()) as usize;
        let bytes = code.get(at..at + instruction.len()).unwrap_or_default();
        let lines = gondwana_engine::listing::listing(
            bytes,
            gondwana_engine::addr::RunAddr::new(instruction.ip()),
            |_| None,
        );
        let words: Vec<&str> = lines.split_whitespace().skip(2).collect();
        return words.join(" ");
    }
    let mnemonic = format!("{:?}", instruction.mnemonic()).to_lowercase();
    match target.checked_sub(span.start.get()) {
        Some(offset) if target < span.end.get() => format!("{mnemonic} {offset:03x}"),
        _ => format!("{mnemonic} entry+{}", target.wrapping_sub(hook.entry.get())),
    }
}

/// `mov [rsp+RAX],rax` behind the thunk, under the calling convention that returns pointers in RAX.
fn pointer_slot(hook: &PlannedHook, code: &[u8]) -> Option<Site> {
    if hook.abi != gondwana_engine::golang::Abi::AbiInternal {
        return None;
    }
    let thunk = hook.trampoline.thunk.offset_from(hook.trampoline.start)?;
    sites(hook, code).into_iter().find(|site| {
        u64::from(site.offset) >= thunk
            && site.text.starts_with("mov [rsp+")
            && site.text.ends_with("],rax")
    })
}
