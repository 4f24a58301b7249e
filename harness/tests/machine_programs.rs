//! Programs of other people, and a server that serves itself, in the emulated process: output, exit status and stream are
//! those of a native run, hooked and unhooked.
//!
//! This test has a `main` of its own (`harness = false`), since what cannot be obtained is counted as ignored.

mod packages;

use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use gondwana_engine::event::{End as StreamEnd, Hook, Kind};
use gondwana_engine::export::ndjson;
use gondwana_engine::inject::prepare::{Description, Wanted};
use gondwana_engine::plan::HookOptions;
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::executor::native::hooked::{Agent, wait_for_end};
use gondwana_harness::executor::native::process::{self, End, Scenario};
use gondwana_harness::machine::{Ending, MEMORY, Machine, Pause, Setup, Stream, Until};
use gondwana_harness::testbins;
use gondwana_harness::toolchain::{Toolchains, chosen};
use libtest_mimic::{Arguments, Trial};
use packages::{Package, Source, Use, trials};

/// Versions whose server serves itself every day: of each calling convention, with and without asynchronous preemption.
const EVERYDAY: [&str; 3] = ["1.9", "1.16", "1.27"];

/// What a run came to.
#[derive(PartialEq, Eq, Debug)]
struct Outcome {
    end: End,
    out: String,
    err: String,
}

/// Runs a program in the machine; the stream of one that is not hooked says nothing.
fn emulate(file: &Path, setup: Setup, hooks: &[String]) -> (Outcome, Vec<u8>) {
    let data = std::fs::read(file).unwrap();
    let mut machine = Machine::start(&data, setup).unwrap();
    let mut known = Description::default();
    if !hooks.is_empty() {
        let wanted = Wanted::new(hooks, HookOptions::default(), MEMORY).unwrap();
        machine.hook(&wanted, &mut known).unwrap();
    }
    let mut bytes = Vec::new();
    let stream = Stream::new(&mut bytes, &machine, known).unwrap();
    let Pause::Ended(ending) = machine.run(Until::END).unwrap() else {
        panic!("the machine paused");
    };
    stream.end(&mut machine).unwrap();
    let (out, err) = machine.output();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let outcome = Outcome {
        end: match ending {
            Ending::Status(status) => End::Status(status),
            Ending::Signal(signal) => End::Signal(signal),
        },
        out: text(out),
        err: text(err),
    };
    (outcome, bytes)
}

fn natively(mut command: Command, dir: &Path) -> Outcome {
    command.current_dir(dir);
    let scenario = Scenario {
        timeout: 120,
        ..Scenario::default()
    };
    let run = process::run(command, &scenario).unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Outcome {
        end: run.end,
        out: text(&run.stdout),
        err: text(&run.stderr),
    }
}

/// The files that a program works on, and how it is run.
struct Work {
    files: &'static [(&'static str, &'static str)],
    args: &'static [&'static str],
    hooks: &'static [&'static str],
}

fn check(program: &Path, work: &Work) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in work.files {
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let mut command = Command::new(program);
    command.args(work.args).env_clear().env("HOME", "/tmp");
    let native = natively(command, dir.path());
    let hooks: Vec<String> = work.hooks.iter().map(|&hook| hook.to_owned()).collect();
    for hooks in [&[][..], &hooks] {
        let mut setup = Setup::new(&program.display().to_string()).args(work.args);
        setup.env = vec![b"HOME=/tmp".to_vec()];
        setup.root = dir.path().to_owned();
        let (emulated, stream) = emulate(program, setup, hooks);
        assert_eq!(emulated, native, "{} {hooks:?}", program.display());
        if !hooks.is_empty() {
            let normal = Normal::read(&stream);
            let spans: u64 = normal.end.spans.iter().sum();
            println!(
                "{}: {} hooks, {spans} spans",
                program.display(),
                normal.hooks.len()
            );
            assert!(spans > 0 && normal.end.lost == 0 && normal.end.malformed == 0);
        }
    }
}

/// A stream without what differs from run to run: times, threads, goroutines, and the order that follows from them.
#[derive(PartialEq, Eq, Debug)]
struct Normal {
    hooks: Vec<Hook>,
    refused: Vec<(String, String)>,
    /// How often each hook was called with so many bytes of stack in use.
    spans: BTreeMap<(u32, u64), u64>,
    end: StreamEnd,
}

