//! Disturbance is seen to find bugs: trampolines and modules broken on purpose are caught by it, each with the disturbance
//! that caught it; what survives is explained, one by one.
//!
//! `harness/docs/MUTANTS.md` is the table. Every run checks that its survivors are exactly the explained ones, and tries a
//! sample of its mutants again. `GONDWANA_MUTANTS=all` tries all of them, in an hour or so; `GONDWANA_MUTANTS=write` does that
//! and writes the table. `carry` writes it after trampolines have changed: what was caught is tried at its instruction first,
//! in the scenario that caught it, and what nothing showed only needs to be rejected still; all else is tried as by `write`.
//! `all:27`, `write:27` and `carry:27` are about the targets of Go 1.27 only: of the others the lines stay. `render` tries
//! nothing: it writes the table with new explanations.
//!
//! This test has a `main` of its own (`harness = false`) and one thread: copies of a machine are made by fork.

mod explained;
#[path = "../mutate/mod.rs"]
mod mutate;
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

use mutate::Mutation;
use table::{Fate, Row, Table};
use trial::Bench;

/// Chooses how much is tried.
const CHOICE: &str = "GONDWANA_MUTANTS";
/// What is broken: a Go version, a subject of `testbins/disturbed`, and which of its mutants are tried.
const TARGETS: [(u16, &str, Series); 5] = [
    (13, "pointer", Series::All),
    (21, "pointer", Series::None),
    (21, "wide", Series::None),
    (21, "assembly", Series::None),
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
    let choice = std::env::var(CHOICE).ok();
    let choice = choice.as_deref().map(|text| match text.split_once(':') {
        None => (text, Ok(None)),
        Some((what, minor)) => (what, minor.parse::<u16>().map(Some)),
    });
    trials.push(match choice {
        None => Trial::test("a sample of the table is as it says", || failed(sample())),
        Some(("all", Ok(minor))) => Trial::test("the table is as it says", move || {
            failed(all(minor, Then::Compare))
        }),
        Some(("render", Ok(None))) => Trial::test("the table is rendered", || {
            failed(Table::read().and_then(|table| table.write()))
        }),
        Some(("write", Ok(minor))) => {
            Trial::test("the table is written", move || failed(all(minor, Then::Write)))
        }
        Some(("carry", Ok(minor))) => Trial::test("the table is carried over", move || {
            failed(all(minor, Then::Carry))
        }),
        Some(_) => {
            eprintln!(
                "{CHOICE} is not understood; expected `all`, `write` or `carry`, each also as `all:27`, or `render`"
            );
            return ExitCode::from(2);
        }
    });
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

/// Whether a mutant is one of a series, one for each instruction.
const fn is_one_of_many(mutant: &Mutation) -> bool {
    matches!(mutant, Mutation::Depth(_) | Mutation::Deleted(_))
}

/// Name of a target in the table.
fn target(minor: u16, subject: &str) -> String {
    format!("go1.{minor} {subject}")
}

/// What is done with what was found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    /// It must be what the table says.
    Compare,
    /// It becomes the table.
    Write,
    /// It becomes the table, and the table's lines say what to try first.
    Carry,
}

/// Tries all mutants, of one minor version or of all.
fn all(only: Option<u16>, then: Then) -> Result<()> {
    let mut undecided = Vec::new();
    let mut wrong = Vec::new();
    let targets = TARGETS.into_iter();
    for (minor, subject, series) in targets.filter(|(minor, ..)| only.is_none_or(|m| m == *minor)) {
        let mut rows = Vec::new();
        let (program, file) = program(minor)?;
        let bench = Bench::new(&case(&program, &file, subject)?, &file)?;
        let mut known = Table::read()?.of(&target(minor, subject));
        for mutant in bench.mutants()? {
            if series == Series::None && is_one_of_many(&mutant) {
                continue;
            }
            // One that cannot be decided is no reason to lose the others' hour.
            let before = known.next(&mutant.to_string());
            let fate = match before.filter(|_| then == Then::Carry) {
                Some(fate) => bench.carried(&mutant, &fate),
                None => bench.fate(&mutant),
            };
            let fate = match fate {
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
            rows.push(row);
        }
        let name = target(minor, subject);
        if then != Then::Compare {
            // After each target, so that a run that is interrupted leaves what it has found.
            let order = TARGETS.map(|(minor, subject, _)| target(minor, subject));
            Table::read()?.with(&name, rows, &order).write()?;
        } else {
            wrong.extend(Table::read()?.differences(&name, &rows)?);
        }
    }
    if !undecided.is_empty() {
        bail!("not decided:\n{}", undecided.join("\n"));
    }
    if !wrong.is_empty() {
        bail!("not as the table says:\n{}", wrong.join("\n"));
    }
    explained::check(&Table::read()?)
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
            if is_one_of_many(&mutant) {
                numbered += 1;
                if series == Series::None || numbered % SAMPLE != 0 {
                    continue;
                }
            }
            let name = target(minor, subject);
            let row = table.find(&name, &mutant.to_string())?;
            match &row.fate {
                Fate::Caught(by) => {
                    tried += 1;
                    if !bench.is_caught_by(&mutant, by)? {
                        bail!("{name}, {mutant}: no longer caught by {by}");
                    }
                }
                Fate::Rejected { what, .. } => {
                    if bench.rejection(&mutant)?.is_none() {
                        bail!("{name}, {mutant}: no longer rejected: {what}");
                    }
                }
                // That takes the whole matrix to be seen; `all` looks at it.
                Fate::Survived => {}
            }
        }
    }
    println!("{tried} mutants caught again");
    if tried < 20 {
        bail!("only {tried} mutants were tried");
    }
    Ok(())
}
