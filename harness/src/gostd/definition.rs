//! `testbins/std.toml` -> [`Definition`]: which packages are tested on which versions, which cells every day, and which tests
//! are known to notice hooks, each with the reason.
//!
//! The file holds data only. Anything in it that nothing would look at is an error: unknown keys, a package that is none of
//! the list.

use anyhow::{Context, Result, bail};
use gondwana_engine::golang::GoVersion;
use serde::Deserialize;

use super::Cell;
use crate::build::Package;
use crate::cells::file;
use crate::testbins;
use crate::toolchain::GoRange;

/// The file's name in `testbins/`.
pub const FILE: &str = "std.toml";

/// The table.
#[derive(Clone, Debug)]
pub struct Definition {
    versions: GoRange,
    packages: Vec<String>,
    programs: Vec<ProgramRow>,
    core: Vec<Cell>,
    deviations: Vec<Deviation>,
}

/// Tests that are known to notice hooks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Deviation {
    /// Their package.
    pub package: String,
    /// The top-level tests.
    pub tests: Vec<String>,
    /// The minor versions, both included.
    pub minors: (u16, u16),
    /// Whether they pass now and then; else each of them must be seen to differ.
    pub sometimes: bool,
    /// The reason.
    pub why: String,
}

/// A program of the runtime's test data.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ProgramRow {
    path: String,
    #[serde(default)]
    cgo: bool,
}

impl Definition {
    /// Reads the file of this checkout.
    ///
    /// # Errors
    /// When it is not there or says something that is not understood.
    pub fn read() -> Result<Self> {
        testbins::definition(FILE, Self::parse)
    }

    /// The versions of the whole table.
    #[must_use]
    pub const fn versions(&self) -> &GoRange {
        &self.versions
    }

    /// What the rows are about: the packages, then the programs.
    pub fn rows(&self) -> impl Iterator<Item = Package<'_>> {
        let packages = self.packages.iter().map(|path| Package::Tests(path));
        let programs = self.programs.iter();
        packages.chain(programs.map(|row| Package::Program(&row.path, row.cgo)))
    }

    /// The row of this path.
    #[must_use]
    pub fn row(&self, path: &str) -> Option<Package<'_>> {
        self.rows().find(|row| row.path() == path)
    }

    /// All rows on these versions, version by version.
    #[must_use]
    pub fn cells(&self, versions: &GoRange) -> Vec<Cell> {
        let mut cells = Vec::new();
        for &go in versions.versions() {
            cells.extend(self.rows().map(|row| Cell::new(go, row.path())));
        }
        cells
    }

    /// The cells of every test run.
    #[must_use]
    pub fn core(&self) -> &[Cell] {
        &self.core
    }

    /// What is known of a cell.
    #[must_use]
    pub fn deviations(&self, cell: &Cell) -> Vec<&Deviation> {
        let minor = cell.go.minor;
        let is_about = |known: &&Deviation| {
            known.package == cell.package && (known.minors.0..=known.minors.1).contains(&minor)
        };
        self.deviations.iter().filter(is_about).collect()
    }

    fn parse(text: &str) -> Result<Self> {
        let document: Document = file::parse(text)?;
        let mut definition = Self {
            versions: document.versions.parse().context("versions")?,
            packages: document.packages,
            programs: document.program,
            core: Vec::new(),
            deviations: Vec::new(),
        };
        let mut paths: Vec<&str> = definition.rows().map(|row| row.path()).collect();
        paths.sort_unstable();
        if let Some([twice, ..]) = paths.windows(2).find(|pair| pair[0] == pair[1]) {
            bail!("{twice} stands there twice");
        }
        let known = |path: &str| match definition.row(path) {
            Some(_) => Ok(()),
            None => bail!("`{path}` is none of the packages"),
        };
        let mut core = Vec::new();
        for row in document.core {
            let versions: GoRange = row.go.parse().context("[[core]]")?;
            for &go in versions.versions() {
                for path in &row.packages {
                    known(path).context("[[core]]")?;
                    core.push(Cell::new(go, path));
                }
            }
        }
        let mut deviations = Vec::new();
        for row in document.deviation {
            known(&row.package).context("[[deviation]]")?;
            if row.tests.is_empty() || row.why.is_empty() {
                bail!("[[deviation]] of {}: no test, or no reason", row.package);
            }
            deviations.push(Deviation {
                minors: file::minors(row.from.as_deref(), row.to.as_deref())?,
                package: row.package,
                tests: row.tests,
                sometimes: row.sometimes,
                why: row.why,
            });
        }
        definition.core = core;
        definition.deviations = deviations;
        Ok(definition)
    }
}

impl Cell {
    fn new(go: GoVersion, path: &str) -> Self {
        Self {
            go,
            package: path.to_owned(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Document {
    versions: String,
    packages: Vec<String>,
    #[serde(default)]
    program: Vec<ProgramRow>,
    #[serde(default)]
    core: Vec<CoreRow>,
    #[serde(default)]
    deviation: Vec<DeviationRow>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct CoreRow {
    go: String,
    packages: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct DeviationRow {
    package: String,
    tests: Vec<String>,
    /// Minor versions; the first or the last one of all if left out.
    from: Option<String>,
    to: Option<String>,
    #[serde(default)]
    sometimes: bool,
    why: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
versions = "1.13,1.27"
packages = ["io", "net/http"]
[[program]]
path = "runtime/testdata/testprogcgo"
cgo = true
[[core]]
go = "1.27"
packages = ["io"]
[[deviation]]
package = "net/http"
tests = ["TestA", "TestB"]
from = "1.23"
why = "w"
"#;

    #[test]
    fn a_file_is_read() {
        let definition = Definition::parse(SMALL).unwrap();
        let cells = definition.cells(definition.versions());
        assert_eq!(cells.len(), 6);
        assert_eq!(cells[1].to_string(), "go1.13.15 net/http");
        assert_eq!(
            definition.row("runtime/testdata/testprogcgo"),
            Some(Package::Program("runtime/testdata/testprogcgo", true))
        );
        assert_eq!(definition.core().len(), 1);
        assert!(definition.deviations(&cells[1]).is_empty());
        assert_eq!(definition.deviations(&cells[4]).len(), 1);
        assert!(definition.deviations(&cells[3]).is_empty());
    }

    #[test]
    fn mistakes_are_errors_of_one_line() {
        for (from, to, part) in [
            ("packages = [\"io\"]", "packages = [\"oi\"]", "oi"),
            (
                "package = \"net/http\"",
                "package = \"net/https\"",
                "net/https",
            ),
            ("\"net/http\"]", "\"io\"]", "twice"),
            ("why = \"w\"", "why = \"\"", "no reason"),
            ("why = \"w\"", "way = \"w\"", "way"),
            ("from = \"1.23\"", "from = \"1.x\"", "1.x"),
        ] {
            let text = SMALL.replacen(from, to, 1);
            assert_ne!(text, SMALL, "{from}");
            let error = format!("{:#}", Definition::parse(&text).unwrap_err());
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn the_files_list_is_what_the_documents_say() {
        let definition = Definition::read().unwrap();
        assert_eq!(definition.packages.len(), 39);
        assert!(!definition.core().is_empty());
        for package in [
            "runtime",
            "runtime/pprof",
            "reflect",
            "sync",
            "net/http",
            "os",
        ] {
            assert!(definition.row(package).is_some(), "{package}");
        }
    }
}
