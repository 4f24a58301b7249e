//! Version -> installed toolchain: download through `go mod download`, make executable, check, rename into place.
//!
//! Whatever interrupts this leaves only `.installing-goVERSION/` behind, which nothing reads and the next installation
//! removes. The download runs with the lock inherited (as its standard input), so an orphaned download, too, keeps
//! others away until it has ended.

use std::fs;
use std::io::{IsTerminal, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use gondwana_engine::golang::GoVersion;

use super::{Toolchains, bootstrap, go_command_at};
use crate::cache::{self, Lock};

pub(super) fn install(toolchains: &Toolchains, version: GoVersion) -> Result<()> {
    let lock = Lock::exclusive(&toolchains.lock_path(version), || {
        eprintln!("{version}: another process uses or installs it, waiting");
    })?;
    let goroot = toolchains.goroot(version);
    if goroot.is_dir() {
        return Ok(()); // the other process has installed it
    }
    let go = bootstrap::go(toolchains)?;
    let installing = toolchains.installing(version);
    // We hold the lock, so what lies there was left by somebody who is gone.
    cache::remove_tree(&installing).with_context(|| format!("remove {}", installing.display()))?;
    fs::create_dir_all(&installing).with_context(|| format!("create {}", installing.display()))?;
    let result = fetch(&go, version, &installing, &lock)
        .and_then(|unpacked| prepare(&unpacked, toolchains, version).map(|()| unpacked))
        .and_then(|unpacked| {
            fs::rename(&unpacked, &goroot)
                .with_context(|| format!("rename {} to its place", unpacked.display()))
        });
    // On success as well: the zip (some 100 MB) and the rest of the module cache lie there.
    let cleaned =
        cache::remove_tree(&installing).with_context(|| format!("remove {}", installing.display()));
    result.with_context(|| format!("install {version}"))?;
    eprintln!("{version}: installed");
    cleaned
}

/// Downloads that are tried before one counts as failed.
const TRIES: u64 = 3;

/// Downloads and unpacks the module into a module cache of its own; returns the module's directory.
fn fetch(go: &Path, version: GoVersion, scratch: &Path, lock: &Lock) -> Result<PathBuf> {
    let mut tries = 1;
    loop {
        match download(go, version, scratch, lock)? {
            Ok(dir) => return Ok(dir),
            Err(message) if tries < TRIES && may_pass(&message) => {
                eprintln!("{version}: {message}; trying again");
                std::thread::sleep(Duration::from_secs(5 * tries));
                tries += 1;
            }
            Err(message) => bail!("{}", explain(&message, version)),
        }
    }
}

/// Whether a download failed of something that often lasts a moment only.
fn may_pass(message: &str) -> bool {
    [
        "EOF",
        "reset by peer",
        "timeout",
        "429 ",
        "500 ",
        "502 ",
        "503 ",
        "504 ",
    ]
    .iter()
    .any(|part| message.contains(part))
}

/// One try: the module's directory, or what the `go` command says.
fn download(
    go: &Path,
    version: GoVersion,
    scratch: &Path,
    lock: &Lock,
) -> Result<Result<PathBuf, String>> {
    let modcache = scratch.join("mod");
    let download = Command::new(go)
        .args(["mod", "download", "-json"])
        .arg(format!("golang.org/toolchain@v0.0.1-{version}.linux-amd64"))
        .current_dir(scratch)
        .env("GOMODCACHE", &modcache)
        .env("GOPATH", scratch.join("gopath"))
        .env("GOCACHE", scratch.join("gocache"))
        // Replaces the user's flags, whatever they are; -modcacherw lets the tree be renamed and removed.
        .env("GOFLAGS", "-modcacherw")
        .env("GO111MODULE", "on")
        .env("GOWORK", "off")
        .env("GOTOOLCHAIN", "local")
        .env_remove("GOROOT")
        .stdin(Stdio::from(lock.for_child()?))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("start {}", go.display()))?;
    let output = with_progress(download, version, scratch)?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    if let Some(dir) = answer["Dir"].as_str().filter(|_| output.status.success()) {
        return Ok(Ok(PathBuf::from(dir)));
    }
    Ok(Err(match answer["Error"].as_str() {
        Some(error) => error.trim().to_owned(),
        None => bootstrap::last_line(&output.stderr),
    }))
}

