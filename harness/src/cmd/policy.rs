//! `gondwana-harness policy`: the functions that must not get a frame, against real toolchains.

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::build::{Builder, Mode};
use crate::policy::{Evidence, Verified, names};
use crate::toolchain::{GoRange, NEWEST_MINOR, Toolchains};

const EXAMPLES: &str = "The rules of engine/src/golang/policy are compared with the line tables of programs that each toolchain
builds (linkname gives functions other names than the source has), and the functions of its standard
library that look at their caller are looked for: each needs a rule, or a reason why it needs none.

Examples:
  gondwana-harness policy verify
  gondwana-harness policy verify --go 1.25..1.27 --json
  gondwana-harness policy names > engine/src/golang/policy/newest.txt

Exit status: 0 everything fits, 1 something does not, 2 failed.";

/// The modes in which programs are built.
const MODES: [Mode; 3] = [Mode::Static, Mode::Cgo, Mode::Race];

/// Arguments of `policy`.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Compare the policy with the toolchains of some Go versions
    Verify {
        /// The Go versions
        #[arg(long, value_name = "RANGE", default_value = "all")]
        go: GoRange,
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the functions of the runtime, syscall and reflect in the newest known version
    Names,
}

/// Runs it.
///
/// # Errors
/// A toolchain cannot be had, a program not be built, a source not be read.
pub fn run(args: &Args) -> Result<ExitCode> {
    let toolchains = Toolchains::open()?;
    let (go, json) = match &args.command {
        Command::Names => {
            print!("{}", names::newest(&toolchains.get_minor(NEWEST_MINOR)?)?);
            return Ok(ExitCode::SUCCESS);
        }
        Command::Verify { go, json } => (go, *json),
    };
    let builder = Builder::open()?;
    let mut verified = Vec::new();
    for &version in go.versions() {
        eprintln!("{version}: building programs");
        let toolchain = toolchains.get_version(version)?;
        let evidence =
            Evidence::gather(&toolchain, &builder, &MODES).with_context(|| version.to_string())?;
        let one = evidence.verify();
        if !json {
            print(&one);
        }
        verified.push(one);
    }
    if json {
        let text = serde_json::to_string_pretty(&verified).context("write JSON")?;
        println!("{text}");
    }
    let fits = verified.iter().all(|one| one.findings.is_empty());
    Ok(ExitCode::from(u8::from(!fits)))
}

fn print(one: &Verified) {
    let verdict = match one.findings.len() {
        0 => "all fit".to_owned(),
        more => format!("{more} do not fit"),
    };
    println!(
        "{:<10} {} rules, {} seen in programs; {} functions look at their caller: {verdict}",
        one.version, one.rules, one.met, one.looking
    );
    if !one.unseen.is_empty() {
        println!("  in no program seen: {}", one.unseen.join(", "));
    }
    for finding in &one.findings {
        println!("  {finding}");
    }
}
