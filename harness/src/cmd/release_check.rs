//! `gondwana-harness release-check`: what a Go release changes.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::build::Builder;
use crate::release;
use crate::toolchain::{Toolchains, resolve};

const EXAMPLES: &str = "Compares the toolchain of VERSION with the newest known one before it: layouts and constants (DWARF,
source), the forms of function entries and the engine's answers (one net/http program built by
both), the functions of the policy and who looks at its caller (source), goldens.

Examples:
  gondwana-harness release-check 1.28.0
  gondwana-harness release-check 1.27 --against 1.26
  gondwana-harness release-check 1.27.4 --json

Exit status: 0 nothing to do, 1 something changed, 2 failed.";

/// Arguments of `release-check`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The Go release
    version: String,
    /// Compare with this release instead
    #[arg(long, value_name = "VERSION")]
    against: Option<String>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// Bad versions; a toolchain that cannot be had; programs or sources that cannot be read.
pub fn run(args: &Args) -> Result<ExitCode> {
    let version = resolve(&args.version)?;
    let against = match &args.against {
        Some(text) => resolve(text)?,
        None => match release::before(version) {
            Some(before) => before,
            None => bail!("no release before {version} is known"),
        },
    };
    let toolchains = Toolchains::open()?;
    let (old, new) = (
        toolchains.get_version(against)?,
        toolchains.get_version(version)?,
    );
    let report = release::check(&old, &new, &Builder::open()?, |step| eprintln!("{step}"))?;
    if args.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&report).context("write JSON")?
        );
    } else {
        print!("{}", release::render(&report));
    }
    Ok(ExitCode::from(u8::from(report.changed())))
}
