//! A program stopped at execve -> a verified plan for it, and what the stream's header says about it.
//!
//! Reads the process and changes nothing.

use super::failure::{Failure, FailureCode, Result};
use super::ground::{FRONT, Lengths};
use super::install::Patched;
use super::place::Surroundings;
use crate::addr::{RunAddr, Slide};
use crate::event::{Hook, Process, Program, Refused, Unmatched};
use crate::golang::Deviations;
use crate::image::{Image, ImageErrorCode, Line, Parts};
use crate::input::{self, Symbols};
use crate::os::{Mapping, Pid, process};
use crate::plan::{self, HookOptions, HookRequest, Placement, Plan, PlanError, Selection};
use crate::ring::RingGeometry;
use crate::site::{self, Refusal, RefusalCode};
use crate::spec::{self, HookSpec, Pattern, SpecError};
use crate::verify::{VerifiedPlan, verify};

/// The largest number of hooks that a record can name.
const MAX_HOOKS: usize = (1 << 24) - 1;

/// Records per ring: 4 MiB, which a thread that makes nothing but hooked calls fills in some milliseconds.
const SLOTS: u32 = 1 << 16;

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Which functions.
    pub spec: HookSpec,
    /// Options of all hooks.
    pub options: HookOptions,
    /// Records per ring; `None` for the default.
    pub slots: Option<u32>,
    /// Threads that have a ring of their own, the others share one; `None` for the default.
    pub rings: Option<u32>,
}

impl Wanted {
    /// What to hook and how.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn new<S: AsRef<str>>(
        patterns: impl IntoIterator<Item = S>,
        options: HookOptions,
        slots: Option<u32>,
    ) -> std::result::Result<Self, SpecError> {
        Ok(Self {
            spec: HookSpec::parse(patterns)?,
            options,
            slots,
            rings: None,
        })
    }
}

/// What the header says, as far as it is known.
#[derive(Clone, Debug, Default)]
pub struct Description {
    /// The process.
    pub process: Process,
    /// The program.
    pub program: Option<Program>,
    /// Hooks, by id.
    pub hooks: Vec<Hook>,
    /// What the program can notice of them.
    pub deviations: Deviations,
    /// Functions that are not hooked.
    pub refusals: Vec<Refused>,
    /// Patterns that match no function.
    pub unmatched: Vec<Unmatched>,
}

/// Everything that is needed to hook a program.
#[derive(Debug)]
pub struct Prepared {
    /// What to write.
    pub plan: VerifiedPlan,
    /// Lengths of the mappings to make.
    pub lengths: Lengths,
    /// Where `runtime.main` lies.
    pub main: RunAddr,
    /// Why a pattern has no hook at all, for the first that has none.
    pub missing: Option<Failure>,
}

/// Makes the plan. `known` is filled in as far as things go, also on failure.
pub fn prepare(
    pid: Pid,
    maps: &[Mapping],
    wanted: &Wanted,
    known: &mut Description,
) -> Result<Prepared> {
    let file = read(pid)?;
    let image = parse(pid, &file)?;
    let entry = process::entry_point(pid).map_err(Failure::system("cannot find the program"))?;
    let slide = image.slide_from_entry(entry);
    let (low, high) = image.extent();
    let around = Surroundings {
        maps,
        image: (slide.run(low), slide.run(high)),
        heap: process::heap_start(pid).map_err(Failure::system("cannot find the heap"))?,
    };
    plan_for(&image, slide, around, wanted, known)
}

/// The executed file, as far as it can matter.
fn read(pid: Pid) -> Result<Parts> {
    process::executable(pid)
        .and_then(|file| input::read_file(&file, Symbols::Skip))
        .map_err(Failure::system("cannot read the executed file"))
}

/// A program that may be hooked.
fn parse(pid: Pid, data: &Parts) -> Result<Image<'_>> {
    let image = Image::parse(data).and_then(|image| site::admit(&image).map(|()| image));
    image.map_err(|error| {
        let path = process::executable_path(pid).unwrap_or_default();
        // What was meant may be what a shell or a script starts.
        let hint = match error.code() {
            ImageErrorCode::NotGo => "; programs that it starts in turn are not hooked",
            _ => "",
        };
        let text = format!("{}: {}{hint}", path.display(), error.message());
        Failure::new(FailureCode::Image(error.code()), text)
    })
}

