//! `testbins/matrix.toml` -> [`Matrix`]: which cells there are, what each runs, what each may leave out and why.
//!
//! The file holds data only; what it says and what a run finds is compared in [`super::cell`]. Anything in it that
//! nothing would look at is an error: unknown keys, a version that is no release, a share of a cell that is none.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, bail};
use gondwana_engine::golang::GoVersion;
use serde::Deserialize;

use crate::build::Mode;
use crate::cells::file;
use crate::testbins;
use crate::toolchain::GoRange;

/// The file's name in `testbins/`.
pub const FILE: &str = "matrix.toml";

/// One version in one mode.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Cell {
    /// The toolchain.
    pub go: GoVersion,
    /// How the program is built.
    pub mode: Mode,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.go, self.mode)
    }
}

/// How many of the cells are run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Tier {
    /// Those of every test run.
    Everyday,
    /// Those of every submission.
    Ci,
    /// All.
    Full,
}

/// The matrix.
#[derive(Clone, Debug)]
pub struct Matrix {
    cells: Vec<Cell>,
    everyday: Vec<Cell>,
    ci: Vec<Cell>,
    traps: BTreeMap<GoVersion, String>,
    refused: BTreeMap<Mode, String>,
    skips: Vec<Skip>,
    least: BTreeMap<Cell, f64>,
}

/// Something that is left out, with the permission to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Skip {
    /// The modes that it is about.
    pub modes: Vec<Mode>,
    /// The minor versions, both included.
    pub minors: (u16, u16),
    /// The test programs; all, and so the whole cell, if there are none.
    pub programs: Vec<String>,
    /// What must be the case besides.
    pub when: Option<When>,
    /// The reason.
    pub why: String,
}

/// A condition that lies in the machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// The processor lacks instructions of x86-64-v3.
    NoAmd64V3,
}

impl When {
    /// Whether it is the case on this machine.
    #[must_use]
    pub fn holds(self) -> bool {
        match self {
            // The features that GOAMD64=v3 stands for (go.dev/wiki/MinimumRequirements), as far as std knows them.
            Self::NoAmd64V3 => {
                !(is_x86_feature_detected!("avx2")
                    && is_x86_feature_detected!("bmi1")
                    && is_x86_feature_detected!("bmi2")
                    && is_x86_feature_detected!("fma")
                    && is_x86_feature_detected!("lzcnt")
                    && is_x86_feature_detected!("movbe"))
            }
        }
    }
}

impl Skip {
    fn is_about(&self, cell: Cell) -> bool {
        let (from, to) = self.minors;
        self.modes.contains(&cell.mode)
            && (from..=to).contains(&cell.go.minor)
            && self.when.is_none_or(When::holds)
    }
}

impl Matrix {
    /// Reads the file of this checkout.
    ///
    /// # Errors
    /// When it is not there or says something that is not understood.
    pub fn read() -> Result<Self> {
        testbins::definition(FILE, Self::parse)
    }

    /// All cells: every version in every mode that its row does not exclude, in the order of the versions.
    #[must_use]
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The cells of a tier, in the same order.
    #[must_use]
    pub fn tier(&self, tier: Tier) -> &[Cell] {
        match tier {
            Tier::Everyday => &self.everyday,
            Tier::Ci => &self.ci,
            Tier::Full => &self.cells,
        }
    }

    /// All patch releases that are in the matrix for a reason, with it.
    pub fn traps(&self) -> impl Iterator<Item = (GoVersion, &str)> {
        self.traps.iter().map(|(go, why)| (*go, why.as_str()))
    }

    /// The code with which programs of this mode are refused, if they are.
    #[must_use]
    pub fn refused(&self, mode: Mode) -> Option<&str> {
        self.refused.get(&mode).map(String::as_str)
    }

    /// Why this cell as a whole is left out, if it may be.
    #[must_use]
    pub fn skip(&self, cell: Cell) -> Option<&Skip> {
        let mut skips = self.skips.iter();
        skips.find(|skip| skip.programs.is_empty() && skip.is_about(cell))
    }

    /// Why this program is left out of the cell, if it may be.
    #[must_use]
    pub fn skip_program(&self, cell: Cell, program: &str) -> Option<&Skip> {
        let mut skips = self.skips.iter();
        skips.find(|skip| skip.programs.iter().any(|name| name == program) && skip.is_about(cell))
    }

    /// Of a hundred functions of the cell's program, how many must be hookable.
    #[must_use]
    pub fn least_hookable(&self, cell: Cell) -> Option<f64> {
        self.least.get(&cell).copied()
    }

