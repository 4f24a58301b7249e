//! `gondwana-harness matrix`: qualifies one program with all test programs in it, for every Go version and build mode.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use anyhow::{Context, Result, bail};

use crate::build::{Builder, Mode};
use crate::cells::kept::Kept;
use crate::executor::native::hooked::Agent;
use crate::matrix::cell::Bench;
use crate::matrix::run::{Finished, run as run_cells};
use crate::matrix::{Cell, FILE, Matrix, Tier, junit, markdown, render, with_least_hookable};
use crate::testbins;
use crate::toolchain::{GoRange, Toolchains};

const HELP: &str = "A cell of the matrix is one Go version in one build mode. Its program has every program of testbins/ as a subcommand and
is qualified: every hookable function relocated in an emulator, and every test program run unhooked twice and hooked once.
testbins/matrix.toml names the cells, what may be left out and why, and the least share of hookable functions; anything
that differs is a failure.

Finished cells are kept (under the user's cache, by the program's and this program's bytes): an interrupted run
continues where it stopped.

A RANGE is a list of versions and of spans between minor versions: 1.9.2,1.13 or 1.12..1.14 or 1.21.. or ..1.9,1.27; a
minor version means its last patch; `latest` is the newest known one, `all` is all of them.

Examples:
  gondwana-harness matrix                                    # the everyday cells
  gondwana-harness matrix --tier full --jobs 2 --report /tmp/matrix
  gondwana-harness matrix --go 1.21.. --mode race,cgo-tls
  gondwana-harness matrix --tier full --update               # write the shares into matrix.toml and the README
  gondwana-harness matrix --tier full --shard 2/4            # the second of four parts of all cells

Exit status: 0 every cell is as it must be, 1 some are not, 2 failed.";

/// Arguments of `matrix`.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct Args {
    /// Which cells, where neither --go nor --mode says it
    #[arg(long, value_enum, default_value_t = Tier::Everyday)]
    tier: Tier,
    /// All cells of these versions
    #[arg(long, value_name = "RANGE")]
    go: Option<GoRange>,
    /// All cells of these modes; several with commas
    #[arg(long, value_name = "MODE", value_delimiter = ',')]
    mode: Vec<Mode>,
    /// Only these test programs; such a run is neither kept nor compared with the least share
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    program: Vec<String>,
    /// Cells at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Of every N cells only the K-th
    #[arg(long, value_name = "K/N", default_value = "1/1")]
    shard: Shard,
    /// Directory for report.json, junit.xml, report.md, a page per cell, and what failed
    #[arg(long, value_name = "DIR", default_value = "matrix-report")]
    report: PathBuf,
    /// Run every cell, also those that were finished before
    #[arg(long)]
    fresh: bool,
    /// Bytes that built programs may take in the cache; the longest unused go first
    #[arg(long, value_name = "BYTES", default_value_t = Builder::DEFAULT_LIMIT)]
    cache_limit: u64,
    /// Seed of the emulated states
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print report.json instead of the table
    #[arg(long)]
    json: bool,
    /// Write the shares of hookable functions that were found into testbins/matrix.toml, as the least ones from now on,
    /// and make the README's table of them; needs --tier full with nothing left out, and no failure
    #[arg(long)]
    update: bool,
}

/// The K-th of N parts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Shard {
    part: usize,
    of: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('/')
            .and_then(|(part, of)| Some((part.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((part, of)) if (1..=of).contains(&part) => Ok(Self { part, of }),
            _ => Err(format!(
                "`{text}` is no shard; expected K/N with K from 1 to N"
            )),
        }
    }
}

impl Shard {
    fn of(self, cells: &[Cell]) -> Vec<Cell> {
        let cells = cells.iter().skip(self.part - 1).step_by(self.of);
        cells.copied().collect()
    }
}

