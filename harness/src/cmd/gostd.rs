//! `gondwana-harness std`: Go's own tests of its standard library, hooked.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use gondwana_engine::spec::Pattern;

use crate::build::Builder;
use crate::cells::kept::Kept;
use crate::executor::native::hooked::Agent;
use crate::gostd::cell::Bench;
use crate::gostd::run::{Finished, run as run_cells};
use crate::gostd::{Cell, Definition, junit, markdown, render};
use crate::testbins;
use crate::toolchain::{GoRange, Toolchains};

/// The document that `--update` writes the table into, from the workspace's root.
const DOCUMENT: &str = "harness/docs/STD.md";
/// Records per thread that may wait for the agent. Nobody reads them, so those that do not fit may be lost: they are
/// counted all the same.
const SLOTS: u32 = 1 << 12;

const HELP: &str = "A cell is the tests of one package on one Go version. They run unhooked twice and hooked once, in the package's folder of
the toolchain, with -test.short (which keeps the whole table within its time) and without tests that build programs; so do
the programs of runtime/testdata, one run for each of their subcommands. The same tests must pass, and each must write the
same lines but for numbers, times and addresses. Where only the hooked run differs, these tests run unhooked again, up to
seven times in all; what differs unhooked is flaky, and counts (at most 1 % of all tests). testbins/std.toml names the
versions, the packages, and the tests that are known to notice hooks, with the reason; any other difference is a failure,
as is a run that does not end.

Finished cells are kept (under the user's cache, by the binary's and this program's bytes): an interrupted run continues
where it stopped.

Examples:
  gondwana-harness std                                       # the whole table
  gondwana-harness std --core                                # what every test run does
  gondwana-harness std --go 1.21.. --package runtime --package net/http
  gondwana-harness std --package sync --hook 'sync.*' --report /tmp/std
  gondwana-harness std --jobs 2 --update                     # write the table into harness/docs/STD.md

Exit status: 0 every cell that was run is as it must be, 1 some are not, 2 failed.";

/// Arguments of `std`.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP, after_long_help = format!("{}\n\n{HELP}", GoRange::SYNTAX))]
pub struct Args {
    /// Versions; those of testbins/std.toml if left out
    #[arg(long, value_name = "RANGE")]
    go: Option<GoRange>,
    /// Only these packages; several with commas or by repeating it
    #[arg(long, value_name = "P", value_delimiter = ',')]
    package: Vec<String>,
    /// Functions to hook; may be repeated
    #[arg(long = "hook", value_name = "PATTERN", default_value = "*")]
    hooks: Vec<String>,
    /// Only the cells of every test run
    #[arg(long, conflicts_with_all = ["go", "package"])]
    core: bool,
    /// Cells at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Directory for report.json, junit.xml, report.md, and what failed
    #[arg(long, value_name = "DIR", default_value = "std-report")]
    report: PathBuf,
    /// Run every cell, also those that were finished before
    #[arg(long)]
    fresh: bool,
    /// Begin no cell after so many minutes; cells that are left are counted as not run
    #[arg(long, value_name = "MINUTES")]
    within: Option<u64>,
    /// Print report.json instead of the table
    #[arg(long)]
    json: bool,
    /// Write the table into harness/docs/STD.md; needs all cells with every function hooked, and no failure.
    /// Cells that were not run are shown as such
    #[arg(long, conflicts_with_all = ["go", "package", "core"])]
    update: bool,
}

/// Runs it.
///
/// # Errors
/// When the tool itself fails, or its input is bad.
pub fn run(args: &Args) -> Result<ExitCode> {
    for hook in &args.hooks {
        // Before the first of many runs, not in each of them.
        Pattern::parse(hook).with_context(|| format!("--hook {hook}"))?;
    }
    let definition = Definition::read()?;
    let cells = chosen(args, &definition)?;
    if args.update && args.hooks != ["*"] {
        bail!("--update needs every function hooked");
    }
    let bench = Bench {
        definition,
        toolchains: Toolchains::open()?,
        builder: Builder::open()?,
        agent: Agent::find()
            .context("find this program")?
            .with_slots(SLOTS),
        patterns: args.hooks.clone(),
    };
    let kept = match args.fresh {
        true => None,
        false => Some(Kept::open(&bench.agent)?),
    };
    let out = args.report.join("failed");
    let within = args.within.map(|minutes| Duration::from_secs(minutes * 60));
    let jobs = args.jobs.into();
    let finished = run_cells(&bench, &cells, jobs, kept.as_ref(), within, &out)?;
    let document = finished.document(&bench.patterns);
    let json = serde_json::to_string_pretty(&document).context("write the report")? + "\n";
    write_all(&args.report, &finished, &json)?;
    let good = finished.is_good();
    if args.update && good {
        update(&finished)?;
    }
    let text = match args.json {
        true => json,
        false => render::table(&finished),
    };
    // Whoever reads may have seen enough; the exit status still says it.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
    Ok(ExitCode::from(u8::from(!good)))
}

fn chosen(args: &Args, definition: &Definition) -> Result<Vec<Cell>> {
    if args.core {
        return Ok(definition.core().to_vec());
    }
    if let Some(unknown) = args
        .package
        .iter()
        .find(|path| definition.row(path).is_none())
    {
        bail!("`{unknown}` is none of the packages in testbins/std.toml");
    }
    let mut cells = definition.cells(args.go.as_ref().unwrap_or(definition.versions()));
    cells.retain(|cell| args.package.is_empty() || args.package.contains(&cell.package));
    Ok(cells)
}

fn write_all(dir: &Path, finished: &Finished, json: &str) -> Result<()> {
    let write = |name: &str, text: &str| {
        let file = dir.join(name);
        std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))
    };
    write("report.json", json)?;
    write("junit.xml", &junit::render(finished)?)?;
    write("report.md", &markdown::report(finished))
}

/// Writes the table where people read it.
fn update(finished: &Finished) -> Result<()> {
    let file = testbins::directory()?.join("..").join(DOCUMENT);
    let text =
        std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let new = markdown::with_report(&text, finished)?;
    std::fs::write(&file, new).with_context(|| format!("write {}", file.display()))
}
