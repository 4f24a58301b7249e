//! `gondwana-harness qualify`: proves the hooks of one program harmless, and writes the report.

use std::process::ExitCode;

use anyhow::{Result, bail};

/// Arguments of `qualify`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The Go program to qualify.
    program: std::path::PathBuf,
}

/// Runs it.
///
/// # Errors
/// When the tool itself fails, or its input is bad.
pub fn run(args: &Args) -> Result<ExitCode> {
    bail!("{}: qualify is not there yet", args.program.display())
}
