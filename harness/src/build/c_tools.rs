//! The machine's C tools: who they are, as part of the key of what they build, and `strip`.
//!
//! Go's `go` command takes `gcc` (`cmd/go`, `DefaultCC`), which runs `ld`; the user's `CC` never reaches it.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

/// The versions of compiler and linker, one line each.
///
/// # Errors
/// When one of them is not there: the modes that need C cannot be built then.
pub(super) fn identity() -> Result<&'static str> {
    static IDENTITY: OnceLock<String> = OnceLock::new();
    if let Some(known) = IDENTITY.get() {
        return Ok(known);
    }
    let asked = format!("{}\n{}", first_line("gcc")?, first_line("ld")?);
    Ok(IDENTITY.get_or_init(|| asked))
}

fn first_line(tool: &str) -> Result<String> {
    let output = Command::new(tool)
        .arg("--version")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .with_context(|| {
            format!("start `{tool}`, which this build mode needs (gcc and binutils)")
        })?;
    let text = String::from_utf8_lossy(&output.stdout);
    match text.lines().next().filter(|_| output.status.success()) {
        Some(line) => Ok(line.to_owned()),
        None => bail!("`{tool} --version` ended with {}", output.status),
    }
}

/// Removes all symbols and debugging information of a program, in place.
///
/// # Errors
/// When `strip` is not there or refuses the program.
pub(super) fn strip(program: &Path) -> Result<()> {
    let output = Command::new("strip")
        .arg("--strip-all")
        .arg(program)
        .stdin(Stdio::null())
        .output()
        .context("start `strip`, which this build mode needs (binutils)")?;
    if !output.status.success() {
        bail!(
            "strip ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(())
}
