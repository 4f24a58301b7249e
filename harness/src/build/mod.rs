//! A test program, a toolchain and a build mode -> an executable, built once and kept; so, too, a package of the standard
//! library -> its tests, and a module of other people -> its program.
//!
//! The key of a build is a hash of everything that decides its bytes: toolchain version, mode, flags, the names and
//! contents of the sources, and the versions of the C tools where they have a part in it. Sources are built from a copy
//! whose path is trimmed away, so the same key means the same bytes for every user; with cgo, programs of one key may
//! differ in debugging information. Safe to use from many processes at once; the cache stays below
//! [`Builder::with_limit`].

mod c_tools;
mod evict;
mod mode;
mod module;
mod package;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use gondwana_engine::golang::GoVersion;
use sha2::{Digest, Sha256};

use crate::cache::{self, Lock};
use crate::toolchain::Toolchain;

pub use mode::Mode;
pub use package::Package;

/// Number of lock files; two builds whose keys share one only wait for each other.
const LOCKS: u8 = 32;
/// Part of every key; to be raised when the way of building changes.
const RECIPE: &str = "2";

/// Builds Go programs into the user's cache.
#[derive(Clone, Debug)]
pub struct Builder {
    dir: PathBuf,
    limit: u64,
}

impl Builder {
    /// Bytes that built test programs may take by default.
    pub const DEFAULT_LIMIT: u64 = 6_000_000_000;

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
            limit: Self::DEFAULT_LIMIT,
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
        self.build_source(toolchain, &Source::read(source)?, mode)
    }

    /// As [`build`](Self::build), with one more flag for the compiler, for the standard library too where that can be said
    /// (1.10 and later).
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_with(
        &self,
        toolchain: &Toolchain,
        source: &Path,
        mode: Mode,
        flag: &'static str,
    ) -> Result<PathBuf> {
        self.build_flags(toolchain, &Source::read(source)?, mode, Some(flag))
    }

    /// The program of these sources, built when it is not there yet.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn build_source(
        &self,
        toolchain: &Toolchain,
        source: &Source,
        mode: Mode,
    ) -> Result<PathBuf> {
        self.build_flags(toolchain, source, mode, None)
    }

    fn build_flags(
        &self,
        toolchain: &Toolchain,
        source: &Source,
        mode: Mode,
        flag: Option<&'static str>,
    ) -> Result<PathBuf> {
        let version = toolchain.version();
        let name = &source.name;
        let mut flags = match mode.flags(version) {
            Ok(flags) => flags,
            Err(reason) => bail!("{version} has no mode {mode}: {reason}"),
        };
        if let Some(flag) = flag {
            flags.compile_all_with(flag);
        }
        let c_tools = match mode.needs_c(version) {
            true => c_tools::identity()?,
            false => "",
        };
        let key = key(version, source, &flags, c_tools);
        self.kept(&format!("{name}-{version}-{mode}"), &key, name, |work| {
            compile(toolchain, source, &flags, work)
                .with_context(|| format!("build {name} with {version}, {mode}"))
        })
    }

    /// The file `name` in the kept folder of this label and key. When it is not there yet, `make` makes a folder with it
    /// and nothing else, somewhere below the directory that it gets.
    fn kept(
        &self,
        label: &str,
        key: &str,
        name: &str,
        make: impl FnOnce(&Path) -> Result<PathBuf>,
    ) -> Result<PathBuf> {
        let place = self.dir.join(format!("{label}-{}", &key[..16]));
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
        cache::remove_tree(&work).with_context(|| format!("remove {}", work.display()))?;
        let built = make(&work).and_then(|built| {
            cache::remove_tree(&place).with_context(|| format!("remove {}", place.display()))?;
            fs::rename(&built, &place).with_context(|| format!("rename to {}", place.display()))
        });
        let cleaned =
            cache::remove_tree(&work).with_context(|| format!("remove {}", work.display()));
        built.and(cleaned)?;
        evict::down_to(&self.dir, self.limit, evict::RECENT)?;
        Ok(program)
    }
}

/// The sources of a program: package `testbins/NAME`, and other packages below `testbins/` that it imports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    /// The name of its main package's folder, and of the program.
    pub name: String,
    /// Paths relative to `testbins/` with contents, in the order of the paths.
    pub files: Vec<(String, Vec<u8>)>,
}

