//! `gondwana`: inspect Go programs, plan hooks, run programs hooked.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod funcs;
mod inspect;
mod plan;
mod run;
mod size;

/// Exit status of bad input and of failures of the tool itself.
const FAILURE: u8 = 2;

/// Hooks functions of running Go programs (gc toolchain, linux/amd64) without touching source, build or artefacts.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit status: 0 done, 2 bad input or failure (`run`: the program's own, see `run --help`)."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Inspect(inspect::Args),
    Funcs(funcs::Args),
    Plan(plan::Args),
    Run(run::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Inspect(args) => inspect::run(&args),
        Command::Funcs(args) => funcs::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Run(args) => run::run(args),
    };
    result.unwrap_or_else(|error| {
        // One line: a log keeps it whole.
        eprintln!("gondwana: {error:#}");
        ExitCode::from(FAILURE)
    })
}
