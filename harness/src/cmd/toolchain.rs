//! `gondwana-harness toolchain`: the cached Go toolchains.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use gondwana_engine::golang::GoVersion;

use crate::build::Builder;
use crate::cache;
use crate::toolchain::{LAST_PATCHES, Removal, Toolchains, resolve};

const VERSIONS: &str =
    "A VERSION is written 1.21.13 or go1.21.13; 1.21 means the last patch of that minor version.

Examples:
  gondwana-harness toolchain install 1.5 1.21.13
  $(gondwana-harness toolchain path 1.21)/bin/go version
  gondwana-harness toolchain prune 1.5

Exit status: 0 done, 2 failed.";

/// Arguments of `toolchain`.
#[derive(clap::Args, Debug)]
#[command(after_help = VERSIONS)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// List the known versions and the installed ones
    List,
    /// Download versions into the cache
    Install {
        /// Versions to install
        #[arg(required = true, value_name = "VERSION")]
        versions: Vec<String>,
    },
    /// Print the root (GOROOT) of an installed version
    Path {
        /// The version
        version: String,
    },
    /// Remove versions from the cache; without any: all of them, with everything built by them and every leftover
    Prune {
        /// Versions to remove; what is in use stays
        #[arg(value_name = "VERSION")]
        versions: Vec<String>,
    },
}

/// Runs it.
///
/// # Errors
/// Bad versions, no connection, no space: whatever keeps the command from doing its work.
pub fn run(args: &Args) -> Result<ExitCode> {
    let toolchains = Toolchains::open()?;
    match &args.command {
        Command::List => list(&toolchains)?,
        Command::Install { versions } => install(&toolchains, versions)?,
        Command::Path { version } => path(&toolchains, version)?,
        Command::Prune { versions } => prune(&toolchains, versions)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes to standard output; a reader that has left (`| head`) is no failure.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(e).context("write to standard output")
        }
        _ => Ok(()),
    }
}

fn resolve_all(versions: &[String]) -> Result<Vec<GoVersion>> {
    versions.iter().map(|text| resolve(text)).collect()
}

fn list(toolchains: &Toolchains) -> Result<()> {
    let installed = toolchains.list()?;
    let mut all: Vec<GoVersion> = installed.iter().copied().chain(LAST_PATCHES).collect();
    all.sort_unstable();
    all.dedup();
    let mut text = String::new();
    for version in all {
        let state = match installed.contains(&version) {
            true => toolchains.goroot(version).display().to_string(),
            false => "not installed".to_owned(),
        };
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{:<10} {state}", version.to_string());
    }
    print(&text)
}

fn install(toolchains: &Toolchains, versions: &[String]) -> Result<()> {
    // All are read before the first is downloaded: a misspelt one must not be found after minutes.
    let versions = resolve_all(versions)?;
    let mut failed = Vec::new();
    for version in &versions {
        match toolchains.get_version(*version) {
            Ok(toolchain) => eprintln!("{version}: {}", toolchain.goroot().display()),
            Err(error) => failed.push(format!("{error:#}")),
        }
    }
    match failed.as_slice() {
        [] => Ok(()),
        [one] => bail!("{one}"),
        many => bail!(
            "{} of {} versions failed: {}",
            many.len(),
            versions.len(),
            many.join("; ")
        ),
    }
}

fn path(toolchains: &Toolchains, version: &str) -> Result<()> {
    let version = resolve(version)?;
    let Some(toolchain) = toolchains.installed(version)? else {
        let bare = version.to_string();
        bail!(
            "{version} is not installed: gondwana-harness toolchain install {}",
            bare.trim_start_matches("go")
        )
    };
    print(&format!("{}\n", toolchain.goroot().display()))
}

fn prune(toolchains: &Toolchains, versions: &[String]) -> Result<()> {
    let mut freed = 0;
    let mut remove = resolve_all(versions)?;
    if versions.is_empty() {
        freed += Builder::open()?.clear()?;
        remove = toolchains.list()?;
        remove.extend(toolchains.leftovers()?);
        remove.sort_unstable();
        remove.dedup();
    }
    for version in remove {
        match toolchains.remove(version)? {
            Removal::Removed(bytes) => {
                freed += bytes;
                eprintln!("{version}: removed");
            }
            Removal::InUse => eprintln!("{version}: in use, kept"),
            Removal::Absent => eprintln!("{version}: not installed"),
        }
    }
    eprintln!("{} freed", cache::megabytes(freed));
    Ok(())
}