/// As [`prepare`], for an image that lies in a process somewhere, live or emulated.
pub fn plan_for(
    image: &Image,
    slide: Slide,
    around: Surroundings<'_>,
    wanted: &Wanted,
    known: &mut Description,
) -> Result<Prepared> {
    known.program = Some(program(
        image,
        RunAddr::new(slide.run(crate::addr::LinkAddr::new(0)).get()),
    ));

    let requests = select(image, wanted, known)?;
    let mut geometry = RingGeometry::for_hooks(u32::try_from(requests.len()).unwrap_or(0));
    geometry.slots = wanted.slots.unwrap_or(SLOTS);
    geometry.rings = wanted.rings.unwrap_or(geometry.rings);
    if !geometry.is_valid() {
        return Err(Failure::new(
            FailureCode::Plan,
            format!("rings of {} slots are not possible", geometry.slots),
        ));
    }
    let sizes = plan::measure(image, &requests, geometry).map_err(no_plan)?;
    let lengths = Lengths {
        code: sizes.code.next_multiple_of(4096),
        data: sizes.data.next_multiple_of(4096),
    };
    let (code, data_at, ring) = around
        .near(FRONT + lengths.code + lengths.data)
        .and_then(|front| {
            let code = front.checked_add(FRONT)?;
            Some((
                code,
                code.checked_add(lengths.code)?,
                around.far(sizes.ring)?,
            ))
        })
        .ok_or_else(|| {
            Failure::new(
                FailureCode::Mapping,
                "there is no free memory near the program's code",
            )
        })?;
    let placement = Placement {
        slide,
        code,
        data: data_at,
        ring,
        geometry,
    };
    let plan = finish(image, &requests, placement, known)?;
    let main = main_entry(image, slide)?;
    Ok(Prepared {
        plan,
        lengths,
        main,
        missing: missing(&wanted.spec, known),
    })
}

/// Makes the plan anew, for the same placement, without the functions that something else has patched meanwhile: they are
/// refused one by one, the others are hooked.
pub fn prepare_without(
    pid: Pid,
    patched: &[Patched],
    placement: Placement,
    wanted: &Wanted,
    known: &mut Description,
) -> Result<VerifiedPlan> {
    let data = read(pid)?;
    let image = parse(pid, &data)?;
    let (requests, others) =
        select(&image, wanted, known)?
            .into_iter()
            .partition(|request: &HookRequest<'_>| {
                let entry = placement.slide.run(request.site.function.entry);
                !patched.iter().any(|patched| patched.entry == entry)
            });
    let requests: Vec<HookRequest<'_>> = requests;
    let others: Vec<HookRequest<'_>> = others;
    for request in &others {
        let function = &request.site.function;
        let entry = placement.slide.run(function.entry);
        let why = patched.iter().find(|patched| patched.entry == entry);
        let detail = why.map_or("", |patched| &patched.detail);
        let refusal = Refusal::new(RefusalCode::AlreadyPatched, function.entry, detail);
        known
            .refusals
            .extend(refused(&[(function.name.to_owned(), refusal)]));
    }
    finish(&image, &requests, placement, known)
}

/// The plan of these hooks, verified.
fn finish(
    image: &Image,
    requests: &[HookRequest<'_>],
    placement: Placement,
    known: &mut Description,
) -> Result<VerifiedPlan> {
    let plan = plan::build(image, requests, placement).map_err(no_plan)?;
    known.refusals.extend(refused(&plan.refused));
    if plan.hooks.is_empty() {
        return Err(Failure::new(
            FailureCode::NothingHookable,
            nothing_hookable(&known.refusals),
        ));
    }
    let hooks = hooks(&plan);
    let plan = verify(image, plan).map_err(|rejections| {
        let first = rejections.first().map(ToString::to_string);
        Failure::new(
            FailureCode::Rejected,
            format!(
                "the verifier rejects the plan, {} times: {}",
                rejections.len(),
                first.unwrap_or_default()
            ),
        )
    })?;
    known.hooks = hooks;
    known.deviations = image.deviations();
    Ok(plan)
}

fn no_plan(error: PlanError) -> Failure {
    Failure::new(FailureCode::Plan, error.to_string())
}

/// The functions to hook; the others are noted as refused, and the patterns that match none.
fn select<'d>(
    image: &Image<'d>,
    wanted: &Wanted,
    known: &mut Description,
) -> Result<Vec<HookRequest<'d>>> {
    let selection = Selection::new(image, &wanted.spec, wanted.options).map_err(|error| {
        if let SpecError::NoMatch(patterns) = &error {
            known.unmatched = unmatched(patterns);
        }
        Failure::new(FailureCode::NothingMatches, error.to_string())
    })?;
    known.refusals = refused(&selection.refused);
    known.unmatched = unmatched(&selection.unmatched);
    let Selection { mut requests, .. } = selection;
    requests.truncate(MAX_HOOKS);
    Ok(requests)
}

