//! A program stopped at execve, and again in `runtime.main` -> a verified plan for it, and what the stream's header says
//! about it.
//!
//! Reads the process and changes nothing. What can be said before the program has run is said then ([`Chosen`]); where
//! things go, and how much memory they may take, is decided once the runtime has reserved its own.

use super::budget::{self, Memory};
use super::failure::{Failure, FailureCode, Result};
use super::install::Patched;
use super::place::Surroundings;
use crate::addr::{RunAddr, Slide};
use crate::event::{self, Header, Hook, Host, Process, Program, Refused, Unmatched};
use crate::golang::Deviations;
use crate::image::{Image, ImageErrorCode, Line, Parts};
use crate::input::{self, Symbols};
use crate::os::{Limit, Mapping, Pid, process};
use crate::plan::{
    self, HookOptions, HookRequest, PAGE, Placement, Plan, PlanError, Room, Selection,
};
use crate::site::{self, Refusal, RefusalCode};
use crate::spec::{self, HookSpec, Pattern, SpecError};
use crate::verify::{VerifiedPlan, verify};

/// The largest number of hooks that a record can name.
const MAX_HOOKS: usize = (1 << 24) - 1;

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Which functions.
    pub spec: HookSpec,
    /// Options of all hooks.
    pub options: HookOptions,
    /// How much records and counters may take.
    pub memory: Memory,
}

impl Wanted {
    /// What to hook and how.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn new<S: AsRef<str>>(
        patterns: impl IntoIterator<Item = S>,
        options: HookOptions,
        memory: Memory,
    ) -> std::result::Result<Self, SpecError> {
        Ok(Self {
            spec: HookSpec::parse(patterns)?,
            options,
            memory,
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
    /// What they cost.
    pub memory: Option<event::Memory>,
    /// What the program can notice of them.
    pub deviations: Deviations,
    /// Functions that are not hooked.
    pub refusals: Vec<Refused>,
    /// Patterns that match no function.
    pub unmatched: Vec<Unmatched>,
}

impl Description {
    /// The header of the stream of a hooked process on this host; its clock comes later.
    #[must_use]
    pub fn header(self, host: Host) -> Header {
        Header {
            hooked: true,
            reason: None,
            host,
            process: self.process,
            program: self.program,
            hooks: self.hooks,
            memory: self.memory,
            deviations: self.deviations.codes(),
            refusals: self.refusals,
            unmatched: self.unmatched,
            clock: None,
        }
    }
}

/// Lengths of the mappings, in bytes; whole pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Lengths {
    /// For trampolines.
    pub code: u64,
    /// For the synthetic module.
    pub data: u64,
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

/// The executed file, as far as it can matter.
pub fn read(pid: Pid) -> Result<Parts> {
    process::executable(pid)
        .and_then(|file| input::read_file(&file, Symbols::Skip))
        .map_err(Failure::system("cannot read the executed file"))
}

/// A program that may be hooked.
pub fn parse(pid: Pid, data: &Parts) -> Result<Image<'_>> {
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

/// How far the loader moved the image of a process.
pub fn slide(pid: Pid, image: &Image) -> Result<Slide> {
    let entry = process::entry_point(pid).map_err(Failure::system("cannot find the program"))?;
    Ok(image.slide_from_entry(entry))
}

/// What the places of our mappings depend on, in a process whose mappings are `maps`.
pub fn around<'m>(
    pid: Pid,
    image: &Image,
    slide: Slide,
    maps: &'m [Mapping],
) -> Result<Surroundings<'m>> {
    let (low, high) = image.extent();
    Ok(Surroundings {
        maps,
        image: (slide.run(low), slide.run(high)),
        heap: process::heap_start(pid).map_err(Failure::system("cannot find the heap"))?,
    })
}

/// The functions of an image that are to be hooked.
pub struct Chosen<'i, 'd> {
    image: &'i Image<'d>,
    wanted: &'i Wanted,
    slide: Slide,
    requests: Vec<HookRequest<'d>>,
    /// Where `runtime.main` lies.
    pub main: RunAddr,
}

impl<'i, 'd> Chosen<'i, 'd> {
    /// Those that `wanted` names and that can be hooked. `known` is filled in as far as things go, also on failure.
    pub fn new(
        image: &'i Image<'d>,
        slide: Slide,
        wanted: &'i Wanted,
        known: &mut Description,
    ) -> Result<Self> {
        let zero = crate::addr::LinkAddr::new(0);
        known.program = Some(program(image, RunAddr::new(slide.run(zero).get())));
        let requests = select(image, wanted, known)?;
        if requests.is_empty() {
            return Err(Failure::new(
                FailureCode::NothingHookable,
                nothing_hookable(&known.refusals),
            ));
        }
        Ok(Self {
            image,
            wanted,
            slide,
            requests,
            main: main_entry(image, slide)?,
        })
    }

