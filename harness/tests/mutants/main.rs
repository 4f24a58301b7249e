//! Disturbance is seen to find bugs: trampolines and modules broken on purpose are caught by it, each with the disturbance
//! that caught it; what survives is explained, one by one.
//!
//! `harness/docs/MUTANTS.md` is the table; until it has been written this test is no part of `cargo test`. Every run checks
//! that its survivors are exactly the explained ones, and tries a sample of its mutants again. `GONDWANA_MUTANTS=all` tries
//! all of them, in an hour or so; `GONDWANA_MUTANTS=write` does that and writes the table.
//!
//! This test has a `main` of its own (`harness = false`) and one thread: copies of a machine are made by fork.

mod explained;
mod mutant;
mod table;
mod trial;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::disturb::case::Disturbed;
use gondwana_harness::disturb::full::SUBJECTS;
use gondwana_harness::testbins;
use gondwana_harness::toolchain::Toolchains;
use libtest_mimic::{Arguments, Failed, Trial};

use table::{Fate, Row, Table};
use trial::Bench;

/// Chooses how much is tried.
const CHOICE: &str = "GONDWANA_MUTANTS";
/// What is broken: a Go version, a subject of `testbins/disturbed`, and which of its mutants are tried.
const TARGETS: [(u16, &str, Series); 5] = [
    (13, "pointer", Series::All),
    (21, "pointer", Series::All),
    (21, "wide", Series::None),
    (21, "assembly", Series::All),
    (27, "small", Series::All),
];
/// The everyday sample is every so many-th of a series, and all that is no part of one.
const SAMPLE: usize = 60;

/// Whether the mutants that exist once for each instruction are tried, too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Series {
    All,
    None,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // Copies are made of a process with one thread.
    arguments.test_threads = Some(1);
    let mut trials = vec![Trial::test(
        "the survivors of the table are the explained ones",
        || failed(Table::read().and_then(|table| explained::check(&table))),
    )];
    match std::env::var(CHOICE).ok().as_deref() {
        None => trials.push(Trial::test("a sample of the table is as it says", || {
            failed(sample())
        })),
        Some("all") => trials.push(Trial::test("the table is as it says", || {
            failed(all(false))
        })),
        Some("write") => trials.push(Trial::test("the table is written", || failed(all(true)))),
        Some(other) => {
            eprintln!("{CHOICE}={other} is not understood; expected `all` or `write`");
            return ExitCode::from(2);
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn failed(result: Result<()>) -> Result<(), Failed> {
    result.map_err(|error| Failed::from(format!("{error:#}")))
}

/// The program of a target.
fn program(minor: u16) -> Result<(std::path::PathBuf, Vec<u8>)> {
    let toolchain = Toolchains::open()?.get_minor(minor)?;
    let case = testbins::case("disturbed")?;
    let program = Builder::open()?.build(&toolchain, &case.dir, Mode::Static)?;
    let file = std::fs::read(&program).with_context(|| format!("read {}", program.display()))?;
    Ok((program, file))
}

fn case(program: &std::path::Path, file: &[u8], subject: &str) -> Result<Disturbed> {
    let (name, function) = SUBJECTS
        .into_iter()
        .find(|s| s.0 == subject)
        .with_context(|| format!("no subject `{subject}`"))?;
    Ok(Disturbed {
        args: vec![name.to_owned()],
        ..Disturbed::new(program, file, vec![function.to_owned()])?
    })
}

/// Name of a target in the table.
fn target(minor: u16, subject: &str) -> String {
    format!("go1.{minor} {subject}")
}

/// Tries all mutants.
fn all(write: bool) -> Result<()> {
    let mut table = Table::default();
    let mut undecided = Vec::new();
    for (minor, subject, series) in TARGETS {
        let (program, file) = program(minor)?;
        let bench = Bench::new(&case(&program, &file, subject)?, &file)?;
        for mutant in bench.mutants()? {
            if series == Series::None && mutant.is_one_of_many() {
                continue;
            }
            // One that cannot be decided is no reason to lose the others' hour.
            let fate = match bench.fate(&mutant) {
                Ok(fate) => fate,
                Err(error) => {
                    undecided.push(format!("{}: {error:#}", target(minor, subject)));
                    continue;
                }
            };
            let row = Row {
                target: target(minor, subject),
                mutant: mutant.to_string(),
                fate,
            };
            eprintln!("{row}");
            table.rows.push(row);
        }
    }
    if !undecided.is_empty() {
        if write {
            table.write()?;
        }
        bail!("not decided:\n{}", undecided.join("\n"));
    }
    if write {
        table.write()?;
        return explained::check(&table);
    }
    table.compare(&Table::read()?)
}

/// Tries some of them.
fn sample() -> Result<()> {
    let table = Table::read()?;
    let mut tried = 0;
    for (minor, subject, series) in TARGETS {
        let (program, file) = program(minor)?;
        let bench = Bench::new(&case(&program, &file, subject)?, &file)?;
        let mut numbered = 0;
        for mutant in bench.mutants()? {
            if mutant.is_one_of_many() {
                numbered += 1;
                if series == Series::None || numbered % SAMPLE != 0 {
                    continue;
                }
            }
            let name = target(minor, subject);
            let row = table.find(&name, &mutant.to_string())?;
            // What survives takes the whole matrix to be seen; `all` looks at that.
            if let Fate::Caught(by) = &row.fate {
                tried += 1;
                let fate = bench.fate_by(&mutant, by)?;
                if !matches!(fate, Fate::Caught(_)) {
                    bail!("{name}, {mutant}: no longer caught by {by}");
                }
            }
        }
    }
    println!("{tried} mutants caught again");
    if tried < 20 {
        bail!("only {tried} mutants were tried");
    }
    Ok(())
}
