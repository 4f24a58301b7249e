//! A verified plan -> the machine's memory, and the rings in it -> spans: what the injector does to a live process, with
//! another writer.

use std::fs::File;
use std::os::unix::fs::FileExt;

use gondwana_engine::addr::RunAddr;
use gondwana_engine::inject::place::Surroundings;
use gondwana_engine::inject::prepare::{self, Description, Prepared, Wanted};
use gondwana_engine::os::Protection;
use gondwana_engine::plan::{Plan, WriteKind};
use gondwana_engine::ring::{Reader, RingGeometry, Span, Totals, layout};

use super::Trouble;
use super::memory::READ_WRITE;
use super::process::Machine;
use super::run::{Pause, Until};

/// A program whose runtime has not reached `runtime.main` after so much work never will.
const START_LIMIT: u64 = 4_000_000_000;

/// The rings of a hooked machine. Their memory is the machine's own, so that a copy of the machine has its own rings; what
/// is new in them is carried over to a file that the engine's reader looks at.
pub(super) struct Rings {
    plan: Plan,
    file: File,
    reader: Reader,
    base: RunAddr,
    geometry: RingGeometry,
    spans: Vec<Span>,
}

impl Machine<'_> {
    /// Makes a verified plan for the functions that `wanted` names, lets the program run to `runtime.main`, and writes the
    /// plan, as `gondwana run` does; `known` says then what the stream's header says.
    ///
    /// # Errors
    /// The program is none that can be hooked, or the machine cannot run it so far.
    pub fn hook(&mut self, wanted: &Wanted, known: &mut Description) -> Result<(), Trouble> {
        let prepared = self.prepare(wanted, known)?;
        self.install(&prepared)
    }

    /// The plan for this process, which has just been started.
    ///
    /// # Errors
    /// As [`Machine::hook`].
    pub fn prepare(&self, wanted: &Wanted, known: &mut Description) -> Result<Prepared, Trouble> {
        let image = self
            .image()
            .ok_or_else(|| Trouble::Hooks("it is no Go program that is known".to_owned()))?;
        let slide = self.slide();
        let (low, high) = image.extent();
        let maps = self.mappings();
        let around = Surroundings {
            maps: &maps,
            image: (slide.run(low), slide.run(high)),
            heap: RunAddr::new(self.space.heap_start()),
        };
        prepare::plan_for(image, slide, around, wanted, known)
            .map_err(|failure| Trouble::Hooks(failure.to_string()))
    }

    /// Maps what the plan needs, lets the program run to `runtime.main`, and writes the plan.
    ///
    /// # Errors
    /// Memory is not what the plan expects, or the machine cannot run the program so far. Nothing is written then.
    pub fn install(&mut self, prepared: &Prepared) -> Result<(), Trouble> {
        let plan = prepared.plan.plan();
        let placement = &plan.placement;
        let code = Protection {
            read: true,
            write: false,
            execute: true,
        };
        let size = placement.geometry.size();
        for (at, length, access, name) in [
            (placement.code, prepared.lengths.code, code, "[hooks]"),
            (
                placement.data,
                prepared.lengths.data,
                READ_WRITE,
                "[module]",
            ),
            (placement.ring, size, READ_WRITE, "[rings]"),
        ] {
            self.space
                .map(&mut self.cpu, at.get(), length, access, name)?;
        }
        let host = |error| Trouble::Host {
            what: "make a file for the rings".to_owned(),
            error,
        };
        let file = tempfile::tempfile().map_err(host)?;
        let reader = Reader::create(&file, placement.geometry).map_err(host)?;
        let mut header = vec![0; layout::HEADER_SIZE as usize];
        file.read_exact_at(&mut header, 0).map_err(host)?;
        self.write(placement.ring, &header)?;

        match self.run_to(prepared.main, Until::more(self, START_LIMIT))? {
            Pause::Watched(at) if at == prepared.main => {}
            Pause::Ended(ending) => {
                return Err(Trouble::Hooks(format!(
                    "the program ended before its main function: {ending:?}"
                )));
            }
            _ => {
                return Err(Trouble::Hooks(
                    "the program does not come to its main function".to_owned(),
                ));
            }
        }
        self.check_threads(plan)?;
        for write in &plan.writes {
            let found = self.read(write.at, write.old.len());
            if found.as_ref() != Some(&write.old) {
                return Err(Trouble::Hooks(format!(
                    "memory at {} is not what the plan expects",
                    write.at
                )));
            }
        }
        for write in &plan.writes {
            self.write(write.at, &write.new)?;
        }
        self.cpu.forget_all_code()?;
        self.symbols.add_hooks(plan);
        self.rings = Some(Rings {
            base: placement.ring,
            geometry: placement.geometry,
            plan: plan.clone(),
            file,
            reader,
            spans: Vec::new(),
        });
        Ok(())
    }

    fn check_threads(&self, plan: &Plan) -> Result<(), Trouble> {
        for thread in self.threads() {
            let rip = RunAddr::new(self.registers(thread.tid)?.rip);
            let inside = plan.hooks.iter().find(|hook| {
                rip.offset_from(hook.entry)
                    .is_some_and(|at| at > 0 && at < hook.window.len() as u64)
            });
            if let Some(hook) = inside {
                return Err(Trouble::Hooks(format!(
                    "thread {} is inside the first bytes of {}",
                    thread.tid, hook.name
                )));
            }
        }
        Ok(())
    }

    /// What is installed.
    #[must_use]
    pub fn plan(&self) -> Option<&Plan> {
        self.rings.as_ref().map(|rings| &rings.plan)
    }

    /// Takes the jumps back, at once: calls from here on run unhooked. Calls that are inside a hook return through it, so
    /// trampolines and module stay.
    ///
    /// # Errors
    /// A thread stands inside a jump that would be replaced: it cannot, as the jump is one instruction.
    pub fn unhook(&mut self) -> Result<(), Trouble> {
        let Some(rings) = &self.rings else {
            return Ok(());
        };
        let entries = rings.plan.writes.iter();
        let entries = entries.filter(|write| write.kind == WriteKind::Entry);
        let undo: Vec<(RunAddr, Vec<u8>)> = entries.rev().map(|w| (w.at, w.old.clone())).collect();
        for (at, old) in undo {
            self.write(at, &old)?;
        }
        Ok(())
    }

    /// Finished spans since the last time this was asked, and the counts of all rings.
    pub fn take_spans(&mut self) -> (Vec<Span>, Totals) {
        self.drain_rings();
        match &mut self.rings {
            Some(rings) => (std::mem::take(&mut rings.spans), rings.reader.totals()),
            None => (Vec::new(), Totals::default()),
        }
    }

    /// Empties rings before one of them is full: looked at between slices, so that no span is lost to the machine's own
    /// slowness.
    pub(super) fn check_rings(&mut self) {
        let Some(rings) = &self.rings else { return };
        let limit = u64::from(rings.geometry.slots) / 2;
        // Ms are numbered as they are made, each for a thread of its own: rings beyond were never written.
        let threads = u32::try_from(self.next_tid - self.pid).unwrap_or(u32::MAX);
        let used = rings.geometry.rings.min(threads.saturating_add(1));
        let full = (0..used).chain([rings.geometry.rings]).any(|ring| {
            let base = rings.geometry.ring(ring);
            let word = |offset| self.ring_word(rings, base + offset);
            word(layout::RING_HEAD).wrapping_sub(word(layout::RING_TAIL)) >= limit
        });
        if full {
            self.drain_rings();
        }
    }

    /// Gives this copy of the machine a file of its own for the rings: forked processes share the one they had.
    pub(super) fn own_rings(&mut self) -> std::io::Result<()> {
        if let Some(rings) = &mut self.rings {
            let file = tempfile::tempfile()?;
            rings.reader = rings.reader.on_copy(&file)?;
            rings.file = file;
        }
        Ok(())
    }

    fn ring_word(&self, rings: &Rings, offset: u64) -> u64 {
        let at = rings.base.checked_add(offset);
        at.and_then(|at| self.word(at)).unwrap_or_default()
    }

    /// Carries everything in the rings over to the reader.
    pub(super) fn drain_rings(&mut self) {
        let Some(mut rings) = self.rings.take() else {
            return;
        };
        let geometry = rings.geometry;
        let mut copied = Vec::new();
        for ring in 0..=geometry.rings {
            let base = geometry.ring(ring);
            let used = self.ring_word(&rings, base + layout::RING_HEAD) != 0
                || self.ring_word(&rings, base + layout::RING_LOST) != 0
                || (0..geometry.hooks).any(|hook| {
                    self.ring_word(&rings, base + layout::RING_ENTERED + 8 * u64::from(hook)) != 0
                });
            if used {
                copied.push(base);
            }
        }
        let areas = copied.iter().map(|&base| (base, geometry.stride()));
        for (offset, length) in areas.chain([(0, layout::HEADER_SIZE)]) {
            let at = rings.base.checked_add(offset);
            if let Some(bytes) = at.and_then(|at| self.read(at, length as usize)) {
                let _ = rings.file.write_all_at(&bytes, offset);
            }
        }
        let spans = &mut rings.spans;
        if self.ending.is_some() {
            rings.reader.finish(|span| spans.push(span));
        } else {
            // Every so many looks are looks at all rings; here all that were used are wanted.
            rings.reader.drain_all(|span| spans.push(span));
        }
        for base in copied {
            let mut tail = [0; 8];
            if rings
                .file
                .read_exact_at(&mut tail, base + layout::RING_TAIL)
                .is_ok()
                && let Some(at) = rings.base.checked_add(base + layout::RING_TAIL)
            {
                let _ = self.cpu.write(at.get(), &tail);
            }
        }
        self.rings = Some(rings);
    }
}
