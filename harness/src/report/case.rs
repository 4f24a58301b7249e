//! A failing check -> a directory with everything to run it again, and back.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::executor::native::process::Scenario;
use crate::generate::relocation;

/// Name and version of the form of `case.json`.
pub const SCHEMA: &str = "gondwana.case/4";
/// The file in a case's directory that holds it.
const FILE: &str = "case.json";

/// What a case's directory holds.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Case {
    /// One function's window: self-contained.
    Relocation(Box<relocation::Case>),
    /// Runs of the whole program.
    Native(Box<Native>),
    /// A disturbed run of the whole program in the emulated process.
    Disturbed(Box<crate::disturb::case::Disturbed>),
}

/// What native runs need.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Native {
    /// The program, by its absolute path.
    pub program: PathBuf,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Hook patterns.
    pub patterns: Vec<String>,
    /// Regular expressions for what is not compared in the program's output.
    pub masks: Vec<String>,
    /// How it is run.
    pub scenario: Scenario,
}

#[derive(Serialize, Deserialize)]
struct Document {
    schema: String,
    #[serde(flatten)]
    case: Case,
}

/// Writes a case into `dir/name`.
///
/// # Errors
/// When the file system fails.
pub fn write(dir: &Path, name: &str, case: &Case) -> Result<()> {
    let place = dir.join(name);
    fs::create_dir_all(&place).with_context(|| format!("create {}", place.display()))?;
    let document = Document {
        schema: SCHEMA.to_owned(),
        case: case.clone(),
    };
    let text = serde_json::to_string_pretty(&document).context("write a case")?;
    let file = place.join(FILE);
    fs::write(&file, text + "\n").with_context(|| format!("write {}", file.display()))
}

/// Reads the case in a directory, or in the file itself.
///
/// # Errors
/// When there is none, or it is of another version.
pub fn read(place: &Path) -> Result<Case> {
    let file = if place.is_dir() {
        place.join(FILE)
    } else {
        place.to_owned()
    };
    let text = fs::read(&file).with_context(|| format!("read {}", file.display()))?;
    let schema = serde_json::from_slice::<serde_json::Value>(&text)
        .with_context(|| format!("{} is no case", file.display()))?
        .get("schema")
        .and_then(|schema| schema.as_str().map(str::to_owned));
    if schema.as_deref() != Some(SCHEMA) {
        bail!(
            "{} has schema {}, expected {SCHEMA}",
            file.display(),
            schema.as_deref().unwrap_or("none")
        );
    }
    let document: Document =
        serde_json::from_slice(&text).with_context(|| format!("{} is no case", file.display()))?;
    Ok(document.case)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_come_back_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let case = Case::Native(Box::new(Native {
            program: "/x".into(),
            sha256: "00".into(),
            patterns: vec!["main.*".into()],
            masks: vec!["[0-9]+".into()],
            scenario: Scenario {
                timeout: 3,
                ..Scenario::default()
            },
        }));
        write(dir.path(), "native", &case).unwrap();
        assert_eq!(read(&dir.path().join("native")).unwrap(), case);
        assert_eq!(read(&dir.path().join("native/case.json")).unwrap(), case);
    }

    #[test]
    fn other_files_are_errors_of_one_line() {
        let dir = tempfile::tempdir().unwrap();
        for (text, part) in [
            ("", "is no case"),
            ("{}", "schema none"),
            (
                r#"{"schema":"gondwana.case/9","kind":"native"}"#,
                "schema gondwana.case/9",
            ),
            (
                r#"{"schema":"gondwana.case/4","kind":"other"}"#,
                "is no case",
            ),
        ] {
            fs::write(dir.path().join(FILE), text).unwrap();
            let error = format!("{:#}", read(dir.path()).unwrap_err());
            assert!(error.contains(part) && !error.contains('\n'), "{error}");
        }
        assert!(read(&dir.path().join("missing")).is_err());
    }
}
