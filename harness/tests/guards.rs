//! The guards guard: with one rule of the trampoline broken on purpose, a test program fails as that rule says; with all of
//! them kept it does not fail.
//!
//! Each case runs one program three times: unhooked, hooked, and hooked by a plan that was broken in one way after it had been
//! verified (`mutate/`). The hooked run must agree with the unhooked one and with the events that the program's comment
//! promises; the broken one must show what the case names, and another failure is none of the expected ones. So no case passes
//! because its program could not fail, or failed for another reason.
//!
//! This test has a `main` of its own (`harness = false`), since a hooked program is started by a process that becomes
//! it: `guards --launch MUTATION VERSION STREAM PATTERN… -- PROGRAM ARGS…`.

mod mutate;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use gondwana_engine::agent::{Destination, Launch, launch_changed};
use gondwana_engine::export::ndjson::Stream;
use gondwana_engine::golang::{Facts, GoVersion};
use gondwana_engine::inject::budget::Memory;
use gondwana_engine::inject::change::Change;
use gondwana_engine::inject::fail_at::FailAt;
use gondwana_engine::inject::prepare::Wanted;
use gondwana_engine::inject::{Failure, FailureCode};
use gondwana_engine::plan::HookOptions;
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::testbins::{self, Case};
use gondwana_harness::toolchain::Toolchains;
use libtest_mimic::{Arguments, Failed, Trial};

use mutate::Mutation;

/// One rule, and the program and Go version that shows what breaking it does.
struct Guard {
    mutation: Mutation,
    /// What goes wrong.
    effect: &'static str,
    /// How that is seen.
    sign: Sign,
    program: &'static str,
    minor: u16,
    /// Hooks besides the program's own, none of which need fire.
    more: &'static [&'static str],
}

/// What a broken hook must show.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sign {
    /// The runtime ends the program, and says all of this.
    Dies(&'static [&'static str]),
    /// The program does as ever, and records do not make sense.
    Malformed,
    /// The program does as ever, and calls began before it did.
    BeginsEarly,
    /// The program does as ever, and more calls of this function are counted and recorded than it makes.
    CountsMore(&'static str),
    /// The program does as ever, and no call of this function is counted.
    CountsNone(&'static str),
}

impl fmt::Display for Sign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dies(words) => write!(f, "the program dies and says {words:?}"),
            Self::BeginsEarly => {
                f.write_str("the program does as ever, with calls that began before it did")
            }
            Self::Malformed => f.write_str("the program does as ever, with malformed records"),
            Self::CountsMore(name) => {
                write!(
                    f,
                    "the program does as ever, with more calls of {name} than it makes"
                )
            }
            Self::CountsNone(name) => {
                write!(f, "the program does as ever, without a call of {name}")
            }
        }
    }
}

/// What the runtime says of a stack that would outgrow its limit.
const OVERFLOW: &[&str] = &[
    "runtime: goroutine stack exceeds",
    "fatal error: stack overflow",
];

