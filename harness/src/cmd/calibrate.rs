//! `gondwana-harness calibrate`: how often the verdict of `qualify` is right.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::build::Builder;
use crate::calibrate::run::run as run_trials;
use crate::calibrate::subject::Subject;
use crate::calibrate::{Definition, render};
use crate::testbins;
use crate::toolchain::Toolchains;

/// The document that `--update` writes the table into, from the workspace's root.
const DOCUMENT: &str = "harness/docs/CALIBRATION.md";
/// Trials with which a table may be written.
const ENOUGH: u64 = 100;

const HELP: &str = "A trial runs a program unhooked twice, once more as if it were hooked, and unhooked again as often as `qualify` would, and
judges the run by the exit status, output and memory oracles. In 99 of 100 trials it must agree; and where the run is harmed
on purpose (a wrong answer, a lost goroutine, a leak, …), it must diverge in 99 of 100: undecided is neither. The programs
stand in testbins/calibration.toml. No run is used in two trials, and nothing is hooked.

Examples:
  gondwana-harness calibrate --jobs 4                        # the whole list, 100 trials each
  gondwana-harness calibrate --trials 10 --program answer --program took
  gondwana-harness calibrate --report /tmp/cal --json        # what wrong trials wrote is kept there
  gondwana-harness calibrate --jobs 4 --update               # write the table into harness/docs/CALIBRATION.md
  gondwana-harness calibrate --program leak --merge calibrate-report/report.json --update

Exit status: 0 calibrated, 1 not, 2 failed.";

/// Arguments of `calibrate`.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct Args {
    /// Trials of each program, and of each harm
    #[arg(long, value_name = "N", default_value_t = ENOUGH, value_parser = clap::value_parser!(u64).range(1..))]
    trials: u64,
    /// Only this program of the list; repeatable
    #[arg(long, value_name = "NAME")]
    program: Vec<String>,
    /// Trials at the same time
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Directory for report.json, and for what the runs of wrong trials wrote
    #[arg(long, value_name = "DIR", default_value = "calibrate-report")]
    report: PathBuf,
    /// Print report.json instead of the table
    #[arg(long)]
    json: bool,
    /// The rows of all other programs are those of this report.json, of an earlier run
    #[arg(long, value_name = "FILE", requires = "program")]
    merge: Option<PathBuf>,
    /// Write the table into harness/docs/CALIBRATION.md; needs the whole list with 100 trials or more
    #[arg(long)]
    update: bool,
}

/// Runs it.
///
/// # Errors
/// When a program cannot be built, a name is none of the list, or a file cannot be written. A trial that cannot be made is
/// counted, and no error.
pub fn run(args: &Args) -> Result<ExitCode> {
    if args.update && args.trials < ENOUGH {
        bail!("--update needs {ENOUGH} trials or more");
    }
    if args.update && !args.program.is_empty() && args.merge.is_none() {
        bail!(
            "--update needs the whole list: leave out --program, or name an earlier report with --merge"
        );
    }
    let earlier = args.merge.as_deref().map(earlier).transpose()?;
    let chosen = Definition::read()?.chosen(&args.program)?;
    let (toolchains, builder) = (Toolchains::open()?, Builder::open()?);
    let mut subjects = Vec::new();
    for entry in &chosen {
        subjects.extend(Subject::build(&toolchains, &builder, entry)?);
    }
    std::fs::create_dir_all(&args.report)
        .with_context(|| format!("create {}", args.report.display()))?;
    let keep = args.report.join("wrong");
    let rows = run_trials(
        &subjects,
        args.trials,
        args.jobs.into(),
        Some(&keep),
        |row| {
            eprintln!("{} {}: {}", row.name, row.go, render::line(row));
        },
    );
    let rows = match earlier {
        Some(earlier) => render::merged(earlier, &rows),
        None => rows,
    };
    let document = render::Document::new(&rows);
    let json = serde_json::to_string_pretty(&document).context("write the report")? + "\n";
    let file = args.report.join("report.json");
    std::fs::write(&file, &json).with_context(|| format!("write {}", file.display()))?;
    if args.update && document.calibrated {
        let file = testbins::directory()?.join("..").join(DOCUMENT);
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        std::fs::write(&file, render::with_table(&text, &rows)?)
            .with_context(|| format!("write {}", file.display()))?;
    }
    let text = match args.json {
        true => json,
        false => render::table(&rows),
    };
    // Whoever reads may have seen enough; the exit status still says it.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
    Ok(ExitCode::from(u8::from(!document.calibrated)))
}

/// The report of an earlier run of the whole list.
fn earlier(file: &Path) -> Result<render::Document> {
    let name = || file.display().to_string();
    let text = std::fs::read(file).with_context(|| format!("read {}", name()))?;
    let document: render::Document = serde_json::from_slice(&text).with_context(name)?;
    if document.schema != render::SCHEMA {
        bail!(
            "{}: schema {}, expected {}",
            name(),
            document.schema,
            render::SCHEMA
        );
    }
    for entry in Definition::read()?.chosen(&[])? {
        let mut rows = document
            .rows
            .iter()
            .filter(|row| row.row.name == entry.name)
            .peekable();
        if rows.peek().is_none() || rows.any(|row| row.trials < ENOUGH) {
            bail!("{}: {} has no {ENOUGH} trials", name(), entry.name);
        }
    }
    Ok(document)
}
