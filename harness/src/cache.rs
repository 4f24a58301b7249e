//! The user's cache directory: where Go toolchains, Go's own build caches and built test programs lie.
//!
//! `$XDG_CACHE_HOME/gondwana`, else `~/.cache/gondwana`; inside it `toolchains/goVERSION/`, `gocache/goVERSION/`,
//! `builds/`. Everything in it can be fetched or built again, so deleting it costs time and nothing else.
//! Exclusion between processes is by [`Lock`]; nothing here waits without saying so.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The directory that holds everything this program may fetch or build again.
///
/// # Errors
/// When neither `XDG_CACHE_HOME` nor `HOME` names an absolute directory.
pub fn root() -> Result<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    // A relative XDG_CACHE_HOME is to be ignored: XDG Base Directory Specification.
    match absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache"))) {
        Some(base) => Ok(base.join("gondwana")),
        None => bail!("no cache directory: set HOME or XDG_CACHE_HOME to an absolute path"),
    }
}

/// An advisory lock between processes (`flock`), held until dropped, freed by the kernel when the holder dies.
///
/// Lock files are never deleted: a lock on a deleted file would exclude nobody.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    fn open(path: &Path) -> Result<File> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(|| format!("create {}", parent.display()))?;
        }
        // Not truncated: another process may hold it.
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .with_context(|| format!("open the lock {}", path.display()))
    }

    /// Waits for the only lock on `path`. `waiting` is called once if somebody else holds it.
    ///
    /// # Errors
    /// When the lock file cannot be made or locked.
    pub fn exclusive(path: &Path, waiting: impl FnOnce()) -> Result<Self> {
        let file = Self::open(path)?;
        match file.try_lock() {
            Ok(()) => return Ok(Self { file }),
            Err(TryLockError::WouldBlock) => waiting(),
            Err(TryLockError::Error(e)) => {
                return Err(e).with_context(|| format!("lock {}", path.display()));
            }
        }
        file.lock()
            .with_context(|| format!("lock {}", path.display()))?;
        Ok(Self { file })
    }

    /// The only lock on `path`, or `None` when somebody else holds one.
    ///
    /// # Errors
    /// When the lock file cannot be made or locked.
    pub fn try_exclusive(path: &Path) -> Result<Option<Self>> {
        let file = Self::open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(e)) => {
                Err(e).with_context(|| format!("lock {}", path.display()))
            }
        }
    }

    /// A lock on `path` that others may share; it keeps [`exclusive`](Self::exclusive) away.
    ///
    /// # Errors
    /// When the lock file cannot be made or locked.
    pub fn shared(path: &Path) -> Result<Self> {
        let file = Self::open(path)?;
        file.lock_shared()
            .with_context(|| format!("lock {}", path.display()))?;
        Ok(Self { file })
    }

    /// The locked file, for a child process that must keep the lock should this process die before it.
    pub(crate) fn for_child(&self) -> io::Result<File> {
        self.file.try_clone()
    }
}

/// Deletes a directory tree, read-only directories (as Go's module cache has them) included. Nothing there is success.
///
/// # Errors
/// When something in it cannot be deleted.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            make_writable(path)?;
            fs::remove_dir_all(path)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn make_writable(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let meta = fs::symlink_metadata(path)?;
    if meta.is_dir() {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        for entry in fs::read_dir(path)? {
            make_writable(&entry?.path())?;
        }
    }
    Ok(())
}

/// Bytes of all files below `path`; 0 for what cannot be read.
#[must_use]
pub fn tree_size(path: &Path) -> u64 {
    let Ok(meta) = fs::symlink_metadata(path) else {
        return 0;
    };
    if !meta.is_dir() {
        return meta.len();
    }
    fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| tree_size(&entry.path()))
        .sum()
}

/// Bytes that are left on the file system of the cache.
///
/// # Errors
/// When there is no cache directory, or its file system cannot be asked.
pub fn room() -> Result<u64> {
    let root = root()?;
    fs::create_dir_all(&root).with_context(|| format!("create {}", root.display()))?;
    let stat = nix::sys::statvfs::statvfs(&root)
        .with_context(|| format!("ask for the file system of {}", root.display()))?;
    Ok(stat.blocks_available() * stat.fragment_size())
}

/// A size for people: `213 MB`.
#[must_use]
pub fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_lock_excludes_and_is_freed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sub/x.lock");
        let held = Lock::exclusive(&path, || panic!("nobody holds it")).unwrap();
        assert!(Lock::try_exclusive(&path).unwrap().is_none());
        drop(held);
        let reader = Lock::shared(&path).unwrap();
        let second_reader = Lock::shared(&path).unwrap();
        assert!(Lock::try_exclusive(&path).unwrap().is_none());
        drop((reader, second_reader));
        assert!(Lock::try_exclusive(&path).unwrap().is_some());
    }

    #[test]
    fn a_read_only_tree_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("a/b");
        fs::create_dir_all(&tree).unwrap();
        fs::write(tree.join("f"), "12345").unwrap();
        assert_eq!(tree_size(dir.path()), 5);
        fs::set_permissions(&tree, fs::Permissions::from_mode(0o555)).unwrap();
        remove_tree(&dir.path().join("a")).unwrap();
        assert!(!dir.path().join("a").exists());
        remove_tree(&dir.path().join("a")).unwrap();
    }
}
