//! One [`Cell`] -> [`CellReport`]: the merged program is built in its version and mode, every hookable function of it
//! relocated in Unicorn, and every test program in it run unhooked twice and hooked once.
//!
//! What differs from `testbins/matrix.toml` is a failure of the cell, as is any divergence: a skip without permission, a
//! refusal with another code, a share of hookable functions below the least.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use gondwana_engine::image::Image;
use gondwana_engine::spec::HookSpec;
use serde::{Deserialize, Serialize};

use super::{Cell, Matrix, program};
use crate::build::Builder;
use crate::cache;
use crate::events;
use crate::executor::native::hooked::Agent;
use crate::executor::native::process::{Ready, Scenario};
use crate::qualify::{self, RELOCATION, Request, Subject, digest};
use crate::report::{Report, Section, Skipped};
use crate::testbins::{Case, Expected};
use crate::toolchain::Toolchains;
use crate::verdict::{Counts, Verdict};

/// Seconds that one run of a test program may take: only to end one that hangs.
const TIMEOUT: u64 = 120;
/// Requests that a server gets.
const REQUESTS: u32 = 20;
/// Failing checks of a test program that its reason lists.
const SHOWN: usize = 4;

/// What all cells share.
#[derive(Clone, Debug)]
pub struct Bench {
    /// What may be left out, and what is expected.
    pub matrix: Matrix,
    /// The test programs.
    pub cases: Vec<Case>,
    /// Whether any share of hookable functions will do.
    pub any_share: bool,
    /// Where toolchains come from.
    pub toolchains: Toolchains,
    /// What builds.
    pub builder: Builder,
    /// What runs programs hooked.
    pub agent: Agent,
    /// Seed of the emulated states.
    pub seed: u64,
}

/// What was found out about one cell.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct CellReport {
    /// The Go version, such as `go1.21.13`.
    pub go: String,
    /// The build mode.
    pub mode: String,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The program; nothing where none was built.
    pub program: Option<Program>,
    /// The relocation of all hookable functions.
    pub relocation: Option<Section>,
    /// The test programs that ran.
    pub programs: Vec<Behaviour>,
    /// The test programs that did not run, and why.
    pub skipped: Vec<SkippedProgram>,
    /// How long it took: with the build, unless the program was there already.
    pub seconds: f64,
}

/// How a cell ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// Every check is good, and nothing is missing that must not be.
    Qualified,
    /// Something is not as it must be.
    Failed {
        /// Everything that is not.
        reasons: Vec<String>,
    },
    /// The program is refused, as it must be.
    Refused {
        /// The stable code.
        code: String,
    },
    /// Nothing was done, with permission.
    Skipped {
        /// Why.
        why: String,
    },
}

/// The program of a cell.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Program {
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Functions in its line table.
    pub functions: u64,
    /// Those that can be hooked.
    pub hookable: u64,
    /// Those that cannot, by the code of the reason.
    pub refused: BTreeMap<String, u64>,
}

impl Program {
    /// Hookable functions of a hundred.
    #[must_use]
    pub fn share(&self) -> f64 {
        self.hookable as f64 * 100.0 / self.functions.max(1) as f64
    }
}

/// One test program that ran.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Behaviour {
    /// Its name.
    pub name: String,
    /// The answers of its checks.
    #[serde(flatten)]
    pub counts: Counts,
    /// The hooks that were placed, and how often each fired.
    pub hooks: Vec<Fired>,
    /// Calls and expectations that were not checked.
    pub skipped: Vec<Skipped>,
    /// Its events, for the goldens; not part of the JSON. Nothing where the run leaves them open: then that is skipped.
    #[serde(skip)]
    pub events: Option<String>,
}

/// One hook.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Fired {
    /// The function.
    pub function: String,
    /// Calls that were entered.
    pub entered: u64,
    /// Calls with a span.
    pub spans: u64,
}

/// A test program that did not run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SkippedProgram {
    /// Its name.
    pub name: String,
    /// Why.
    pub why: String,
}

impl CellReport {
    fn new(cell: Cell, outcome: Outcome) -> Self {
        Self {
            go: cell.go.to_string(),
            mode: cell.mode.to_string(),
            outcome,
            program: None,
            relocation: None,
            programs: Vec::new(),
            skipped: Vec::new(),
            seconds: 0.0,
        }
    }

    /// A cell that the tool could not do.
    #[must_use]
    pub fn broken(cell: Cell, error: &anyhow::Error) -> Self {
        let reasons = vec![format!("{error:#}")];
        Self::new(cell, Outcome::Failed { reasons })
    }

    /// Whether everything is as it must be.
    #[must_use]
    pub fn is_good(&self) -> bool {
        !matches!(self.outcome, Outcome::Failed { .. })
    }

    /// Checks that diverged.
    #[must_use]
    pub fn diverged(&self) -> u64 {
        let native = self.programs.iter().map(|program| program.counts.diverged);
        let relocation = self
            .relocation
            .iter()
            .map(|section| section.counts.diverged);
        native.chain(relocation).sum()
    }
}

