//! A Go version -> a Go toolchain that runs, from the cache or from the configured module proxy.
//!
//! A toolchain of any version is the module `golang.org/toolchain@v0.0.1-goVERSION.linux-amd64`
//! (`cmd/go/internal/toolchain`), so the `go` command downloads and checks it. This room never speaks HTTP itself, never
//! writes into the user's Go directories and never uses a toolchain that has not answered `go version`.
//!
//! `toolchains/goVERSION/` under the cache directory exists only complete: an installation happens in
//! `toolchains/.installing-goVERSION/` and ends with a rename, under the lock `toolchains/.goVERSION.lock`.

mod bootstrap;
mod install;
mod range;
mod versions;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use gondwana_engine::golang::GoVersion;

use crate::cache::{self, Lock};

pub use bootstrap::MINIMUM_MINOR;
pub use range::GoRange;
pub use versions::{
    CHOICE, LAST_PATCHES, NEWEST_MINOR, OLDEST_MINOR, PATCHES, choice, chosen, last_patch, resolve,
};

/// All Go toolchains of the cache.
#[derive(Clone, Debug)]
pub struct Toolchains {
    root: PathBuf,
}

/// An installed Go toolchain. While this value lives, [`Toolchains::remove`] leaves the toolchain alone.
#[derive(Debug)]
pub struct Toolchain {
    version: GoVersion,
    goroot: PathBuf,
    cache_root: PathBuf,
    _in_use: Lock,
}

/// What [`Toolchains::remove`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Removal {
    /// It is gone, and so many bytes with it.
    Removed(u64),
    /// A process is using or installing it; nothing was touched.
    InUse,
    /// It was not there.
    Absent,
}

impl Toolchains {
    /// The toolchains below the user's cache directory.
    ///
    /// # Errors
    /// When the user has no cache directory.
    pub fn open() -> Result<Self> {
        Ok(Self::at(cache::root()?))
    }

    /// The toolchains below another cache directory.
    #[must_use]
    pub fn at(cache_root: PathBuf) -> Self {
        Self { root: cache_root }
    }

    /// The toolchain of a version such as `1.21.13`, `go1.21.13` or `1.21` (its last patch); installed when missing.
    ///
    /// # Errors
    /// Bad version text; no such version; no way to download it.
    pub fn get(&self, version: &str) -> Result<Toolchain> {
        self.get_version(resolve(version)?)
    }

