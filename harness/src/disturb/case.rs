//! A diverging cell -> what a case's directory holds, and back to the cell.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use gondwana_engine::inject::budget::Memory;
use gondwana_engine::inject::prepare::Wanted;
use gondwana_engine::plan::HookOptions;
use serde::{Deserialize, Serialize};

use super::call::Step;
use super::cell::Cell;
use super::kind::Kind;
use super::session::Session;
use crate::machine::Setup;
use crate::qualify::digest;
use crate::report::case;

/// Records per ring: a disturbed program makes a few. A large ring need not be looked at often.
const SLOTS: u32 = 1 << 9;
const RINGS: u32 = 256;

/// Everything that a disturbed run follows from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Disturbed {
    /// The program, by its absolute path.
    pub program: PathBuf,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// Hook patterns.
    pub patterns: Vec<String>,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment, each `NAME=value`.
    pub env: Vec<String>,
    /// Seed of the machine.
    pub seed: u64,
    /// Frames above the call, for a program with a board.
    pub depth: i32,
    /// Whether all threads share one ring.
    pub shared_ring: bool,
    /// The disturbance; `None` for the hooked program left alone. In `case.json`, `kind` is the kind of the case.
    #[serde(rename = "disturbance")]
    pub kind: Option<Kind>,
    /// Before which instruction that the call executes of its hook, counted from 0.
    pub step: usize,
}

impl Disturbed {
    /// The case without a cell: how a program is started and hooked.
    ///
    /// # Errors
    /// The program cannot be read.
    pub fn new(program: &Path, file: &[u8], patterns: Vec<String>) -> Result<Self> {
        let program = program
            .canonicalize()
            .with_context(|| format!("find {}", program.display()))?;
        Ok(Self {
            program,
            sha256: digest(file),
            patterns,
            args: Vec::new(),
            env: Vec::new(),
            seed: 1,
            depth: 0,
            shared_ring: false,
            kind: None,
            step: 0,
        })
    }

    /// The session that the case is a part of.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn session<'p>(&self, file: &'p [u8]) -> Result<Session<'p>> {
        let name = self.program.file_name().unwrap_or_default();
        let mut setup = Setup::new(&name.to_string_lossy()).args(&self.args);
        setup.env = self
            .env
            .iter()
            .map(|text| text.as_bytes().to_vec())
            .collect();
        setup.seed = self.seed;
        let memory = Memory::Rings {
            rings: if self.shared_ring { 0 } else { RINGS },
            slots: SLOTS,
        };
        let wanted = Wanted::new(&self.patterns, HookOptions::default(), memory)?;
        Ok(Session {
            file,
            setup,
            wanted,
            depth: self.depth,
            only: self.kind.into_iter().collect(),
            at: Some(self.step),
            every: 1,
        })
    }

    /// Keeps a cell in `dir`; the name of its own directory there.
    ///
    /// # Errors
    /// The file system fails.
    pub fn keep(&self, dir: &Path, step: &Step, cell: &Cell) -> Result<String> {
        let kind = self.kind.map_or("undisturbed", Kind::name);
        let name = format!("step-{}-{kind}", step.index);
        case::write(dir, &name, &case::Case::Disturbed(Box::new(self.clone())))?;
        let place = dir.join(&name);
        let save = |file: &str, bytes: &[u8]| {
            let path = place.join(file);
            fs::write(&path, bytes).with_context(|| format!("write {}", path.display()))
        };
        save(
            "answer.txt",
            format!(
                "before {:x} {}\n{}\n",
                step.at.get(),
                step.text,
                cell.answer
            )
            .as_bytes(),
        )?;
        if let Some(remains) = &cell.remains {
            save("stdout", &remains.stdout)?;
            save("stderr", &remains.stderr)?;
            save("backtrace.txt", remains.backtrace.as_bytes())?;
            save("stream.ndjson", remains.stream.as_bytes())?;
        }
        Ok(name)
    }

    /// Runs the cell again; shows what it left. The answer.
    ///
    /// # Errors
    /// The program is not the one that the case is about, or the machine cannot run it.
    pub fn replay(&self, mut show: impl FnMut(&Step, &Cell)) -> Result<super::matrix::Matrix> {
        let file =
            fs::read(&self.program).with_context(|| format!("read {}", self.program.display()))?;
        let found = digest(&file);
        if found != self.sha256 {
            bail!(
                "{} has SHA-256 {found}, the case is about {}",
                self.program.display(),
                self.sha256
            );
        }
        let matrix = self.session(&file)?.run(
            |_| {},
            |step, kind, cell| {
                if kind == self.kind {
                    show(step, cell);
                }
            },
        )?;
        Ok(matrix)
    }
}