/// Why the first pattern without any hook has none; `None` if each has one.
fn missing(spec: &HookSpec, known: &Description) -> Option<Failure> {
    if !known.unmatched.is_empty() {
        let unmatched = known.unmatched.iter().cloned().map(|one| spec::Unmatched {
            pattern: one.pattern,
            nearest: one.nearest,
        });
        let text = spec::unmatched_line(&unmatched.collect::<Vec<_>>());
        return Some(Failure::new(FailureCode::NothingMatches, text));
    }
    let is_hooked = |pattern: &&Pattern| known.hooks.iter().any(|hook| pattern.matches(&hook.name));
    let pattern = spec.patterns.iter().find(|pattern| !is_hooked(pattern))?;
    let refusals: Vec<Refused> = known
        .refusals
        .iter()
        .filter(|refusal| pattern.matches(&refusal.name))
        .cloned()
        .collect();
    let text = format!(
        "pattern `{}`: {}",
        pattern.as_str(),
        nothing_hookable(&refusals)
    );
    Some(Failure::new(FailureCode::NothingHookable, text))
}

/// Where `runtime.main` lies.
fn main_entry(image: &Image, slide: Slide) -> Result<RunAddr> {
    image
        .functions_named("runtime.main")
        .next()
        .map(|function| slide.run(function.entry))
        .ok_or_else(|| Failure::new(FailureCode::Plan, "there is no function runtime.main"))
}

fn nothing_hookable(refusals: &[Refused]) -> String {
    match refusals {
        [] => "no function was asked for".to_owned(),
        [only] => format!(
            "{} cannot be hooked: {} ({})",
            only.name, only.detail, only.code
        ),
        [first, ..] => format!(
            "none of {} functions can be hooked; the first is {}: {} ({})",
            refusals.len(),
            first.name,
            first.detail,
            first.code
        ),
    }
}

fn program(image: &Image, slide: RunAddr) -> Program {
    let info = image.build_info();
    let module = info.modinfo.main();
    Program {
        go: image.marked(info.version_text),
        path: info.modinfo.path().unwrap_or_default().to_owned(),
        module: module
            .map(|module| {
                format!("{} {}", module.path, module.version)
                    .trim()
                    .to_owned()
            })
            .unwrap_or_default(),
        settings: info
            .modinfo
            .lines()
            .filter_map(|line| match line {
                Line::Setting(key, value) => Some((key.to_owned(), value.into_owned())),
                _ => None,
            })
            .collect(),
        slide,
    }
}

fn hooks(plan: &Plan) -> Vec<Hook> {
    let one = |hook: &plan::PlannedHook| Hook {
        id: hook.id,
        name: hook.name.clone(),
        entry: hook.entry,
        strategy: "frame".to_owned(),
        abi: hook.abi.to_string(),
        args: hook.args,
        inlined: hook.inlined_copies,
        raw: hook.options.raw,
    };
    plan.hooks.iter().map(one).collect()
}

fn unmatched(list: &[spec::Unmatched]) -> Vec<Unmatched> {
    list.iter()
        .map(|one| Unmatched {
            pattern: one.pattern.clone(),
            nearest: one.nearest.clone(),
        })
        .collect()
}

fn refused(list: &[(String, crate::site::Refusal)]) -> Vec<Refused> {
    list.iter()
        .map(|(name, refusal)| Refused {
            name: name.clone(),
            code: refusal.code.to_string(),
            detail: refusal.detail.clone(),
        })
        .collect()
}
