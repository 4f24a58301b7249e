//! A package of a toolchain -> its binary, and one run of all its tests, unhooked or hooked.
//!
//! A run happens in the package's own folder of the toolchain, as `go test` would run it, with a directory for temporary
//! files of its own and without the `go` command: `GO_GCFLAGS` makes tests skip that build programs (`internal/testenv`,
//! `HasGoBuild`). Programs of the runtime's test data are run once for each of their subcommands.

use std::collections::BTreeSet;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use gondwana_engine::event::{End as StreamEnd, ExitStatus, Header, Kind};
use gondwana_engine::export::ndjson;
use regex::Regex;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use super::judge::Run;
use super::output::{NO_TEST, Outcome, Output};
use crate::build::{Builder, Package};
use crate::executor::native::discard::Discard;
use crate::executor::native::hooked::Agent;
use crate::executor::native::process::{self, End, Finished, Scenario};
use crate::toolchain::Toolchain;

/// Seconds that all tests of a package may take; a hooked call costs up to 17 times an empty one.
const TESTS: u64 = 900;
/// Seconds that one program of the runtime's test data may take unhooked, and hooked. One that does not end by itself
/// waits for somebody.
const PROGRAM: (u64, u64) = (10, 120);
/// Seconds between the end that `testing` makes, with every goroutine's stack, and ours.
const GRACE: u64 = 30;
/// How long the agent may take after the program's end.
const PATIENCE: Duration = Duration::from_secs(60);
/// What a program of the runtime's test data says of a subcommand that this build does not have.
const UNKNOWN: &[u8] = b"unknown function: ";

/// What a hooked run's streams say, all runs of a cell together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Calls {
    /// Functions that were hooked.
    pub hooks: u64,
    /// Functions that the patterns select and that cannot be.
    pub refused: u64,
    /// Calls that got a frame.
    pub entered: u64,
    /// Calls with a span.
    pub spans: u64,
    /// Calls whose span found its ring full.
    pub lost: u64,
    /// Calls that ran without their hook.
    pub skipped: u64,
}

/// A package whose tests can be run.
#[derive(Debug)]
pub struct Subject<'t> {
    toolchain: &'t Toolchain,
    folder: PathBuf,
    binary: PathBuf,
    /// The subcommands of a program; none for tests.
    commands: Option<Vec<String>>,
    scratch: TempDir,
}

