//! Why mutants survive.

use anyhow::{Result, bail};

use crate::table::{Fate, Table};

/// Which survivors, and why: the target (`*` for all), how the mutant's name starts, the explanation.
const EXPLAINED: &[(&str, &str, &str)] = &[];

/// Why a mutant survives, if that is known.
pub(crate) fn why(target: &str, mutant: &str) -> Option<&'static str> {
    EXPLAINED
        .iter()
        .find(|(of, name, _)| (*of == "*" || *of == target) && mutant == *name)
        .map(|(.., why)| *why)
}

/// Every survivor is explained, and nothing that is caught; every explanation is of some use.
pub(crate) fn check(table: &Table) -> Result<()> {
    let mut wrong = Vec::new();
    for row in &table.rows {
        let explained = why(&row.target, &row.mutant).is_some();
        match (&row.fate, explained) {
            (Fate::Survived, false) => {
                wrong.push(format!(
                    "{}: {}: survives without an explanation",
                    row.target, row.mutant
                ));
            }
            (Fate::Caught(_) | Fate::Rejected { .. }, true) => {
                wrong.push(format!("explained, and does not survive: {row}"));
            }
            _ => {}
        }
    }
    if !wrong.is_empty() {
        bail!("{}", wrong.join("\n"));
    }
    Ok(())
}
