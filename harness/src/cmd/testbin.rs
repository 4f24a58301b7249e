//! `gondwana-harness testbin`: builds one of the programs in `testbins/`.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

use crate::build::{Builder, Mode};
use crate::testbins;
use crate::toolchain::Toolchains;

const EXAMPLES: &str = "Examples:
  gondwana-harness testbin fib
  gondwana-harness testbin recovers --go 1.13 --mode stripped --json

Exit status: 0 done, 2 failed.";

/// Arguments of `testbin`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The name of a folder in testbins/
    name: String,
    /// The Go version to build with
    #[arg(long, value_name = "VERSION", default_value = "1.26")]
    go: String,
    /// How to build it: static, stripped, strip-all, pie, pie-external, cgo, cgo-tls, debug, race, amd64-v3 or c-shared
    #[arg(long, default_value = "static")]
    mode: Mode,
    /// Print the program with what its head says (hooks, arguments, expected events) as JSON
    #[arg(long)]
    json: bool,
}

/// Runs it.
///
/// # Errors
/// No such program or version; it does not compile.
pub fn run(args: &Args) -> Result<ExitCode> {
    let case = testbins::case(&args.name)?;
    let toolchain = Toolchains::open()?.get(&args.go)?;
    if !case.supports(toolchain.version()) {
        bail!("{} needs {} or later", case.name, case.min_go);
    }
    let program = Builder::open()?.build(&toolchain, &case.dir, args.mode)?;
    if args.json {
        let whole = serde_json::json!({ "program": program, "case": case });
        println!(
            "{}",
            serde_json::to_string_pretty(&whole).context("write JSON")?
        );
    } else {
        println!("{}", program.display());
    }
    Ok(ExitCode::SUCCESS)
}
