//! `cargo xtask`: set-up and everyday commands of the workspace.
//!
//! Each command first looks for the tools that the build needs and gets what is missing ([`setup`]); so a fresh machine
//! with Rust and a C/C++ compiler needs nothing else. This crate must not depend on the harness: it has to build before
//! the tools are there.

mod fuzz;
mod licences;
mod qualify;
mod setup;
mod snapshots;
mod steps;
mod summary;
mod test;

use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

Commands:
  qualify [BIN] [ARGUMENTS…]   Qualify a Go program and print the report. Without BIN: one of testbins/, built with
                               Go 1.26. ARGUMENTS go to `gondwana-harness qualify` (see its --help).
  test [--quick] [--matrix core|ci|all] [--within MINUTES] [--bench] [--fuzz-runs N]
                               Everything that must hold: formatting, lints, documentation, tests, snapshots, fuzz
                               targets, licences. --quick: fewer Go versions, fewer fuzz runs. --matrix: which cells of
                               Go version and build mode; core if left out. --within: begin no cell after so many
                               minutes, and count those that are left as skipped. --bench: also run the benches once,
                               briefly.
  setup                        Only look for the tools, and get what is missing

Exit status: qualify: 0 qualified, 1 not, 2 failed. Others: 0 good, 1 not, 2 wrong use.";

/// The workspace's root.
fn root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map_or(xtask.clone(), PathBuf::from)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", arguments.as_slice()),
    };
    let (result, failed) = match command {
        "qualify" => (qualify::run(rest), 2),
        "test" => (test::run(rest), 1),
        "setup" => (setup::prepare().map(|_| ExitCode::SUCCESS), 1),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprintln!("xtask: no command `{command}`\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::from(failed)
    })
}