impl Normal {
    fn read(stream: &[u8]) -> Self {
        let reader = ndjson::Reader::new(BufReader::new(stream)).unwrap();
        let header = reader.header.clone();
        assert!(header.hooked);
        let (mut spans, mut ends) = (BTreeMap::new(), Vec::new());
        for line in reader {
            match line.unwrap().kind {
                Kind::Span(span) => *spans.entry((span.hook, span.depth)).or_default() += 1,
                Kind::End(end) => ends.push(end),
                other => panic!("{other:?}"),
            }
        }
        let mut end = ends.pop().unwrap();
        (end.exit, end.anchor) = (None, None);
        Self {
            hooks: header.hooks,
            refused: header
                .refusals
                .into_iter()
                .map(|r| (r.name, r.code))
                .collect(),
            spans,
            end,
        }
    }
}

fn main() -> ExitCode {
    let uses = [
        Use {
            name: "shell_formatter",
            package: Package {
                source: Source::PyPi,
                name: "shfmt-py",
                version: "4.2.0",
                file: "scripts/shfmt",
            },
            check: |program| {
                check(
                    program,
                    &Work {
                        files: &[("in.sh", "if [ x = y ]; then\necho   hi | cat\nfi\n")],
                        args: &["in.sh"],
                        hooks: &["main.*", "mvdan.cc/sh/v3/syntax.*"],
                    },
                )
            },
        },
        Use {
            name: "linter_of_protocol_buffers",
            package: Package {
                source: Source::PyPi,
                name: "buf-bin",
                version: "1.75.0",
                file: "scripts/buf",
            },
            check: |program| {
                check(
                    program,
                    &Work {
                        files: &[(
                            "a.proto",
                            "syntax = \"proto3\";\npackage Foo;\nmessage bar { string BadName = 1; }\n",
                        )],
                        args: &["lint"],
                        hooks: &[
                            "main.main",
                            "github.com/bufbuild/buf/private/bufpkg/bufcheck.*",
                        ],
                    },
                )
            },
        },
        Use {
            name: "task_runner",
            package: Package {
                source: Source::PyPi,
                name: "go-task-bin",
                version: "3.54.0",
                file: "scripts/task",
            },
            check: |program| {
                check(
                    program,
                    &Work {
                        // One after the other: tasks that are independent may run in any order.
                        files: &[(
                            "Taskfile.yml",
                            "version: '3'\nvars:\n  NAME: world\ntasks:\n  default:\n    deps: [one]\n    cmds:\n      \
             - echo \"hello {{.NAME}}\"\n  one:\n    cmds: [ 'for i in 1 2 3; do echo one $i; done' ]\n",
                        )],
                        args: &[],
                        hooks: &["main.main", "github.com/go-task/task/v3*"],
                    },
                )
            },
        },
    ];
    let mut trials = trials(&uses);
    trials.push(Trial::test(
        "a_server_serves_itself_and_its_stream_is_the_native_one",
        || {
            server();
            Ok(())
        },
    ));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A server that is its own client: output and stream are the native ones.
fn server() {
    let toolchains = Toolchains::open().unwrap();
    let builder = Builder::open().unwrap();
    let case = testbins::case("httpserve").unwrap();
    let agent = Agent::harness(env!("CARGO_BIN_EXE_gondwana-harness"));
    for version in chosen(&EVERYDAY).unwrap() {
        let toolchain = toolchains.get_version(version).unwrap();
        let program = builder.build(&toolchain, &case.dir, Mode::Static).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("stream");
        let native = natively(
            agent.command(&program, &case.hooks, &path, &case.args),
            dir.path(),
        );
        assert!(wait_for_end(&path, Duration::from_secs(60)), "{version}");
        let (emulated, stream) = emulate(&program, Setup::new("httpserve"), &case.hooks);
        assert_eq!(emulated, native, "{version}");
        let expected = Normal::read(&std::fs::read(&path).unwrap());
        assert_eq!(expected.end.spans, [400, 400], "{version}");
        assert_eq!(Normal::read(&stream), expected, "{version}");
    }
}
