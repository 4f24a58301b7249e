//! Runs the steps of `cargo xtask test` one after the other, whatever becomes of each, and keeps their results.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::root;
use crate::setup::Tools;
use crate::summary::Counts;

/// How one step ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is good; the text says what was looked at.
    Good(String),
    /// It is not good, for this reason.
    Bad(String),
    /// It did not run, for this reason.
    Skipped(String),
    /// It ran tests; some may have failed.
    Tests(Counts),
}

struct Done {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

/// The steps that have run.
pub(crate) struct Steps<'t> {
    tools: &'t Tools,
    done: Vec<Done>,
}

impl<'t> Steps<'t> {
    pub(crate) fn new(tools: &'t Tools) -> Self {
        Self {
            tools,
            done: Vec::new(),
        }
    }

    /// Runs one step. An error in it is its failure, and the next step runs all the same.
    pub(crate) fn step(&mut self, name: &'static str, run: impl FnOnce(&Tools) -> Result<Outcome>) {
        println!("\n== {name}");
        // A closed standard output does not stop the tests.
        let _ = std::io::stdout().flush();
        let started = Instant::now();
        let outcome = run(self.tools).unwrap_or_else(|error| Outcome::Bad(format!("{error:#}")));
        if let Outcome::Bad(why) | Outcome::Skipped(why) = &outcome {
            println!("{why}");
        }
        self.done.push(Done {
            name,
            outcome,
            took: started.elapsed(),
        });
    }

    /// Prints what ran, what did not and why; the last line counts everything, each step without tests as one.
    pub(crate) fn summary(&self) -> Counts {
        let mut total = Counts::default();
        println!("\n== summary");
        for done in &self.done {
            let (counts, state, text) = match &done.outcome {
                Outcome::Good(text) => (Counts::PASSED, "ok", text.clone()),
                Outcome::Bad(text) => (
                    Counts::FAILED,
                    "FAILED",
                    text.lines().next().unwrap_or_default().to_owned(),
                ),
                Outcome::Skipped(text) => (Counts::SKIPPED, "skipped", text.clone()),
                Outcome::Tests(counts) if counts.failed > 0 => {
                    (*counts, "FAILED", counts.to_string())
                }
                Outcome::Tests(counts) => (*counts, "ok", counts.to_string()),
            };
            total.add(counts);
            println!(
                "{:<14} {:<8} {:>6.1} s  {text}",
                done.name,
                state,
                done.took.as_secs_f64()
            );
        }
        println!("\n{total}");
        total
    }
}

/// `cargo` with the tools' environment, in the workspace's root.
pub(crate) fn cargo<S: AsRef<OsStr>>(
    tools: &Tools,
    arguments: impl IntoIterator<Item = S>,
) -> Command {
    // The cargo that runs xtask, so that all steps use one version.
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    tools.apply(&mut command);
    // Set by the cargo that runs xtask; they would make build scripts run again that depend on them.
    for (name, _) in std::env::vars_os() {
        if name
            .to_str()
            .is_some_and(|name| name.starts_with("CARGO_PKG_") || name == "CARGO_MANIFEST_DIR")
        {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command whose exit status is its result.
pub(crate) fn must_succeed(mut command: Command, good: &str) -> Result<Outcome> {
    let status = command
        .status()
        .with_context(|| format!("start {}", command.get_program().display()))?;
    Ok(match status.success() {
        true => Outcome::Good(good.to_owned()),
        false => Outcome::Bad(format!(
            "{} ended with {status}",
            command.get_program().display()
        )),
    })
}

/// Runs test programs, shows their output as it comes and counts their tests.
pub(crate) fn count_tests(mut command: Command) -> Result<Outcome> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", command.get_program().display()))?;
    let mut counts = Counts::default();
    let mut out = std::io::stdout();
    for line in child
        .stdout
        .take()
        .map(BufReader::new)
        .into_iter()
        .flat_map(|reader| reader.split(b'\n'))
    {
        let line = line.context("read the tests' output")?;
        let _ = out.write_all(&line).and_then(|()| out.write_all(b"\n"));
        if let Some(result) = Counts::of_test_result(&String::from_utf8_lossy(&line)) {
            counts.add(result);
        }
    }
    let status = child.wait().context("wait for the tests")?;
    if !status.success() && counts.failed == 0 {
        // A test program that did not compile or died counts nothing.
        return Ok(Outcome::Bad(format!(
            "the tests ended with {status} after {counts}"
        )));
    }
    Ok(Outcome::Tests(counts))
}

/// What `cargo metadata` says, for the one supported target.
pub(crate) fn metadata(tools: &Tools) -> Result<Value> {
    let mut command = cargo(tools, ["metadata", "--format-version", "1", "--locked"]);
    command
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .stderr(Stdio::inherit());
    let output = command.output().context("start cargo")?;
    if !output.status.success() {
        bail!("cargo metadata ended with {}", output.status);
    }
    serde_json::from_slice(&output.stdout).context("read what cargo metadata printed")
}
