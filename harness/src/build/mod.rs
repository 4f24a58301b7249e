//! A test program, a toolchain and a build mode -> an executable, built once and kept.
//!
//! The key of a build is a hash of everything that decides its bytes: toolchain version, mode, flags, and the names and
//! contents of the sources. Sources are built from a copy whose path is trimmed away, so the same key means the same
//! bytes for every user. Safe to use from many processes at once; the cache stays below [`Builder::with_limit`].

mod evict;
mod mode;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use gondwana_engine::golang::GoVersion;
use sha2::{Digest, Sha256};

use crate::cache::{self, Lock};
use crate::toolchain::Toolchain;

pub use mode::Mode;

/// Bytes that built test programs may take by default.
const DEFAULT_LIMIT: u64 = 6_000_000_000;
/// Number of lock files; two builds whose keys share one only wait for each other.
const LOCKS: u8 = 32;
/// Part of every key; to be raised when the way of building changes.
const RECIPE: &str = "1";

/// Builds Go programs into the user's cache.
#[derive(Clone, Debug)]
pub struct Builder {
    dir: PathBuf,
    limit: u64,
}

impl Builder {
    /// A builder on the user's cache directory.
    ///
    /// # Errors
    /// When the user has no cache directory.
    pub fn open() -> Result<Self> {
        Ok(Self::at(cache::root()?.join("builds")))
    }

    /// A builder that keeps its programs in `dir`.
    #[must_use]
    pub fn at(dir: PathBuf) -> Self {
        Self {
            dir,
            limit: DEFAULT_LIMIT,
        }
    }

    /// Sets how many bytes the kept programs may take together. What was used within the last hour is kept all the same.
    #[must_use]
    pub fn with_limit(self, bytes: u64) -> Self {
        Self {
            limit: bytes,
            ..self
        }
    }

    /// Removes every kept program.
    ///
    /// # Errors
    /// When a file cannot be removed.
    pub fn clear(&self) -> Result<u64> {
        evict::down_to(&self.dir, 0, std::time::Duration::ZERO)
    }

    /// The program of one source folder (package `main`), built when it is not there yet.
    ///
    /// # Errors
    /// The mode does not exist in that version; the sources do not compile (with the compiler's messages); I/O.
    pub fn build(&self, toolchain: &Toolchain, source: &Path, mode: Mode) -> Result<PathBuf> {
        let version = toolchain.version();
        let Some(flags) = mode.flags(version) else {
            bail!("{version} cannot build {mode} without cgo")
        };
        let name = source
            .file_name()
            .and_then(|name| name.to_str())
            .with_context(|| format!("{} is not a source folder", source.display()))?;
        let files = sources(source)?;
        let key = key(version, name, &flags, &files);
        let place = self
            .dir
            .join(format!("{name}-{version}-{mode}-{}", &key[..16]));
        let program = place.join(name);
        if evict::touch(&place, &program) {
            return Ok(program);
        }
        let stripe = u8::from_str_radix(&key[..2], 16).unwrap_or_default() % LOCKS;
        let _lock = Lock::exclusive(&self.dir.join(format!(".lock{stripe}")), || {})?;
        if evict::touch(&place, &program) {
            return Ok(program); // another process has built it
        }
        // Under the stripe's lock nobody else works on this key, so what lies there is left over.
        let work = self.dir.join(format!(".work-{key}"));
        let built = compile(toolchain, name, &files, &flags, &work)
            .with_context(|| format!("build {} with {version}, {mode}", source.display()))
            .and_then(|built| {
                cache::remove_tree(&place)
                    .with_context(|| format!("remove {}", place.display()))?;
                fs::rename(&built, &place).with_context(|| format!("rename to {}", place.display()))
            });
        let cleaned =
            cache::remove_tree(&work).with_context(|| format!("remove {}", work.display()));
        built.and(cleaned)?;
        evict::down_to(&self.dir, self.limit, evict::RECENT)?;
        Ok(program)
    }
}

/// The files of a source folder with their contents, in the order of their names; subfolders are not part of it.
fn sources(dir: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry
            .with_context(|| format!("read {}", dir.display()))?
            .path();
        let is_source = path
            .extension()
            .is_some_and(|e| e == "go" || e == "s" || e == "h");
        if let Some(name) = path
            .file_name()
            .and_then(|name| name.to_str())
            .filter(|_| is_source && path.is_file())
        {
            files.push((
                name.to_owned(),
                fs::read(&path).with_context(|| format!("read {}", path.display()))?,
            ));
        }
    }
    if files.is_empty() {
        bail!("{} holds no Go source", dir.display());
    }
    files.sort();
    Ok(files)
}

fn key(version: GoVersion, name: &str, flags: &mode::Flags, files: &[(String, Vec<u8>)]) -> String {
    let mut hash = Sha256::new();
    // Each part with its length before it: no two different lists of parts are the same bytes.
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(RECIPE.as_bytes());
    add(version.to_string().as_bytes());
    add(name.as_bytes());
    add(format!("{flags:?}").as_bytes());
    for (name, content) in files {
        add(name.as_bytes());
        add(content);
    }
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Compiles a copy of the sources below `work`; returns the directory that holds the program and nothing else.
fn compile(
    toolchain: &Toolchain,
    name: &str,
    files: &[(String, Vec<u8>)],
    flags: &mode::Flags,
    work: &Path,
) -> Result<PathBuf> {
    cache::remove_tree(work).with_context(|| format!("remove {}", work.display()))?;
    let gopath = work.join("gopath");
    let package = format!("testbins/{name}");
    let source = gopath.join("src").join(&package);
    fs::create_dir_all(&source).with_context(|| format!("create {}", source.display()))?;
    for (file, content) in files {
        fs::write(source.join(file), content).with_context(|| format!("write a copy of {file}"))?;
    }
    let out = work.join("out");
    fs::create_dir_all(&out).with_context(|| format!("create {}", out.display()))?;
    let output = toolchain
        .go_command()
        .arg("build")
        .arg("-o")
        .arg(out.join(name))
        .args(flags.arguments(&gopath.join("src")))
        .arg(&package)
        .env("GOPATH", &gopath)
        .current_dir(&source)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {}/bin/go", toolchain.goroot().display()))?;
    if !output.status.success() {
        bail!(
            "go build ended with {}:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_decides_the_bytes_is_in_the_key() {
        let files = |name: &str, text: &str| vec![(name.to_owned(), text.as_bytes().to_vec())];
        let v = GoVersion::new(21, 13);
        let flags = |mode: Mode| mode.flags(v).unwrap();
        let base = key(v, "a", &flags(Mode::Static), &files("main.go", "x"));
        assert_eq!(
            base,
            key(v, "a", &flags(Mode::Static), &files("main.go", "x"))
        );
        let others = [
            key(
                GoVersion::new(21, 12),
                "a",
                &flags(Mode::Static),
                &files("main.go", "x"),
            ),
            key(v, "b", &flags(Mode::Static), &files("main.go", "x")),
            key(v, "a", &flags(Mode::Stripped), &files("main.go", "x")),
            key(v, "a", &flags(Mode::Static), &files("main.go", "y")),
            key(v, "a", &flags(Mode::Static), &files("main.gox", "")),
            key(v, "a", &flags(Mode::Static), &[]),
        ];
        for (i, other) in others.iter().enumerate() {
            assert_ne!(&base, other, "{i}");
        }
    }

    #[test]
    fn a_folder_without_source_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("README"), "").unwrap();
        assert!(
            sources(dir.path())
                .unwrap_err()
                .to_string()
                .contains("no Go source")
        );
        assert!(sources(&dir.path().join("missing")).is_err());
    }
}
