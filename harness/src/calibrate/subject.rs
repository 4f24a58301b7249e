//! A program of the list, built by one version of Go -> [`Subject`], which can be run.

use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use gondwana_engine::golang::GoVersion;

use super::definition::{Entry, Origin};
use crate::build::{Builder, Mode};
use crate::executor::native::process::Scenario;
use crate::testbins;
use crate::toolchain::{NEWEST_MINOR, Toolchains};

/// The folder of the program with the harms, from the workspace's root.
pub const HARMED: &str = "harness/tests/programs/harmed";

/// A program that can be run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Subject {
    /// What the list says of it.
    pub entry: Entry,
    /// The version that built it.
    pub go: GoVersion,
    /// Its file.
    pub program: PathBuf,
    /// The file of the program that loads servers.
    pub loader: PathBuf,
    /// Variables that its head asks for.
    pub env: Vec<(String, String)>,
}

/// The program with the harms, built.
///
/// # Errors
/// No toolchain; it does not compile.
pub fn harmed(toolchains: &Toolchains, builder: &Builder, go: GoVersion) -> Result<PathBuf> {
    let folder = testbins::directory()?.join("..").join(HARMED);
    builder.build(&toolchains.get_version(go)?, &folder, Mode::Static)
}

impl Subject {
    /// Builds a program by each of its versions.
    ///
    /// # Errors
    /// No toolchain or module; it does not compile.
    pub fn build(toolchains: &Toolchains, builder: &Builder, entry: &Entry) -> Result<Vec<Self>> {
        let newest = crate::toolchain::last_patch(NEWEST_MINOR).context("the newest version")?;
        let loader = harmed(toolchains, builder, newest)?;
        let build = |&go: &GoVersion| -> Result<Self> {
            let toolchain = toolchains.get_version(go)?;
            let mut env = Vec::new();
            let program = match &entry.origin {
                Origin::Testbin(name) => {
                    let case = testbins::case(name)?;
                    env = case.env;
                    builder.build(&toolchain, &case.dir, Mode::Static)?
                }
                Origin::Harmed => harmed(toolchains, builder, go)?,
                Origin::Module(path, version) => builder.build_module(&toolchain, path, version)?,
            };
            Ok(Self {
                entry: entry.clone(),
                go,
                // As the kernel names it: memory is watched while this is executed.
                program: program.canonicalize().context("find the program")?,
                loader: loader.clone(),
                env,
            })
        };
        entry
            .versions
            .iter()
            .map(build)
            .collect::<Result<_>>()
            .with_context(|| entry.name.clone())
    }

    /// How it is run in a trial that has this empty directory.
    ///
    /// # Errors
    /// A file cannot be written; no port is free.
    pub fn scenario(&self, dir: &Path) -> Result<Scenario> {
        let entry = &self.entry;
        for (name, text) in &entry.files {
            let file = dir.join(name);
            std::fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
        }
        let port = free_port()?.to_string();
        let (dir, program) = (
            dir.display().to_string(),
            self.program.display().to_string(),
        );
        let loader = self.loader.display().to_string();
        let filled = |text: &String| {
            text.replace("{dir}", &dir)
                .replace("{port}", &port)
                .replace("{program}", &program)
                .replace("{harmed}", &loader)
        };
        let ready = entry.ready.as_ref().map(|ready| filled(ready).parse());
        Ok(Scenario {
            args: entry.args.iter().map(filled).collect(),
            env: self.env.clone(),
            stdin: None,
            ready: ready.transpose().map_err(anyhow::Error::msg)?,
            load: entry.load.as_ref().map(filled),
            stop: entry.stop.clone(),
            timeout: entry.timeout,
        })
    }
}

/// A port that nobody has: so far.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("look for a free port")?;
    Ok(listener
        .local_addr()
        .context("look for a free port")?
        .port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::native::process::Ready;

    #[test]
    fn placeholders_are_filled_and_files_written() {
        let definition = super::super::Definition::read().unwrap();
        let entry = definition
            .chosen(&["go-httpbin".to_owned()])
            .unwrap()
            .remove(0);
        let subject = Subject {
            entry: Entry {
                files: [("a".to_owned(), "b".to_owned())].into(),
                ..entry
            },
            go: GoVersion::new(27, 0),
            program: "/p".into(),
            loader: "/l".into(),
            env: Vec::new(),
        };
        let dir = tempfile::tempdir().unwrap();
        let scenario = subject.scenario(dir.path()).unwrap();
        let Some(Ready::Tcp(port)) = scenario.ready else {
            panic!("{scenario:?}");
        };
        assert_eq!(scenario.args.last(), Some(&port.to_string()));
        let load = scenario.load.unwrap();
        assert!(
            load.starts_with("/l get ") && !load.contains(['{', '}']),
            "{load}"
        );
        assert_eq!(std::fs::read_to_string(dir.path().join("a")).unwrap(), "b");
    }
}
