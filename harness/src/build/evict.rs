//! Keeps the folder of built programs below its limit: the longest unused go first.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};

use crate::cache;

/// What was used this recently may still be running, and stays.
pub(super) const RECENT: Duration = Duration::from_secs(3600);

/// Whether the program is there; if so, it counts as used now.
pub(super) fn touch(place: &Path, program: &Path) -> bool {
    if !program.is_file() {
        return false;
    }
    // Only the order of eviction depends on it.
    let _ = File::open(place).and_then(|dir| dir.set_modified(SystemTime::now()));
    true
}

/// Removes builds, the longest unused first, until at most `limit` bytes are left; returns the bytes removed.
pub(super) fn down_to(dir: &Path, limit: u64, recent: Duration) -> Result<u64> {
    let entries = match fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        entries => entries.with_context(|| format!("read {}", dir.display()))?,
    };
    let mut builds: Vec<_> = entries
        .flatten()
        // Locks and work in progress start with a dot.
        .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .map(|(used, path)| (used, cache::tree_size(&path), path))
        .collect();
    builds.sort_unstable();
    let mut total: u64 = builds.iter().map(|(_, size, _)| size).sum();
    let mut removed = 0;
    for (used, size, path) in builds {
        let is_recent = used.elapsed().unwrap_or_default() < recent;
        if total <= limit || is_recent {
            break;
        }
        cache::remove_tree(&path).with_context(|| format!("remove {}", path.display()))?;
        total -= size;
        removed += size;
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_go_first_and_recent_ones_stay() {
        let dir = tempfile::tempdir().unwrap();
        let age = |name: &str, hours: u64| {
            let place = dir.path().join(name);
            fs::create_dir(&place).unwrap();
            fs::write(place.join("p"), [0; 100]).unwrap();
            let used = SystemTime::now() - Duration::from_secs(hours * 3600);
            File::open(&place).unwrap().set_modified(used).unwrap();
        };
        age("old", 9);
        age("older", 10);
        age("new", 0);
        age(".work", 20);
        let there = |name: &str| dir.path().join(name).exists();
        assert_eq!(down_to(dir.path(), 300, RECENT).unwrap(), 0);
        assert_eq!(down_to(dir.path(), 299, RECENT).unwrap(), 100);
        assert!(!there("older") && there("old"));
        assert!(touch(&dir.path().join("old"), &dir.path().join("old/p")));
        assert_eq!(down_to(dir.path(), 0, RECENT).unwrap(), 0);
        assert_eq!(down_to(dir.path(), 0, Duration::ZERO).unwrap(), 200);
        assert!(there(".work"));
        assert!(!touch(&dir.path().join("old"), &dir.path().join("old/p")));
    }
}
