//! Finished cells, kept in the user's cache, so that an interrupted run continues where it stopped.
//!
//! The key is a hash of everything that the result depends on: the cell, the program's bytes, this program's bytes
//! (harness and engine), what runs it hooked, what the test programs promise, what is left out, and the seed. A cell
//! that failed is never kept.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::cell::{Bench, CellReport, Prepared};
use crate::cache;

/// Files that may be there; the oldest go first.
const LIMIT: usize = 2000;

/// The kept cells, for one harness.
#[derive(Clone, Debug)]
pub struct Kept {
    dir: PathBuf,
    /// Digest of what does the work.
    harness: String,
}

impl Kept {
    /// The kept cells below the user's cache directory.
    ///
    /// # Errors
    /// When there is no cache directory, or this program cannot be read.
    pub fn open(bench: &Bench) -> Result<Self> {
        let agent = bench.agent.path();
        let mut hash = Sha256::new();
        for program in [
            std::env::current_exe().context("find this program")?,
            agent.to_owned(),
        ] {
            let bytes =
                fs::read(&program).with_context(|| format!("read {}", program.display()))?;
            hash.update(Sha256::digest(&bytes));
        }
        Ok(Self {
            dir: cache::root()?.join("cells"),
            harness: hex(&hash.finalize()),
        })
    }

    fn place(&self, bench: &Bench, prepared: &Prepared) -> Result<PathBuf> {
        let program = fs::read(&prepared.program)
            .with_context(|| format!("read {}", prepared.program.display()))?;
        let mut hash = Sha256::new();
        hash.update(&self.harness);
        hash.update(Sha256::digest(&program));
        let data = format!(
            "{} {:?} {:?} {:?} {}",
            prepared.cell,
            prepared.cases,
            prepared.skipped,
            bench.matrix.refused(prepared.cell.mode),
            bench.seed
        );
        hash.update(data);
        let key = hex(&hash.finalize());
        let name = format!(
            "{}-{}-{}.json",
            prepared.cell.go,
            prepared.cell.mode,
            &key[..32]
        );
        Ok(self.dir.join(name))
    }

    /// The report of this cell, if it was finished before.
    ///
    /// # Errors
    /// When the program of the cell cannot be read.
    pub fn get(&self, bench: &Bench, prepared: &Prepared) -> Result<Option<CellReport>> {
        let place = self.place(bench, prepared)?;
        // What cannot be read was written by another version, or not to the end: it is made again.
        Ok(fs::read(place)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok()))
    }

    /// Keeps the report of a finished cell.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, bench: &Bench, prepared: &Prepared, report: &CellReport) -> Result<()> {
        if !report.is_good() {
            return Ok(());
        }
        let place = self.place(bench, prepared)?;
        fs::create_dir_all(&self.dir).with_context(|| format!("create {}", self.dir.display()))?;
        self.make_room();
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)
            .with_context(|| format!("write into {}", self.dir.display()))?;
        serde_json::to_writer(&mut file, report).context("write a cell")?;
        file.persist(&place)
            .with_context(|| format!("write {}", place.display()))?;
        Ok(())
    }

    /// Removes the oldest files beyond [`LIMIT`]; another process may have done so.
    fn make_room(&self) {
        let mut files: Vec<_> = fs::read_dir(&self.dir)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        files.sort_unstable();
        let surplus = files.len().saturating_sub(LIMIT);
        for (_, file) in files.iter().take(surplus) {
            let _ = fs::remove_file(file);
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
