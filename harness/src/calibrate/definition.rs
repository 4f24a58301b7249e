//! `testbins/calibration.toml` -> [`Definition`]: the programs, and the versions of Go that build them.
//!
//! The file holds data only; an unknown key in it, a name that stands twice or a program that cannot be run is an error.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use gondwana_engine::golang::GoVersion;
use serde::Deserialize;

use crate::cells::file;
use crate::executor::native::process::Ready;
use crate::testbins;
use crate::toolchain::GoRange;

/// The file's name in `testbins/`.
pub const FILE: &str = "calibration.toml";
/// The versions of a mode for which none are named.
const VERSIONS: &str = "1.13,1.21,1.27";
/// Seconds that a run may take for which nothing is said.
const TIMEOUT: u64 = 30;
/// Requests that a mode gets which is a server.
const REQUESTS: u64 = 12;

/// Where a program comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A folder of `testbins/`.
    Testbin(String),
    /// `harness/tests/programs/harmed`.
    Harmed,
    /// A package of a module, and the module's version.
    Module(String, String),
}

/// A program of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Its name in the table.
    pub name: String,
    /// Where it comes from.
    pub origin: Origin,
    /// The versions that build it.
    pub versions: Vec<GoVersion>,
    /// What is done to it when it sees hooks; nothing, if it is only to be harmless.
    pub harm: Option<String>,
    /// Its arguments, with placeholders.
    pub args: Vec<String>,
    /// Files in `{dir}`, by name.
    pub files: BTreeMap<String, String>,
    /// For servers: the sign that it can be used (`tcp:PORT` or a text), with placeholders.
    pub ready: Option<String>,
    /// For servers: the load, with placeholders.
    pub load: Option<String>,
    /// For servers: the signal that ends it.
    pub stop: Option<String>,
    /// Seconds that a run may take.
    pub timeout: u64,
}

