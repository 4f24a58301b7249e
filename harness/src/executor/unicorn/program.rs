//! A whole image and its sites -> the answers of the relocation check for each of them.

use std::time::{Duration, Instant};

use gondwana_engine::addr::{LinkAddr, RunAddr, Slide};
use gondwana_engine::image::{Image, ImageKind};
use gondwana_engine::relocate::relocate;
use gondwana_engine::site::Site;

use crate::executor::unicorn::machine::MachineError;
use crate::executor::unicorn::relocation::{Error, Executor};
use crate::generate::relocation::{Case, Company};
use crate::oracle::Answer;

/// Functions that stand in the machine at once: enough to make the cost of a change-over small, few enough for the
/// translations to stay in the CPU's caches.
const BATCH: usize = 2048;
/// Room for the relocated windows of one batch.
const CODE_SIZE: u64 = 0x10_0000;
/// Distance between the image and the code area.
const GAP: u64 = 0x10_0000;
/// Where the loader puts position-independent programs (`ELF_ET_DYN_BASE`, `arch/x86/include/asm/elf.h`).
const PIE_BASE: u64 = 0x5555_5555_4000;
/// Alignment of relocated windows.
const ALIGN: u64 = 16;

/// What the relocation check of one program found.
#[derive(Debug, Default)]
pub struct Checked {
    /// Functions that were checked.
    pub functions: u64,
    /// Checks (one function in one state) that agreed.
    pub agreed: u64,
    /// Checks that diverged.
    pub diverged: u64,
    /// Checks that could not be completed.
    pub inconclusive: u64,
    /// Functions with no state that completed.
    pub unproven: Vec<String>,
    /// Sites whose window could not be relocated, with the reason.
    pub not_relocated: Vec<(String, String)>,
    /// The cases with an answer other than agreement, each with its first such answer; the first hundred.
    pub failures: Vec<(Case, Answer)>,
    /// How long it took, without building the machine.
    pub elapsed: Duration,
}

/// Failing cases that are kept.
const KEPT: usize = 100;

impl Checked {
    /// Functions per second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        self.functions as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    fn record(&mut self, case: &Case, answers: &[Answer]) {
        self.functions += 1;
        for answer in answers {
            match answer {
                Answer::Agree => self.agreed += 1,
                Answer::Diverge(_) => self.diverged += 1,
                Answer::Inconclusive(_) => self.inconclusive += 1,
            }
        }
        if !answers
            .iter()
            .any(|a| !matches!(a, Answer::Inconclusive(_)))
        {
            self.unproven.push(case.function.clone());
        }
        // A divergence says more than a check that was not completed.
        let worst = answers
            .iter()
            .find(|a| matches!(a, Answer::Diverge(_)))
            .or_else(|| answers.iter().find(|a| !a.agrees()));
        if let Some(answer) = worst
            && self.failures.len() < KEPT
        {
            self.failures.push((case.clone(), answer.clone()));
        }
    }
}

/// Checks every site of an image. `progress` is told after each batch how many functions are done.
pub fn check(
    image: &Image<'_>,
    sites: &[Site<'_>],
    seed: u64,
    mut progress: impl FnMut(u64),
) -> Result<Checked, Error> {
    let slide = slide(image);
    let mut executor = Executor::new(image.version(), image.tls_g().unwrap_or(-8), seed)?;
    let code = load(&mut executor, image, slide)?;
    let mut checked = Checked::default();
    let begun = Instant::now();
    let mut cases = Vec::with_capacity(BATCH);
    let mut at = code;
    for site in sites {
        let relocated = match relocate(site, RunAddr::new(at), slide) {
            Ok(relocated) => relocated,
            Err(refusal) => {
                let name = site.function.name.to_owned();
                checked.not_relocated.push((name, refusal.to_string()));
                continue;
            }
        };
        let Some(case) = Case::new(image, site, slide, RunAddr::new(at), &relocated, seed) else {
            let name = site.function.name.to_owned();
            checked
                .not_relocated
                .push((name, "its bytes are not in the file".into()));
            continue;
        };
        at = (case.relocated_end() + 1).next_multiple_of(ALIGN);
        cases.push(case);
        if cases.len() == BATCH || at + 0x1000 > code + CODE_SIZE {
            executor.run(&cases, |case, answers| checked.record(case, answers))?;
            cases.clear();
            at = code;
            progress(checked.functions);
        }
    }
    executor.run(&cases, |case, answers| checked.record(case, answers))?;
    checked.elapsed = begun.elapsed();
    Ok(checked)
}

/// Runs one case as [`check`] does, with nothing else in memory than what the case itself holds.
pub fn replay(case: &Case) -> Result<Vec<Answer>, Error> {
    Executor::for_case(case)?.one(case, case.company() == Company::Guarded)
}

fn slide(image: &Image<'_>) -> Slide {
    match image.kind() {
        ImageKind::Executable => Slide::ZERO,
        ImageKind::Pie => Slide::between(LinkAddr::new(0), RunAddr::new(PIE_BASE)),
    }
}

/// Puts the image's data into the machine, `hlt` in place of its code; returns where relocated windows go.
fn load(executor: &mut Executor, image: &Image<'_>, slide: Slide) -> Result<u64, MachineError> {
    const PAGE: u64 = 4096;
    let machine = executor.machine();
    let (low, high) = image.extent();
    let (low, high) = (low.get() & !(PAGE - 1), high.get().next_multiple_of(PAGE));
    let functions = image.functions();
    let text_low = functions.first().map_or(low, |f| f.entry.get());
    let text_high = functions
        .last()
        .map_or(text_low, |f| f.entry.get() + u64::from(f.size.max(1)));
    let page_low = text_low & !(PAGE - 1);
    let page_high = text_high.next_multiple_of(PAGE);
    let run = |at: u64| slide.run(LinkAddr::new(at)).get();

    for (from, to, executable) in [
        (low, page_low, false),
        (page_low, page_high, true),
        (page_high, high, false),
    ] {
        if from < to {
            machine.map(run(from), run(to), executable)?;
        }
    }
    for page in (low..high).step_by(PAGE as usize) {
        for (from, to) in [
            (page, (page + PAGE).min(text_low.max(page))),
            (page.max(text_high.min(page + PAGE)), page + PAGE),
        ] {
            place(machine, image, slide, from, to)?;
        }
    }
    let code = run(high) + GAP;
    machine.map(code, code + CODE_SIZE, true)?;
    Ok(code)
}

/// Copies `[from, to)` as far as the file holds it; halves what it does not hold as a whole.
fn place(
    machine: &mut crate::executor::unicorn::machine::Machine,
    image: &Image<'_>,
    slide: Slide,
    from: u64,
    to: u64,
) -> Result<(), MachineError> {
    let len = to.saturating_sub(from);
    if len == 0 {
        return Ok(());
    }
    let at = LinkAddr::new(from);
    match usize::try_from(len)
        .ok()
        .and_then(|len| image.bytes(at, len))
    {
        Some(bytes) => machine.place(slide.run(at).get(), bytes),
        // Not in the file: zero, as the loader leaves it.
        None if len == 1
            || image.bytes(at, 1).is_none() && image.bytes(LinkAddr::new(to - 1), 1).is_none() =>
        {
            Ok(())
        }
        None => {
            let middle = from + len / 2;
            place(machine, image, slide, from, middle)?;
            place(machine, image, slide, middle, to)
        }
    }
}
