//! Sites and a placement -> [`Plan`].

use super::{
    HookOptions, ModuleSpan, PAGE, Placement, Plan, PlannedHook, TrampolineSpan, Write, WriteKind,
};
use crate::addr::RunAddr;
use crate::emit::{self, EmitError, Trampoline, stack_delta};
use crate::image::Image;
use crate::module::{self, ModuleError, ModuleFunction};
use crate::relocate::{self, Relocated};
use crate::site::{Refusal, RefusalCode, Site};

/// Trampolines start on this boundary (Intel Optimization Reference Manual, 3.4.1.4: align branch targets).
const TRAMPOLINE_ALIGN: u64 = 16;
/// No trampoline is longer: the longest, which record raw words, have 1,632 bytes without their window.
pub(crate) const MAX_TRAMPOLINE: u64 = 2048;
/// No hook has more bytes of tables, without its name: some 200.
pub(crate) const MAX_TABLES: u64 = 1024;
/// Nor has the module more besides.
pub(crate) const MAX_FIXED: u64 = 1 << 16;
/// Fills the gaps: `int3`.
const PADDING: u8 = 0xcc;

/// One function to hook.
#[derive(Clone, Debug)]
pub struct HookRequest<'d> {
    /// Where.
    pub site: Site<'d>,
    /// What to record.
    pub options: HookOptions,
    /// How many copies of the function were inlined elsewhere ([`Image::inlined_copies`]).
    pub inlined_copies: u32,
}

/// Addresses that mappings may take, in bytes, wherever they lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// For trampolines.
    pub code: u64,
    /// For the synthetic module.
    pub data: u64,
}

impl Room {
    /// Of these hooks: more than enough, so that the plan need not be made to know where it can lie.
    #[must_use]
    pub fn of(requests: &[HookRequest]) -> Self {
        let hooks = requests.len() as u64;
        let names = requests
            .iter()
            .map(|one| one.site.function.name.len() as u64);
        Self {
            code: (hooks * MAX_TRAMPOLINE).next_multiple_of(PAGE),
            data: MAX_FIXED + hooks * MAX_TABLES + names.sum::<u64>(),
        }
    }
}

/// A plan cannot be made as a whole. (A single function that cannot be hooked is in [`Plan::refused`] instead.)
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The module's tables.
    #[error(transparent)]
    Module(#[from] ModuleError),
    /// A trampoline, for a reason that no function is to blame for.
    #[error("trampoline of {name}: {source}")]
    Emit {
        /// The function.
        name: String,
        /// What the generator says.
        source: EmitError,
    },
    /// More hooks than the rings were made for.
    #[error("{hooks} hooks do not fit rings made for {room}")]
    TooManyHooks {
        /// Asked for.
        hooks: usize,
        /// [`crate::ring::RingGeometry::hooks`].
        room: u32,
    },
    /// The file does not hold what the plan must compare or change.
    #[error("{what} at {at} is not in the file")]
    Missing {
        /// What was looked for.
        what: &'static str,
        /// Where.
        at: crate::addr::LinkAddr,
    },
    /// More bytes than there was to be [`Room`] for.
    #[error("{what} of {bytes} bytes, where there was to be room for {room}")]
    TooLarge {
        /// Code or tables.
        what: &'static str,
        /// Their size.
        bytes: u64,
        /// The room.
        room: u64,
    },
    /// The mapping for trampolines is more than 2 GiB away from the text.
    #[error("trampoline at {trampoline} is out of reach of a jump at {entry}")]
    OutOfReach {
        /// The function's entry.
        entry: RunAddr,
        /// The trampoline.
        trampoline: RunAddr,
    },
}

/// Makes the plan. Functions that turn out not to be hookable here are refused one by one.
///
/// # Errors
/// What concerns the plan as a whole: see [`PlanError`].
pub fn build(
    image: &Image,
    requests: &[HookRequest],
    placement: Placement,
) -> Result<Plan, PlanError> {
    let mut builder = Builder::new(image, placement);
    for request in requests {
        builder.add(request)?;
    }
    let plan = builder.finish()?;
    let (room, memory) = (Room::of(requests), plan.memory());
    for (what, bytes, room) in [
        ("code", memory.code, room.code),
        ("tables", memory.tables, room.data),
    ] {
        if bytes > room {
            return Err(PlanError::TooLarge { what, bytes, room });
        }
    }
    Ok(plan)
}

struct Builder<'i, 'd> {
    image: &'i Image<'d>,
    placement: Placement,
    code: Vec<u8>,
    functions: Vec<ModuleFunction>,
    hooks: Vec<PlannedHook>,
    refused: Vec<(String, Refusal)>,
    entries: Vec<Write>,
}