    /// The last patch of Go 1.`minor`; installed when missing.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_minor(&self, minor: u16) -> Result<Toolchain> {
        let Some(version) = last_patch(minor) else {
            bail!(
                "go1.{minor} is not known: this program knows go1.{OLDEST_MINOR} to go1.{NEWEST_MINOR}"
            )
        };
        self.get_version(version)
    }

    /// The toolchain of exactly this version; installed when missing.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_version(&self, version: GoVersion) -> Result<Toolchain> {
        if let Some(found) = self.installed(version)? {
            return Ok(found);
        }
        install::install(self, version)?;
        self.installed(version)?
            .with_context(|| format!("{version} was removed while it was being installed"))
    }

    /// The toolchain of exactly this version if it is in the cache.
    ///
    /// # Errors
    /// When its lock cannot be taken.
    pub fn installed(&self, version: GoVersion) -> Result<Option<Toolchain>> {
        let goroot = self.goroot(version);
        if !goroot.is_dir() {
            return Ok(None);
        }
        let in_use = Lock::shared(&self.lock_path(version))?;
        // Looked at again under the lock: it may have been removed in between.
        let present = goroot.is_dir();
        Ok(present.then(|| Toolchain {
            version,
            goroot,
            cache_root: self.root.clone(),
            _in_use: in_use,
        }))
    }

    /// The versions in the cache, oldest first.
    ///
    /// # Errors
    /// When the directory cannot be read; its absence means none.
    pub fn list(&self) -> Result<Vec<GoVersion>> {
        let mut versions: Vec<GoVersion> = self
            .entries()?
            .iter()
            .filter_map(|name| {
                name.strip_prefix("go")?
                    .parse()
                    .ok()
                    .filter(|v: &GoVersion| v.to_string() == *name)
            })
            .collect();
        versions.sort_unstable();
        Ok(versions)
    }

    /// Removes one toolchain and the Go build cache that belongs to it, unless it is in use.
    ///
    /// # Errors
    /// When files cannot be deleted.
    pub fn remove(&self, version: GoVersion) -> Result<Removal> {
        let goroot = self.goroot(version);
        let left = [
            self.installing(version),
            self.removing(version),
            self.gocache(version),
        ];
        if !goroot.exists() && !left.iter().any(|path| path.exists()) {
            return Ok(Removal::Absent);
        }
        let Some(_lock) = Lock::try_exclusive(&self.lock_path(version))? else {
            return Ok(Removal::InUse);
        };
        let size = [&goroot]
            .into_iter()
            .chain(&left)
            .map(|path| cache::tree_size(path))
            .sum();
        if goroot.exists() {
            // First out of sight in one step: an interrupted removal must not leave half a toolchain.
            let removing = self.removing(version);
            cache::remove_tree(&removing)
                .with_context(|| format!("remove {}", removing.display()))?;
            fs::rename(&goroot, &removing)
                .with_context(|| format!("remove {}", goroot.display()))?;
        }
        for path in &left {
            cache::remove_tree(path).with_context(|| format!("remove {}", path.display()))?;
        }
        Ok(Removal::Removed(size))
    }

    /// Versions of which an interrupted installation or removal has left something.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn leftovers(&self) -> Result<Vec<GoVersion>> {
        let of = |name: &String| {
            let name = name
                .strip_prefix(".installing-")
                .or_else(|| name.strip_prefix(".removing-"))?;
            name.parse().ok()
        };
        Ok(self.entries()?.iter().filter_map(of).collect())
    }

    fn entries(&self) -> Result<Vec<String>> {
        let dir = self.dir();
        match fs::read_dir(&dir) {
            Ok(entries) => Ok(entries
                .flatten()
                .filter_map(|entry| entry.file_name().into_string().ok())
                .collect()),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(e) => Err(e).with_context(|| format!("read {}", dir.display())),
        }
    }

    fn dir(&self) -> PathBuf {
        self.root.join("toolchains")
    }

    /// Where the toolchain of a version lies or would lie.
    #[must_use]
    pub fn goroot(&self, version: GoVersion) -> PathBuf {
        self.dir().join(version.to_string())
    }

    fn installing(&self, version: GoVersion) -> PathBuf {
        self.dir().join(format!(".installing-{version}"))
    }

    fn removing(&self, version: GoVersion) -> PathBuf {
        self.dir().join(format!(".removing-{version}"))
    }

    fn lock_path(&self, version: GoVersion) -> PathBuf {
        self.dir().join(format!(".{version}.lock"))
    }

    fn gocache(&self, version: GoVersion) -> PathBuf {
        self.root.join("gocache").join(version.to_string())
    }
}

impl Toolchain {
    /// Its version.
    #[must_use]
    pub fn version(&self) -> GoVersion {
        self.version
    }

    /// Its root, which holds `bin`, `pkg` and `src`.
    #[must_use]
    pub fn goroot(&self) -> &Path {
        &self.goroot
    }

    /// The `go` command of this toolchain, in an environment free of the user's Go and C settings, building static
    /// linux/amd64 programs outside of modules. Set variables on the result for anything else.
    #[must_use]
    pub fn go_command(&self) -> Command {
        go_command_at(&self.goroot, &self.cache_root, self.version)
    }

    /// The folder of a package of the standard library, or of its tests' data.
    #[must_use]
    pub fn source_of(&self, path: &str) -> PathBuf {
        self.goroot.join("src").join(path)
    }

    /// Gives a command the environment of [`go_command`](Self::go_command), for programs that ask for this toolchain.
    pub fn prepare(&self, command: &mut Command) {
        set_environment(command, &self.goroot, &self.cache_root, self.version);
    }

    /// What `go version -m -json` of this toolchain (1.25 and later) says of a program; `None` if it has no answer.
    ///
    /// # Errors
    /// The go command cannot be run, or its answer is no JSON.
    pub fn build_information_of(&self, program: &Path) -> Result<Option<serde_json::Value>> {
        let mut go = self.go_command();
        let output = go
            .args(["version", "-m", "-json"])
            .arg(program)
            .output()
            .with_context(|| format!("run {}/bin/go", self.goroot.display()))?;
        if !output.status.success() {
            return Ok(None);
        }
        serde_json::from_slice(&output.stdout)
            .context("read the answer of go version")
            .map(Some)
    }
}