const GUARDS: &[Guard] = &[
    Guard {
        mutation: Mutation::NoModule,
        effect: "stack growth meets a return address of no module",
        sign: Sign::Dies(&["unexpected return pc for main.down"]),
        program: "stackgrow",
        minor: 13,
        more: &[],
    },
    Guard {
        mutation: Mutation::NoModule,
        effect: "stack growth meets a return address of no module",
        sign: Sign::Dies(&["unexpected return pc for main.down"]),
        program: "stackgrow",
        minor: 27,
        more: &[],
    },
    Guard {
        mutation: Mutation::PcspHole,
        effect: "a profiling signal finds no stack depth",
        sign: Sign::Dies(&[
            "runtime: invalid pc-encoded table",
            "fatal error: invalid runtime symbol table",
        ]),
        program: "profiled",
        minor: 21,
        more: &[],
    },
    Guard {
        mutation: Mutation::NoRoomCheck,
        effect: "the frame reaches below the stack",
        sign: Sign::Dies(&["fatal error: runtime: split stack overflow"]),
        program: "neighbours",
        minor: 13,
        more: &[],
    },
    Guard {
        mutation: Mutation::NoRoomCheck,
        effect: "the frame reaches below the stack",
        sign: Sign::Dies(&["fatal error: runtime: split stack overflow"]),
        program: "neighbours",
        minor: 21,
        more: &[],
    },
    Guard {
        mutation: Mutation::NoDepthCheck,
        effect: "frames of hooks take the stack that a deep recursion needs",
        sign: Sign::Dies(OVERFLOW),
        program: "deep",
        minor: 13,
        more: &[],
    },
    Guard {
        mutation: Mutation::NoDepthCheck,
        effect: "frames of hooks take the stack that a deep recursion needs",
        sign: Sign::Dies(OVERFLOW),
        program: "deep",
        minor: 27,
        more: &[],
    },
    Guard {
        mutation: Mutation::NoGsignalCheck,
        effect: "a signal handler writes into a half-written record",
        sign: Sign::Malformed,
        program: "profiled",
        minor: 21,
        more: &["runtime.findfunc", "runtime.pcvalue"],
    },
    Guard {
        mutation: Mutation::NoReentryCheck,
        effect: "a call that grows the stack counts twice",
        sign: Sign::CountsMore("main.down"),
        program: "stackgrow",
        minor: 21,
        more: &[],
    },
    Guard {
        mutation: Mutation::OneWordTooMany,
        effect: "a word of the caller lies where the time of the entry was",
        sign: Sign::BeginsEarly,
        program: "closures",
        minor: 13,
        // Its trampoline begins another page, so that there is room for the copies of all the others.
        more: &["runtime.allocm"],
    },
    Guard {
        mutation: Mutation::PastTheHook,
        effect: "nobody sees the calls",
        sign: Sign::CountsNone("main.down"),
        program: "stackgrow",
        minor: 21,
        more: &[],
    },
];

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() == Some("--launch") {
        return match parse_launch(args) {
            Ok((launch, change)) => ExitCode::from(launch_changed(launch, change)),
            Err(error) => {
                eprintln!("guards --launch: {error:#}");
                ExitCode::from(2)
            }
        };
    }
    let for_use = Trial::test("what is built for use cannot change a plan", || {
        without_test_support().map_err(|error| Failed::from(format!("{error:#}")))
    });
    let trials = GUARDS
        .iter()
        .map(|guard| {
            let name = format!(
                "{} on go1.{}: {}",
                guard.mutation, guard.minor, guard.effect
            );
            Trial::test(name, move || {
                check(guard).map_err(|error| Failed::from(format!("{error:#}")))
            })
        })
        .chain([for_use])
        .collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The feature that lets a test change a plan is no default, and nothing but tests asks for it.
fn without_test_support() -> Result<()> {
    let harness = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (file, is_engine) in [("Cargo.toml", false), ("../engine/Cargo.toml", true)] {
        let text = std::fs::read_to_string(harness.join(file))?;
        let manifest: toml::Table = text.parse()?;
        let part = |name: &str| {
            manifest
                .get(name)
                .map(|part| format!("{part:?}"))
                .unwrap_or_default()
        };
        ensure!(
            !part("dependencies").contains(FEATURE),
            "{file} asks for it"
        );
        let Some(features) = manifest.get("features").and_then(toml::Value::as_table) else {
            ensure!(!is_engine, "the engine has no features");
            continue;
        };
        ensure!(
            !is_engine || features.contains_key(FEATURE),
            "there is no `{FEATURE}`"
        );
        let mut others = features.iter().filter(|(name, _)| *name != FEATURE);
        ensure!(
            others.all(|(_, what)| !format!("{what:?}").contains(FEATURE)),
            "it is implied"
        );
    }
    Ok(())
}

/// What lets a test change a plan.
const FEATURE: &str = "test-support";

/// `MUTATION VERSION STREAM PATTERN… -- PROGRAM ARGS…`
fn parse_launch(mut args: impl Iterator<Item = String>) -> Result<(Launch, Change)> {
    let change = match args.next().context("no mutation")?.as_str() {
        INTACT => None,
        name => Some(Mutation::named(name)?),
    };
    let version: GoVersion = args.next().context("no version")?.parse()?;
    let facts = Facts::known_or_like(version)?;
    let stream = args.next().context("no stream")?;
    let patterns: Vec<_> = args.by_ref().take_while(|arg| arg != "--").collect();
    let program = args.next().context("no program")?;
    let launch = Launch {
        program: program.into(),
        arguments: args.map(Into::into).collect(),
        wanted: Wanted::new(
            patterns,
            HookOptions::default(),
            Memory::Rings {
                rings: 256,
                slots: 1 << 20,
            },
        )?,
        destination: Destination::File(stream.into()),
        require: true,
        fail_at: FailAt::NEVER,
    };
    let change = change.map_or_else(Change::default, |mutation| {
        Change::by(move |prepared| {
            let broken = mutation.apply(&facts, prepared.plan.plan());
            broken
                .and_then(|plan| mutate::replace(prepared, plan))
                .map_err(|error| Failure::new(FailureCode::Plan, format!("{error:#}")))
        })
    });
    Ok((launch, change))
}

