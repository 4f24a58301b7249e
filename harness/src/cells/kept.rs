//! Finished cells, kept in the user's cache, so that an interrupted run continues where it stopped.
//!
//! The key is a hash of everything that the result depends on: this program's bytes and those of what runs programs hooked,
//! and what the cell names besides. A cell that failed is never kept.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::Report;
use crate::cache;
use crate::executor::native::hooked::Agent;

/// Files that may be there; the oldest go first.
const LIMIT: usize = 2000;

/// The kept cells, for one harness.
#[derive(Clone, Debug)]
pub struct Kept {
    dir: PathBuf,
    /// Digest of what does the work.
    harness: String,
}

/// The place of one cell among the kept ones.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Key(PathBuf);

impl Kept {
    /// The kept cells below the user's cache directory, as made by this program and this agent.
    ///
    /// # Errors
    /// When there is no cache directory, or a program cannot be read.
    pub fn open(agent: &Agent) -> Result<Self> {
        let mut hash = Sha256::new();
        for program in [
            std::env::current_exe().context("find this program")?,
            agent.path().to_owned(),
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

    /// The key of a cell: its name (for people), the program that it is about, and all else that decides the result.
    ///
    /// # Errors
    /// When the program cannot be read.
    pub fn key(&self, name: &str, program: &Path, data: &str) -> Result<Key> {
        let program = fs::read(program).with_context(|| format!("read {}", program.display()))?;
        let mut hash = Sha256::new();
        hash.update(&self.harness);
        hash.update(Sha256::digest(&program));
        hash.update(name);
        hash.update([0]);
        hash.update(data);
        let key = hex(&hash.finalize());
        let name = name.replace([' ', '/'], "-");
        Ok(Key(self.dir.join(format!("{name}-{}.json", &key[..32]))))
    }

    /// The report of this cell, if it was finished before.
    #[must_use]
    pub fn get<R: DeserializeOwned>(&self, key: &Key) -> Option<R> {
        // What cannot be read was written by another version, or not to the end: it is made again.
        let text = fs::read(&key.0).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Keeps the report of a finished cell, if it is good.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put<R: Report + Serialize>(&self, key: &Key, report: &R) -> Result<()> {
        if !report.is_good() {
            return Ok(());
        }
        fs::create_dir_all(&self.dir).with_context(|| format!("create {}", self.dir.display()))?;
        self.make_room();
        let mut file = tempfile::NamedTempFile::new_in(&self.dir)
            .with_context(|| format!("write into {}", self.dir.display()))?;
        serde_json::to_writer(&mut file, report).context("write a cell")?;
        file.persist(&key.0)
            .with_context(|| format!("write {}", key.0.display()))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(PartialEq, Debug, Serialize, serde::Deserialize)]
    struct One {
        good: bool,
    }

    impl Report for One {
        fn is_good(&self) -> bool {
            self.good
        }

        fn summary(&self) -> String {
            String::new()
        }

        fn seconds(&self) -> f64 {
            0.0
        }
    }

    #[test]
    fn only_what_is_good_and_of_the_same_program_is_there_again() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("program");
        fs::write(&program, "1").unwrap();
        let kept = Kept {
            dir: dir.path().join("cells"),
            harness: "h".to_owned(),
        };
        let key = kept.key("go1.27.4 net/http", &program, "*").unwrap();
        assert_eq!(kept.get::<One>(&key), None);
        kept.put(&key, &One { good: false }).unwrap();
        assert_eq!(kept.get::<One>(&key), None);
        kept.put(&key, &One { good: true }).unwrap();
        assert_eq!(kept.get(&key), Some(One { good: true }));
        assert_ne!(kept.key("go1.27.4 net/http", &program, "**").unwrap(), key);
        assert_ne!(kept.key("go1.27.4 net/htt", &program, "p*").unwrap(), key);
        let other = Kept {
            harness: "i".to_owned(),
            ..kept.clone()
        };
        assert_ne!(other.key("go1.27.4 net/http", &program, "*").unwrap(), key);
        fs::write(&program, "2").unwrap();
        let changed = kept.key("go1.27.4 net/http", &program, "*").unwrap();
        assert_eq!(kept.get::<One>(&changed), None);
    }
}
