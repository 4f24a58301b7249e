//! The newest toolchain's source -> the text of `engine/src/golang/policy/newest.txt`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::Result;
use gondwana_engine::golang::policy;

use super::source::Functions;
use crate::toolchain::Toolchain;

/// Build tags under which a listed package declares more.
const TAGS: [&str; 6] = ["", "race", "msan", "asan", "boringcrypto", "purego"];
/// Columns of a line.
const WIDTH: usize = 120;

/// Lines `PACKAGE:`, each followed by lines of names without it, sorted.
///
/// # Errors
/// The toolchain cannot be asked; a file cannot be read.
pub fn newest(toolchain: &Toolchain) -> Result<String> {
    let functions = Functions::of(toolchain, &TAGS)?;
    let mut packages: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for full in &functions.all {
        let last = full.rfind('/').map_or(0, |at| at + 1);
        if let Some(dot) = full[last..].find('.')
            && policy::is_listed(&full[..last + dot])
        {
            let names = packages.entry(&full[..last + dot]).or_default();
            names.insert(&full[last + dot + 1..]);
        }
    }
    let mut text = String::new();
    for (package, names) in packages {
        let _ = write!(text, "{package}:");
        let mut column = WIDTH;
        for name in names {
            if column + 1 + name.len() > WIDTH {
                text.push('\n');
                column = name.len();
            } else {
                text.push(' ');
                column += 1 + name.len();
            }
            text.push_str(name);
        }
        text.push('\n');
    }
    Ok(text)
}
