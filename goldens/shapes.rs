//! The shape of each versioned format: its members and their types, or its offsets. Snapshots: `goldens/shapes/NAME.snap`,
//! the version first.
//!
//! Whoever reads a format relies on its version. So a shape that differs from the snapshot's under the same version is an
//! error that accepting the new snapshot does not mend: only another version does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde_json::Value;

use super::formats;

/// A format as it is now.
pub(crate) struct Format {
    /// The name of its schema.
    pub(crate) name: &'static str,
    /// Its version.
    pub(crate) version: String,
    /// Where the version stands, for whoever must raise it.
    pub(crate) stands_in: &'static str,
    /// [`shape`], or offsets.
    pub(crate) shape: String,
}

/// The members of some values of one format and the types that were seen, a line for each path.
pub(crate) fn shape<'v>(values: impl IntoIterator<Item = &'v Value>) -> String {
    let mut types: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    for value in values {
        collect(value, "", &mut types);
    }
    let mut out = String::new();
    for (path, types) in types {
        let types: Vec<_> = types.into_iter().collect();
        writeln!(out, "{path}: {}", types.join(" or ")).unwrap();
    }
    out
}

fn collect(value: &Value, path: &str, types: &mut BTreeMap<String, BTreeSet<&'static str>>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(items) => {
            for item in items {
                collect(item, &format!("{path}[]"), types);
            }
            "array"
        }
        Value::Object(members) => {
            for (name, member) in members {
                collect(member, &format!("{path}.{name}"), types);
            }
            "object"
        }
    };
    if !path.is_empty() {
        types.entry(path.to_owned()).or_default().insert(kind);
    }
}

/// What is wrong with `format` beside the snapshot `committed`: a new shape under the old version.
fn changed_without_version(committed: &str, format: &Format) -> Option<String> {
    let body = committed.splitn(3, "---\n").nth(2)?;
    let (version, shape) = body.split_once("\n\n")?;
    if version != format.version || shape.trim_end() == format.shape.trim_end() {
        return None;
    }
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) =
        (shape.lines().collect(), format.shape.lines().collect());
    let mut text = format!(
        "{} has changed and is still version {version}; raise the version in {} and say in its documentation what changed:\n",
        format.name, format.stands_in
    );
    for line in old.difference(&new) {
        writeln!(text, "  - {line}").unwrap();
    }
    for line in new.difference(&old) {
        writeln!(text, "  + {line}").unwrap();
    }
    Some(text)
}

#[test]
fn a_format_changes_only_with_its_version() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens/shapes");
    for format in formats::all() {
        let snapshot = folder.join(format!("{}.snap", format.name));
        if let Ok(committed) = std::fs::read_to_string(snapshot)
            && let Some(wrong) = changed_without_version(&committed, &format)
        {
            panic!("{wrong}");
        }
        let text = format!("{}\n\n{}", format.version, format.shape);
        super::settings("shapes").bind(|| insta::assert_snapshot!(format.name, text));
    }
}

#[test]
fn a_change_under_the_same_version_is_named() {
    let format = |version: &str, value: Value| Format {
        name: "some.format",
        version: version.to_owned(),
        stands_in: "some.rs",
        shape: shape([&value]),
    };
    let old = serde_json::json!({"a": 1, "list": [{"b": "x"}]});
    let committed = format!("---\nsource: x\n---\n1\n\n{}", shape([&old]).trim_end());
    assert_eq!(changed_without_version(&committed, &format("1", old)), None);
    let renamed = serde_json::json!({"a": 1, "list": [{"c": "x"}]});
    let wrong = changed_without_version(&committed, &format("1", renamed.clone())).unwrap();
    assert!(wrong.contains("some.rs") && wrong.contains("- .list[].b: string"));
    assert!(wrong.contains("+ .list[].c: string"), "{wrong}");
    assert_eq!(
        changed_without_version(&committed, &format("2", renamed)),
        None
    );
    let retyped = serde_json::json!({"a": "1", "list": [{"b": "x"}]});
    assert!(changed_without_version(&committed, &format("1", retyped)).is_some());
}