impl<'t> Subject<'t> {
    /// Builds the package, if that is not done yet.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn build(
        toolchain: &'t Toolchain,
        builder: &Builder,
        package: Package<'_>,
    ) -> Result<Self> {
        let folder = toolchain.source_of(package.path());
        let commands = match package {
            Package::Tests(_) => None,
            Package::Program(..) => Some(commands(&folder)?),
        };
        Ok(Self {
            toolchain,
            binary: builder.build_package(toolchain, package)?,
            folder,
            commands,
            // Paths of sockets must be short (unix(7)).
            scratch: tempfile::Builder::new()
                .prefix("std")
                .tempdir()
                .context("make a directory for temporary files")?,
        })
    }

    /// The executable.
    #[must_use]
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Finds out, for a program, which of its subcommands end by themselves; the others are left out of all further runs
    /// and returned. Tests all end.
    ///
    /// # Errors
    /// When a program cannot be started.
    pub fn settle(&mut self) -> Result<Vec<String>> {
        let Some(commands) = self.commands.take() else {
            return Ok(Vec::new());
        };
        let (mut stay, mut endless) = (Vec::new(), Vec::new());
        for name in commands {
            let finished = self.finish(self.unhooked_command(&[&name]), PROGRAM.0)?;
            if finished.end == End::TimedOut {
                endless.push(name);
            } else if !contains(&finished.stderr, UNKNOWN) {
                stay.push(name);
            }
        }
        self.commands = Some(stay);
        Ok(endless)
    }

    /// Runs the tests unhooked; only these top-level ones, if some are named.
    ///
    /// # Errors
    /// When they cannot be started.
    pub fn unhooked(&self, only: &BTreeSet<String>) -> Result<Run> {
        self.all(only, PROGRAM.0, |arguments, timeout| {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            self.finish(self.unhooked_command(&arguments), timeout)
        })
    }

    /// Runs the tests hooked, and reads what the streams say.
    ///
    /// # Errors
    /// When they cannot be started, or did not run hooked.
    pub fn hooked(&self, agent: &Agent, patterns: &[String]) -> Result<(Run, Calls)> {
        let mut calls = Calls::default();
        let run = self.all(&BTreeSet::new(), PROGRAM.1, |arguments, timeout| {
            let stream = self.scratch.path().join("stream");
            let reading = Discard::open(&stream).context("read the stream")?;
            let mut command = agent.command(&self.binary, patterns, &stream, arguments);
            self.prepare(&mut command);
            let finished = self.finish(command, timeout);
            let ends = reading.finish(PATIENCE).context("read the stream")?;
            let finished = finished?;
            calls.add(&finished, &ends.first, &ends.last)?;
            Ok(finished)
        })?;
        Ok((run, calls))
    }

    /// All processes of a run, one after the other.
    fn all(
        &self,
        only: &BTreeSet<String>,
        program_timeout: u64,
        mut execute: impl FnMut(&[String], u64) -> Result<Finished>,
    ) -> Result<Run> {
        let Some(commands) = &self.commands else {
            let finished = execute(&self.flags(only), TESTS + GRACE)?;
            let mut output = Output::read(&finished.stdout);
            output.add(NO_TEST, &finished.stderr);
            return Ok(Run {
                end: finished.end,
                output,
                only: only.clone(),
            });
        };
        let mut output = Output::default();
        let wanted = |name: &&String| only.is_empty() || only.contains(*name);
        for name in commands.iter().filter(wanted) {
            let finished = execute(std::slice::from_ref(name), program_timeout)
                .with_context(|| name.clone())?;
            output
                .outcomes
                .insert(name.clone(), Outcome::from(finished.end));
            output.add(name, &finished.stdout);
            output.add(name, &finished.stderr);
        }
        Ok(Run {
            end: End::Status(0),
            output,
            only: only.clone(),
        })
    }

    /// The arguments of a test binary.
    fn flags(&self, only: &BTreeSet<String>) -> Vec<String> {
        let verbose = match self.toolchain.version().minor {
            // `testing/testing.go`, `chattyFlag`.
            20.. => "-test.v=test2json",
            _ => "-test.v",
        };
        let mut flags = vec![
            verbose.to_owned(),
            "-test.short".to_owned(),
            format!("-test.timeout={TESTS}s"),
        ];
        if !only.is_empty() {
            let names: Vec<&str> = only.iter().map(String::as_str).collect();
            flags.push(format!("-test.run=^({})$", names.join("|")));
        }
        flags
    }

    fn unhooked_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.args(arguments);
        self.prepare(&mut command);
        command
    }

    fn prepare(&self, command: &mut Command) {
        self.toolchain.prepare(command);
        // Some tests start the toolchain's own tools.
        let mut path = self.toolchain.goroot().join("bin").into_os_string();
        if let Some(rest) = std::env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        command
            .current_dir(&self.folder)
            .env("GO_GCFLAGS", "-N")
            .env("PATH", path)
            .env("PWD", &self.folder)
            .env("TMPDIR", self.scratch.path());
    }

    fn finish(&self, command: Command, timeout: u64) -> Result<Finished> {
        let scenario = Scenario {
            timeout,
            ..Scenario::default()
        };
        process::run(command, &scenario).context("run the tests")
    }
}

/// The subcommands of a program of the runtime's test data, as its source registers them.
fn commands(folder: &Path) -> Result<Vec<String>> {
    #[allow(
        clippy::expect_used,
        reason = "the pattern is a constant, and a test compiles it"
    )]
    static REGISTER: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r#"\bregister\("(\w+)""#).expect("a pattern"));
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "go") {
            let text =
                fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            let found = REGISTER.captures_iter(&text);
            names.extend(found.filter_map(|found| Some(found.get(1)?.as_str().to_owned())));
        }
    }
    if names.is_empty() {
        bail!("{} registers no subcommand", folder.display());
    }
    Ok(names.into_iter().collect())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

