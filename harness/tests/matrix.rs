//! The cells of the matrix as tests, one each: all test programs, built as one program by a Go version in a build mode,
//! run hooked as they run unhooked, their streams say what their heads say, and every hookable function relocates.
//!
//! `GONDWANA_GO` chooses the cells: `core` (as if it were not set) the everyday ones of `testbins/matrix.toml`, `ci` those
//! of every submission, `all` all of them, and versions such as `1.5,1.21..` those versions in mode `static`. Cells that
//! are left out with permission are listed as ignored.
//!
//! `GONDWANA_WITHIN=MINUTES` begins no cell after that time, nor with little room on the disk: the everyday cells come first,
//! then the newest versions, and what is not run is listed as ignored, with the reason.
//!
//! This test has a `main` of its own (`harness = false`), since its cells are data.

use std::cmp::Reverse;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::cache;
use gondwana_harness::events;
use gondwana_harness::executor::native::hooked::Agent;
use gondwana_harness::matrix::cell::{self, Bench, CellReport, Outcome};
use gondwana_harness::matrix::{Cell, Matrix, Tier, markdown};
use gondwana_harness::testbins;
use gondwana_harness::toolchain::{CHOICE, GoRange, LAST_PATCHES, Toolchains};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// The variable with the minutes after which no cell is begun.
const WITHIN: &str = "GONDWANA_WITHIN";
/// Bytes that a cell may need on the disk: a toolchain, Go's cache of a build mode, the program.
const ROOM: u64 = 4 << 30;

