//! A program of a Go module of other people -> a stripped executable, built once and kept.
//!
//! The module comes through the user's GOPROXY and is checked against the user's checksum database; path and version stand
//! for it in the key. Nothing of it stays but the executable.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::{Builder, digest, must_build};
use crate::toolchain::Toolchain;

/// The first minor version with `go install PATH@VERSION`.
const MINIMUM_MINOR: u16 = 16;
/// Settings of the user that say where modules come from.
const SETTINGS: [&str; 8] = [
    "GOPROXY",
    "GOSUMDB",
    "GONOSUMDB",
    "GONOSUMCHECK",
    "GONOPROXY",
    "GOPRIVATE",
    "GOINSECURE",
    "GOAUTH",
];

impl Builder {
    /// The program of the package `path` (its last element is no version) in its module's `version` (`v1.2.3`).
    ///
    /// # Errors
    /// A Go version before 1.16; no such module, or no way to it; it does not compile; I/O.
    pub fn build_module(
        &self,
        toolchain: &Toolchain,
        path: &str,
        version: &str,
    ) -> Result<PathBuf> {
        let go_version = toolchain.version();
        if go_version.minor < MINIMUM_MINOR {
            bail!(
                "{go_version} cannot build {path}: `go install` of a version needs 1.{MINIMUM_MINOR}"
            );
        }
        let name = path.rsplit('/').next().unwrap_or(path);
        let what = format!("module program {path}@{version}, stripped");
        let key = digest(go_version, [what.as_bytes()]);
        self.kept(
            &format!("{name}-{version}-{go_version}"),
            &key,
            name,
            |work| {
                let out = work.join("out");
                fs::create_dir_all(&out).with_context(|| format!("create {}", out.display()))?;
                let mut go = toolchain.go_command();
                // The go command removes nothing that is read-only, and neither could we.
                go.env("GOFLAGS", "-modcacherw")
                    .env("GOPATH", work.join("gopath"))
                    .env("GOBIN", &out)
                    .env("GO111MODULE", "on")
                    .env_remove("GOENV")
                    .env_remove("GOPROXY");
                for name in SETTINGS {
                    if let Some(value) = std::env::var_os(name) {
                        go.env(name, value);
                    }
                }
                go.args(["install", "-trimpath", "-ldflags=-s -w"])
                    .arg(format!("{path}@{version}"));
                must_build(go)
                    .with_context(|| format!("build {path}@{version} with {go_version}"))?;
                Ok(out)
            },
        )
    }
}