/// The list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Definition {
    /// The programs, those of `testbins/` first.
    pub entries: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    testbins: String,
    #[serde(default)]
    mode: Vec<ModeRow>,
    #[serde(default)]
    module: Vec<ModuleRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModeRow {
    name: String,
    harm: Option<String>,
    go: Option<String>,
    #[serde(default)]
    server: bool,
    timeout: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModuleRow {
    name: String,
    path: String,
    version: String,
    go: String,
    #[serde(default)]
    files: BTreeMap<String, String>,
    args: Vec<String>,
    ready: Option<String>,
    load: Option<String>,
    stop: Option<String>,
}

impl Definition {
    /// Reads the file of this checkout.
    ///
    /// # Errors
    /// When it is not there or says something that is not understood.
    pub fn read() -> Result<Self> {
        testbins::definition(FILE, Self::parse)
    }

    /// The entries of these names; all of them if none is named.
    ///
    /// # Errors
    /// When a name is none of the list.
    pub fn chosen(&self, names: &[String]) -> Result<Vec<Entry>> {
        if let Some(unknown) = names
            .iter()
            .find(|name| self.entries.iter().all(|entry| entry.name != **name))
        {
            bail!("`{unknown}` is none of the programs in testbins/{FILE}");
        }
        let is_chosen = |entry: &&Entry| names.is_empty() || names.contains(&entry.name);
        Ok(self.entries.iter().filter(is_chosen).cloned().collect())
    }

    fn parse(text: &str) -> Result<Self> {
        let document: Document = file::parse(text)?;
        let mut entries = Vec::new();
        let versions: GoRange = document.testbins.parse().context("testbins")?;
        for case in testbins::all()? {
            let minimum = case.min_go;
            let of_case = versions.versions().iter().filter(|go| **go >= minimum);
            let server = case.server.as_ref();
            let load = || {
                format!(
                    "{{program}} {} -load {{dir}}/s {REQUESTS}",
                    case.args.join(" ")
                )
            };
            let mut args = case.args.clone();
            args.extend(server.map(|_| "{dir}/s".to_owned()));
            entries.push(Entry {
                name: format!("testbins/{}", case.name),
                origin: Origin::Testbin(case.name.clone()),
                versions: of_case.copied().collect(),
                harm: None,
                args,
                files: BTreeMap::new(),
                ready: server.map(|server| server.ready.clone()),
                load: server.map(|_| load()),
                stop: server.map(|server| server.stop.clone()),
                timeout: TIMEOUT,
            });
        }
        for row in document.mode {
            entries.push(row.entry()?);
        }
        for row in document.module {
            entries.push(row.entry()?);
        }
        for (at, entry) in entries.iter().enumerate() {
            if entries
                .iter()
                .skip(at + 1)
                .any(|other| other.name == entry.name)
            {
                bail!("`{}` stands there twice", entry.name);
            }
            if let Some(ready) = &entry.ready {
                let of_some_port = ready.replace("{port}", "1");
                let sign = of_some_port.parse::<Ready>();
                sign.map_err(anyhow::Error::msg)
                    .with_context(|| format!("{}: ready", entry.name))?;
            }
        }
        Ok(Self { entries })
    }
}

fn versions(text: &str, name: &str) -> Result<Vec<GoVersion>> {
    let range: GoRange = text.parse().with_context(|| format!("{name}: go"))?;
    Ok(range.versions().to_vec())
}

impl ModeRow {
    fn entry(self) -> Result<Entry> {
        let text = |text: &str| self.server.then(|| text.to_owned());
        let mut args = vec![self.name.clone()];
        args.extend(text("{dir}/s"));
        // Modes that are no HTTP servers ignore who does not reach them.
        let load = text(&format!("{{harmed}} get unix:{{dir}}/s {REQUESTS} || true"));
        Ok(Entry {
            versions: versions(self.go.as_deref().unwrap_or(VERSIONS), &self.name)?,
            origin: Origin::Harmed,
            args,
            files: BTreeMap::new(),
            ready: text("ready"),
            load,
            stop: text("TERM"),
            timeout: self.timeout.unwrap_or(TIMEOUT),
            harm: self.harm,
            name: self.name,
        })
    }
}

impl ModuleRow {
    fn entry(self) -> Result<Entry> {
        Ok(Entry {
            versions: versions(&self.go, &self.name)?,
            origin: Origin::Module(self.path, self.version),
            harm: None,
            args: self.args,
            files: self.files,
            ready: self.ready,
            load: self.load,
            stop: self.stop,
            timeout: TIMEOUT,
            name: self.name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_this_checkout_has_what_is_asked_for() {
        let definition = Definition::read().unwrap();
        let harms = definition.entries.iter().filter(|e| e.harm.is_some());
        assert!(harms.count() >= 12);
        let of = |test: fn(&Entry) -> bool| definition.entries.iter().filter(|e| test(e)).count();
        assert!(of(|e| matches!(e.origin, Origin::Module(..))) >= 3);
        assert!(of(|e| e.load.is_some() && e.harm.is_none()) >= 2);
        assert!(definition.chosen(&["no-such".to_owned()]).is_err());
        let one = definition.chosen(&["answer".to_owned()]).unwrap();
        assert_eq!(one.len(), 1);
        assert!(one[0].versions.len() >= 3);
    }

    #[test]
    fn what_nothing_would_look_at_is_an_error() {
        let parse = |text: &str| Definition::parse(&format!("testbins = \"1.27\"\n{text}"));
        assert!(parse("").is_ok());
        for wrong in [
            "[[mode]]\nname = \"a\"\nhram = \"x\"\n",
            "[[mode]]\nname = \"a\"\n[[mode]]\nname = \"a\"\n",
            "[[mode]]\nname = \"a\"\ngo = \"x\"\n",
            "[[module]]\nname = \"a\"\npath = \"p\"\nversion = \"v1.0.0\"\ngo = \"1.27\"\nargs = []\nready = \"tcp:x\"\n",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
