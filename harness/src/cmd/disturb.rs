//! `gondwana-harness disturb`: a hooked call, disturbed at every instruction.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::build::{Builder, Mode};
use crate::disturb::case::Disturbed;
use crate::disturb::full::{self, Job, SUBJECTS, Scenario};
use crate::disturb::kind::Kind;
use crate::testbins;
use crate::toolchain::{GoRange, Toolchains};

/// Arguments of `disturb`.
#[derive(clap::Args, Debug)]
#[command(after_help = format!("The program runs in the emulated process. The first call of a hooked function is stepped through, and before each
instruction of jump, trampoline, displaced prologue and thunk the program is disturbed in every way, each time in a copy
that runs to its end. It must end as the undisturbed program does without hooks. A cell that diverges keeps its directory
and prints the command that replays it.

With --full, the program is testbins/disturbed: sixteen functions of different shape, in each Go version, with a large stack,
with hardly any, with a world that stands still while garbage is collected, and with one ring for all threads.

Examples:
  gondwana-harness disturb ./disturbed --hook main.small --args small
  gondwana-harness disturb ./tool --hook main.run --only sigurg --only gc --out /tmp/cases
  gondwana-harness disturb ./tool --hook main.run --only grow --at 17
  gondwana-harness disturb --full
  gondwana-harness disturb --full --go 1.9,1.21.. --subject small --subject many
  gondwana-harness disturb --full --only sigprof

{}

Nothing has passed that was not disturbed: where no cell had an effect, or none of a kind that was asked for by name (with
--full, in any run), the answer is `undecided`.

Exit status: 0 no cell diverged, 1 some did or could not be decided, or nothing was disturbed, 2 the tool failed or its input
is bad.", GoRange::SYNTAX))]
pub struct Args {
    /// The Go program to disturb
    #[arg(required_unless_present = "full", conflicts_with = "full")]
    program: Option<PathBuf>,
    /// The function to hook; of several, the first call of any is disturbed
    #[arg(
        long = "hook",
        value_name = "PATTERN",
        required_unless_present = "full"
    )]
    hooks: Vec<String>,
    /// Only this kind of disturbance; repeatable
    #[arg(long, value_name = "KIND")]
    only: Vec<Kind>,
    /// Only before this instruction, by its number in the table
    #[arg(long, value_name = "N", conflicts_with = "full")]
    at: Option<usize>,
    /// Only one cell of so many, spread over instructions and kinds
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "full")]
    every: usize,
    /// Let the call find as little stack as there can be; only for a program with a board (testbins/disturbed)
    #[arg(long, conflicts_with = "full")]
    tight: bool,
    /// Let all threads share one ring, as those beyond the first 256 do
    #[arg(long, conflicts_with = "full")]
    shared_ring: bool,
    /// Everything that could differ between two runs follows from it
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// A variable of the program's environment; repeatable
    #[arg(long, value_name = "NAME=VALUE", conflicts_with = "full")]
    env: Vec<String>,
    /// Disturb all shapes of testbins/disturbed
    #[arg(long)]
    full: bool,
    /// With --full: the Go versions
    #[arg(long, value_name = "RANGE", default_value = "all", requires = "full")]
    go: GoRange,
    /// With --full: only this subject of testbins/disturbed; repeatable
    #[arg(long, value_name = "NAME", requires = "full")]
    subject: Vec<String>,
    /// With --full: only this scenario; repeatable
    #[arg(long, value_name = "NAME", requires = "full")]
    scenario: Vec<Scenario>,
    /// With --full: how many runs at a time [default: one for each processor]
    #[arg(long, value_name = "N", requires = "full")]
    workers: Option<usize>,
    /// Directory for diverging cells [default: PROGRAM.disturb in the current directory]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print JSON instead of the table
    #[arg(long)]
    json: bool,
    /// The program's arguments: all that follows, hyphens included
    #[arg(long, value_name = "ARG", num_args = 0.., allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Runs it.