impl<'i, 'd> Builder<'i, 'd> {
    fn new(image: &'i Image<'d>, placement: Placement) -> Self {
        Self {
            image,
            placement,
            code: Vec::new(),
            functions: Vec::new(),
            hooks: Vec::new(),
            refused: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// Adds one hook, or its refusal.
    fn add(&mut self, request: &HookRequest<'d>) -> Result<(), PlanError> {
        let site = &request.site;
        let name = site.function.name;
        let start = RunAddr::new(
            self.placement
                .code
                .get()
                .wrapping_add(self.code.len() as u64),
        );
        let trampoline = match self.emit(request, start) {
            Ok(trampoline) => trampoline,
            Err(EmitError::NoTls) => {
                let detail = EmitError::NoTls.to_string();
                return self.refuse(
                    site,
                    Refusal {
                        code: RefusalCode::TlsUnknown,
                        at: site.function.entry,
                        detail,
                    },
                );
            }
            Err(source) => {
                return Err(PlanError::Emit {
                    name: name.to_owned(),
                    source,
                });
            }
        };
        let reloc = RunAddr::new(start.get().wrapping_add(u64::from(trampoline.reloc)));
        let relocated = match relocate::relocate(site, reloc, self.placement.slide) {
            Ok(relocated) => relocated,
            Err(refusal) => return self.refuse(site, refusal),
        };
        let Some(depth) = self.depth(site, &trampoline, &relocated, reloc) else {
            let detail = "the stack pointer is set in a way that cannot be described".to_owned();
            return self.refuse(
                site,
                Refusal {
                    code: RefusalCode::StackSwitch,
                    at: site.function.entry,
                    detail,
                },
            );
        };
        let entry = self.placement.slide.run(site.function.entry);
        let window = site.window;
        let jump = jump(entry, start).ok_or(PlanError::OutOfReach {
            entry,
            trampoline: start,
        })?;
        self.entries.push(Write {
            kind: WriteKind::Entry,
            at: entry,
            old: window.get(..jump.len()).unwrap_or_default().to_vec(),
            new: jump.to_vec(),
        });

        self.code.extend_from_slice(&trampoline.code);
        self.code.extend_from_slice(&relocated.bytes);
        let end = RunAddr::new(
            self.placement
                .code
                .get()
                .wrapping_add(self.code.len() as u64),
        );
        self.code.resize(
            self.code.len().next_multiple_of(TRAMPOLINE_ALIGN as usize),
            PADDING,
        );
        let padded = RunAddr::new(
            self.placement
                .code
                .get()
                .wrapping_add(self.code.len() as u64),
        );
        self.functions.push(ModuleFunction {
            name: module::function_name(name),
            start,
            end: padded,
            depth,
        });
        self.hooks.push(PlannedHook {
            id: self.hooks.len() as u32,
            name: name.to_owned(),
            entry,
            size: site.function.size,
            window: window.to_vec(),
            abi: site.abi,
            args: site.args,
            callee_stack: site.callee_stack,
            options: request.options,
            inlined_copies: request.inlined_copies,
            trampoline: TrampolineSpan {
                start,
                thunk: RunAddr::new(start.get().wrapping_add(u64::from(trampoline.thunk))),
                reloc,
                end,
            },
            moved: relocated.moved,
        });
        Ok(())
    }

    fn refuse(&mut self, site: &Site, refusal: Refusal) -> Result<(), PlanError> {
        self.refused.push((site.function.name.to_owned(), refusal));
        Ok(())
    }

    fn emit(&self, request: &HookRequest, start: RunAddr) -> Result<Trampoline, EmitError> {
        emit::trampoline(
            &emit::Request {
                facts: self.image.facts(),
                race: self.image.is_race(),
                tls_g: self.image.tls_g(),
                geometry: self.placement.geometry,
                ring: self.placement.ring,
                max_stack: self.max_stack_size(),
                hook: self.hooks.len() as u32,
                abi: request.site.abi,
                args: request.site.args,
                callee_stack: request.site.callee_stack,
                raw: request.options.raw,
            },
            start,
        )
    }

    fn max_stack_size(&self) -> Option<RunAddr> {
        let variable = self.image.max_stack_size()?;
        Some(self.placement.slide.run(variable))
    }

    /// The stack depth over the whole function, padding included; `None` if a displaced instruction is not followed.
    fn depth(
        &self,
        site: &Site,
        trampoline: &Trampoline,
        relocated: &Relocated,
        reloc: RunAddr,
    ) -> Option<Vec<(u32, i32)>> {
        let mut steps = trampoline.depth.clone();
        let mut depth = 0i32;
        let offset =
            |at: RunAddr| Some(trampoline.reloc + u32::try_from(at.offset_from(reloc)?).ok()?);
        for (index, instruction) in site.displaced.iter().enumerate() {
            let end = match relocated.moved.get(index + 1) {
                Some(&(_, next)) => offset(next)?,
                None => break,
            };
            steps.push((end, depth));
            depth = depth.checked_add(stack_delta(instruction)?)?;
        }
        // The last displaced instruction ends where the jump back starts.
        let last = site.displaced.last()?;
        let after = trampoline.reloc + relocated.resume.unwrap_or(relocated.bytes.len() as u32);
        if let Some(pushed) = relocated.pushed {
            steps.push((trampoline.reloc + pushed, depth));
            depth = depth.checked_add(8)?;
        }
        steps.push((after, depth));
        depth = depth.checked_add(stack_delta(last)?)?;
        let unpadded = u64::from(trampoline.reloc) + relocated.bytes.len() as u64;
        let end = u32::try_from(unpadded.next_multiple_of(TRAMPOLINE_ALIGN)).ok()?;
        if end > after {
            steps.push((end, depth));
        }
        Some(steps)
    }

    fn finish(self) -> Result<Plan, PlanError> {
        let max_stack_size = self.max_stack_size();
        let Self {
            image,
            placement,
            code,
            functions,
            hooks,
            refused,
            entries,
            ..
        } = self;
        if hooks.is_empty() {
            return Ok(Plan {
                placement,
                max_stack_size,
                hooks,
                refused,
                module: None,
                writes: Vec::new(),
            });
        }
        if hooks.len() > placement.geometry.hooks as usize {
            return Err(PlanError::TooManyHooks {
                hooks: hooks.len(),
                room: placement.geometry.hooks,
            });
        }
        let facts = image.facts();
        let first = image.first_moduledata();
        let next_field =
            first
                .checked_add(u64::from(facts.module.next))
                .ok_or(PlanError::Missing {
                    what: "firstmoduledata.next",
                    at: first,
                })?;
        // The word is a pointer to another module, or null: a pointer slides with the image.
        let word = image.pointer(next_field).ok_or(PlanError::Missing {
            what: "firstmoduledata.next",
            at: next_field,
        })?;
        let next = if word == 0 {
            0
        } else {
            placement.slide.run(crate::addr::LinkAddr::new(word)).get()
        };
        let module = module::build(facts, &functions, placement.data, next)?;
        let moduledata = RunAddr::new(
            placement
                .data
                .get()
                .wrapping_add(u64::from(module.moduledata)),
        );
        let end = RunAddr::new(placement.data.get().wrapping_add(module.bytes.len() as u64));

        let mut writes = vec![
            Write {
                kind: WriteKind::Code,
                at: placement.code,
                old: vec![0; code.len()],
                new: code,
            },
            Write {
                kind: WriteKind::Module,
                at: placement.data,
                old: vec![0; module.bytes.len()],
                new: module.bytes,
            },
        ];
        let first_run = placement.slide.run(first);
        let new = moduledata.get().to_le_bytes().to_vec();
        let old = next.to_le_bytes().to_vec();
        writes.push(Write {
            kind: WriteKind::Link,
            at: placement.slide.run(next_field),
            old,
            new,
        });
        // Else the next plugin that is loaded would overwrite firstmoduledata.next (GO-COMPAT §2.3). Linked first: Go 1.26
        // walks the list up to the last module without a look for its end (runtime/proc.go, main), so a last module that
        // is not on the list, were the agent to die here, would end the program.
        if let Some(last) = image.last_moduledatap()
            && image.pointer(last) == Some(first.get())
        {
            let old = first_run.get().to_le_bytes().to_vec();
            writes.push(Write {
                kind: WriteKind::LastModule,
                at: placement.slide.run(last),
                old,
                new: moduledata.get().to_le_bytes().to_vec(),
            });
        }
        writes.extend(entries);
        Ok(Plan {
            placement,
            max_stack_size,
            hooks,
            refused,
            module: Some(ModuleSpan { moduledata, end }),
            writes,
        })
    }
}

/// `jmp rel32` at `from` to `to` (Intel SDM vol. 2, JMP, E9 cd), if it reaches.
fn jump(from: RunAddr, to: RunAddr) -> Option<[u8; 5]> {
    let distance = to.get().wrapping_sub(from.get().wrapping_add(5)) as i64;
    let [a, b, c, d] = i32::try_from(distance).ok()?.to_le_bytes();
    Some([0xe9, a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_counts_from_its_own_end() {
        assert_eq!(
            jump(RunAddr::new(0x40_1000), RunAddr::new(0x40_1005)),
            Some([0xe9, 0, 0, 0, 0])
        );
        assert_eq!(
            jump(RunAddr::new(0x40_1000), RunAddr::new(0x40_0ffb)),
            Some([0xe9, 0xf6, 0xff, 0xff, 0xff])
        );
        assert_eq!(jump(RunAddr::new(0), RunAddr::new(0x8000_0005)), None);
    }
}
