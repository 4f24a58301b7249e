//! `cargo xtask qualify [BIN]`: the main job in one command.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::setup::{self, Tools};
use crate::steps::{cargo, metadata};

/// The test program that is qualified when none is named.
const DEFAULT: &str = "recovers";

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let tools = setup::prepare()?;
    let harness = build(&tools)?;
    let mut command = Command::new(&harness);
    tools.apply(&mut command);
    command.arg("qualify");
    if names_no_program(arguments) {
        let built = test_program(&tools, &harness)?;
        let program = built["program"]
            .as_str()
            .context("`testbin --json` named no program")?;
        println!("qualifying the test program `{DEFAULT}`: {program}");
        command.arg(program);
        for hook in built["case"]["hooks"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            command.args(["--hook", hook]);
        }
        if !arguments
            .iter()
            .any(|argument| argument == "--out" || argument.starts_with("--out="))
        {
            let target = harness.ancestors().nth(2).unwrap_or(Path::new("target"));
            command
                .arg("--out")
                .arg(target.join("qualify").join(DEFAULT));
        }
    }
    let status = command
        .args(arguments)
        .status()
        .with_context(|| format!("start {}", harness.display()))?;
    // A signal, too, means that the tool failed.
    Ok(ExitCode::from(
        status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .unwrap_or(2),
    ))
}

fn names_no_program(arguments: &[String]) -> bool {
    arguments
        .first()
        .is_none_or(|first| first.starts_with('-') && first != "--help" && first != "-h")
}

/// Builds both programs, since the harness runs `gondwana`, which lies beside it; returns the harness.
fn build(tools: &Tools) -> Result<PathBuf> {
    let packages = [
        "--package",
        "gondwana-engine",
        "--package",
        "gondwana-harness",
    ];
    println!("building (release; the first time takes minutes)");
    let mut build = cargo(tools, ["build", "--quiet", "--release", "--bins"]);
    if !build
        .args(packages)
        .status()
        .context("start cargo")?
        .success()
    {
        bail!("the programs do not build");
    }
    let metadata = metadata(tools)?;
    let target = metadata["target_directory"]
        .as_str()
        .context("cargo metadata names no target directory")?;
    Ok(Path::new(target).join("release/gondwana-harness"))
}

/// Builds the default program; what `testbin --json` says about it.
fn test_program(tools: &Tools, harness: &Path) -> Result<Value> {
    let mut command = Command::new(harness);
    tools.apply(&mut command);
    command
        .args(["testbin", DEFAULT, "--json"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = command
        .output()
        .with_context(|| format!("start {}", harness.display()))?;
    if !output.status.success() {
        bail!("the test program `{DEFAULT}` could not be built");
    }
    serde_json::from_slice(&output.stdout).context("read what `testbin --json` printed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_told_from_options() {
        let none = |words: &[&str]| {
            names_no_program(
                &words
                    .iter()
                    .map(|&word| word.to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert!(none(&[]) && none(&["--json"]));
        assert!(!none(&["./tool", "--json"]) && !none(&["--help"]));
    }
}
