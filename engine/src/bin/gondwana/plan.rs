//! `gondwana plan`.

use std::path::PathBuf;
use std::process::ExitCode;

/// What would be written to hook functions.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The program.
    bin: PathBuf,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    anyhow::bail!("not yet: {}", args.bin.display())
}
