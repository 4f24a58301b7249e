//! A package of the toolchain's own source -> its tests, or its program, as an executable.
//!
//! The source lies in the toolchain and never changes, so its import path stands for it in the key.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Builder, c_tools, digest, must_build};
use crate::toolchain::Toolchain;

/// What is built of a package.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Package<'p> {
    /// Its tests, as `go test -c` builds them. The import path.
    Tests(&'p str),
    /// The program that it is. Its folder below `src`, and whether it needs cgo.
    Program(&'p str, bool),
}

impl<'p> Package<'p> {
    /// Its folder below `src`.
    #[must_use]
    pub const fn path(&self) -> &'p str {
        match *self {
            Self::Tests(path) | Self::Program(path, _) => path,
        }
    }
}

impl Builder {
    /// The executable of a package of the standard library, built when it is not there yet.
    ///
    /// # Errors
    /// It does not compile (with the compiler's messages); I/O.
    pub fn build_package(&self, toolchain: &Toolchain, package: Package<'_>) -> Result<PathBuf> {
        let version = toolchain.version();
        let path = package.path();
        let last = path.rsplit('/').next().unwrap_or(path);
        let (name, c_tools) = match package {
            // As `go test -c` names it.
            Package::Tests(_) => (format!("{last}.test"), ""),
            Package::Program(_, false) => (last.to_owned(), ""),
            Package::Program(_, true) => (last.to_owned(), c_tools::identity()?),
        };
        let what = format!("{package:?} in its module");
        let key = digest(version, [what.as_bytes(), c_tools.as_bytes()]);
        let label = format!("{}-{version}", path.replace('/', "_"));
        self.kept(&label, &key, &name, |work| {
            let out = work.join("out");
            fs::create_dir_all(&out).with_context(|| format!("create {}", out.display()))?;
            let mut go = toolchain.go_command();
            // As part of its module: outside of one, programs get the `GODEBUG` settings of old versions (go.dev/doc/godebug).
            go.current_dir(toolchain.source_of(path))
                .env("GO111MODULE", "on");
            match package {
                Package::Tests(path) => go
                    .args(["test", "-c", "-vet=off", "-o"])
                    .arg(out.join(&name))
                    .arg(path),
                Package::Program(_, cgo) => go
                    .env("CGO_ENABLED", if cgo { "1" } else { "0" })
                    .args(["build", "-o"])
                    .arg(out.join(&name)),
            };
            must_build(go).with_context(|| format!("build {path} with {version}"))?;
            Ok(out)
        })
    }
}
