//! `gondwana-harness layouts`: the tables about Go versions against real toolchains.

use std::process::ExitCode;

use anyhow::{Context, Result};
use gondwana_engine::golang::tables::{CONSTANTS, Release, STRUCTURES};

use crate::build::Builder;
use crate::layouts::compare::{Comparison, Document, Verified, compare};
use crate::layouts::{Measured, rows};
use crate::toolchain::{GoRange, Toolchains};

const EXAMPLES: &str =
    "Structures are read from the DWARF of a net/http program that each toolchain builds, constants
from the toolchain's own source; both are compared with engine/src/golang/tables. For what differs,
and for a version that the tables do not know, the lines to paste are printed.

A RANGE is a list of versions and of spans between minor versions: 1.9.2,1.13 or 1.12..1.14 or
1.21.. or ..1.9; `all` is the last patch of every minor version, `patches` the patch releases around
each change inside a minor version.

Examples:
  gondwana-harness layouts verify
  gondwana-harness layouts verify --go 1.12..1.14,1.9.2
  gondwana-harness layouts verify --go 1.28.0 --json

Exit status: 0 everything agrees, 1 something differs, 2 failed.";

/// Arguments of `layouts`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Compare the tables with the toolchains of some Go versions
    #[command(after_help = EXAMPLES)]
    Verify {
        /// The Go versions
        #[arg(long, value_name = "RANGE", default_value = "all,patches")]
        go: GoRange,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs it.
///
/// # Errors
/// A toolchain cannot be had, its program not be built, its source not be understood.
pub fn run(args: &Args) -> Result<ExitCode> {
    let Command::Verify { go, json } = &args.command;
    let (toolchains, builder) = (Toolchains::open()?, Builder::open()?);
    let mut verified = Vec::new();
    for &version in go.versions() {
        eprintln!("{version}: measuring");
        let toolchain = toolchains.get_version(version)?;
        let measured = Measured::of(&toolchain, &builder).with_context(|| version.to_string())?;
        let one = verify(&measured);
        if !json {
            print(&one);
        }
        verified.push(one);
    }
    if *json {
        let text = serde_json::to_string_pretty(&Document::new(&verified));
        println!("{}", text.context("write JSON")?);
    }
    let agree = verified
        .iter()
        .all(|one| one.compared.differences.is_empty());
    Ok(ExitCode::from(u8::from(!agree)))
}

fn verify(measured: &Measured) -> Verified {
    let compared = compare(STRUCTURES, CONSTANTS, measured);
    let release = Release::from(measured.version);
    Verified {
        version: measured.version.to_string(),
        rows: rows::lines(STRUCTURES, CONSTANTS, &compared.differences, release),
        compared,
    }
}

fn print(verified: &Verified) {
    let Comparison {
        structures,
        fields,
        constants,
        differences,
    } = &verified.compared;
    let verdict = match differences.len() {
        0 => "agree".to_owned(),
        one_or_more => format!("{one_or_more} differ"),
    };
    println!(
        "{:<10} {structures} structures, {fields} fields, {constants} constants: {verdict}",
        verified.version
    );
    for difference in differences {
        println!("  {difference}");
    }
    if !differences.is_empty() {
        println!("  engine/src/golang/tables would say:");
        for line in &verified.rows {
            println!("  {line}");
        }
    }
}