///
/// # Errors
/// When the tool itself fails, or its input is bad.
pub fn run(args: &Args) -> Result<ExitCode> {
    match &args.program {
        Some(program) => one(args, program),
        None => all(args),
    }
}

/// One program.
fn one(args: &Args, program: &PathBuf) -> Result<ExitCode> {
    let file = std::fs::read(program).with_context(|| format!("read {}", program.display()))?;
    let mut case = Disturbed {
        args: args.args.clone(),
        env: args.env.clone(),
        seed: args.seed,
        shared_ring: args.shared_ring,
        ..Disturbed::new(program, &file, args.hooks.clone())?
    };
    let mut session = case.session(&file)?;
    session.only.clone_from(&args.only);
    session.at = args.at;
    session.every = args.every;
    if args.tight {
        session.make_tight()?;
        case.depth = session.depth;
    }
    let out = args.out.clone().unwrap_or_else(|| {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        PathBuf::from(format!("{name}.disturb"))
    });
    let shown = std::io::stderr().is_terminal();
    let mut kept = Vec::new();
    let matrix = session.run(
        |what| {
            if shown {
                eprint!("\r\x1b[K{what}");
            }
        },
        |step, kind, cell| {
            let case = Disturbed {
                kind,
                step: step.index,
                ..case.clone()
            };
            kept.push(case.keep(&out, step, cell));
        },
    );
    if shown {
        eprint!("\r\x1b[K");
    }
    let matrix = matrix?;
    if let Some(at) = args.at.filter(|&at| at >= matrix.steps) {
        bail!(
            "the call has {} instructions, there is none with number {at}",
            matrix.steps
        );
    }
    let mut text = if args.json {
        serde_json::to_string_pretty(&matrix.document())? + "\n"
    } else {
        matrix.render()
    };
    for name in kept {
        let name = name?;
        if !args.json {
            text += &format!("gondwana-harness replay {}/{name}\n", out.display());
        }
    }
    // Whoever reads may have seen enough; the exit status still says it.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::from(matrix.exit_status()))
}

/// The full set.
fn all(args: &Args) -> Result<ExitCode> {
    if let Some(name) = args
        .subject
        .iter()
        .find(|name| SUBJECTS.iter().all(|s| s.0 != **name))
    {
        let names: Vec<&str> = SUBJECTS.iter().map(|s| s.0).collect();
        bail!("`{name}` is no subject; there are {}", names.join(", "));
    }
    let case = testbins::case("disturbed")?;
    let (toolchains, builder) = (Toolchains::open()?, Builder::open()?);
    let mut jobs = Vec::new();
    for &version in args.go.versions() {
        let toolchain = toolchains.get_version(version)?;
        let program = builder.build(&toolchain, &case.dir, Mode::Static)?;
        for subject in SUBJECTS {
            if !args.subject.is_empty() && args.subject.iter().all(|name| name != subject.0) {
                continue;
            }
            let wanted = |s: &Scenario| args.scenario.is_empty() || args.scenario.contains(s);
            jobs.extend(
                Scenario::ALL
                    .into_iter()
                    .filter(wanted)
                    .map(|scenario| Job {
                        version,
                        program: program.clone(),
                        subject,
                        scenario,
                        kinds: scenario.kinds_of(&args.only),
                    })
                    .filter(|job| !job.kinds.is_empty()),
            );
        }
    }
    let workers = match args.workers {
        Some(workers) => workers,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("disturb"));
    let harness = std::env::current_exe().context("find this program")?;
    let number = std::sync::atomic::AtomicUsize::new(0);
    let rows = full::run(&harness, &jobs, args.seed, &out, workers, |row| {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        eprintln!(
            "{number}/{} {} {} {}: {}",
            jobs.len(),
            row.version,
            row.subject,
            row.scenario,
            row.counts
        );
    })?;
    let text = if args.json {
        serde_json::to_string_pretty(&full::Document::new(&rows))? + "\n"
    } else {
        full::render(&rows)
    };
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::from(full::exit_status(&rows)))
}
