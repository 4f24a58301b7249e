//! Each crate's normal dependencies have licences that fit it; the engine never depends on Unicorn.
//!
//! `cargo deny` looks at one graph for the whole workspace, but the engine and the harness have different rules, and
//! the engine's features that bring licences which the GPL does not go with must stay off in the harness. So this reads
//! what `cargo metadata` resolves and follows, for each of the two, the normal dependencies only.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use spdx::{Expression, LicenseReq, ParseMode};

use crate::steps::Outcome;

/// Permissive, and fit for combination with GPL-2.0.
const BOTH: [&str; 12] = [
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "0BSD",
    "CC0-1.0",
    "Unlicense",
    "BSL-1.0",
    "Unicode-3.0",
    "Unicode-DFS-2016",
];

struct Rule {
    package: &'static str,
    /// Besides [`BOTH`].
    also: &'static [&'static str],
    never: &'static [&'static str],
}

const RULES: [Rule; 2] = [
    Rule {
        package: "gondwana-engine",
        also: &["Apache-2.0"],
        never: &["unicorn-engine", "unicorn-engine-sys"],
    },
    // Not Apache-2.0: its patent clause does not go with GPL-2.0. The LLVM exception exists to mend that.
    Rule {
        package: "gondwana-harness",
        also: &["GPL-2.0", "GPL-2.0-only", "GPL-2.0-or-later"],
        never: &[],
    },
];

fn allows(rule: &Rule, requirement: &LicenseReq) -> bool {
    let text = requirement.to_string();
    text == "Apache-2.0 WITH LLVM-exception"
        || BOTH.iter().chain(rule.also).any(|allowed| text == *allowed)
}

/// Checks both rules on the output of `cargo metadata`.
pub(crate) fn check(metadata: &Value) -> Result<Outcome> {
    let packages: BTreeMap<&str, &Value> = list(&metadata["packages"])
        .filter_map(|package| Some((package["id"].as_str()?, package)))
        .collect();
    let nodes: BTreeMap<&str, &Value> = list(&metadata["resolve"]["nodes"])
        .filter_map(|node| Some((node["id"].as_str()?, node)))
        .collect();
    let (mut wrong, mut looked_at) = (Vec::new(), Vec::new());
    for rule in &RULES {
        let root = packages
            .iter()
            .find(|(_, package)| package["name"] == rule.package)
            .map(|(id, _)| *id);
        let Some(root) = root else {
            bail!("no package {}", rule.package)
        };
        let reached = normal_dependencies(root, &nodes);
        looked_at.push(format!("{} of {}", reached.len(), rule.package));
        for id in reached {
            let package = packages
                .get(id)
                .with_context(|| format!("no package {id}"))?;
            let name = package["name"].as_str().unwrap_or(id);
            let licence = package["license"].as_str().unwrap_or_default();
            if rule.never.contains(&name) {
                wrong.push(format!("{} depends on {name}", rule.package));
            }
            // LAX: `MIT/Apache-2.0` is how licences were written once.
            match Expression::parse_mode(licence, ParseMode::LAX) {
                Ok(expression) if expression.evaluate(|requirement| allows(rule, requirement)) => {}
                Ok(_) => wrong.push(format!("{}: {name} is {licence}", rule.package)),
                Err(e) => wrong.push(format!(
                    "{}: {name}: `{licence}` is no licence: {}",
                    rule.package, e.reason
                )),
            }
        }
    }
    Ok(match wrong.as_slice() {
        [] => Outcome::Good(format!("normal dependencies: {}", looked_at.join(", "))),
        wrong => Outcome::Bad(format!(
            "{} licences do not fit:\n{}",
            wrong.len(),
            wrong.join("\n")
        )),
    })
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// All packages that a package needs at run time, itself left out.
fn normal_dependencies<'m>(
    root: &'m str,
    nodes: &BTreeMap<&'m str, &'m Value>,
) -> BTreeSet<&'m str> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![root]);
    while let Some(id) = open.pop() {
        let Some(node) = nodes.get(id) else { continue };
        for dependency in list(&node["deps"]) {
            // A null kind is a normal dependency; the others are `dev` and `build`.
            let is_normal = list(&dependency["dep_kinds"]).any(|kind| kind["kind"].is_null());
            if let Some(id) = dependency["pkg"]
                .as_str()
                .filter(|id| is_normal && *id != root)
                && reached.insert(id)
            {
                open.push(id);
            }
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn metadata(
        engine_dependency_licence: &str,
        harness_dependency_licence: &str,
        kind: Value,
    ) -> Value {
        let package = |id: &str, licence: &str| json!({ "id": id, "name": id, "license": licence });
        let node = |id: &str, deps: &[&str]| {
            let deps: Vec<Value> = deps
                .iter()
                .map(|d| json!({ "pkg": d, "dep_kinds": [{ "kind": kind.clone() }] }))
                .collect();
            json!({ "id": id, "deps": deps })
        };
        json!({
            "packages": [
                package("gondwana-engine", "MIT OR Apache-2.0"), package("gondwana-harness", "GPL-2.0-only"),
                package("e", engine_dependency_licence), package("h", harness_dependency_licence),
                package("below", "MIT/Apache-2.0"),
            ],
            "resolve": { "nodes": [
                node("gondwana-engine", &["e"]), node("gondwana-harness", &["h"]), node("e", &["below"]),
            ]},
        })
    }

    fn is_good(metadata: &Value) -> bool {
        matches!(check(metadata).unwrap(), Outcome::Good(_))
    }

    #[test]
    fn each_crate_has_its_rule() {
        assert!(is_good(&metadata("MIT", "GPL-2.0-only", Value::Null)));
        assert!(is_good(&metadata(
            "Apache-2.0",
            "MIT OR Apache-2.0",
            Value::Null
        )));
        assert!(is_good(&metadata(
            "MIT",
            "Apache-2.0 WITH LLVM-exception OR Apache-2.0",
            Value::Null
        )));
        assert!(is_good(&metadata(
            "(MIT OR Apache-2.0) AND Unicode-3.0",
            "MIT",
            Value::Null
        )));
        assert!(!is_good(&metadata("GPL-2.0-only", "MIT", Value::Null)));
        assert!(!is_good(&metadata("MIT", "Apache-2.0", Value::Null)));
        assert!(!is_good(&metadata(
            "MIT AND GPL-2.0-only",
            "MIT",
            Value::Null
        )));
        assert!(!is_good(&metadata("", "MIT", Value::Null)));
    }

    #[test]
    fn only_normal_dependencies_count() {
        assert!(is_good(&metadata(
            "GPL-2.0-only",
            "Apache-2.0",
            json!("dev")
        )));
        assert!(is_good(&metadata(
            "GPL-2.0-only",
            "Apache-2.0",
            json!("build")
        )));
    }
}
