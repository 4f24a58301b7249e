//! `gondwana run`.

use std::path::PathBuf;
use std::process::ExitCode;

/// Run a program hooked.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The program.
    bin: PathBuf,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not yet: {}", args.bin.display())
}