    fn parse(text: &str) -> Result<Self> {
        let document: Document = file::parse(text)?;
        let modes = unique(document.mode.iter().map(|row| row.name.as_str()))?;
        let mut cells = Vec::new();
        let mut traps = BTreeMap::new();
        for row in &document.version {
            let go = version(&row.go)?;
            if let Some(why) = &row.trap {
                traps.insert(go, why.clone());
            }
            for mode in selection(&row.modes, &modes)? {
                cells.push(Cell { go, mode });
            }
        }
        cells.sort_unstable();
        cells.dedup();
        let mut refused = BTreeMap::new();
        for row in document.mode {
            if let Some(code) = row.refused {
                refused.insert(row.name.parse()?, code);
            }
        }
        let skips = document
            .skip
            .into_iter()
            .map(|row| row.read(&modes))
            .collect::<Result<_>>()?;
        let mut least = BTreeMap::new();
        for (go, shares) in document.least_hookable {
            let go = version(&go)?;
            for (mode, share) in shares {
                let cell = Cell {
                    go,
                    mode: mode.parse()?,
                };
                if !cells.contains(&cell) || !(0.0..=100.0).contains(&share) {
                    bail!("[least-hookable]: {cell} = {share} is the share of no cell");
                }
                least.insert(cell, share);
            }
        }
        Ok(Self {
            everyday: tier(&document.everyday, &modes, &cells).context("[[everyday]]")?,
            ci: tier(&document.ci, &modes, &cells).context("[[ci]]")?,
            cells,
            traps,
            refused,
            skips,
            least,
        })
    }
}

/// The line of the file after which only the least shares stand.
const LEAST: &str = "[least-hookable]\n";

