//! `cargo xtask qualify [BIN]`: the main job in one command.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::setup;
use crate::steps::cargo;

/// The test program that is qualified when none is named.
const DEFAULT: &str = "recovers";

pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let tools = setup::prepare()?;
    let harness = [
        "run",
        "--quiet",
        "--release",
        "--package",
        "gondwana-harness",
        "--",
    ];
    let mut command = cargo(&tools, harness);
    command.arg("qualify");
    // `cargo xtask` runs in the user's folder, and so must the harness: BIN may be relative.
    if let Ok(here) = std::env::current_dir() {
        command.current_dir(here);
    }
    match arguments.first() {
        Some(first) if !first.starts_with('-') => {}
        Some(first) if first == "--help" || first == "-h" => {}
        _ => {
            let output = cargo(&tools, harness)
                .args(["testbin", DEFAULT, "--json"])
                .stderr(std::process::Stdio::inherit())
                .output()
                .context("start cargo")?;
            if !output.status.success() {
                bail!("the test program `{DEFAULT}` could not be built");
            }
            let built: Value = serde_json::from_slice(&output.stdout)
                .context("read what `testbin --json` printed")?;
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
        }
    }
    let status = command.args(arguments).status().context("start cargo")?;
    // 101 is cargo's own failure.
    let code = status
        .code()
        .filter(|code| (0..=2).contains(code))
        .unwrap_or(2);
    Ok(ExitCode::from(u8::try_from(code).unwrap_or(2)))
}
