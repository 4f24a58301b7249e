//! A subject -> one [`Trial`]: a run judged as if it were hooked, by unhooked runs that no other trial has.

use std::path::Path;

use anyhow::{Context, Result};

use super::subject::Subject;
use crate::executor::native::process::Finished;
use crate::qualify::runs::{self, Settled};
use crate::report::{Part, Section};
use crate::verdict::Verdict;

/// The variable that makes `harness/tests/programs/harmed` do harm without hooks.
pub const VARIABLE: &str = "GONDWANA_HARM";

/// Runs of which one is seen.
const LOOKS: usize = 20;

/// One trial.
#[derive(Debug)]
pub struct Trial {
    /// What is said of the program.
    pub verdict: Verdict,
    /// The run that was judged.
    pub judged: Finished,
    /// What it was judged by, with the answers.
    pub settled: Settled,
}

/// Runs the subject as often as a verdict takes: unhooked twice, once as if hooked (`harmed`: with harm), and unhooked
/// again, as `qualify` does.
///
/// # Errors
/// It cannot be run, or an unhooked run never was ready.
pub fn trial(subject: &Subject, harmed: bool) -> Result<Trial> {
    // Paths of sockets must be short (unix(7)).
    let dir = tempfile::Builder::new().prefix("cal").tempdir();
    let dir = dir.context("make a directory for a trial")?;
    let scenario = subject.scenario(dir.path())?;
    let unhooked = || runs::unhooked(&subject.program, &scenario);
    let first = vec![unhooked()?, unhooked()?];
    let mut as_hooked = scenario.clone();
    if harmed {
        let harm = (VARIABLE.to_owned(), "1".to_owned());
        as_hooked.env.push(harm);
    }
    let judged = seen(|| runs::as_it_is(&subject.program, &as_hooked))?;
    let settled = runs::settle(&judged, first, &[], |_| unhooked())?;
    let sections = settled.sections().map(|(name, findings)| {
        let part = Part {
            note: String::new(),
            findings,
            open: Vec::new(),
            case: None,
        };
        Section::of(name, &[part])
    });
    let conclusions = sections.iter().map(|s| (s.name.as_str(), &s.conclusion));
    Ok(Trial {
        verdict: Verdict::of(conclusions),
        judged,
        settled,
    })
}

/// A run of which memory was looked at. A program may end within a millisecond; a hooked one is held at its start, and
/// seen there.
fn seen(mut run: impl FnMut() -> Result<Finished>) -> Result<Finished> {
    let mut made = run()?;
    for _ in 1..LOOKS {
        if !made.memory.is_empty() {
            break;
        }
        made = run()?;
    }
    Ok(made)
}

impl Trial {
    /// The answers that are not agreement, for people.
    #[must_use]
    pub fn why(&self) -> String {
        let open = self.settled.findings().filter(|f| !f.answer.agrees());
        let texts: Vec<String> = open.map(|f| format!("{}: {}", f.what, f.answer)).collect();
        texts.join("; ")
    }

    /// Keeps what all runs wrote.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn keep(&self, dir: &Path) -> Result<()> {
        std::fs::create_dir_all(dir).with_context(|| format!("create {}", dir.display()))?;
        let file = dir.join("why");
        std::fs::write(&file, self.why() + "\n")
            .with_context(|| format!("write {}", file.display()))?;
        runs::keep(dir, &self.settled, &self.judged)
    }
}
