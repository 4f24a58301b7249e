//! The sources of two toolchains -> which functions of the engine's policy came and went, and who looks at its caller
//! without a rule.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use gondwana_engine::golang::{GoVersion, policy};
use serde::Serialize;

use crate::policy::source::Functions;
use crate::toolchain::Toolchain;

/// What the newer release changes about functions that must not get a frame.
#[derive(Clone, Default, Debug, Serialize)]
pub struct Policy {
    /// Rules that a function of the newer release meets, and none of the older one.
    pub appeared: Vec<String>,
    /// Rules that still cover the newer release and that none of its functions meets any more.
    pub vanished: Vec<String>,
    /// Functions that look at their caller, that no rule covers, and that did not do so before.
    pub uncovered: Vec<String>,
    /// Such functions in both releases: read before, and harmless.
    pub read_before: usize,
}

/// Compares two sources, the older one first.
pub(super) fn compare(old: &Toolchain, new: &Toolchain) -> Result<Policy> {
    let (before, after) = (Functions::of(old, &[""])?, Functions::of(new, &[""])?);
    let (old, new) = (old.version(), new.version());
    let rules = |functions: &Functions, version: GoVersion| -> BTreeMap<&'static str, String> {
        let names = functions.all.iter();
        let met =
            names.filter_map(|name| Some((policy::forbidden(version, name)?.name, name.clone())));
        met.collect()
    };
    let (met_before, met_after) = (rules(&before, old), rules(&after, new));
    let uncovered = |functions: &Functions, version| -> BTreeSet<String> {
        let looking = functions.looking.keys();
        looking
            .filter(|name| policy::forbidden(version, name).is_none())
            .cloned()
            .collect()
    };
    let (old_looking, new_looking) = (uncovered(&before, old), uncovered(&after, new));
    Ok(Policy {
        appeared: only(&met_after, &met_before, |_| true),
        // A rule that ends with the older release says itself that the function is gone.
        vanished: only(&met_before, &met_after, |name| {
            let mut rules = policy::RULES.iter();
            rules.any(|rule| rule.name == name && rule.to >= new.minor)
        }),
        uncovered: new_looking.difference(&old_looking).cloned().collect(),
        read_before: new_looking.intersection(&old_looking).count(),
    })
}

/// The rules, each with a function, that `these` meet and `those` do not.
fn only(
    these: &BTreeMap<&'static str, String>,
    those: &BTreeMap<&'static str, String>,
    counts: impl Fn(&str) -> bool,
) -> Vec<String> {
    let missing = these
        .iter()
        .filter(|(rule, _)| !those.contains_key(*rule) && counts(rule));
    missing
        .map(|(rule, name)| format!("{rule} ({name})"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rules_that_still_hold_can_lose_their_function() {
        let met = |rules: &[&'static str]| -> BTreeMap<&'static str, String> {
            rules.iter().map(|&rule| (rule, "f".to_owned())).collect()
        };
        let (before, after) = (met(&["a*", "b", "c"]), met(&["c"]));
        assert_eq!(only(&before, &after, |_| true), ["a* (f)", "b (f)"]);
        assert_eq!(only(&before, &after, |rule| rule == "b"), ["b (f)"]);
    }
}
