//! `gondwana-harness`: qualify hooks, replay failing cases, manage Go toolchains.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use gondwana_harness::cmd::{
    calibrate, disturb, emulate, gostd, layouts, matrix, policy, qualify, release_check, replay,
    run, testbin, toolchain,
};

/// Proves that Gondwana's hooks on a Go program are harmless
#[derive(Parser, Debug)]
#[command(name = "gondwana-harness", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Qualify the hooks of a Go program and write the report
    Qualify(qualify::Args),
    /// Run a Go program in the emulated process
    Emulate(emulate::Args),
    /// Disturb a hooked call at every instruction, in an emulated process
    Disturb(disturb::Args),
    /// Qualify the test programs in every Go version and build mode, and print the table
    Matrix(matrix::Args),
    /// Run Go's own tests of its standard library hooked, and print the table
    #[command(name = "std")]
    GoStd(gostd::Args),
    /// Judge harmless and harmed programs many times, and say how often the verdict is right
    Calibrate(calibrate::Args),
    /// Run one failing case of a report again
    Replay(replay::Args),
    /// Run a program hooked, for qualify
    #[command(name = "__run", hide = true)]
    Run(run::Args),
    /// Compare what the engine knows about Go versions with real toolchains
    Layouts(layouts::Args),
    /// Compare the functions that must not be hooked with real toolchains
    Policy(policy::Args),
    /// Report what a Go release changes against the known one before it
    ReleaseCheck(release_check::Args),
    /// Build a test program and print where it is
    Testbin(testbin::Args),
    /// List, install, find and remove Go toolchains
    Toolchain(toolchain::Args),
}

/// The exit status of a tool that failed or got bad input, the same that clap uses.
const TOOL_FAILED: u8 = 2;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Qualify(args) => qualify::run(&args),
        Command::Emulate(args) => emulate::run(args),
        Command::Disturb(args) => disturb::run(&args),
        Command::Matrix(args) => matrix::run(&args),
        Command::GoStd(args) => gostd::run(&args),
        Command::Calibrate(args) => calibrate::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Run(args) => run::run(args),
        Command::Layouts(args) => layouts::run(&args),
        Command::Policy(args) => policy::run(&args),
        Command::ReleaseCheck(args) => release_check::run(&args),
        Command::Testbin(args) => testbin::run(&args),
        Command::Toolchain(args) => toolchain::run(&args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("gondwana-harness: {error:#}");
        ExitCode::from(TOOL_FAILED)
    })
}