/// The download's own message, and what to do about it.
fn explain(message: &str, version: GoVersion) -> String {
    let message = message
        .split('\n')
        .map(str::trim)
        .collect::<Vec<_>>()
        .join(" ");
    let has = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
    if has(&[
        "GOPROXY=off",
        "dial tcp",
        "no such host",
        "connection refused",
        "i/o timeout",
        "network is unreachable",
    ]) {
        format!(
            "cannot download it (offline?): {message}; with a connection, run `gondwana-harness toolchain install {}`",
            version.to_string().trim_start_matches("go")
        )
    } else if has(&[
        "403 Forbidden",
        "404 Not Found",
        "410 Gone",
        "unknown revision",
        ".info: no such file",
    ]) {
        format!(
            "there is no Go release {version} for linux/amd64, or the module proxy does not have it: {message}"
        )
    } else {
        message
    }
}

/// Waits for the download; says on standard error how far it is.
fn with_progress(
    mut child: std::process::Child,
    version: GoVersion,
    scratch: &Path,
) -> Result<std::process::Output> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let reader = |pipe: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            // A broken pipe only shortens the message.
            let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
            bytes
        })
    };
    let stdout = reader(stdout.map(|pipe| Box::new(pipe) as _));
    let stderr = reader(stderr.map(|pipe| Box::new(pipe) as _));
    let terminal = std::io::stderr().is_terminal();
    let every = if terminal {
        Duration::from_millis(500)
    } else {
        Duration::from_secs(5)
    };
    eprintln!("{version}: downloading");
    let mut shown = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().context("wait for the download")? {
            break status;
        }
        std::thread::sleep(Duration::from_millis(50));
        if shown.elapsed() >= every {
            shown = Instant::now();
            let size = cache::megabytes(cache::tree_size(scratch));
            let (start, end) = if terminal {
                ("\r", "\x1b[K")
            } else {
                ("", "\n")
            };
            // Progress that cannot be shown is no reason to stop.
            let _ = write!(
                std::io::stderr(),
                "{start}{version}: {size} downloaded and unpacked{end}"
            );
        }
    };
    if terminal {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    let join = |thread: std::thread::JoinHandle<Vec<u8>>| thread.join().unwrap_or_default();
    Ok(std::process::Output {
        status,
        stdout: join(stdout),
        stderr: join(stderr),
    })
}

/// Makes the tools executable (modules carry no execute bits) and asks the toolchain for its version.
fn prepare(unpacked: &Path, toolchains: &Toolchains, version: GoVersion) -> Result<()> {
    fs::set_permissions(unpacked, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("make {} writable", unpacked.display()))?;
    make_executable(&unpacked.join("bin"))?;
    let tools = unpacked.join("pkg/tool");
    for platform in fs::read_dir(&tools).with_context(|| format!("read {}", tools.display()))? {
        make_executable(
            &platform
                .with_context(|| format!("read {}", tools.display()))?
                .path(),
        )?;
    }
    let answer = go_command_at(unpacked, &toolchains.root, version)
        .arg("version")
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {}/bin/go", unpacked.display()))?;
    match bootstrap::parse_version(&answer.stdout) {
        Some(found) if answer.status.success() && found == version => Ok(()),
        _ => bail!(
            "the downloaded toolchain does not answer `go version` with {version}: {} {}",
            String::from_utf8_lossy(&answer.stdout).trim(),
            bootstrap::last_line(&answer.stderr)
        ),
    }
}

fn make_executable(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry
            .with_context(|| format!("read {}", dir.display()))?
            .path();
        if path.is_file() {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
                .with_context(|| format!("make {} executable", path.display()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_say_what_to_do() {
        let version = GoVersion::new(21, 13);
        let offline = explain("module lookup disabled by GOPROXY=off", version);
        assert!(
            offline.contains("offline") && offline.contains("toolchain install 1.21.13"),
            "{offline}"
        );
        let unknown = explain(
            "reading https://example.org: 404 Not Found\n\tserver response: not found",
            version,
        );
        assert!(
            unknown.starts_with("there is no Go release go1.21.13") && !unknown.contains('\n'),
            "{unknown}"
        );
        assert_eq!(explain("checksum mismatch", version), "checksum mismatch");
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for passing in [
            "read tcp: connection reset by peer",
            "502 Bad Gateway",
            "unexpected EOF",
        ] {
            assert!(may_pass(passing), "{passing}");
        }
        for lasting in [
            "404 Not Found",
            "checksum mismatch",
            "GOPROXY=off",
            "no space left",
        ] {
            assert!(!may_pass(lasting), "{lasting}");
        }
    }
}