/// The command of [`Toolchain::go_command`], for a toolchain that is not yet in its place.
fn go_command_at(goroot: &Path, cache_root: &Path, version: GoVersion) -> Command {
    let mut go = Command::new(goroot.join("bin/go"));
    set_environment(&mut go, goroot, cache_root, version);
    go
}

fn set_environment(command: &mut Command, goroot: &Path, cache_root: &Path, version: GoVersion) {
    for name in users_settings(std::env::vars_os().map(|(name, _)| name)) {
        command.env_remove(name);
    }
    command
        .env("GOROOT", goroot)
        .env("GOPATH", cache_root.join("gopath"))
        .env(
            "GOCACHE",
            cache_root.join("gocache").join(version.to_string()),
        )
        .env("GO111MODULE", "off")
        .env("GOENV", "off")
        .env("GOFLAGS", "")
        .env("GOTOOLCHAIN", "local")
        .env("GOWORK", "off")
        .env("GOTELEMETRY", "off")
        .env("GOPROXY", "off")
        .env("GOOS", "linux")
        .env("GOARCH", "amd64")
        .env("CGO_ENABLED", "0");
}

/// The variables that change what a `go` command does: all of Go's own (`GOFLAGS`, `GOAMD64`, `GOEXPERIMENT`, …), cgo's,
/// and those with which the C compiler is chosen.
fn users_settings(names: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let is_setting = |name: &OsString| {
        name.to_str().is_some_and(|n| {
            n.starts_with("GO")
                || n.starts_with("CGO_")
                || matches!(n, "CC" | "CXX" | "AR" | "PKG_CONFIG")
        })
    };
    names.filter(is_setting).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn empty() -> (tempfile::TempDir, Toolchains) {
        let dir = tempfile::tempdir().unwrap();
        let toolchains = Toolchains::at(dir.path().to_owned());
        (dir, toolchains)
    }

    #[test]
    fn only_complete_toolchains_are_listed_in_the_order_of_versions() {
        let (_dir, toolchains) = empty();
        assert!(toolchains.list().unwrap().is_empty());
        for name in [
            "go1.10.8",
            "go1.9.7",
            ".installing-go1.21.13",
            "go1.22.1x",
            "go1.20.0",
            "go1.20",
        ] {
            fs::create_dir_all(toolchains.dir().join(name)).unwrap();
        }
        let listed: Vec<String> = toolchains
            .list()
            .unwrap()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(listed, ["go1.9.7", "go1.10.8", "go1.20"]);
        assert_eq!(toolchains.leftovers().unwrap(), [GoVersion::new(21, 13)]);
    }

    #[test]
    fn a_toolchain_in_use_is_not_removed() {
        let (_dir, toolchains) = empty();
        let version = GoVersion::new(21, 13);
        assert_eq!(toolchains.remove(version).unwrap(), Removal::Absent);
        fs::create_dir_all(toolchains.goroot(version)).unwrap();
        fs::write(toolchains.goroot(version).join("VERSION"), "go1.21.13").unwrap();
        let used = toolchains.installed(version).unwrap().unwrap();
        assert_eq!(toolchains.remove(version).unwrap(), Removal::InUse);
        drop(used);
        assert_eq!(toolchains.remove(version).unwrap(), Removal::Removed(9));
        assert!(toolchains.installed(version).unwrap().is_none());
        assert!(toolchains.leftovers().unwrap().is_empty());
    }

    #[test]
    fn the_users_settings_do_not_reach_the_go_command() {
        let names = [
            "GOFLAGS",
            "GOAMD64",
            "CGO_CFLAGS",
            "CC",
            "PATH",
            "HOME",
            "GITHUB_TOKEN",
            "CCACHE_DIR",
        ];
        let removed = users_settings(names.iter().map(OsString::from));
        assert_eq!(removed, ["GOFLAGS", "GOAMD64", "CGO_CFLAGS", "CC"]);
    }
}
