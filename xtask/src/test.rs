//! `cargo xtask test`: everything that must hold, at home and in CI.

use std::process::{ExitCode, Stdio};

use anyhow::{Context, Result, bail};

use crate::setup;
use crate::steps::{Outcome, Steps, cargo, count_tests, metadata, must_succeed};
use crate::{fuzz, licences, root, snapshots};

/// The variable by which tests are told how many Go versions and build modes they take (`harness/tests/matrix.rs`).
const CHOICE: &str = "GONDWANA_GO";
/// The variable that gives the matrix's cells a time.
const WITHIN: &str = "GONDWANA_WITHIN";
/// What [`CHOICE`] may be told here: those of every day, the tier `ci` of the matrix (some 130 cells), all.
const MATRIX: [&str; 3] = ["core", "ci", "all"];

struct Options {
    quick: bool,
    /// One of [`MATRIX`], if it was asked for.
    matrix: Option<&'static str>,
    /// Minutes after which no cell of the matrix is begun.
    within: Option<u64>,
    bench: bool,
    fuzz_runs: u64,
}

fn options(arguments: &[String]) -> Result<Options> {
    let mut options = Options {
        quick: false,
        matrix: None,
        within: None,
        bench: false,
        fuzz_runs: 0,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--quick" => options.quick = true,
            "--bench" => options.bench = true,
            "--matrix" => {
                let name = rest.next().map_or("", String::as_str);
                let known = MATRIX.into_iter().find(|known| *known == name);
                options.matrix = Some(known.with_context(|| {
                    format!("--matrix needs one of {}, not `{name}`", MATRIX.join(", "))
                })?);
            }
            "--within" => {
                let minutes = rest.next().and_then(|minutes| minutes.parse().ok());
                options.within = Some(minutes.context("--within needs a number of minutes")?);
            }
            "--fuzz-runs" => {
                let number = rest.next().and_then(|number| number.parse().ok());
                options.fuzz_runs = number.context("--fuzz-runs needs a number")?;
            }
            other => bail!("test: unknown argument `{other}`"),
        }
    }
    if options.fuzz_runs == 0 {
        options.fuzz_runs = if options.quick { 5_000 } else { 100_000 };
    }
    Ok(options)
}

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let options = options(arguments)?;
    let tools = setup::prepare()?;
    let mut steps = Steps::new(&tools);
    steps.step("format", |tools| {
        must_succeed(cargo(tools, ["fmt", "--all", "--check"]), "all files")
    });
    steps.step("clippy", |tools| {
        let arguments = [
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ];
        must_succeed(cargo(tools, arguments), "no warnings")
    });
    steps.step("doc", |tools| {
        let mut doc = cargo(
            tools,
            [
                "doc",
                "--quiet",
                "--workspace",
                "--no-deps",
                "--document-private-items",
            ],
        );
        doc.env("RUSTDOCFLAGS", "-D warnings");
        must_succeed(doc, "no warnings")
    });
    let metadata = metadata(&tools)?;
    steps.step("licences", |_| licences::check(&metadata));
    steps.step("cargo deny", |tools| {
        if !cargo(tools, ["deny", "--version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()?
            .success()
        {
            return Ok(Outcome::Skipped(
                "cargo-deny is not installed; the step `licences` has checked the rules".to_owned(),
            ));
        }
        must_succeed(
            cargo(tools, ["deny", "check", "licenses", "bans", "sources"]),
            "licenses, bans, sources",
        )
    });
    let references = root().join("target/snapshot-references");
    if references.exists() {
        std::fs::remove_file(&references)
            .with_context(|| format!("remove {}", references.display()))?;
    }
    // The harness's tests run the programs as users have them.
    steps.step("build", |tools| {
        must_succeed(
            cargo(tools, ["build", "--quiet", "--workspace"]),
            "all programs",
        )
    });
    steps.step("tests", |tools| {
        let mut test = cargo(tools, ["test", "--workspace", "--no-fail-fast"]);
        test.env("INSTA_UPDATE", "no")
            .env("INSTA_FORCE_PASS", "0")
            .env(snapshots::REFERENCES, &references);
        if let Some(cells) = options.matrix {
            test.env(CHOICE, cells);
        } else if !options.quick && std::env::var_os(CHOICE).is_none() {
            test.env(CHOICE, "core");
        }
        if let Some(minutes) = options.within {
            test.env(WITHIN, minutes.to_string());
        }
        count_tests(test)
    });
    steps.step("snapshots", |_| snapshots::unreferenced(&references));
    steps.step("fuzz", |tools| {
        fuzz::run(tools, &metadata, options.fuzz_runs)
    });
    steps.step("benches", |tools| match options.bench {
        true => must_succeed(cargo(tools, ["bench", "--", "--quick"]), "ran briefly"),
        false => Ok(Outcome::Skipped("only with --bench".to_owned())),
    });
    let total = steps.summary();
    Ok(if total.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    })
}