impl Source {
    /// The sources in one folder; subfolders are not part of it.
    ///
    /// # Errors
    /// When the folder cannot be read or holds no Go source.
    pub fn read(dir: &Path) -> Result<Self> {
        let name = dir
            .file_name()
            .and_then(|name| name.to_str())
            .with_context(|| format!("{} is not a source folder", dir.display()))?;
        let files = sources(dir)?
            .into_iter()
            .map(|(file, content)| (format!("{name}/{file}"), content))
            .collect();
        Ok(Self {
            name: name.to_owned(),
            files,
        })
    }
}

/// The files of a source folder with their contents, in the order of their names; subfolders are not part of it.
pub(crate) fn sources(dir: &Path) -> Result<Vec<(String, Vec<u8>)>> {
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

fn key(version: GoVersion, source: &Source, flags: &mode::Flags, c_tools: &str) -> String {
    let flags = format!("{flags:?}");
    let files = source.files.iter();
    let files = files.flat_map(|(name, content)| [name.as_bytes(), content]);
    let parts = [source.name.as_bytes(), flags.as_bytes(), c_tools.as_bytes()];
    digest(version, parts.into_iter().chain(files))
}

/// The hash of a version and a list of parts.
fn digest<'p>(version: GoVersion, parts: impl IntoIterator<Item = &'p [u8]>) -> String {
    let mut hash = Sha256::new();
    // Each part with its length before it: no two different lists of parts are the same bytes.
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(RECIPE.as_bytes());
    add(version.to_string().as_bytes());
    parts.into_iter().for_each(add);
    hash.finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Compiles a copy of the sources below `work`; returns the directory that holds the program and nothing else.
fn compile(
    toolchain: &Toolchain,
    source: &Source,
    flags: &mode::Flags,
    work: &Path,
) -> Result<PathBuf> {
    let gopath = work.join("gopath");
    let packages = gopath.join("src/testbins");
    let main = packages.join(&source.name);
    let write = |path: &Path, content: &[u8]| {
        let dir = path.parent().unwrap_or(path);
        fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        fs::write(path, content).with_context(|| format!("write {}", path.display()))
    };
    for (file, content) in &source.files {
        write(&packages.join(file), content)?;
    }
    if let Some(added) = flags.added {
        write(&main.join(mode::ADDED), added.as_bytes())?;
    }
    let out = work.join("out");
    fs::create_dir_all(&out).with_context(|| format!("create {}", out.display()))?;
    let program = out.join(&source.name);
    let mut go = toolchain.go_command();
    go.arg("build")
        .arg("-o")
        .arg(&program)
        .args(flags.arguments(&gopath.join("src")))
        .arg(format!("testbins/{}", source.name))
        .env("GOPATH", &gopath)
        .envs(flags.env.iter().copied())
        .current_dir(&main);
    must_build(go)?;
    if flags.strip {
        c_tools::strip(&program)?;
    }
    Ok(out)
}

/// Runs a `go` command that builds; what the compiler says is part of the error.
fn must_build(mut go: Command) -> Result<()> {
    let output = go
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {}", go.get_program().display()))?;
    if !output.status.success() {
        bail!(
            "go build ended with {}:\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_decides_the_bytes_is_in_the_key() {
        let source = |name: &str, files: &[(&str, &str)]| Source {
            name: name.to_owned(),
            files: files
                .iter()
                .map(|&(file, text)| (file.to_owned(), text.as_bytes().to_vec()))
                .collect(),
        };
        let key_of = |patch, source: &Source, mode: Mode, c_tools| {
            let version = GoVersion::new(21, patch);
            key(version, source, &mode.flags(version).unwrap(), c_tools)
        };
        let one = source("a", &[("a/main.go", "x")]);
        let base = key_of(13, &one, Mode::Static, "");
        assert_eq!(base, key_of(13, &one, Mode::Static, ""));
        let others = [
            key_of(12, &one, Mode::Static, ""),
            key_of(13, &source("b", &[("a/main.go", "x")]), Mode::Static, ""),
            key_of(13, &one, Mode::Stripped, ""),
            key_of(13, &one, Mode::Cgo, ""),
            key_of(13, &one, Mode::Static, "gcc 12"),
            key_of(13, &source("a", &[("a/main.go", "y")]), Mode::Static, ""),
            key_of(13, &source("a", &[("a/main.gox", "")]), Mode::Static, ""),
            key_of(13, &source("a", &[]), Mode::Static, ""),
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