    /// Why a pattern will have no hook at all, as far as that is known before a plan is made.
    #[must_use]
    pub fn missing(&self, known: &Description) -> Option<Failure> {
        let names = self.requests.iter().map(|one| one.site.function.name);
        missing(&self.wanted.spec, known, &names.collect::<Vec<_>>())
    }

    /// Whether there is memory to make the plan, and room for what comes of it.
    ///
    /// # Errors
    /// [`FailureCode::Memory`], before anything is done.
    pub fn may_plan(&self, limits: &[Limit]) -> Result<()> {
        budget::may_plan(self.requests.len(), limits)
    }

    /// The plan, for a process that lies as `around` says and is limited by `limits`.
    pub fn plan(
        &self,
        around: Surroundings<'_>,
        limits: &[Limit],
        known: &mut Description,
    ) -> Result<Prepared> {
        let hooks = u32::try_from(self.requests.len()).unwrap_or(u32::MAX);
        let default = budget::default_for(self.image);
        let geometry = budget::geometry(self.wanted.memory, default, hooks, limits)?;
        let room = Room::of(&self.requests);
        let (code, data, ring) = around
            .near(room.code + room.data)
            .and_then(|code| {
                let data = code.checked_add(room.code)?;
                Some((code, data, around.far(geometry.size())?))
            })
            .ok_or_else(|| {
                Failure::new(
                    FailureCode::Mapping,
                    "there is no free memory near the program's code",
                )
            })?;
        let placement = Placement {
            slide: self.slide,
            code,
            data,
            ring,
            geometry,
        };
        let plan = finish(self.image, &self.requests, placement, known)?;
        if !matches!(self.wanted.memory, Memory::Rings { .. }) {
            budget::admit(&plan.plan().memory(), limits)?;
        }
        let names: Vec<&str> = known.hooks.iter().map(|hook| hook.name.as_str()).collect();
        let cost = plan.plan().memory();
        Ok(Prepared {
            lengths: Lengths {
                code: cost.code.next_multiple_of(PAGE),
                data: cost.tables.next_multiple_of(PAGE),
            },
            plan,
            main: self.main,
            missing: missing(&self.wanted.spec, known, &names),
        })
    }

    /// The plan anew, for the same placement, without the functions that something else has patched meanwhile: they are
    /// refused one by one, the others are hooked.
    pub fn plan_without(
        &self,
        patched: &[Patched],
        placement: Placement,
        known: &mut Description,
    ) -> Result<VerifiedPlan> {
        let why = |request: &HookRequest<'_>| {
            let entry = placement.slide.run(request.site.function.entry);
            patched.iter().find(|patched| patched.entry == entry)
        };
        let mut requests = Vec::new();
        for request in &self.requests {
            let Some(why) = why(request) else {
                requests.push(request.clone());
                continue;
            };
            let function = &request.site.function;
            let refusal = Refusal::new(RefusalCode::AlreadyPatched, function.entry, &why.detail);
            known
                .refusals
                .extend(refused(&[(function.name.to_owned(), refusal)]));
        }
        finish(self.image, &requests, placement, known)
    }
}

/// The plan for an image that lies in a process somewhere, live or emulated, without limits.
pub fn plan_for(
    image: &Image,
    slide: Slide,
    around: Surroundings<'_>,
    wanted: &Wanted,
    known: &mut Description,
) -> Result<Prepared> {
    Chosen::new(image, slide, wanted, known)?.plan(around, &[], known)
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
    known.memory = Some(memory(plan.plan()));
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
fn missing(spec: &HookSpec, known: &Description, hooked: &[&str]) -> Option<Failure> {
    if !known.unmatched.is_empty() {
        let unmatched = known.unmatched.iter().cloned().map(|one| spec::Unmatched {
            pattern: one.pattern,
            nearest: one.nearest,
        });
        let text = spec::unmatched_line(&unmatched.collect::<Vec<_>>());
        return Some(Failure::new(FailureCode::NothingMatches, text));
    }
    let is_hooked = |pattern: &&Pattern| hooked.iter().any(|name| pattern.matches(name));
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

fn memory(plan: &Plan) -> event::Memory {
    let (cost, shape) = (plan.memory(), plan.placement.geometry);
    event::Memory {
        records: cost.records,
        rings: shape.rings,
        slots: shape.slots,
        counters: cost.counters,
        code: cost.code,
        tables: cost.tables,
        text: cost.text,
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