fn main() -> ExitCode {
    let args = Arguments::from_args();
    match trials(&args) {
        Ok(trials) => libtest_mimic::run(&args, trials).exit_code(),
        Err(error) => {
            eprintln!("matrix: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn trials(args: &Arguments) -> Result<Vec<Trial>> {
    let begun = Instant::now();
    let within = within()?;
    let matrix = Matrix::read()?;
    let mut cells = chosen(&matrix)?;
    if within.is_some() {
        let everyday = matrix.tier(Tier::Everyday);
        cells.sort_by_key(|cell| (!everyday.contains(cell), Reverse(cell.go), cell.mode));
    }
    let bench = Arc::new(Bench {
        matrix,
        cases: testbins::all()?,
        any_share: false,
        toolchains: Toolchains::open()?,
        builder: Builder::open()?,
        agent: Agent::harness(env!("CARGO_BIN_EXE_gondwana-harness")),
        seed: 1,
    });
    let mut trials = vec![
        trial("the_table_in_the_readme_has_the_cells_of_the_matrix", {
            let bench = Arc::clone(&bench);
            move || readme(&bench.matrix)
        }),
        trial("what_is_left_out_is_what_versions_do_not_have", {
            let bench = Arc::clone(&bench);
            move || left_out(&bench.matrix)
        }),
    ];
    for cell in cells {
        let name = format!("{}::{}", cell.go, cell.mode);
        let skip = bench.matrix.skip(cell);
        let skipped = skip.is_some();
        // Ignored tests have no reason in the test harness's own lines.
        if let (Some(skip), false) = (skip, args.list) {
            println!("{cell} is left out: {}", skip.why);
        }
        let bench = Arc::clone(&bench);
        let run = move || match too_late(begun, within)? {
            Some(reason) => Ok(Completion::ignored_with(reason)),
            None => check(&bench, cell).map(|()| Completion::Completed),
        };
        trials.push(
            Trial::ignorable_test(name, move || run().map_err(failed)).with_ignored_flag(skipped),
        );
    }
    Ok(trials)
}

fn trial(name: &str, run: impl FnOnce() -> Result<()> + Send + 'static) -> Trial {
    Trial::test(name, move || run().map_err(failed))
}

fn failed(error: anyhow::Error) -> Failed {
    Failed::from(format!("{error:#}"))
}

/// How long cells may be begun; for ever if nothing says so.
fn within() -> Result<Option<Duration>> {
    let Some(minutes) = std::env::var_os(WITHIN) else {
        return Ok(None);
    };
    let minutes = minutes.to_str().and_then(|text| text.parse::<u64>().ok());
    let minutes = minutes.with_context(|| format!("{WITHIN} is not a number of minutes"))?;
    Ok(Some(Duration::from_secs(minutes * 60)))
}

/// Why no cell is begun any more, if there is a time for them.
fn too_late(begun: Instant, within: Option<Duration>) -> Result<Option<String>> {
    let Some(within) = within else {
        return Ok(None);
    };
    if begun.elapsed() >= within {
        let minutes = within.as_secs() / 60;
        return Ok(Some(format!(
            "not run: the {minutes} minutes of {WITHIN} were over"
        )));
    }
    Ok((cache::room()? < ROOM).then(|| {
        let room = cache::megabytes(ROOM);
        format!("not run: less than {room} of disk were left for the cache")
    }))
}

fn chosen(matrix: &Matrix) -> Result<Vec<Cell>> {
    Ok(match std::env::var(CHOICE).as_deref() {
        Err(_) | Ok("core") => matrix.tier(Tier::Everyday).to_vec(),
        Ok("ci") => matrix.tier(Tier::Ci).to_vec(),
        Ok("all") => matrix.tier(Tier::Full).to_vec(),
        Ok(range) => {
            let range: GoRange = range.parse().context(CHOICE)?;
            let mode = Mode::Static;
            let cells = range.versions().iter().map(|&go| Cell { go, mode });
            cells.collect()
        }
    })
}

fn check(bench: &Bench, cell: Cell) -> Result<()> {
    let prepared = match cell::prepare(bench, cell)? {
        Ok(prepared) => prepared,
        Err(report) => {
            println!("{cell}: {:?}", report.outcome);
            return Ok(());
        }
    };
    let dir = tempfile::tempdir()?;
    let mut report = cell::check(bench, &prepared, dir.path(), |_| {})?;
    // A version that the file does not name has no least share.
    if bench.matrix.cells().contains(&cell) {
        cell::judge(&bench.matrix, cell, &mut report);
    }
    for program in &report.skipped {
        println!("{cell}: {} left out: {}", program.name, program.why);
    }
    match &report.outcome {
        Outcome::Failed { reasons } => {
            // Kept for whoever looks at the failure.
            let kept = dir.keep();
            bail!("see {}\n{}", kept.display(), reasons.join("\n"))
        }
        Outcome::Qualified => {
            let fired = |hooks: &[cell::Fired]| hooks.iter().any(|hook| hook.entered > 0);
            let silent = report
                .programs
                .iter()
                .find(|program| !fired(&program.hooks));
            ensure!(silent.is_none(), "no hook of {silent:?} fired");
            if cell.mode == Mode::Static {
                compare_events(cell, &report)?;
            }
            Ok(())
        }
        Outcome::Refused { .. } | Outcome::Skipped { .. } => Ok(()),
    }
}

/// The events of each test program are those of `goldens/events`.
fn compare_events(cell: Cell, report: &CellReport) -> Result<()> {
    let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../goldens/events");
    let mut wrong = Vec::new();
    for program in &report.programs {
        match &program.events {
            Some(text) => {
                let compared = events::compare(&goldens, &program.name, cell.go, text);
                wrong.extend(compared.err().map(|error| format!("{error:#}")));
            }
            None => println!("{cell}: {}: {:?}", program.name, program.skipped),
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The README's table is of this matrix: a row for each last patch with all of its modes, a number where a program is built
/// and not refused, and none below the least share.
fn readme(matrix: &Matrix) -> Result<()> {
    let readme = std::fs::read_to_string(testbins::directory()?.join("../README.md"))?;
    let table = markdown::table_of(&readme)?;
    let is_last = |cell: &&Cell| LAST_PATCHES.contains(&cell.go);
    let expected: Vec<Cell> = matrix.cells().iter().filter(is_last).copied().collect();
    let found: Vec<Cell> = table.iter().map(|(cell, _)| *cell).collect();
    ensure!(
        found == expected,
        "the README has other cells than matrix.toml: run `gondwana-harness matrix --tier full --update`"
    );
    for (cell, text) in table {
        let good = if cell.mode.missing_in(cell.go).is_some() {
            text == "–"
        } else if matrix.refused(cell.mode).is_some() {
            text == "refused"
        } else {
            // The file's number is that of the table, rounded down.
            let share: f64 = text.parse().with_context(|| format!("{cell}: `{text}`"))?;
            let least = matrix.least_hookable(cell);
            least.is_some_and(|least| (least..least + 0.15).contains(&share))
        };
        ensure!(good, "{cell}: `{text}` does not fit matrix.toml");
    }
    Ok(())
}

/// Whole cells are left out exactly where the version has no such mode.
fn left_out(matrix: &Matrix) -> Result<()> {
    for &cell in matrix.cells() {
        let missing = cell.mode.missing_in(cell.go);
        let skip = matrix.skip(cell).filter(|skip| skip.when.is_none());
        ensure!(
            skip.map(|skip| skip.why.as_str()) == missing,
            "{cell}: matrix.toml says {skip:?}, the build modes say {missing:?}"
        );
    }
    Ok(())
}