/// Runs it.
///
/// # Errors
/// When the tool itself fails, or its input is bad.
pub fn run(args: &Args) -> Result<ExitCode> {
    let matrix = Matrix::read()?;
    let cells = args.shard.of(&chosen(args, &matrix)?);
    if cells.is_empty() {
        bail!("no cell of the matrix is chosen");
    }
    if args.update && (cells != matrix.cells() || !args.program.is_empty()) {
        bail!("--update needs `--tier full` and nothing left out");
    }
    let mut cases = testbins::all()?;
    if !args.program.is_empty() {
        for name in &args.program {
            testbins::case(name)?;
        }
    }
    cases.retain(|case| args.program.is_empty() || args.program.contains(&case.name));
    let bench = Bench {
        matrix,
        cases,
        // Shares that are to be written anew are not compared with the old ones.
        any_share: args.update || !args.program.is_empty(),
        toolchains: Toolchains::open()?,
        builder: Builder::open()?.with_limit(args.cache_limit),
        agent: Agent::find().context("find this program")?,
        seed: args.seed,
    };
    let kept = match args.fresh || !args.program.is_empty() {
        true => None,
        false => Some(Kept::open(&bench.agent)?),
    };
    let out = args.report.join("failed");
    let finished = run_cells(&bench, &cells, args.jobs.into(), kept.as_ref(), &out)?;
    let json =
        serde_json::to_string_pretty(&finished.document()).context("write the report")? + "\n";
    write_all(&args.report, &bench.matrix, &finished, &json)?;
    let good = finished.reports.iter().all(|(_, report)| report.is_good());
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

fn chosen(args: &Args, matrix: &Matrix) -> Result<Vec<Cell>> {
    if args.go.is_none() && args.mode.is_empty() {
        return Ok(matrix.tier(args.tier).to_vec());
    }
    let versions = args.go.as_ref().map(GoRange::versions);
    if let Some(go) = versions
        .into_iter()
        .flatten()
        .find(|go| !matrix.cells().iter().any(|cell| cell.go == **go))
    {
        bail!("{go} is not in testbins/matrix.toml");
    }
    let is_chosen = |cell: &&Cell| {
        versions.is_none_or(|versions| versions.contains(&cell.go))
            && (args.mode.is_empty() || args.mode.contains(&cell.mode))
    };
    Ok(matrix.cells().iter().filter(is_chosen).copied().collect())
}

fn write_all(dir: &Path, matrix: &Matrix, finished: &Finished, json: &str) -> Result<()> {
    let write = |name: &str, text: &str| {
        let file = dir.join(name);
        std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))
    };
    let cells = dir.join("cells");
    std::fs::create_dir_all(&cells).with_context(|| format!("create {}", cells.display()))?;
    write("report.json", json)?;
    write("junit.xml", &junit::render(finished)?)?;
    write("report.md", &markdown::report(finished, matrix))?;
    for (cell, report) in &finished.reports {
        let name = format!("cells/{}-{}.md", cell.go, cell.mode);
        write(&name, &markdown::cell(report))?;
    }
    Ok(())
}

/// Writes the shares that were found where they are read.
fn update(finished: &Finished) -> Result<()> {
    let dir = testbins::directory()?;
    let edit = |name: &str, new: &dyn Fn(&str) -> Result<String>| {
        let file = dir.join(name);
        let text =
            std::fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        std::fs::write(&file, new(&text)?).with_context(|| format!("write {}", file.display()))
    };
    let shares = finished.reports.iter().filter_map(|(cell, report)| {
        let program = report.program.as_ref()?;
        Some((*cell, program.share()))
    });
    let shares: Vec<_> = shares.collect();
    edit(FILE, &|text| with_least_hookable(text, &shares))?;
    edit("../README.md", &|text| {
        markdown::with_shares(text, finished)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use gondwana_engine::golang::GoVersion;

    #[test]
    fn shards_part_the_cells() {
        let cells: Vec<Cell> = Mode::ALL
            .into_iter()
            .map(|mode| Cell {
                go: GoVersion::new(21, 13),
                mode,
            })
            .collect();
        let mut together: Vec<Cell> = (1..=3)
            .flat_map(|part| Shard { part, of: 3 }.of(&cells))
            .collect();
        together.sort_unstable();
        assert_eq!(together, cells);
        for bad in ["", "1", "0/2", "3/2", "a/b", "1/0", "-1/2"] {
            assert!(bad.parse::<Shard>().is_err(), "{bad}");
        }
    }
}
