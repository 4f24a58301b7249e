//! A toolchain -> whether the engine's policy fits it: its rules against the line tables of programs that the toolchain
//! builds, its functions that look at their caller against rules and the list of harmless ones.
//!
//! Names in sources are not enough: linkname moves them, and what is inlined or not linked has none. Nothing here decides
//! about hooks.
//!
//! | part | from what to what |
//! |---|---|
//! | `source` | a toolchain's source -> the functions that it declares |
//! | `names` | the newest toolchain's source -> `engine/src/golang/policy/newest.txt` |

pub mod names;
pub mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context, Result};
use gondwana_engine::golang::{GoVersion, policy};
use gondwana_engine::image::Image;
use serde::Serialize;

use crate::build::{Builder, Mode};
use crate::matrix::program::merged;
use crate::testbins;
use crate::toolchain::Toolchain;

use source::Functions;

/// Build tags under which more functions look at their caller.
const TAGS: [&str; 4] = ["", "race", "msan", "asan"];

/// What was found about one version.
#[derive(Clone, Debug, Serialize)]
pub struct Verified {
    /// The version.
    pub version: String,
    /// Rules that cover it.
    pub rules: usize,
    /// Those that a name of a line table meets.
    pub met: usize,
    /// Those that only a symbol of the source meets: it is inlined, or no program links it.
    pub unseen: Vec<String>,
    /// Functions that look at their caller.
    pub looking: usize,
    /// What does not fit, one line each.
    pub findings: Vec<String>,
}

/// What is known of one version.
#[derive(Debug)]
pub struct Evidence {
    version: GoVersion,
    source: Functions,
    /// Names in the line tables of the built programs, by mode.
    linked: BTreeMap<Mode, BTreeSet<String>>,
}

impl Evidence {
    /// Reads the source and builds a program in these modes, where the version has them.
    ///
    /// # Errors
    /// The toolchain cannot be asked; a program cannot be built or read.
    pub fn gather(toolchain: &Toolchain, builder: &Builder, modes: &[Mode]) -> Result<Self> {
        let version = toolchain.version();
        // All test programs in one: processes, profiles, traces, reflection, coroutines, net/http.
        let mut cases = testbins::all()?;
        cases.retain(|case| case.supports(version));
        let program = merged(&cases)?;
        let mut linked = BTreeMap::new();
        for &mode in modes {
            if mode.missing_in(version).is_some() {
                continue;
            }
            let path = builder.build_source(toolchain, &program, mode)?;
            let data = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
            let image = Image::parse(&data).with_context(|| path.display().to_string())?;
            let names = image.functions().iter().map(|function| function.name);
            linked.insert(mode, names.map(str::to_owned).collect());
        }
        Ok(Self {
            version,
            source: Functions::of(toolchain, &TAGS)?,
            linked,
        })
    }

    /// The functions that look at their caller: their names and where that stands.
    #[must_use]
    pub fn looking(&self) -> &BTreeMap<String, String> {
        &self.source.looking
    }

    /// Compares the engine's data with it.
    #[must_use]
    pub fn verify(&self) -> Verified {
        self.verify_against(policy::RULES, policy::HARMLESS)
    }

    /// Compares other data with it, for tests.
    #[must_use]
    pub fn verify_against(
        &self,
        rules: &[policy::Rule],
        harmless: &[policy::Harmless],
    ) -> Verified {
        let minor = self.version.minor;
        let rules: Vec<&policy::Rule> = rules
            .iter()
            .filter(|rule| (rule.from..=rule.to).contains(&minor))
            .collect();
        let mut findings = Vec::new();
        for (name, at) in &self.source.looking {
            let ruled = rules.iter().any(|rule| rule.covers(name));
            let listed = harmless.iter().any(|row| row.covers(minor, name));
            match (ruled, listed) {
                (false, false) => findings.push(format!(
                    "{name} looks at its caller ({at}): no rule, and not listed as harmless"
                )),
                (true, true) => findings.push(format!(
                    "{name} is listed as harmless, and a rule forbids it"
                )),
                _ => {}
            }
        }
        for row in harmless {
            let covers = |name: &String| row.covers(minor, name);
            if (row.from..=row.to).contains(&minor) && !self.source.looking.keys().any(covers) {
                findings.push(format!(
                    "{} is listed as harmless, and no such function looks at its caller",
                    row.name
                ));
            }
        }
        let (mut met, mut unseen) = (0, Vec::new());
        for rule in &rules {
            let covers = |name: &String| rule.covers(name);
            if self.linked.values().flatten().any(covers) {
                met += 1;
            } else if self.source.symbols.iter().any(covers) {
                unseen.push(rule.name.to_owned());
            } else {
                findings.push(format!(
                    "{}: no program has such a function, and no source such a symbol",
                    rule.name
                ));
            }
        }
        Verified {
            version: self.version.to_string(),
            rules: rules.len(),
            met,
            unseen,
            looking: self.source.looking.len(),
            findings,
        }
    }
}
