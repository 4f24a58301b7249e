//! The guards guard: with one rule of the trampoline broken on purpose, a test program fails; with all of them kept it
//! does not.
//!
//! Each case runs one program three times: unhooked, hooked, and hooked by a plan with one sabotage. The hooked run must
//! agree with the unhooked one and with the events that the program's comment promises; the sabotaged one must not. So
//! no case passes because its program could not fail.
//!
//! This test has a `main` of its own (`harness = false`), since a hooked program is started by a process that becomes
//! it: `guards --launch SABOTAGE STREAM PATTERN… -- PROGRAM ARGS…`.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use gondwana_engine::event::Stream;
use gondwana_engine::inject::fail_at::FailAt;
use gondwana_engine::inject::prepare::Wanted;
use gondwana_engine::inject::{Destination, Launch, launch};
use gondwana_engine::plan::{HookOptions, Sabotage};
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::testbins::{self, Case};
use gondwana_harness::toolchain::Toolchains;
use libtest_mimic::{Arguments, Failed, Trial};

/// One rule, and the program and Go version that shows what breaking it does.
struct Guard {
    sabotage: Sabotage,
    /// What goes wrong.
    effect: &'static str,
    program: &'static str,
    minor: u16,
    /// Hooks besides the program's own, none of which need fire.
    more: &'static [&'static str],
}

const GUARDS: &[Guard] = &[
    Guard {
        sabotage: Sabotage::NoModule,
        effect: "stack growth meets a return address of no module",
        program: "stackgrow",
        minor: 13,
        more: &[],
    },
    Guard {
        sabotage: Sabotage::NoModule,
        effect: "stack growth meets a return address of no module",
        program: "stackgrow",
        minor: 27,
        more: &[],
    },
    Guard {
        sabotage: Sabotage::PcspHole,
        effect: "a profiling signal finds no stack depth",
        program: "profiled",
        minor: 21,
        more: &[],
    },
    Guard {
        sabotage: Sabotage::NoRoomCheck,
        effect: "the frame reaches below the stack",
        program: "neighbours",
        minor: 13,
        more: &[],
    },
    Guard {
        sabotage: Sabotage::NoRoomCheck,
        effect: "the frame reaches below the stack",
        program: "neighbours",
        minor: 21,
        more: &[],
    },
    Guard {
        sabotage: Sabotage::NoGsignalCheck,
        effect: "a signal handler writes into a half-written record",
        program: "profiled",
        minor: 21,
        more: &["runtime.findfunc", "runtime.pcvalue"],
    },
    Guard {
        sabotage: Sabotage::NoReentryCheck,
        effect: "a call that grows the stack counts twice",
        program: "stackgrow",
        minor: 21,
        more: &[],
    },
    Guard {
        sabotage: Sabotage::OneWordTooMany,
        effect: "a word of the caller is put back to what it was",
        program: "closures",
        minor: 13,
        more: &[],
    },
];

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some("--launch") {
        return match parse_launch(args) {
            Ok(what) => ExitCode::from(launch(what)),
            Err(error) => {
                eprintln!("guards --launch: {error:#}");
                ExitCode::from(2)
            }
        };
    }
    let trials = GUARDS
        .iter()
        .map(|guard| {
            let name = format!(
                "{:?} on go1.{}: {}",
                guard.sabotage, guard.minor, guard.effect
            );
            Trial::test(name, move || {
                check(guard).map_err(|error| Failed::from(format!("{error:#}")))
            })
        })
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// `SABOTAGE STREAM PATTERN… -- PROGRAM ARGS…`
fn parse_launch(mut args: impl Iterator<Item = String>) -> Result<Launch> {
    let sabotage = match args.next().context("no sabotage")?.as_str() {
        "none" => None,
        text => Some(serde_json::from_value(text.into())?),
    };
    let stream = args.next().context("no stream")?;
    let patterns = args.by_ref().take_while(|arg| arg != "--").collect();
    let program = args.next().context("no program")?;
    Ok(Launch {
        program: program.into(),
        arguments: args.map(Into::into).collect(),
        wanted: Wanted {
            sabotage,
            ..Wanted::new(patterns, HookOptions::default(), Some(1 << 20))
        },
        destination: Destination::File(stream.into()),
        require: true,
        fail_at: FailAt::NEVER,
    })
}