/// The file's text with these shares as the least ones of their cells, rounded down to a tenth; others stay.
///
/// # Errors
/// When the text is not understood, or has no place for them.
pub fn with_least_hookable(text: &str, shares: &[(Cell, f64)]) -> Result<String> {
    let mut least = Matrix::parse(text)?.least;
    let found = shares.iter().copied();
    least.extend(found.map(|(cell, share)| (cell, (share * 10.0).floor() / 10.0)));
    let (before, _) = text
        .split_once(LEAST)
        .with_context(|| format!("{FILE} has no line `{}`", LEAST.trim_end()))?;
    let mut rows: BTreeMap<GoVersion, Vec<String>> = BTreeMap::new();
    for (cell, least) in least {
        let row = rows.entry(cell.go).or_default();
        row.push(format!("{} = {least:.1}", cell.mode));
    }
    let rows = rows.iter().map(|(go, row)| {
        // Written out: `1.10` would be the last patch of that minor version.
        let patch = if go.to_string().matches('.').count() == 1 {
            ".0"
        } else {
            ""
        };
        let go = go.to_string();
        format!(
            "\"{}{patch}\" = {{ {} }}\n",
            go.trim_start_matches("go"),
            row.join(", ")
        )
    });
    Ok(format!("{before}{LEAST}{}", rows.collect::<String>()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Document {
    version: Vec<VersionRow>,
    mode: Vec<ModeRow>,
    everyday: Vec<TierRow>,
    ci: Vec<TierRow>,
    skip: Vec<SkipRow>,
    least_hookable: BTreeMap<String, BTreeMap<String, f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct VersionRow {
    /// A release, a minor version (its last patch) or `latest`.
    go: String,
    /// For patch releases: what differs from the next one.
    trap: Option<String>,
    /// All modes if left out.
    modes: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ModeRow {
    name: String,
    /// The code with which its programs are refused.
    refused: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct TierRow {
    go: String,
    modes: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct SkipRow {
    modes: Option<Vec<String>>,
    /// Minor versions; the first or the last one of all if left out.
    from: Option<String>,
    to: Option<String>,
    programs: Option<Vec<String>>,
    when: Option<When>,
    why: String,
}

impl SkipRow {
    fn read(self, modes: &[Mode]) -> Result<Skip> {
        Ok(Skip {
            modes: selection(&self.modes, modes)?,
            minors: file::minors(self.from.as_deref(), self.to.as_deref())?,
            programs: self.programs.unwrap_or_default(),
            when: self.when,
            why: self.why,
        })
    }
}

/// The one version that the text names.
fn version(text: &str) -> Result<GoVersion> {
    match text.parse::<GoRange>()?.versions() {
        &[go] => Ok(go),
        several => bail!("`{text}` is {} versions, expected one", several.len()),
    }
}

fn unique<'a>(names: impl Iterator<Item = &'a str>) -> Result<Vec<Mode>> {
    let mut modes = Vec::new();
    for name in names {
        let mode = name.parse()?;
        if modes.contains(&mode) {
            bail!("[[mode]] {name} stands there twice");
        }
        modes.push(mode);
    }
    Ok(modes)
}

/// The named ones of these modes; all if none are named.
fn selection(names: &Option<Vec<String>>, modes: &[Mode]) -> Result<Vec<Mode>> {
    let Some(names) = names else {
        return Ok(modes.to_vec());
    };
    let named = unique(names.iter().map(String::as_str))?;
    match named.iter().find(|mode| !modes.contains(mode)) {
        Some(mode) => bail!("`{mode}` has no [[mode]]"),
        None => Ok(named),
    }
}

fn tier(rows: &[TierRow], modes: &[Mode], cells: &[Cell]) -> Result<Vec<Cell>> {
    let mut chosen = Vec::new();
    for row in rows {
        for &go in row.go.parse::<GoRange>()?.versions() {
            for mode in selection(&row.modes, modes)? {
                let cell = Cell { go, mode };
                if !cells.contains(&cell) {
                    bail!("{cell} is no cell");
                }
                chosen.push(cell);
            }
        }
    }
    chosen.sort_unstable();
    chosen.dedup();
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
[[version]]
go = "1.9"
[[version]]
go = "1.9.2"
trap = "why"
modes = ["static"]
[[version]]
go = "1.27"
[[mode]]
name = "static"
[[mode]]
name = "c-shared"
refused = "not-main-program"
[[everyday]]
go = "1.9"
modes = ["static"]
[[ci]]
go = "1.9,1.27"
[[skip]]
modes = ["c-shared"]
to = "1.9"
why = "whole"
[[skip]]
from = "1.27"
programs = ["fib"]
why = "one program"
[least-hookable]
"1.9" = { static = 95.5 }
"#;

    fn cell(minor: u16, patch: u16, mode: Mode) -> Cell {
        Cell {
            go: GoVersion::new(minor, patch),
            mode,
        }
    }

    #[test]
    fn a_file_is_read() {
        let matrix = Matrix::parse(SMALL).unwrap();
        let old = cell(9, 7, Mode::Static);
        assert_eq!(matrix.cells().len(), 5);
        assert_eq!(matrix.tier(Tier::Everyday), [old]);
        assert_eq!(matrix.tier(Tier::Ci).len(), 4);
        assert_eq!(matrix.tier(Tier::Full), matrix.cells());
        assert_eq!(matrix.traps().count(), 1);
        assert_eq!(matrix.least_hookable(old), Some(95.5));
        assert_eq!(matrix.least_hookable(cell(9, 2, Mode::Static)), None);
        assert_eq!(matrix.refused(Mode::CShared), Some("not-main-program"));
        assert_eq!(matrix.skip(cell(9, 7, Mode::CShared)).unwrap().why, "whole");
        assert!(matrix.skip(old).is_none() && matrix.skip(cell(27, 4, Mode::CShared)).is_none());
        assert!(
            matrix
                .skip_program(cell(27, 4, Mode::Static), "fib")
                .is_some()
        );
        assert!(matrix.skip_program(old, "fib").is_none());
    }

    #[test]
    fn shares_are_written_where_they_are_read() {
        let shares = [
            (cell(9, 2, Mode::Static), 95.19),
            (cell(9, 7, Mode::Static), 96.0),
            (cell(27, 4, Mode::Static), 87.0),
        ];
        let text = with_least_hookable(SMALL, &shares).unwrap();
        let matrix = Matrix::parse(&text).unwrap();
        let least: Vec<f64> = shares
            .iter()
            .filter_map(|(cell, _)| matrix.least_hookable(*cell))
            .collect();
        assert_eq!(least, [95.1, 96.0, 87.0]);
        assert_eq!(with_least_hookable(&text, &shares).unwrap(), text);
        let first = [(cell(10, 0, Mode::Static), 50.0)];
        let small = SMALL.replace("1.9.2", "1.10.0");
        let text = with_least_hookable(&small, &first).unwrap();
        let rows = "\"1.9.7\" = { static = 95.5 }\n\"1.10.0\" = { static = 50.0 }\n";
        assert!(text.ends_with(rows), "{text}");
        assert!(with_least_hookable("", &shares).is_err());
    }

    #[test]
    fn mistakes_are_errors_of_one_line() {
        for (from, to, part) in [
            ("trap =", "tarp =", "tarp"),
            ("\"1.9.2\"", "\"1.9..1.10\"", "2 versions"),
            ("\"1.9.2\"", "\"1.x\"", "1.x"),
            ("name = \"c-shared\"", "name = \"static\"", "twice"),
            ("name = \"c-shared\"", "name = \"shared\"", "shared"),
            (
                "modes = [\"c-shared\"]",
                "modes = [\"race\"]",
                "no [[mode]]",
            ),
            ("go = \"1.9,1.27\"", "go = \"1.10\"", "is no cell"),
            ("95.5", "195.5", "share of no cell"),
            ("{ static = 95.5", "{ race = 95.5", "share of no cell"),
            ("why = \"whole\"", "", "why"),
        ] {
            assert!(SMALL.contains(from), "{from}");
            let error = format!("{:#}", Matrix::parse(&SMALL.replace(from, to)).unwrap_err());
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn the_committed_file_is_read_and_names_what_there_is() {
        let matrix = Matrix::read().unwrap();
        let names: Vec<String> = testbins::all()
            .unwrap()
            .into_iter()
            .map(|c| c.name)
            .collect();
        for skip in &matrix.skips {
            for program in &skip.programs {
                assert!(names.contains(program), "no test program {program}");
            }
        }
        for cell in matrix.cells() {
            let is_run = matrix.skip(*cell).is_none_or(|skip| skip.when.is_some())
                && matrix.refused(cell.mode).is_none();
            assert_eq!(matrix.least_hookable(*cell).is_some(), is_run, "{cell}");
        }
    }
}
