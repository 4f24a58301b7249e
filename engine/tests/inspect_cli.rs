//! `gondwana inspect` as its users meet it: output, one line on failure, exit status.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn input(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../goldens/inputs/image")
        .join(name)
}

fn inspect(arguments: &[&str], bin: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gondwana"))
        .arg("inspect")
        .args(arguments)
        .arg(bin)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn people_get_a_table() {
    for (name, input_name) in [("go1.9", "seed-go1.9"), ("go1.26-pie", "seed-go1.26-pie")] {
        let output = inspect(&[], &input(input_name));
        assert!(output.status.success() && output.stderr.is_empty());
        insta::assert_snapshot!(format!("inspect-{name}"), text(&output.stdout));
    }
}

#[test]
fn programs_get_json_with_schema_and_version() {
    let output = inspect(&["--json"], &input("seed-go1.26-pie"));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (json["schema"].as_str(), json["version"].as_u64()),
        (Some("gondwana.inspect"), Some(1))
    );
    // A member that goes or changes its type needs another version.
    insta::assert_snapshot!("inspect-go1.26-pie.json", text(&output.stdout));
}

#[test]
fn bad_input_is_one_line_and_status_2() {
    let dir = tempfile::tempdir().unwrap();
    let written = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let seed = std::fs::read(input("seed-go1.26")).unwrap();
    let mut arm = seed.clone();
    arm[18] = 183;
    let cases = [
        (dir.path().join("missing"), "No such file"),
        (dir.path().to_owned(), "not a regular file"),
        (written("empty", b""), "not-elf"),
        (written("text", b"#!/bin/sh\n"), "not-elf"),
        (written("truncated", &seed[..seed.len() - 1]), "truncated"),
        (written("arm64", &arm), "wrong-machine"),
    ];
    for (path, expected) in cases {
        for arguments in [&[][..], &["--json"]] {
            let output = inspect(arguments, &path);
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{error}");
            assert!(
                output.stdout.is_empty() && error.lines().count() == 1,
                "{error}"
            );
            assert!(
                error.contains(expected) && error.contains(&path.display().to_string()),
                "{error}"
            );
        }
    }
}