/// What a cell is made from, once its program is there.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The cell.
    pub cell: Cell,
    /// The program.
    pub program: PathBuf,
    /// The test programs in it, with their names in it.
    pub cases: Vec<Case>,
    /// Those that are not to be run.
    pub skipped: Vec<SkippedProgram>,
}

/// Builds the program of a cell, or says why there is nothing to build.
///
/// # Errors
/// When it cannot be built, or is left out without permission.
pub fn prepare(bench: &Bench, cell: Cell) -> Result<std::result::Result<Prepared, CellReport>> {
    let skip = bench.matrix.skip(cell);
    match (cell.mode.missing_in(cell.go), skip) {
        (Some(reason), None) => anyhow::bail!("{cell} is left out without permission: {reason}"),
        (_, Some(skip)) => {
            let why = skip.why.clone();
            return Ok(Err(CellReport::new(cell, Outcome::Skipped { why })));
        }
        (None, None) => {}
    }
    let (built, too_new): (Vec<_>, Vec<_>) = bench
        .cases
        .iter()
        .cloned()
        .partition(|case| case.supports(cell.go));
    let mut skipped: Vec<SkippedProgram> = too_new
        .into_iter()
        .map(|case| SkippedProgram {
            why: format!("needs {} or later", case.min_go),
            name: case.name,
        })
        .collect();
    let toolchain = bench.toolchains.get_version(cell.go)?;
    let source = program::merged(&built)?;
    let program = bench.builder.build_source(&toolchain, &source, cell.mode)?;
    let mut cases = Vec::new();
    for case in &built {
        match bench.matrix.skip_program(cell, &case.name) {
            Some(skip) => skipped.push(SkippedProgram {
                name: case.name.clone(),
                why: skip.why.clone(),
            }),
            None => cases.push(program::subcommand(case)),
        }
    }
    Ok(Ok(Prepared {
        cell,
        program,
        cases,
        skipped,
    }))
}

/// Makes all checks of a cell. What failed keeps its directory below `out`; `progress` is told what is being done.
///
/// # Errors
/// When the tool itself fails.
pub fn check(
    bench: &Bench,
    prepared: &Prepared,
    out: &Path,
    mut progress: impl FnMut(&str),
) -> Result<CellReport> {
    let begun = Instant::now();
    let cell = prepared.cell;
    let data = fs::read(&prepared.program)
        .with_context(|| format!("read {}", prepared.program.display()))?;
    if let Some(code) = bench.matrix.refused(cell.mode) {
        return Ok(refused(cell, &data, code));
    }
    progress("looking for places to hook");
    let subject = Subject::of(
        &prepared.program.display().to_string(),
        data.as_slice(),
        digest(&data),
    )?;
    let mut report = CellReport::new(cell, Outcome::Qualified);
    report.program = Some(Program {
        sha256: subject.sha256.clone(),
        functions: subject.image.functions().len() as u64,
        hookable: subject.sites.len() as u64,
        refused: subject.refused(),
    });
    let mut reasons = Vec::new();
    report.skipped.clone_from(&prepared.skipped);
    let total = prepared.cases.len();
    // For sockets, whose paths must be short (unix(7)).
    let scratch = tempfile::tempdir().context("make a directory for sockets")?;
    for (number, case) in prepared.cases.iter().enumerate() {
        progress(&format!("{} ({} of {total})", case.name, number + 1));
        let place = out.join(&case.name);
        let (patterns, expected, mut unmet) = possible(case, &subject);
        let request = Request {
            program: prepared.program.clone(),
            patterns,
            out: place.clone(),
            agent: bench.agent.clone(),
            scenario: scenario(case, &prepared.program, scratch.path()),
            seed: bench.seed,
            // Once a cell, together with the first program.
            relocation: number == 0,
            // Once a cell as well: it doubles the runs.
            fips: number == 0,
            masks: Vec::new(),
            exit: Some(case.exit),
            expected,
        };
        let checked = qualify::check(&subject, &request, |what| {
            progress(&format!(
                "{} ({} of {total}): {what}",
                case.name,
                number + 1
            ));
        });
        let one = match checked {
            Ok(one) => one,
            Err(error) => {
                reasons.push(format!("{}: {error:#}", case.name));
                continue;
            }
        };
        match &one.verdict {
            Verdict::Qualified => {
                cache::remove_tree(&place)
                    .with_context(|| format!("remove {}", place.display()))?;
            }
            verdict => reasons.push(failure(&case.name, verdict, &one, &place)),
        }
        unmet.extend(
            one.skipped
                .iter()
                .filter(|s| s.what != "functions")
                .cloned(),
        );
        report.relocation = report.relocation.or_else(|| {
            let mut sections = one.sections.iter();
            sections.find(|section| section.name == RELOCATION).cloned()
        });
        let events = events::render(case, &request.expected, &one);
        unmet.extend(events.as_ref().err().map(|open| Skipped {
            what: "events".to_owned(),
            count: 1,
            why: format!("{open:#}"),
        }));
        let mut behaviour = behaviour(&case.name, &one, unmet);
        behaviour.events = events.ok();
        report.programs.push(behaviour);
    }
    if !reasons.is_empty() {
        // What failed can be run again.
        let _ = scratch.keep();
        report.outcome = Outcome::Failed { reasons };
    }
    report.seconds = begun.elapsed().as_secs_f64();
    Ok(report)
}

