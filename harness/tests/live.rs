//! Hooking a running Go program fails, or its agent dies, at every step and at any moment: the program does not notice.
//!
//! `GONDWANA_GO=1.5,1.21.13` chooses the versions, `GONDWANA_GO=all` takes every minor version's last patch.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use gondwana_engine::agent::testing::agents;
use gondwana_engine::event;
use gondwana_engine::export::ndjson::Stream;
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::toolchain::{Toolchains, chosen};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const EVERYDAY: [&str; 2] = ["1.9", "1.26"];

/// The test program, in every version and mode that is asked for.
fn programs() -> Vec<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/selfcheck");
    let toolchains = Toolchains::open().unwrap();
    let builder = Builder::open().unwrap();
    chosen(&EVERYDAY)
        .unwrap()
        .into_iter()
        .map(|version| {
            let toolchain = toolchains.get_version(version).unwrap();
            builder.build(&toolchain, &source, Mode::Static).unwrap()
        })
        .collect()
}

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn stream_path(&self) -> PathBuf {
        self.0.path().join("stream.ndjson")
    }

    fn hooked(&self, program: &Path, options: &[&str], args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gondwana-harness"));
        command
            .env("GONDWANA_TEST", self.0.path())
            .args([
                "__run",
                "--hook",
                "main.*",
                "--hook",
                "runtime.mallocgc",
                "--out",
            ])
            .arg(self.stream_path())
            .args(options)
            .arg("--")
            .arg(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn agents(&self, program: u32) -> Vec<u32> {
        agents(self.0.path(), program)
    }

    fn no_agent_is_left(&self) {
        let started = Instant::now();
        while !self.agents(0).is_empty() {
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "an agent is left"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn stream(&self) -> Stream {
        self.no_agent_is_left();
        Stream::read(std::fs::read(self.stream_path()).unwrap().as_slice()).unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn plain(program: &Path, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    text(&output.stdout)
}

const STEPS: [&str; 11] = [
    "executed",
    "front-mapped",
    "marker-written",
    "main-reached",
    "stopped",
    "planned",
    "code-mapped",
    "data-mapped",
    "rings-created",
    "rings-mapped",
    "installed",
];
/// Code, module, its link (and the last module's pointer), entries: `write=5` is an entry in every version.
const WRITES: usize = 6;

fn steps() -> Vec<String> {
    let writes = (0..WRITES).flat_map(|n| [format!("write={n}"), format!("half={n}")]);
    STEPS.into_iter().map(str::to_owned).chain(writes).collect()
}

#[test]
fn hooks_see_every_call_and_leave_no_descriptor() {
    for program in programs() {
        let scratch = Scratch::new();
        // Room for all of them: the program may end before the agent has looked once.
        let options = ["--slots", "65536"];
        let output = scratch.hooked(&program, &options, &["-look"]).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        let stdout = text(&output.stdout);
        assert!(stdout.contains("descriptors []\n"), "{stdout}");
        // What the rolled back runs must not show is there to be seen.
        assert!(stdout.contains("text unchanged false\n"), "{stdout}");
        assert!(stdout.contains("gondwana-rings"), "{stdout}");
        assert_eq!(text(&output.stderr), "");
        let stream = scratch.stream();
        let end = stream.end.unwrap();
        let work = stream
            .header
            .hooks
            .iter()
            .position(|hook| hook.name == "main.work")
            .unwrap();
        assert_eq!((end.entered[work], end.spans[work]), (1000, 1000));
        assert_eq!(
            (end.lost, end.malformed, end.exit),
            (0, 0, Some(event::ExitStatus::Code(0)))
        );
        let found = stream
            .spans
            .iter()
            .filter(|span| span.hook as usize == work)
            .count();
        assert_eq!(found, 1000);
    }
}

#[test]
fn a_failure_at_any_step_leaves_the_program_as_it_was() {
    for program in programs() {
        let expected = plain(&program, &["-look"]);
        assert!(expected.contains("text unchanged true\n"), "{expected}");
        for step in steps() {
            let scratch = Scratch::new();
            let output = scratch
                .hooked(&program, &["--fail-at", &step], &["-look"])
                .output()
                .unwrap();
            assert!(output.status.success(), "{step}: {output:?}");
            assert_eq!(
                text(&output.stdout),
                expected,
                "{step} of {}",
                program.display()
            );
            let stderr = text(&output.stderr);
            assert!(
                stderr.starts_with("gondwana: running unhooked: asked to fail at"),
                "{step}: {stderr}"
            );
            assert_eq!(stderr.lines().count(), 1, "{step}: {stderr}");
            let stream = scratch.stream();
            assert_eq!(stream.header.reason.unwrap().code, "test", "{step}");
            assert_eq!(stream.end.unwrap().exit, Some(event::ExitStatus::Code(0)));
        }
    }
}

/// What cannot be taken back leads into code that must then stay. (The write of each number is undone after those above it.)
#[test]
fn a_failed_undo_leaves_everything_that_jumps_lead_to() {
    for program in programs() {
        let expected = plain(&program, &["20"]);
        // The last of these is an entry in every version.
        for undo in 2..WRITES {
            let scratch = Scratch::new();
            let step = format!("undo={undo}");
            let output = scratch
                .hooked(&program, &["--fail-at", &step], &["20"])
                .output()
                .unwrap();
            let what = format!("{step} of {}: {output:?}", program.display());
            assert!(output.status.success(), "{what}");
            assert_eq!(text(&output.stdout), expected, "{what}");
            assert!(
                text(&output.stderr).contains("; then cannot undo at"),
                "{what}"
            );
            assert_eq!(text(&output.stderr).lines().count(), 1, "{what}");
            let stream = scratch.stream();
            assert!(!stream.header.hooked && stream.end.is_some(), "{what}");
        }
        // What is left behind is there to be seen.
        let scratch = Scratch::new();
        let left = scratch
            .hooked(&program, &["--fail-at", "undo=5"], &["-look"])
            .output()
            .unwrap();
        assert!(
            text(&left.stdout).contains("text unchanged false\n"),
            "{left:?}"
        );
    }
}

#[test]
fn of_several_patterns_those_that_match_are_hooked_and_the_others_named() {
    let program = programs().pop().unwrap();
    let scratch = Scratch::new();
    let missing = ["--hook", "main.wrk", "--hook", "re:^zzz"];
    let output = scratch
        .hooked(&program, &missing, &["20"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(
        text(&output.stderr),
        "gondwana: hooked, but pattern `main.wrk` matches no function; did you mean `main.work`, `main.main`, \
         `main.deep`?; pattern `re:^zzz` matches no function\n"
    );
    let header = scratch.stream().header;
    assert!(header.hooked && header.hooks.iter().any(|hook| hook.name == "main.work"));
    let unmatched: Vec<_> = header
        .unmatched
        .iter()
        .map(|one| one.pattern.as_str())
        .collect();
    assert_eq!(unmatched, ["main.wrk", "re:^zzz"]);

    // Where hooks are required, each pattern must have one: also where all that it matches is refused.
    for (pattern, code) in [
        ("main.wrk", "nothing-matches"),
        ("runtime.goexit", "nothing-hookable"),
    ] {
        let scratch = Scratch::new();
        let options = ["--hook", pattern, "--require-hooks"];
        let output = scratch
            .hooked(&program, &options, &["20"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(125), "{output:?}");
        assert_eq!(text(&output.stdout), "");
        assert!(text(&output.stderr).contains(pattern), "{output:?}");
        assert_eq!(scratch.stream().header.reason.unwrap().code, code);
    }
}

#[test]
fn required_hooks_that_fail_end_the_program_at_every_step() {
    for program in programs() {
        for step in steps() {
            let scratch = Scratch::new();
            let options = ["--fail-at", &step, "--require-hooks"];
            let output = scratch.hooked(&program, &options, &[]).output().unwrap();
            assert_eq!(output.status.code(), Some(125), "{step}: {output:?}");
            assert_eq!(text(&output.stdout), "", "{step}");
            scratch.no_agent_is_left();
        }
    }
}

#[test]
fn the_agents_death_at_any_step_is_not_noticed() {
    for program in programs() {
        let expected = plain(&program, &["20"]);
        for step in steps().into_iter().chain(["detached".to_owned()]) {
            let scratch = Scratch::new();
            let fail_at = format!("{step}:die");
            let output = scratch
                .hooked(&program, &["--fail-at", &fail_at], &["20"])
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{step} of {}: {output:?}",
                program.display()
            );
            assert_eq!(text(&output.stdout), expected, "{step}");
            assert_eq!(text(&output.stderr), "", "{step}");
            scratch.no_agent_is_left();
        }
    }
}

/// Moments from before the agent's start until after the program's end.
fn moments() -> impl Iterator<Item = Duration> {
    (0..40).map(|n| Duration::from_micros(n * n * 40))
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(id.try_into().unwrap())
}

fn finish(child: Child) -> Output {
    child.wait_with_output().unwrap()
}

#[test]
fn the_agents_death_at_any_moment_is_not_noticed() {
    for program in programs() {
        let expected = plain(&program, &["20"]);
        for moment in moments() {
            let scratch = Scratch::new();
            let child = scratch.hooked(&program, &[], &["20"]).spawn().unwrap();
            std::thread::sleep(moment);
            for agent in scratch.agents(child.id()) {
                let _ = kill(pid(agent), Signal::SIGKILL);
            }
            let output = finish(child);
            assert!(
                output.status.success(),
                "{moment:?} of {}: {output:?}",
                program.display()
            );
            assert_eq!(text(&output.stdout), expected, "{moment:?}");
            scratch.no_agent_is_left();
        }
    }
}

/// Whether the program has asked for this signal.
fn catches(program: u32, signal: Signal) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{program}/status")).unwrap();
    let caught = status
        .lines()
        .find_map(|line| line.strip_prefix("SigCgt:"))
        .unwrap();
    let caught = u64::from_str_radix(caught.trim(), 16).unwrap();
    caught >> (signal as u32 - 1) & 1 == 1
}

/// How the unhooked program ends by SIGTERM once the Go runtime handles it: up to Go 1.5 by `exit(2)`, later by the signal
/// (`runtime/signal_amd64x.go` and `runtime/signal_sighandler.go`, `_SigKill`).
fn terminated(program: &Path) -> ExitStatus {
    let child = Command::new(program)
        .arg(i32::MAX.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    while !catches(child.id(), Signal::SIGTERM) {
        std::thread::sleep(Duration::from_millis(1));
    }
    kill(pid(child.id()), Signal::SIGTERM).unwrap();
    finish(child).status
}

#[test]
fn a_program_that_is_killed_while_it_is_hooked_leaves_no_agent() {
    for program in programs() {
        let handled = terminated(&program);
        for (moment, signal) in
            moments().zip([Signal::SIGKILL, Signal::SIGTERM].into_iter().cycle())
        {
            let scratch = Scratch::new();
            let child = scratch.hooked(&program, &[], &["20"]).spawn().unwrap();
            std::thread::sleep(moment);
            kill(pid(child.id()), signal).unwrap();
            let output = finish(child);
            assert!(
                output.status.success()
                    || output.status.signal() == Some(signal as i32)
                    || signal == Signal::SIGTERM && output.status == handled,
                "{moment:?} of {}: {output:?}",
                program.display()
            );
            // Its end is no failure of hooking.
            if output.status.signal() == Some(libc::SIGKILL) {
                assert_eq!(text(&output.stderr), "", "{moment:?}");
            }
            scratch.no_agent_is_left();
        }
    }
}

#[test]
fn a_program_that_is_stopped_while_it_is_hooked_goes_on_when_it_is_told_to() {
    for program in programs() {
        let expected = plain(&program, &["20"]);
        for moment in moments().step_by(2) {
            let scratch = Scratch::new();
            let child = scratch.hooked(&program, &[], &["20"]).spawn().unwrap();
            std::thread::sleep(moment);
            kill(pid(child.id()), Signal::SIGSTOP).unwrap();
            let started = Instant::now();
            loop {
                let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
                let state = stat.rsplit_once(") ").unwrap().1.chars().next().unwrap();
                // `t`: stopped under trace, by the signal or in passing.
                if "TtZ".contains(state) {
                    break;
                }
                assert!(
                    started.elapsed() < Duration::from_secs(20),
                    "{moment:?}: {stat}"
                );
                std::thread::sleep(Duration::from_millis(1));
            }
            kill(pid(child.id()), Signal::SIGCONT).unwrap();
            let output = finish(child);
            assert!(output.status.success(), "{moment:?}: {output:?}");
            assert_eq!(text(&output.stdout), expected);
            scratch.no_agent_is_left();
        }
    }
}
