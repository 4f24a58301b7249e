//! `gondwana inspect`.

use std::path::PathBuf;
use std::process::ExitCode;

/// Build information and layout of a Go program.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The program.
    bin: PathBuf,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not yet: {}", args.bin.display())
}