/// The report of a program that must be refused with this code.
fn refused(cell: Cell, data: &[u8], code: &str) -> CellReport {
    let found = match Image::parse(data) {
        Ok(_) => "nothing".to_owned(),
        Err(error) => error.code().to_string(),
    };
    let outcome = match found == code {
        true => Outcome::Refused { code: found },
        false => Outcome::Failed {
            reasons: vec![format!("refused with {found}, expected {code}")],
        },
    };
    CellReport::new(cell, outcome)
}

/// Compares what was found with what the matrix says about the cell. Apart from [`check`], so that a kept report is
/// judged by the numbers of today.
pub fn judge(matrix: &Matrix, cell: Cell, report: &mut CellReport) {
    let Some(program) = &report.program else {
        return;
    };
    let share = program.share();
    let reason = match matrix.least_hookable(cell) {
        Some(least) if share >= least => return,
        Some(least) => {
            format!("{share:.2} % of the functions are hookable, expected at least {least} %")
        }
        None => format!(
            "matrix.toml names no least share of hookable functions for it; found {share:.2} %"
        ),
    };
    match &mut report.outcome {
        Outcome::Failed { reasons } => reasons.push(reason),
        outcome => {
            *outcome = Outcome::Failed {
                reasons: vec![reason],
            };
        }
    }
}

fn scenario(case: &Case, program: &Path, scratch: &Path) -> Scenario {
    let mut scenario = Scenario {
        args: case.args.clone(),
        env: case.env.clone(),
        timeout: TIMEOUT,
        ..Scenario::default()
    };
    if let Some(server) = &case.server {
        let socket = scratch.join("socket").display().to_string();
        scenario.load = Some(format!(
            "{} {} -load {socket} {REQUESTS}",
            program.display(),
            case.args.join(" ")
        ));
        scenario.args.push(socket);
        scenario.ready = Some(Ready::Text(server.ready.clone()));
        scenario.stop = Some(server.stop.clone());
    }
    scenario
}

/// The hooks and expectations of a case without those of which its head says that some builds have nothing to hook.
fn possible(case: &Case, subject: &Subject<'_>) -> (Vec<String>, Vec<Expected>, Vec<Skipped>) {
    let hookable = |pattern: &str| is_hookable(pattern, subject);
    let is_refusable = case.events.iter().any(|event| event.refusable);
    let (events, unmet): (Vec<_>, Vec<_>) = case
        .events
        .iter()
        .cloned()
        .partition(|event| !event.refusable || hookable(&event.pattern));
    let hooks = case
        .hooks
        .iter()
        .filter(|hook| !is_refusable || hookable(hook))
        .cloned()
        .collect();
    let unmet = unmet
        .into_iter()
        .map(|event| Skipped {
            what: "expectations".to_owned(),
            count: 1,
            why: format!("{} cannot be hooked here", event.pattern),
        })
        .collect();
    (hooks, events, unmet)
}

/// Whether the pattern selects a function that can be hooked in this program.
fn is_hookable(pattern: &str, subject: &Subject<'_>) -> bool {
    let chosen = HookSpec::parse([pattern]).and_then(|spec| spec.select(&subject.image));
    chosen
        .map_or_else(|_| Vec::new(), |chosen| chosen.functions)
        .iter()
        .filter_map(|&index| subject.image.functions().get(index))
        .any(|function| {
            let sites = &subject.sites;
            sites
                .iter()
                .any(|site| site.function.entry == function.entry)
        })
}

fn behaviour(name: &str, report: &Report, skipped: Vec<Skipped>) -> Behaviour {
    let native = report.sections.iter().filter(|s| s.name != RELOCATION);
    let mut counts = Counts::default();
    native.for_each(|section| counts += section.counts);
    Behaviour {
        name: name.to_owned(),
        counts,
        hooks: report
            .hooks
            .iter()
            .map(|hook| Fired {
                function: hook.name.clone(),
                entered: hook.entered,
                spans: hook.spans,
            })
            .collect(),
        skipped,
        events: None,
    }
}

/// What is wrong with one test program, its first failing checks, and the command that shows more.
fn failure(name: &str, verdict: &Verdict, report: &Report, place: &Path) -> String {
    let mut text = format!("{name}: {verdict}");
    let failures = report.sections.iter().flat_map(|section| &section.failures);
    for failure in failures.take(SHOWN) {
        text += &format!("\n  {}: {}", failure.what, failure.answer);
        if let Some(case) = &failure.case {
            let case = place.join(case);
            text += &format!("\n    gondwana-harness replay {}", case.display());
        }
    }
    text
}