fn check(guard: &Guard) -> Result<()> {
    let case = testbins::case(guard.program)?;
    let toolchain = Toolchains::open()?.get_minor(guard.minor)?;
    let program = Builder::open()?.build(&toolchain, &case.dir, Mode::Static)?;
    let plain = command(&program, &case).output()?;

    let kept = hooked(&case, &program, None, guard.more)?;
    let disagreement = disagreement(&case, &plain, &kept);
    if let Some(what) = disagreement {
        bail!("the intact hooks fail already: {what}");
    }
    let broken = hooked(&case, &program, Some(guard.sabotage), guard.more)?;
    match self::disagreement(&case, &plain, &broken) {
        Some(_) => Ok(()),
        None => bail!("the program does not notice that the rule is broken"),
    }
}

fn command(program: &Path, case: &Case) -> Command {
    let mut command = Command::new(program);
    command.args(&case.args).envs(case.env.iter().cloned());
    command
}

/// A hooked run: what the program wrote, and its stream if it was finished.
struct Hooked {
    output: Output,
    stream: Option<Stream>,
}

fn hooked(
    case: &Case,
    program: &Path,
    sabotage: Option<Sabotage>,
    more: &[&str],
) -> Result<Hooked> {
    let dir = tempfile::tempdir()?;
    let stream = dir.path().join("stream");
    let sabotage = match sabotage {
        None => "none".to_owned(),
        Some(what) => serde_json::to_value(what)?
            .as_str()
            .unwrap_or_default()
            .to_owned(),
    };
    // A broken program may hang: the shell's own time limit ends it.
    let output = Command::new("timeout")
        .arg("60")
        .arg(std::env::current_exe()?)
        .args(["--launch", &sabotage])
        .arg(&stream)
        .args(&case.hooks)
        .args(more)
        .arg("--")
        .arg(program)
        .args(&case.args)
        .envs(case.env.iter().cloned())
        .output()?;
    Ok(Hooked {
        output,
        stream: finished(&stream),
    })
}

/// Waits for the last line, which the agent writes after the program's end.
fn finished(path: &PathBuf) -> Option<Stream> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let stream = std::fs::read(path)
            .ok()
            .and_then(|bytes| Stream::read(bytes.as_slice()).ok());
        match stream {
            Some(stream) if stream.end.is_some() => return Some(stream),
            _ if Instant::now() > deadline => return stream,
            _ => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// What differs from the unhooked run or from what the program's comment promises.
fn disagreement(case: &Case, plain: &Output, hooked: &Hooked) -> Option<String> {
    let output = &hooked.output;
    if output.status != plain.status {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let line = stderr.lines().next().unwrap_or_default().to_owned();
        return Some(format!(
            "{} instead of {}: {line}",
            output.status, plain.status
        ));
    }
    if output.stdout != plain.stdout {
        return Some("its output differs".to_owned());
    }
    let Some((stream, end)) = hooked
        .stream
        .as_ref()
        .and_then(|s| Some((s, s.end.as_ref()?)))
    else {
        return Some("its stream has no end".to_owned());
    };
    if end.malformed > 0 {
        return Some(format!("{} malformed records", end.malformed));
    }
    for expected in &case.events {
        let pattern = gondwana_engine::spec::Pattern::parse(&expected.pattern).ok()?;
        let of = |counts: &[u64]| -> u64 {
            let hooks = stream.header.hooks.iter();
            hooks
                .zip(counts)
                .filter(|(hook, _)| pattern.matches(&hook.name))
                .map(|(_, n)| n)
                .sum()
        };
        let (entered, spans) = (of(&end.entered), of(&end.spans));
        if !expected.spans.admits(spans) && end.lost == 0 {
            return Some(format!(
                "{}: {spans} spans, expected {}",
                expected.pattern, expected.spans
            ));
        }
        if !expected.abandoned.admits(entered.saturating_sub(spans)) && end.lost == 0 {
            return Some(format!(
                "{}: {entered} entered, {spans} spans",
                expected.pattern
            ));
        }
    }
    None
}
