//! Sites and a placement -> [`Plan`]: every byte that will be written, as inert data.
//!
//! Verifier, emulator, injector, goldens and report all read the same `Plan`; nothing here touches a process.

mod build;
mod render;
mod render_module;
mod select;

pub use build::{HookRequest, PlanError, Room, build};
#[cfg(test)]
pub(crate) use build::{MAX_FIXED, MAX_TABLES, MAX_TRAMPOLINE};

pub use render::{Document, SCHEMA, render};
pub use render_module::render_module;
pub use select::Selection;

use serde::{Deserialize, Serialize};

use crate::addr::{RunAddr, Slide};
use crate::golang::Abi;
use crate::ring::RingGeometry;
use crate::site::{CalleeStack, Refusal};

pub(crate) const PAGE: u64 = 4096;

/// Where things will lie in the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Placement {
    /// How far the image was moved.
    pub slide: Slide,
    /// Start of the mapping for trampolines (read, execute); page-aligned, within 2 GiB of the text.
    pub code: RunAddr,
    /// Start of the mapping for the synthetic module (read, write); page-aligned.
    pub data: RunAddr,
    /// Start of the shared mapping of the rings; page-aligned, anywhere.
    pub ring: RunAddr,
    /// Shape of the rings.
    pub geometry: RingGeometry,
}

impl Placement {
    /// A placement as an unslid process could have it: for showing plans and for measuring them.
    #[must_use]
    pub fn nominal(image: &crate::image::Image, geometry: RingGeometry) -> Self {
        let (_, end) = image.extent();
        let after = |bytes: u64| RunAddr::new((end.get() & !0xfff).wrapping_add(bytes));
        Self {
            slide: Slide::ZERO,
            code: after(16 << 20),
            data: after(512 << 20),
            ring: after(1 << 30),
            geometry,
        }
    }
}

/// What the user asked of one hook.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct HookOptions {
    /// Record raw argument and result words.
    pub raw: bool,
}

/// One hook of a plan.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PlannedHook {
    /// Number in records: index into [`Plan::hooks`].
    pub id: u32,
    /// The hooked function.
    pub name: String,
    /// Its entry in the process.
    pub entry: RunAddr,
    /// Its size as the line table has it.
    pub size: u32,
    /// Bytes displaced from the entry.
    pub window: Vec<u8>,
    /// How it takes its arguments.
    pub abi: Abi,
    /// Bytes of stack arguments and spill area carried by the frame.
    pub args: u32,
    /// What it needs below its entry.
    pub callee_stack: CalleeStack,
    /// Options.
    pub options: HookOptions,
    /// How many copies of it the compiler inlined into other functions; calls of those are missed.
    pub inlined_copies: u32,
    /// Where the trampoline lies.
    pub trampoline: TrampolineSpan,
    /// Displaced instruction -> its relocated form, in order.
    pub moved: Vec<(RunAddr, RunAddr)>,
}

/// The parts of one trampoline, all in the code mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TrampolineSpan {
    /// First byte: what the jump at the function's entry goes to.
    pub start: RunAddr,
    /// The return address that the hooked function sees.
    pub thunk: RunAddr,
    /// The relocated window.
    pub reloc: RunAddr,
    /// One past the last byte (padding up to the next trampoline excluded).
    pub end: RunAddr,
}

/// The synthetic module.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ModuleSpan {
    /// The `runtime.moduledata`.
    pub moduledata: RunAddr,
    /// One past the last byte of its tables, which start at [`Placement::data`].
    pub end: RunAddr,
}

/// What a write is for; writes are done in this order and undone in the reverse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum WriteKind {
    /// Trampolines, into the fresh code mapping.
    Code,
    /// The synthetic module, into the fresh data mapping.
    Module,
    /// `firstmoduledata.next`: this publishes the module.
    Link,
    /// `runtime.lastmoduledatap`, if it named the first module.
    LastModule,
    /// The jump at a function's entry.
    Entry,
}

/// One write: `old` must be found at `at`, else nothing of the plan is written.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Write {
    /// What for.
    pub kind: WriteKind,
    /// Where.
    pub at: RunAddr,
    /// What stands there before (zeros in fresh mappings).
    pub old: Vec<u8>,
    /// What stands there after; as long as `old`.
    pub new: Vec<u8>,
}

/// What a plan costs the program, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    /// The mapping of records and counters: it is never more than that, whatever the number of threads and calls.
    pub records: u64,
    /// Counters of one hook; they are part of `records`.
    pub counters: u64,
    /// Trampolines of all hooks.
    pub code: u64,
    /// The synthetic module.
    pub tables: u64,
    /// Pages of the program's text in which jumps stand: they are its own from then on.
    pub text: u64,
}

impl Plan {
    /// What it costs.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let of = |kind| self.writes.iter().filter(move |write| write.kind == kind);
        let size_of = |kind| of(kind).map(|write| write.new.len() as u64).sum();
        let pages = |write: &Write| {
            let at = write.at.get();
            let end = at.wrapping_add((write.new.len() as u64).saturating_sub(1));
            at / PAGE..=end / PAGE
        };
        let text: std::collections::BTreeSet<u64> = of(WriteKind::Entry).flat_map(pages).collect();
        let geometry = self.placement.geometry;
        Memory {
            records: geometry.size(),
            counters: 8 * (u64::from(geometry.rings) + 1),
            code: size_of(WriteKind::Code),
            tables: size_of(WriteKind::Module),
            text: PAGE * text.len() as u64,
        }
    }
}

/// Everything that will be written.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// Where things lie.
    pub placement: Placement,
    /// `runtime.maxstacksize`, by which trampolines tell calls that are too deep in the stack for a frame; `None` if it was
    /// not found, and they do as if it were 1 MiB.
    pub max_stack_size: Option<RunAddr>,
    /// Hooks, by id.
    pub hooks: Vec<PlannedHook>,
    /// Functions that were asked for and are not hooked.
    pub refused: Vec<(String, Refusal)>,
    /// The synthetic module; `None` if nothing is hooked.
    pub module: Option<ModuleSpan>,
    /// Writes, in order.
    pub writes: Vec<Write>,
}
