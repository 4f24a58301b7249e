//! Runs each fuzz target for a fixed number of iterations, with plain cargo.
//!
//! What `cargo fuzz build -s none` sets are options of the stable compiler: coverage instrumentation is an LLVM pass, and
//! only the sanitizers need a nightly one. So CI needs neither cargo-fuzz nor nightly.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::root;
use crate::setup::Tools;
use crate::steps::{Outcome, cargo};

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Same seed, same inputs, same result.
const SEED: &str = "-seed=20191";
const INSTRUMENTATION: [&str; 9] = [
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
    "-Cdebug-assertions",
    "-Ccodegen-units=1",
];

/// The targets of `fuzz/Cargo.toml`.
fn targets(metadata: &Value) -> Vec<String> {
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let package = packages.filter(|package| package["name"] == "gondwana-fuzz");
    let targets = package.flat_map(|package| package["targets"].as_array().into_iter().flatten());
    let binaries = targets.filter(|target| target["kind"][0] == "bin");
    binaries
        .filter_map(|target| target["name"].as_str().map(str::to_owned))
        .collect()
}

/// Builds all targets and runs each `runs` times.
pub(crate) fn run(tools: &Tools, metadata: &Value, runs: u64) -> Result<Outcome> {
    let targets = targets(metadata);
    if targets.is_empty() {
        return Ok(Outcome::Skipped("no fuzz targets".to_owned()));
    }
    let folder = root().join("target/fuzz");
    let mut build = cargo(
        tools,
        [
            "build",
            "--quiet",
            "--release",
            "--package",
            "gondwana-fuzz",
            "--bins",
        ],
    );
    // With --target, build scripts and procedural macros are not instrumented.
    build
        .args(["--target", TARGET, "--target-dir"])
        .arg(&folder)
        .env("RUSTFLAGS", INSTRUMENTATION.join(" "));
    if !build.status().context("start cargo")?.success() {
        bail!("the fuzz targets do not build");
    }
    let mut failed = Vec::new();
    for target in &targets {
        println!("-- {target}: {runs} runs");
        if !run_one(&folder, target, runs)? {
            failed.push(target.as_str());
        }
    }
    Ok(match failed.as_slice() {
        [] => Outcome::Good(format!(
            "{} x {runs} runs: {}",
            targets.len(),
            targets.join(", ")
        )),
        failed => Outcome::Bad(format!(
            "failed: {}; the inputs lie in fuzz/artifacts",
            failed.join(", ")
        )),
    })
}

fn run_one(folder: &Path, target: &str, runs: u64) -> Result<bool> {
    // New inputs go into a fresh folder, so that each time starts from the same seeds.
    let corpus = folder.join("corpus").join(target);
    if corpus.exists() {
        fs::remove_dir_all(&corpus).with_context(|| format!("remove {}", corpus.display()))?;
    }
    let artifacts = root().join("fuzz/artifacts").join(target);
    for dir in [&corpus, &artifacts] {
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
    }
    let log = folder.join(format!("{target}.log"));
    let file = fs::File::create(&log).with_context(|| format!("create {}", log.display()))?;
    let mut command = Command::new(folder.join(TARGET).join("release").join(target));
    command
        .arg(format!("-runs={runs}"))
        .args([SEED, "-rss_limit_mb=2048", "-print_funcs=0"]);
    command
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(&corpus)
        .stderr(file);
    let seeds = [
        root().join("fuzz/seeds").join(target),
        root().join("goldens/inputs"),
    ];
    command.args(seeds.iter().filter(|dir| dir.is_dir()));
    let is_good = command
        .status()
        .with_context(|| format!("start {target}"))?
        .success();
    // How far it came: executions, coverage, size of the corpus; vacuous fuzzing would show here.
    let said = fs::read(&log).with_context(|| format!("read {}", log.display()))?;
    let said = String::from_utf8_lossy(&said);
    match said.lines().rfind(|line| line.contains("DONE")) {
        Some(line) if is_good => println!("   {}", line.replace('\t', " ")),
        _ => println!("{said}"),
    }
    Ok(is_good)
}
