//! Hooked calls, disturbed at their instructions: nothing diverges, and every kind of disturbance is proved to have happened.
//!
//! A quarter of the cells of two functions in three versions (`GONDWANA_GO` chooses others); `gondwana-harness disturb
//! --full` is the whole. Runs the program, as copies of a machine are made of a process with one thread.

use std::process::Command;

use gondwana_engine::addr::RunAddr;
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::disturb::call::{Part, Step};
use gondwana_harness::disturb::case::Disturbed;
use gondwana_harness::disturb::cell::{Answer, Cell};
use gondwana_harness::disturb::kind::Kind;
use gondwana_harness::disturb::matrix::Matrix;
use gondwana_harness::testbins;
use gondwana_harness::toolchain::{Toolchains, chosen};

/// ABI0 without and ABIInternal with asynchronous preemption, and the newest.
const EVERYDAY: [&str; 3] = ["1.9", "1.17", "1.27"];
/// One cell of so many.
const EVERY: &str = "4";

fn harness() -> Command {
    Command::new(env!("CARGO_BIN_EXE_gondwana-harness"))
}

fn matrix(program: &std::path::Path, more: &[&str]) -> (Option<i32>, Matrix) {
    let output = harness()
        .arg("disturb")
        .arg(program)
        .args(more)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{said}");
    (
        output.status.code(),
        serde_json::from_slice(&output.stdout).unwrap(),
    )
}

#[test]
fn nothing_that_happens_during_a_hooked_call_shows() {
    let (toolchains, builder) = (Toolchains::open().unwrap(), Builder::open().unwrap());
    let case = testbins::case("disturbed").unwrap();
    let out = tempfile::tempdir().unwrap();
    for version in chosen(&EVERYDAY).unwrap() {
        let toolchain = toolchains.get_version(version).unwrap();
        let program = builder.build(&toolchain, &case.dir, Mode::Static).unwrap();
        for (subject, tight) in [("pointer", false), ("small", true)] {
            let hook = format!("main.{subject}");
            let dir = out.path().display().to_string();
            let mut more = vec!["--hook", &hook, "--every", EVERY, "--out", &dir, "--json"];
            more.extend(["--env", "GODEBUG=gccheckmark=1,clobberfree=1"]);
            more.extend(tight.then_some("--tight"));
            more.extend(["--args", subject]);
            let (status, matrix) = matrix(&program, &more);
            let findings: Vec<String> = matrix.findings().collect();
            println!(
                "{version} {subject}: {} instructions, {}",
                matrix.steps,
                matrix.counts()
            );
            assert_eq!(
                (status, findings),
                (Some(0), Vec::new()),
                "{version} {subject}"
            );
            assert!(
                matrix.steps > 80,
                "{version} {subject}: {} instructions",
                matrix.steps
            );
            for kind in Kind::ALL {
                // A stack that is short cannot shrink.
                let possible = !(tight && kind == Kind::Shrink);
                let counts = matrix.counts_of(kind);
                assert!(counts.sum() > 15, "{version} {subject} {kind}: {counts}");
                assert_eq!(
                    counts.agree > 0,
                    possible,
                    "{version} {subject} {kind}: {counts}"
                );
            }
        }
    }
}

#[test]
fn a_program_that_calls_the_function_often_is_disturbed_at_its_first_call() {
    let toolchain = Toolchains::open().unwrap().get("1.21").unwrap();
    let case = testbins::case("fib").unwrap();
    let builder = Builder::open().unwrap();
    let program = builder
        .build(&toolchain, &case.dir, Mode::Stripped)
        .unwrap();
    let out = tempfile::tempdir().unwrap();
    let dir = out.path().display().to_string();
    let more = [
        "--hook", "main.fib", "--every", "40", "--out", &dir, "--json",
    ];
    let (status, matrix) = matrix(&program, &more);
    let findings: Vec<String> = matrix.findings().collect();
    assert_eq!((status, findings), (Some(0), Vec::new()));
    assert!(matrix.counts().agree > 10, "{}", matrix.counts());
}

#[test]
fn a_kept_cell_is_replayed_by_the_command_that_names_it() {
    let toolchain = Toolchains::open().unwrap().get("1.17").unwrap();
    let case = testbins::case("disturbed").unwrap();
    let builder = Builder::open().unwrap();
    let program = builder.build(&toolchain, &case.dir, Mode::Static).unwrap();
    let file = std::fs::read(&program).unwrap();
    let case = Disturbed {
        args: vec!["small".to_owned()],
        kind: Some(Kind::Grow),
        step: 30,
        ..Disturbed::new(&program, &file, vec!["main.small".to_owned()]).unwrap()
    };
    let step = Step {
        index: 30,
        at: RunAddr::new(0x40),
        offset: Some(0),
        part: Part::Entry,
        text: "nop".to_owned(),
    };
    let cell = Cell {
        answer: Answer::Diverge("the table says so".to_owned()),
        remains: None,
        counted: None,
    };
    let out = tempfile::tempdir().unwrap();
    let name = case.keep(out.path(), &step, &cell).unwrap();
    let output = harness()
        .arg("replay")
        .arg(out.path().join(name))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    // Nothing is wrong with that cell: it stretches the stack under the hook's frame, and agrees.
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        said.ends_with(": 2 agree, 0 no effect, 0 diverge, 0 inconclusive\n"),
        "{said}"
    );
    assert!(said.contains("\n  30 "), "{said}");
}

#[test]
fn what_cannot_be_disturbed_is_an_error_of_one_line() {
    let toolchain = Toolchains::open().unwrap().get("1.17").unwrap();
    let case = testbins::case("disturbed").unwrap();
    let program = Builder::open()
        .unwrap()
        .build(&toolchain, &case.dir, Mode::Static)
        .unwrap();
    let program = program.display().to_string();
    for (arguments, expected) in [
        (
            vec!["/nonexistent", "--hook", "main.main"],
            "read /nonexistent",
        ),
        (vec![&program, "--hook", "main.nothing"], "main.nothing"),
        (
            vec![&program, "--hook", "main.small", "--args", "leaf"],
            "the program calls none of the hooked functions",
        ),
        (
            vec![
                &program,
                "--hook",
                "main.leaf",
                "--at",
                "100000",
                "--args",
                "leaf",
            ],
            "there is none with number 100000",
        ),
        (vec!["--full", "--subject", "none"], "`none` is no subject"),
    ] {
        let output = harness().arg("disturb").args(&arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(
            said.contains(expected) && said.lines().count() == 1,
            "{arguments:?}: {said}"
        );
    }
}
