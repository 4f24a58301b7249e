//! Finds snapshots that no test refers to: they look like proofs and prove nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::root;
use crate::steps::Outcome;

/// insta appends the path of each snapshot that it compares to the file that this variable names.
pub(crate) const REFERENCES: &str = "INSTA_SNAPSHOT_REFERENCES_FILE";

/// Compares the snapshots in the workspace with those that the tests have referred to.
pub(crate) fn unreferenced(references: &Path) -> Result<Outcome> {
    let referenced: BTreeSet<PathBuf> = match fs::read_to_string(references) {
        Ok(text) => text
            .lines()
            .filter_map(|line| fs::canonicalize(line.trim()).ok())
            .collect(),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => BTreeSet::new(),
        Err(e) => return Err(e).context("read the snapshots that tests refer to"),
    };
    let mut all = Vec::new();
    for part in ["engine", "harness", "goldens", "xtask", "fuzz", "benches"] {
        collect(&root().join(part), &mut all);
    }
    let stale: Vec<String> = all
        .iter()
        .filter(|path| fs::canonicalize(path).is_ok_and(|path| !referenced.contains(&path)))
        .map(|path| path.display().to_string())
        .collect();
    Ok(match stale.as_slice() {
        [] => Outcome::Good(format!("{} snapshots, all referred to", all.len())),
        stale => Outcome::Bad(format!(
            "{} snapshots that no test refers to:\n{}",
            stale.len(),
            stale.join("\n")
        )),
    })
}

fn collect(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "snap")
        {
            found.push(path);
        }
    }
}
