//! What `qualify` and `replay` say and how they end: qualified, not qualified, and every kind of bad input.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::report::{Report, SCHEMA};
use gondwana_harness::testbins;
use gondwana_harness::toolchain::Toolchains;
use gondwana_harness::verdict::Verdict;

fn harness(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gondwana-harness"))
        .args(args)
        .output()
        .unwrap()
}

fn build(name: &str, mode: Mode) -> PathBuf {
    let toolchain = Toolchains::open().unwrap().get_minor(26).unwrap();
    let case = testbins::case(name).unwrap();
    Builder::open()
        .unwrap()
        .build(&toolchain, &case.dir, mode)
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn report(dir: &Path) -> Report {
    serde_json::from_slice(&std::fs::read(dir.join("report.json")).unwrap()).unwrap()
}

#[test]
fn a_program_is_qualified_and_the_report_says_so() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [Mode::Static, Mode::Stripped, Mode::Pie] {
        let program = build("fib", mode);
        let args = [
            "qualify",
            path(&program),
            "--hook",
            "main.fib",
            "--out",
            path(dir.path()),
        ];
        let output = harness(&args);
        let stdout = text(&output.stdout);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{stdout}{}",
            text(&output.stderr)
        );
        assert!(stdout.ends_with("verdict     qualified\n"), "{stdout}");
        let report = report(dir.path());
        assert_eq!(
            (report.schema.as_str(), &report.verdict),
            (SCHEMA, &Verdict::Qualified)
        );
        let names: Vec<&str> = report.sections.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["relocation", "exit", "output", "stream", "memory"]);
        assert!(
            report
                .sections
                .iter()
                .all(|s| s.counts.agreed > 0 && s.counts.diverged == 0)
        );
        assert!(
            report
                .hooks
                .iter()
                .any(|hook| hook.name == "main.fib" && hook.spans == 21891)
        );
        // Nothing failed, so there is nothing to replay.
        assert!(!dir.path().join("cases").exists());
    }
}

#[test]
fn json_goes_to_standard_output() {
    let dir = tempfile::tempdir().unwrap();
    let program = build("fib", Mode::Static);
    let output = harness(&[
        "qualify",
        path(&program),
        "--json",
        "--out",
        path(dir.path()),
    ]);
    assert_eq!(
        serde_json::from_slice::<Report>(&output.stdout).unwrap(),
        report(dir.path())
    );
}

#[test]
fn a_hook_that_never_fires_disqualifies() {
    let dir = tempfile::tempdir().unwrap();
    let program = build("fib", Mode::Static);
    let pattern = "fmt.(*pp).badVerb";
    let output = harness(&[
        "qualify",
        path(&program),
        "--hook",
        pattern,
        "--out",
        path(dir.path()),
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    assert!(
        stdout.ends_with("undecided: stream: hook `fmt.(*pp).badVerb` never fired\n"),
        "{stdout}"
    );
}

#[test]
fn arguments_with_hyphens_reach_the_program() {
    let dir = tempfile::tempdir().unwrap();
    let program = build("fib", Mode::Static);
    let out = path(dir.path());
    let output = harness(&[
        "qualify",
        path(&program),
        "--out",
        out,
        "--args",
        "--json",
        "-x",
        "--",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with("program "));
}

#[test]
fn a_relocation_case_replays_with_the_same_verdict() {
    let dir = tempfile::tempdir().unwrap();
    // A stack check whose branch was moved wrongly: it leaves one byte too far.
    let case = r#"{"schema":"gondwana.case/4","kind":"relocation","function":"main.f",
        "version":{"minor":26,"patch":0,"pre":"Released"},"tls_g":-8,"abi":"AbiInternal","entry":4198400,"size":128,
        "window":"493b66107620","follow":"","relocated_at":6291456,"relocated":"493b66100f861d10e0ffe9f70fe0ff",
        "moved":[[4198400,6291456]],"check":{"end":4198406,"morestack":4198438},"defined_flags":3285,"seed":7,"data":[]}"#;
    std::fs::write(dir.path().join("case.json"), case).unwrap();
    let output = harness(&["replay", path(dir.path())]);
    let stdout = text(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{stdout}{}",
        text(&output.stderr)
    );
    assert!(
        stdout.contains("diverge: exit: original at 0x401026, relocated at 0x401027"),
        "{stdout}"
    );
}

/// Files that are no Go programs for linux/amd64.
fn bad_inputs(dir: &Path) -> Vec<PathBuf> {
    let whole = std::fs::read(build("fib", Mode::Static)).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let file = dir.join(name);
        std::fs::write(&file, bytes).unwrap();
        file
    };
    let patched = |name: &str, at: usize, bytes: &[u8]| {
        let mut copy = whole.clone();
        copy[at..at + bytes.len()].copy_from_slice(bytes);
        write(name, &copy)
    };
    vec![
        dir.join("missing"),
        dir.to_owned(),
        write("empty", b""),
        write("text", b"#!/bin/sh\necho no\n"),
        write("truncated", &whole[..whole.len() / 3]),
        write("header-only", &whole[..64]),
        // e_machine (System V gABI, "ELF Header"): AArch64.
        patched("arm64", 18, &183u16.to_le_bytes()),
        // EI_CLASS: 32 bits.
        patched("class32", 4, &[1]),
        PathBuf::from("/bin/sh"),
    ]
}

#[test]
fn bad_input_is_an_error_of_one_line_and_exit_status_2() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    for file in bad_inputs(dir.path()) {
        let output = harness(&["qualify", path(&file), "--out", path(&out)]);
        let stderr = text(&output.stderr);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{}: {stderr}",
            file.display()
        );
        assert!(stderr.starts_with("gondwana-harness: "), "{stderr}");
        assert_eq!(
            stderr.trim_end().lines().count(),
            1,
            "{}: {stderr}",
            file.display()
        );
        assert!(output.stdout.is_empty());
    }
    let program = build("fib", Mode::Static);
    for hook in ["main.nothing*", "re:(", "re:^nosuch$"] {
        let output = harness(&[
            "qualify",
            path(&program),
            "--hook",
            hook,
            "--out",
            path(&out),
        ]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{hook}: {stderr}");
        assert_eq!(stderr.trim_end().lines().count(), 1, "{hook}: {stderr}");
    }
    for args in [
        ["--stop", "NONSENSE"],
        ["--ready", "tcp:no"],
        ["--timeout", "x"],
    ] {
        let output = harness(&[
            "qualify",
            path(&program),
            "--out",
            path(&out),
            args[0],
            args[1],
        ]);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
    }
    assert_eq!(
        harness(&["replay", path(dir.path())]).status.code(),
        Some(2)
    );
}