fn check(guard: &Guard) -> Result<()> {
    let case = testbins::case(guard.program)?;
    let toolchain = Toolchains::open()?.get_minor(guard.minor)?;
    let program = Builder::open()?.build(&toolchain, &case.dir, Mode::Static)?;
    let plain = command(&program, &case).output()?;
    let run = |mutation: &str| {
        let version = toolchain.version().to_string();
        hooked(&case, &program, mutation, &version, guard.more)
    };
    let kept = run(INTACT)?;
    if let Some(what) = disagreement(&case, &plain, &kept) {
        bail!("the intact hooks fail already: {what}");
    }
    let broken = run(&guard.mutation.to_string())?;
    shows(guard.sign, &case, &plain, &broken).with_context(|| {
        let seen = disagreement(&case, &plain, &broken);
        let seen = seen.unwrap_or_else(|| "the program does not notice".to_owned());
        format!("expected that {}; but: {seen}", guard.sign)
    })
}

/// Whether a broken run shows what it must.
fn shows(sign: Sign, case: &Case, plain: &Output, broken: &Hooked) -> Result<()> {
    if let Sign::Dies(words) = sign {
        let said = String::from_utf8_lossy(&broken.output.stderr);
        ensure!(broken.output.status != plain.status, "it does not die");
        ensure!(broken.output.status.code() != Some(TIMED_OUT), "it hangs");
        for word in words {
            ensure!(said.contains(word), "it does not say `{word}`");
        }
        return Ok(());
    }
    ensure!(
        broken.output.status == plain.status,
        "its exit status differs"
    );
    ensure!(broken.output.stdout == plain.stdout, "its output differs");
    let stream = broken.stream.as_ref().context("no stream")?;
    let end = stream.end.as_ref().context("a stream without an end")?;
    match sign {
        Sign::Dies(_) => {}
        Sign::Malformed => ensure!(end.malformed > 0, "all records make sense"),
        Sign::BeginsEarly => ensure!(
            stream.spans.iter().any(|span| span.start < broken.began),
            "all calls began in their time"
        ),
        Sign::CountsMore(name) | Sign::CountsNone(name) => {
            ensure!(end.malformed == 0, "{} malformed records", end.malformed);
            let expected = case.events.iter().find(|event| event.pattern == name);
            let expected = expected.context("no such event")?;
            let Calls { entered, spans } = calls(stream, name).context("no such hook")?;
            match sign {
                Sign::CountsNone(_) => ensure!((entered, spans) == (0, 0), "{spans} spans"),
                _ => ensure!(
                    entered == spans && !expected.spans.admits(spans),
                    "{entered} calls counted, {spans} spans, expected {}",
                    expected.spans
                ),
            }
        }
    }
    Ok(())
}

/// Instead of a mutation's name: the plan as it is.
const INTACT: &str = "intact";
/// Exit status of `timeout` for a program that hangs.
const TIMED_OUT: i32 = 124;

fn command(program: &Path, case: &Case) -> Command {
    let mut command = Command::new(program);
    command.args(&case.args).envs(case.env.iter().cloned());
    command
}

/// A hooked run: what the program wrote, and its stream if it was finished.
struct Hooked {
    /// When it was started, in nanoseconds since 1970.
    began: u64,
    output: Output,
    stream: Option<Stream>,
}

fn hooked(
    case: &Case,
    program: &Path,
    mutation: &str,
    version: &str,
    more: &[&str],
) -> Result<Hooked> {
    let dir = tempfile::tempdir()?;
    let stream = dir.path().join("stream");
    let began = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let began = u64::try_from(began.as_nanos())?;
    // A broken program may hang: the shell's own time limit ends it.
    let output = Command::new("timeout")
        .arg("60")
        .arg(std::env::current_exe()?)
        .args(["--launch", mutation, version])
        .arg(&stream)
        .args(&case.hooks)
        .args(more)
        .arg("--")
        .arg(program)
        .args(&case.args)
        .envs(case.env.iter().cloned())
        .output()?;
    Ok(Hooked {
        began,
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
        let Calls { entered, spans } = calls(stream, &expected.pattern)?;
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

/// Calls of the functions that a pattern names, as the stream's end counts them.
struct Calls {
    entered: u64,
    spans: u64,
}

fn calls(stream: &Stream, pattern: &str) -> Option<Calls> {
    let end = stream.end.as_ref()?;
    let pattern = gondwana_engine::spec::Pattern::parse(pattern).ok()?;
    let of = |counts: &[u64]| -> u64 {
        let hooks = stream.header.hooks.iter();
        hooks
            .zip(counts)
            .filter(|(hook, _)| pattern.matches(&hook.name))
            .map(|(_, n)| n)
            .sum()
    };
    Some(Calls {
        entered: of(&end.entered),
        spans: of(&end.spans),
    })
}
