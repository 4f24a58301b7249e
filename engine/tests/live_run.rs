//! `gondwana run` changes nothing of a program but its speed: status, signals, descriptors, children, identity.
//!
//! The programs here are no Go programs: they run unhooked, through the same tracing, execve and detaching as hooked ones.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use gondwana_engine::agent::testing::agents;
use gondwana_engine::event::ExitStatus;
use gondwana_engine::export::ndjson::Stream;
use gondwana_engine::golang::GoVersion;
use gondwana_engine::image::testing::{Synthetic, SyntheticFunction};
use gondwana_engine::image::{Image, ImageErrorCode};
use gondwana_engine::inject::FailureCode;

const GONDWANA: &str = env!("CARGO_BIN_EXE_gondwana");

/// A directory for one test, whose name stands in the agent's environment.
struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn stream_path(&self) -> PathBuf {
        self.0.path().join("stream.ndjson")
    }

    fn run(&self, program: &[&str]) -> Command {
        self.run_with(&[], program)
    }

    fn run_with(&self, options: &[&str], program: &[&str]) -> Command {
        let mut command = Command::new(GONDWANA);
        command
            .env("GONDWANA_TEST", self.0.path())
            .args(["run", "--hook", "main.*", "--out"])
            .arg(self.stream_path())
            .args(options)
            .arg("--")
            .args(program);
        command
    }

    /// The whole stream, once it has its end.
    fn stream(&self) -> Stream {
        self.wait_for("the end of the stream", || {
            let file = std::fs::read(self.stream_path()).ok()?;
            Stream::read(file.as_slice())
                .ok()
                .filter(|stream| stream.end.is_some())
        })
    }

    fn wait_for<T>(&self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "waited in vain for {what}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn agents(&self, program: u32) -> Vec<u32> {
        agents(self.0.path(), program)
    }

    fn no_agent_is_left(&self) {
        self.wait_for("the agent's end", || {
            self.agents(0).is_empty().then_some(())
        });
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn plain(program: &[&str]) -> Output {
    Command::new(program[0])
        .args(&program[1..])
        .output()
        .unwrap()
}

#[test]
fn exit_status_output_and_the_one_line_are_as_promised() {
    let scratch = Scratch::new();
    let output = scratch
        .run(&["sh", "-c", "echo out; echo err >&2; exit 7"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(text(&output.stdout), "out\n");
    let stderr = text(&output.stderr);
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{stderr}");
    assert!(
        lines[0].starts_with("gondwana: running unhooked: "),
        "{stderr}"
    );
    assert!(lines[0].ends_with("(not-go)"), "{stderr}");
    assert_eq!(lines[1], "err");

    let stream = scratch.stream();
    assert!(!stream.header.hooked);
    let reason = stream.header.reason.unwrap();
    assert_eq!(reason.code, "not-go");
    assert!(
        reason.message.contains("programs that it starts"),
        "{}",
        reason.message
    );
    assert_eq!(stream.end.unwrap().exit, Some(ExitStatus::Code(7)));
    let mode = std::fs::metadata(scratch.stream_path())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    scratch.no_agent_is_left();
}

#[test]
fn signals_end_the_program_and_not_the_agent() {
    for signal in [libc::SIGTERM, libc::SIGKILL, libc::SIGINT] {
        let scratch = Scratch::new();
        let mut child = scratch
            .run(&["sh", "-c", "echo up; sleep 60 & wait"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut up = [0; 3];
        child.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
        // The whole group, as a terminal does for Ctrl-C.
        let group = nix::unistd::Pid::from_raw(-(child.id() as i32));
        nix::sys::signal::kill(group, nix::sys::signal::Signal::try_from(signal).unwrap()).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(signal));
        assert_eq!(
            scratch.stream().end.unwrap().exit,
            Some(ExitStatus::Signal(signal))
        );
        scratch.no_agent_is_left();
    }
}

#[test]
fn a_stopped_program_stays_stopped_and_goes_on() {
    let scratch = Scratch::new();
    let mut child = scratch
        .run(&["sh", "-c", "echo up; kill -STOP $$; exit 3"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let pid = child.id();
    scratch.wait_for("the stop", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.starts_with('T').then_some(())
    });
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(pid as i32),
        nix::sys::signal::Signal::SIGCONT,
    )
    .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn the_program_has_the_commands_process_id_and_no_child() {
    let scratch = Scratch::new();
    let script = "echo $$ $PPID; exec cat /proc/$$/task/$$/children";
    let child = scratch
        .run(&["sh", "-c", script])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    assert_eq!(
        text(&output.stdout),
        format!("{pid} {}\n", std::process::id())
    );
}

#[test]
fn a_subreaper_gets_no_child_either() {
    // The flag survives execve: PR_SET_CHILD_SUBREAPER, then the command.
    let scratch = Scratch::new();
    let child = Command::new("perl")
        .args([
            "-e",
            "syscall(157, 36, 1, 0, 0, 0) == 0 or die; exec @ARGV",
            GONDWANA,
        ])
        .args(["run", "--hook", "x", "--out"])
        .arg(scratch.stream_path())
        .args(["--", "sh", "-c", "exec cat /proc/$$/task/$$/children"])
        .stderr(Stdio::null())
        .output();
    match child {
        Ok(output) => {
            assert_eq!(text(&output.stdout), "");
            assert_eq!(output.status.code(), Some(0));
        }
        Err(error) => println!("not tested: perl: {error}"),
    }
}

#[test]
fn signal_state_and_descriptors_are_those_of_a_plain_start() {
    let scratch = Scratch::new();
    let inner = "grep -E '^(Sig[BCIP]|Shd)' /proc/self/status; exec ls /proc/self/fd";
    for outer in [
        "",
        "trap '' PIPE HUP; ",
        "exec 0<&-; ",
        "exec 2>&-; ",
        "exec 5</dev/null; ",
    ] {
        let script = |prefix: &str| format!("{outer}exec {prefix} sh -c \"{inner}\"");
        let under = format!(
            "'{GONDWANA}' run --hook x --out '{}' --",
            scratch.stream_path().display()
        );
        let expected = plain(&["sh", "-c", &script("")]);
        let found = plain(&["sh", "-c", &script(&under)]);
        assert!(text(&expected.stdout).contains("SigIgn"), "{expected:?}");
        assert_eq!(text(&found.stdout), text(&expected.stdout), "{outer}");
        assert_eq!(found.status.code(), Some(0));
    }
}

#[test]
fn standard_input_belongs_to_the_program() {
    let scratch = Scratch::new();
    let mut child = scratch
        .run(&["cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let bytes = vec![b'x'; 1 << 20];
    let mut stdin = child.stdin.take().unwrap();
    let copy = bytes.clone();
    let feeder = std::thread::spawn(move || stdin.write_all(&copy).unwrap());
    // Reads to the end: nobody else holds the program's standard output or error open.
    let output = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    assert_eq!(output.stdout, bytes);
}

#[test]
fn a_program_that_cannot_be_executed_is_told_apart() {
    let scratch = Scratch::new();
    let directory = scratch.0.path().to_str().unwrap();
    for (program, status) in [
        ("no-such-program", 127),
        ("/no/such/program", 127),
        (directory, 126),
        ("/etc/passwd", 126),
    ] {
        let output = scratch.run(&[program]).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{program}: {output:?}");
        assert_eq!(text(&output.stderr).lines().count(), 1, "{output:?}");
        assert!(!scratch.stream_path().exists(), "{program}");
    }
    scratch.no_agent_is_left();
}

#[test]
fn required_hooks_end_a_program_before_it_starts() {
    let scratch = Scratch::new();
    let output = scratch
        .run_with(&["--require-hooks"], &["sh", "-c", "echo ran"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(125));
    assert_eq!(text(&output.stdout), "");
    assert!(text(&output.stderr).starts_with("gondwana: not started: "));
    assert_eq!(
        scratch.stream().end.unwrap().exit,
        Some(ExitStatus::Code(125))
    );
    scratch.no_agent_is_left();
}

#[test]
fn wrong_arguments_start_nothing() {
    for (options, said) in [
        (&["--hook", "re:("][..], "no regular expression"),
        (
            &["--hook", "main.*", "--hook", "re:["],
            "no regular expression",
        ),
        (&["--hook", ""], "empty hook pattern"),
        (&["--hook", "re:"], "empty hook pattern"),
        (&["--hook", "x", "--out", ""], "no file"),
        (&["--hook", "x", "--out", "fd:x"], "number of a descriptor"),
        (&["--hook", "x", "--memory", "64M"], "number of bytes"),
        (&["--hook", "x", "--no-such-option"], "unexpected option"),
        (&["--hook", "x", "--require-hook"], "unexpected option"),
        (&[], "--hook"),
    ] {
        for require in [&[][..], &["--require-hooks"]] {
            let scratch = Scratch::new();
            let output = Command::new(GONDWANA)
                .arg("run")
                .args(options)
                .args(require)
                .args(["--", "sh", "-c", "echo ran"])
                .current_dir(scratch.0.path())
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(2), "{options:?}: {output:?}");
            assert_eq!(text(&output.stdout), "", "{options:?}");
            assert!(
                text(&output.stderr).contains(said),
                "{options:?}: {output:?}"
            );
            assert_eq!(std::fs::read_dir(scratch.0.path()).unwrap().count(), 0);
        }
    }
}

/// One file for each thing that the executed file may be and that the kernel executes, with its code.
fn files_that_are_not_hooked() -> Vec<(&'static str, Vec<u8>)> {
    let program = Synthetic::new(GoVersion::new(21, 0));
    let file = program.build();
    let find = |bytes: &[u8]| memchr::memmem::find(&file, bytes).unwrap();
    let table = find(&[0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8]);
    let blob = find(b"\xff Go buildinf:");
    let changed = |changes: &[(usize, &[u8])]| {
        let mut file = file.clone();
        for (at, bytes) in changes {
            file[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        file
    };
    let no_table: (usize, &[u8]) = (table, &[0xee; 16]);
    let no_blob: (usize, &[u8]) = (blob, &[0; 16]);
    let of_version = |version, text: &str| {
        let mut program = Synthetic::new(version);
        program.version_text = text.to_owned();
        program.build()
    };
    let mut library = program.clone();
    library
        .functions
        .push(SyntheticFunction::new("_rt0_amd64_linux_lib", &[0xc3]));
    let mut c_archive = library.build();
    let hasmain = {
        let image = Image::parse(&c_archive).unwrap();
        let field = image.facts().module.hasmain.unwrap();
        let at = image.first_moduledata().checked_add(field.into()).unwrap();
        image.bytes(at, 1).unwrap().as_ptr().addr() - c_archive.as_ptr().addr()
    };
    c_archive[hasmain] = 0;
    let linkshared = Synthetic {
        pie: true,
        libraries: vec!["libstd.so".to_owned()],
        ..program
    };
    vec![
        ("not-go", changed(&[no_table, no_blob])),
        (
            "gccgo",
            changed(&[no_table, no_blob, (table + 16, b"/libgo/runtime/proc.c\0")]),
        ),
        (
            "packed",
            changed(&[no_table, no_blob, (64 + 5 * 56 + 4, b"UPX!")]),
        ),
        ("obfuscated", changed(&[(table, &[1, 2, 3, 4])])),
        ("truncated", file[..file.len() - 1].to_vec()),
        ("not-main-program", changed(&[(24, &[0; 8])])),
        ("c-archive", c_archive),
        ("linkshared", linkshared.build()),
        (
            "unsupported-version",
            of_version(GoVersion::new(21, 0), "devel +abcdef Mon Jan 1"),
        ),
        (
            "unproven-version",
            of_version(GoVersion::new(27, 0), "go1.28.0"),
        ),
        (
            "unknown-version",
            of_version(GoVersion::new(21, 0), "nonsense"),
        ),
        (
            "unproven-version",
            of_version(GoVersion::new(19, 0), "go1.21.1"),
        ),
    ]
}

#[test]
fn the_reason_is_the_files_own() {
    for (code, bytes) in files_that_are_not_hooked() {
        let scratch = Scratch::new();
        let path = scratch.0.path().join("program");
        // Not by this process: a child that another test starts meanwhile would hold the file open for writing.
        std::fs::write(scratch.0.path().join("bytes"), bytes).unwrap();
        let script = "cat bytes > program && chmod 755 program";
        let made = Command::new("sh")
            .args(["-c", script])
            .current_dir(scratch.0.path())
            .status()
            .unwrap();
        assert!(made.success());
        let output = scratch.run(&[path.to_str().unwrap()]).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(stderr.lines().count(), 1, "{code}: {stderr}");
        assert!(
            stderr.ends_with(&format!(" ({code})\n")),
            "{code}: {stderr}"
        );
        let reason = scratch.stream().header.reason.unwrap();
        assert_eq!(reason.code, code);
        // The code stands beside it, once.
        assert!(
            !reason.message.contains(&format!("program: {code}: ")),
            "{}",
            reason.message
        );
        // What inspect says of it.
        let inspected = Command::new(GONDWANA)
            .arg("inspect")
            .arg(&path)
            .output()
            .unwrap();
        assert!(
            text(&inspected.stderr).contains(&format!(" {code}: ")),
            "{inspected:?}"
        );
    }
}

#[test]
fn every_reason_is_in_the_document() {
    let document = include_str!("../docs/STREAM.md");
    let (_, document) = document
        .split_once("## Why a program runs unhooked")
        .unwrap();
    let own = FailureCode::OWN.map(FailureCode::as_str);
    let images = ImageErrorCode::ALL.map(ImageErrorCode::as_str);
    for code in own.into_iter().chain(images) {
        let rows = document
            .lines()
            .filter(|line| line.starts_with("| `") && line.contains(&format!("`{code}`")))
            .count();
        assert_eq!(rows, 1, "{code}");
    }
}

#[test]
fn what_lies_behind_the_program_costs_a_start_nothing() {
    let scratch = Scratch::new();
    let path = scratch.0.path().join("program");
    std::fs::write(&path, Synthetic::new(GoVersion::new(13, 0)).build()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let status = Command::new("truncate")
        .args(["-s", "6G"])
        .arg(&path)
        .status()
        .unwrap();
    assert!(status.success());
    let started = Instant::now();
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -v 524288 && exec \"$@\"", "sh", GONDWANA])
        .args(["run", "--hook", "main.f", "--out"])
        .arg(scratch.stream_path())
        .arg(&path);
    let output = command.output().unwrap();
    let reason = scratch.stream().header.reason.unwrap();
    // Read and planned: it only lacks a function of the runtime.
    assert_eq!(reason.code, "plan", "{output:?}");
    assert!(
        reason.message.contains("runtime.main"),
        "{}",
        reason.message
    );
    assert!(
        started.elapsed() < Duration::from_secs(6),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn a_stream_that_cannot_be_written_is_a_failure_to_hook() {
    for (options, status, stdout) in [
        (&["--out", "/no/such/directory/x"][..], 4, "ran\n"),
        (&["--out", "fd:77"], 4, "ran\n"),
        (&["--out", "fd:77", "--require-hooks"], 125, ""),
    ] {
        let output = Command::new(GONDWANA)
            .args(["run", "--hook", "x"])
            .args(options)
            .args(["--", "sh", "-c", "echo ran; exit 4"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        assert_eq!(text(&output.stdout), stdout);
        let stderr = text(&output.stderr);
        assert!(
            stderr.contains("cannot write the stream") && stderr.lines().count() == 1,
            "{stderr}"
        );
    }
}

#[test]
fn the_default_file_is_named_after_program_and_process() {
    let scratch = Scratch::new();
    let child = Command::new(GONDWANA)
        .args(["run", "--hook", "x", "--", "sh", "-c", "exit 0"])
        .current_dir(scratch.0.path())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let path = scratch.0.path().join(format!("sh.{}.ndjson", child.id()));
    assert!(child.wait_with_output().unwrap().status.success());
    scratch.wait_for("the stream", || path.exists().then_some(()));
}

#[test]
fn a_killed_agent_is_not_noticed() {
    let scratch = Scratch::new();
    let mut child = scratch
        .run(&["sh", "-c", "echo up; read line; exit 5"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut up = [0; 3];
    child.stdout.as_mut().unwrap().read_exact(&mut up).unwrap();
    let agents = scratch.wait_for("the agent", || {
        Some(scratch.agents(child.id())).filter(|list| !list.is_empty())
    });
    for agent in agents {
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(agent as i32),
            nix::sys::signal::Signal::SIGKILL,
        )
        .unwrap();
    }
    scratch.no_agent_is_left();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5));
}

#[test]
fn an_agent_that_dies_early_is_not_noticed() {
    for step in ["traced", "executed"] {
        for action in ["", ":die"] {
            let scratch = Scratch::new();
            let fail_at = format!("{step}{action}");
            let output = scratch
                .run_with(&["--fail-at", &fail_at], &["sh", "-c", "echo ran; exit 6"])
                .output()
                .unwrap();
            assert_eq!(output.status.code(), Some(6), "{fail_at}: {output:?}");
            assert_eq!(text(&output.stdout), "ran\n");
            scratch.no_agent_is_left();
        }
    }
}

#[test]
fn without_permission_to_trace_the_program_runs_unhooked() {
    // A process that executes a file which its user cannot read may not be traced by that user.
    let scratch = Scratch::new();
    let copy = scratch.0.path().join("gondwana");
    // Not by this process: a child that another test starts meanwhile would hold the file open for writing.
    let copied = Command::new("cp")
        .args([GONDWANA.as_ref(), copy.as_os_str()])
        .status();
    assert!(copied.unwrap().success());
    let mode = |path: &Path, bits| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(bits)).unwrap()
    };
    mode(&copy, 0o111);
    mode(scratch.0.path(), 0o777);
    for (require, status, stdout) in [(false, 9, "ran\n"), (true, 125, "")] {
        let mut command = Command::new(&copy);
        command
            .args(["run", "--hook", "x", "--out"])
            .arg(scratch.stream_path())
            .args(require.then_some("--require-hooks"))
            .args(["--", "sh", "-c", "echo ran; exit 9"]);
        if std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&copy).unwrap()) == 0 {
            command.uid(65534).gid(65534);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{output:?}");
        assert_eq!(text(&output.stdout), stdout);
        let stderr = text(&output.stderr);
        assert!(
            stderr.contains("(not-permitted)") && stderr.lines().count() == 1,
            "{stderr}"
        );
    }
    scratch.no_agent_is_left();
}

#[test]
fn a_program_with_privileges_of_its_own_keeps_them() {
    let scratch = Scratch::new();
    let find = |name: &str| {
        let found = Command::new("sh")
            .args(["-c", &format!("command -v {name}")])
            .output()
            .unwrap();
        text(&found.stdout).trim().to_owned()
    };
    let copy = scratch.0.path().join("id");
    std::fs::copy(find("id"), &copy).unwrap();
    let owner = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&copy).unwrap());
    if owner != 0 {
        // Only root can make such a program, but every system has one.
        let su = find("su");
        let metadata = std::fs::metadata(&su).unwrap();
        let bits = std::os::unix::fs::MetadataExt::mode(&metadata);
        assert!(bits & 0o4000 != 0, "{su} has no privileges of its own");
        let expected = Command::new(&su).arg("--version").output().unwrap();
        let output = scratch.run(&[&su, "--version"]).output().unwrap();
        assert_eq!(output.stdout, expected.stdout, "{output:?}");
        assert!(
            text(&output.stderr).contains("(not-permitted)"),
            "{output:?}"
        );
        return;
    }
    let mode = |path: &Path, bits| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(bits)).unwrap();
    };
    mode(&copy, 0o4755);
    mode(scratch.0.path(), 0o777);
    let output = scratch
        .run(&[copy.to_str().unwrap(), "-u"])
        .uid(65534)
        .gid(65534)
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "0\n", "{output:?}");
    assert!(
        text(&output.stderr).contains("(not-permitted)"),
        "{output:?}"
    );
}