impl Calls {
    /// Adds what one stream says; it must be whole and about this run.
    fn add(&mut self, run: &Finished, first: &[u8], last: &[u8]) -> Result<()> {
        let (header, end) = read(first, last)?;
        if let Some(reason) = &header.reason {
            bail!("it ran unhooked: {}: {}", reason.code, reason.message);
        }
        let sum = |counts: &[u64]| counts.iter().sum::<u64>();
        let wrong = end.entered.iter().zip(&end.spans).find(|(a, b)| a < b);
        let (entered, spans) = (sum(&end.entered), sum(&end.spans));
        if wrong.is_some() || entered < spans + end.lost || end.malformed > 0 {
            bail!(
                "the stream does not add up: {entered} calls entered, {spans} spans, {} lost, {} malformed",
                end.lost,
                end.malformed
            );
        }
        let exit = match run.end {
            End::Status(status) => Some(ExitStatus::Code(status)),
            End::Signal(signal) => Some(ExitStatus::Signal(signal)),
            End::TimedOut => None,
        };
        if exit.is_some() && end.exit != exit {
            bail!(
                "the stream says {:?}, the process ended with {}",
                end.exit,
                run.end
            );
        }
        self.hooks += header.hooks.len() as u64;
        self.refused += header.refusals.len() as u64;
        self.entered += entered;
        self.spans += spans;
        self.lost += end.lost;
        self.skipped += end.skipped.total();
        Ok(())
    }
}

fn read(first: &[u8], last: &[u8]) -> Result<(Header, StreamEnd)> {
    let text = [first, b"\n", last, b"\n"].concat();
    let mut stream = ndjson::Reader::new(Cursor::new(text)).context("the stream's first line")?;
    match stream
        .next()
        .transpose()
        .context("the stream's last line")?
        .map(|event| event.kind)
    {
        Some(Kind::End(end)) => Ok((stream.header, end)),
        _ => bail!("the stream has no end line: its agent was killed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gondwana_engine::export::ndjson::VERSION;

    const HEADER: &str = r#"{"kind":"header","schema":"gondwana.stream","version":"VERSION","hooked":true,"host":{"name":"h","kernel":"6"},
        "process":{"pid":1,"start":1,"exe":"/x"},"hooks":[{"id":0,"name":"f","entry":1,"strategy":"frame","abi":"abi0",
        "args":0,"inlined":0,"raw":false}],"refusals":[],"unmatched":[]}"#;

    fn added(end: &str, run: End) -> Result<Calls> {
        let finished = Finished::new(1, run);
        let mut calls = Calls::default();
        calls.add(
            &finished,
            HEADER
                .replace('\n', "")
                .replace("VERSION", VERSION)
                .as_bytes(),
            end.as_bytes(),
        )?;
        Ok(calls)
    }

    #[test]
    fn a_stream_that_does_not_add_up_is_an_error() {
        let good = r#"{"kind":"end","entered":[9],"spans":[6],"lost":1,"published":6,"skipped":{"no_room":1,"no_g":1,"gsignal":1,"deep":1},"malformed":0,"exit":{"code":1}}"#;
        let calls = added(good, End::Status(1)).unwrap();
        assert_eq!((calls.hooks, calls.entered, calls.spans), (1, 9, 6));
        assert_eq!((calls.lost, calls.skipped), (1, 4));
        for (from, to) in [
            ("\"spans\":[6]", "\"spans\":[10]"),
            ("\"lost\":1", "\"lost\":4"),
            ("\"malformed\":0", "\"malformed\":1"),
            ("\"code\":1", "\"code\":0"),
            ("\"end\"", "\"ned\""),
        ] {
            let bad = good.replace(from, to);
            assert_ne!(bad, good);
            assert!(added(&bad, End::Status(1)).is_err(), "{bad}");
        }
        assert!(added("", End::Status(1)).is_err());
        assert!(added(good, End::Signal(9)).is_err());
    }
}
