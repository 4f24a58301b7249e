//! `gondwana-harness replay`: runs one failing case of a report again.

use std::process::ExitCode;

use anyhow::{Result, bail};

/// Arguments of `replay`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The folder of the case, as the report names it.
    case: std::path::PathBuf,
}

/// Runs it.
///
/// # Errors
/// When the tool itself fails, or its input is bad.
pub fn run(args: &Args) -> Result<ExitCode> {
    bail!("{}: replay is not there yet", args.case.display())
}
