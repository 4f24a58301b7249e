//! Every test program builds and does, unhooked, what its head says: same output twice, its exit status, in short time.
//!
//! `GONDWANA_GO=1.5,1.21.13` chooses the versions, `GONDWANA_GO=all` takes every minor version's last patch.

use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::matrix::program;
use gondwana_harness::testbins::{self, Case};
use gondwana_harness::toolchain::{Toolchains, chosen};

/// Old calling convention without and with module data, and the newest one.
const EVERYDAY: [&str; 3] = ["1.9", "1.16", "1.26"];
/// Only to end a program that hangs; programs are meant to take less than a second.
const HANGS: Duration = Duration::from_secs(120);

/// Standard output, standard error and exit status of a run.
type Outcome = (String, String, Option<i32>);

fn drain(pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let mut pipe = pipe;
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn finish(mut child: Child) -> Outcome {
    let (out, err) = (
        drain(child.stdout.take().unwrap()),
        drain(child.stderr.take().unwrap()),
    );
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if started.elapsed() > HANGS {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    assert_eq!(status.signal(), None, "killed: {}", err.join().unwrap());
    (out.join().unwrap(), err.join().unwrap(), status.code())
}

fn run(case: &Case, program: &Path) -> Outcome {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    command
        .args(&case.args)
        .envs(case.env.clone())
        .current_dir(dir.path());
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    if let Some(server) = &case.server {
        let mut first = [0; 5];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut first)
            .unwrap();
        assert_eq!(&first, server.ready.as_bytes());
        let load = Command::new(program)
            .args(&case.args)
            .args(["-load", "server.sock", "10"])
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&load.stdout),
            "10 requests, 90 bytes\n"
        );
        let kill = Command::new("kill")
            .args([format!("-{}", server.stop), child.id().to_string()])
            .status();
        assert!(kill.unwrap().success());
    }
    finish(child)
}

#[test]
fn every_test_program_does_what_its_head_says() {
    let toolchains = Toolchains::open().unwrap();
    let builder = Builder::open().unwrap();
    let cases = testbins::all().unwrap();
    let mut wrong = Vec::new();
    for version in chosen(&EVERYDAY).unwrap() {
        let toolchain = toolchains.get_version(version).unwrap();
        let cases: Vec<_> = cases
            .iter()
            .filter(|case| case.supports(version))
            .cloned()
            .collect();
        let source = program::merged(&cases).unwrap();
        let program = builder
            .build_source(&toolchain, &source, Mode::Static)
            .unwrap();
        for case in cases.iter().map(program::subcommand) {
            let case = &case;
            let started = Instant::now();
            let first = run(case, &program);
            let took = started.elapsed();
            let second = run(case, &program);
            println!("{version} {} {took:?} {:?}", case.name, first.0);
            if first != second {
                wrong.push(format!(
                    "{} {version}: two runs differ:\n{first:?}\n{second:?}",
                    case.name
                ));
            }
            if first.2 != Some(case.exit) {
                wrong.push(format!(
                    "{} {version}: exit status {:?}, stderr {}",
                    case.name, first.2, first.1
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_mode_builds_and_runs() {
    let toolchains = Toolchains::open().unwrap();
    let builder = Builder::open().unwrap();
    let case = testbins::case("fib").unwrap();
    for version in chosen(&EVERYDAY).unwrap() {
        let toolchain = toolchains.get_version(version).unwrap();
        for mode in Mode::ALL {
            if let Some(reason) = mode.missing_in(version) {
                println!("{version} {mode}: skipped: {reason}");
                continue;
            }
            let program = builder.build(&toolchain, &case.dir, mode).unwrap();
            assert_eq!(program, builder.build(&toolchain, &case.dir, mode).unwrap());
            // A shared library: there is nothing to run.
            if mode == Mode::CShared {
                continue;
            }
            assert_eq!(
                run(&case, &program).0,
                "fib(20) = 6765\n",
                "{version} {mode}"
            );
        }
    }
}

#[test]
fn a_program_that_does_not_compile_shows_the_compilers_message() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("broken");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(
        source.join("main.go"),
        "package main\nfunc main() { nothing() }\n",
    )
    .unwrap();
    let builder = Builder::at(dir.path().join("builds"));
    let toolchain = Toolchains::open().unwrap().get(EVERYDAY[0]).unwrap();
    let error = format!(
        "{:#}",
        builder
            .build(&toolchain, &source, Mode::Static)
            .unwrap_err()
    );
    assert!(error.contains("undefined: nothing"), "{error}");
    let left: Vec<_> = std::fs::read_dir(dir.path().join("builds"))
        .unwrap()
        .flatten()
        .collect();
    assert!(
        left.iter()
            .all(|e| e.file_name().to_string_lossy().starts_with(".lock")),
        "{left:?}"
    );
}
