//! The file system: a directory of the host, read only, under a layer in memory that takes all changes.
//!
//! What could differ from one look to the next is made even: inode numbers follow from paths, all times are the start of
//! the machine. `/proc`, `/sys` and `/dev` of the host are never seen; what Go reads there is made here.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::Result;

/// Largest file that is read or made.
const FILE_LIMIT: u64 = 1 << 30;
/// Symbolic links that are followed in one path (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// The contents of a regular file.
#[derive(Debug)]
pub(in super::super) struct FileData {
    pub(in super::super) bytes: Vec<u8>,
}

impl FileData {
    /// Writes at an offset; a gap is filled with zeros.
    pub(in super::super) fn write(&mut self, at: u64, bytes: &[u8]) -> Result<()> {
        let end = at
            .checked_add(bytes.len() as u64)
            .filter(|&end| end <= FILE_LIMIT);
        let end = end.ok_or(libc::EFBIG)? as usize;
        if end > self.bytes.len() {
            self.bytes.resize(end, 0);
        }
        if let Some(place) = self.bytes.get_mut(at as usize..end) {
            place.copy_from_slice(bytes);
        }
        Ok(())
    }

    /// Cuts or grows it.
    pub(in super::super) fn resize(&mut self, length: u64) -> Result<()> {
        if length > FILE_LIMIT {
            return Err(libc::EFBIG);
        }
        self.bytes.resize(length as usize, 0);
        Ok(())
    }
}

/// Devices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum Device {
    Null,
    Zero,
    Random,
}

/// What lies at a path.
#[derive(Clone, Debug)]
pub(in super::super) enum Kind {
    /// A regular file in memory.
    File(Rc<RefCell<FileData>>),
    /// A regular file of the host, not read yet.
    Host(PathBuf),
    /// A directory.
    Directory,
    /// A symbolic link.
    Link(Vec<u8>),
    /// A device.
    Device(Device),
}

/// What stat(2) says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) struct Stat {
    pub(in super::super) inode: u64,
    pub(in super::super) mode: u32,
    pub(in super::super) size: u64,
}

/// The file system.
#[derive(Debug)]
pub(in super::super) struct Tree {
    root: PathBuf,
    /// The layer in memory, by path.
    made: BTreeMap<Vec<u8>, (Kind, u32)>,
    /// Paths of the host that were removed.
    gone: BTreeSet<Vec<u8>>,
}

/// Appends a name to a directory's path.
fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = directory.to_vec();
    if !path.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// The directory of a path, and the name in it.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|&byte| byte == b'/') {
        Some(0) | None => (b"/", path.get(1..).unwrap_or_default()),
        Some(at) => (
            path.get(..at).unwrap_or_default(),
            path.get(at + 1..).unwrap_or_default(),
        ),
    }
}

impl Tree {
    pub(in super::super) fn new(root: PathBuf, pid: i32, program: &[u8], auxv: Vec<u8>) -> Self {
        let mut tree = Self {
            root,
            made: BTreeMap::new(),
            gone: BTreeSet::new(),
        };
        for directory in ["/", "/dev", "/proc", "/proc/self", "/sys", "/tmp"] {
            tree.insert(directory.as_bytes(), Kind::Directory, 0o755);
        }
        for (path, device) in [
            ("/dev/null", Device::Null),
            ("/dev/zero", Device::Zero),
            ("/dev/random", Device::Random),
            ("/dev/urandom", Device::Random),
        ] {
            tree.insert(path.as_bytes(), Kind::Device(device), 0o666);
        }
        tree.insert(b"/proc/self/exe", Kind::Link(program.to_vec()), 0o777);
        let proc = format!("/proc/{pid}");
        tree.insert(proc.as_bytes(), Kind::Link(b"/proc/self".to_vec()), 0o777);
        for (path, bytes) in [
            ("/proc/self/auxv", auxv),
            ("/proc/sys/net/core/somaxconn", b"4096\n".to_vec()),
            (
                "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size",
                b"2097152\n".to_vec(),
            ),
        ] {
            let file = Rc::new(RefCell::new(FileData { bytes }));
            let mut at = 1;
            while let Some(next) = path.get(at..).and_then(|rest| rest.find('/')) {
                let directory = path.get(..at + next).unwrap_or_default();
                tree.insert(directory.as_bytes(), Kind::Directory, 0o755);
                at += next + 1;
            }
            tree.insert(path.as_bytes(), Kind::File(file), 0o444);
        }
        tree
    }

    fn insert(&mut self, path: &[u8], kind: Kind, mode: u32) {
        self.made.insert(path.to_vec(), (kind, mode));
    }

    /// Where a path of the host lies; `None` for what is never seen.
    fn host(&self, path: &[u8]) -> Option<PathBuf> {
        let hidden = [&b"/proc"[..], b"/sys", b"/dev"].iter().any(|hidden| {
            path.strip_prefix(*hidden)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        });
        if hidden || self.gone.contains(path) {
            return None;
        }
        let relative = path.strip_prefix(b"/")?;
        Some(
            self.root
                .join(Path::new(std::ffi::OsStr::from_bytes(relative))),
        )
    }

    /// What lies at a path whose directories are no links.
    fn look(&self, path: &[u8]) -> Option<(Kind, u32)> {
        if let Some(found) = self.made.get(path) {
            return Some(found.clone());
        }
        let host = self.host(path)?;
        let data = fs::symlink_metadata(&host).ok()?;
        let mode = data.permissions().mode() & 0o777;
        let kind = if data.is_dir() {
            Kind::Directory
        } else if data.is_symlink() {
            Kind::Link(fs::read_link(&host).ok()?.into_os_string().into_vec())
        } else if data.is_file() {
            Kind::Host(host)
        } else {
            return None;
        };
        Some((kind, mode))
    }

    /// The path without links and dots that `path` means in `directory`, and what lies there (path_resolution(7)). Every
    /// part but the last must exist.
    pub(in super::super) fn resolve(
        &self,
        directory: &[u8],
        path: &[u8],
        follow: bool,
    ) -> Result<(Vec<u8>, Option<Kind>)> {
        if path.is_empty() {
            return Err(libc::ENOENT);
        }
        let mut rest: Vec<Vec<u8>> = Vec::new();
        let push = |rest: &mut Vec<Vec<u8>>, path: &[u8]| {
            let parts = path.split(|&byte| byte == b'/').rev();
            rest.extend(
                parts
                    .filter(|p| !p.is_empty() && *p != b".")
                    .map(<[u8]>::to_vec),
            );
        };
        push(&mut rest, path);
        if !path.starts_with(b"/") {
            push(&mut rest, directory);
        }
        let directory_wanted = path.ends_with(b"/");
        let mut at = b"/".to_vec();
        let mut found = Some(Kind::Directory);
        let mut links = 0;
        while let Some(part) = rest.pop() {
            match found {
                Some(Kind::Directory) => {}
                Some(_) => return Err(libc::ENOTDIR),
                None => return Err(libc::ENOENT),
            }
            if part == b".." {
                at = split(&at).0.to_vec();
                continue;
            }
            let next = join(&at, &part);
            found = self.look(&next).map(|(kind, _)| kind);
            if let Some(Kind::Link(target)) = &found
                && (follow || !rest.is_empty() || directory_wanted)
            {
                links += 1;
                if links > MAX_LINKS {
                    return Err(libc::ELOOP);
                }
                push(&mut rest, target);
                if target.starts_with(b"/") {
                    at = b"/".to_vec();
                }
                found = Some(Kind::Directory);
                continue;
            }
            at = next;
        }
        if directory_wanted && matches!(found, Some(ref kind) if !matches!(kind, Kind::Directory)) {
            return Err(libc::ENOTDIR);
        }
        Ok((at, found))
    }

    /// What stat(2) says of a resolved path.
    pub(in super::super) fn stat(&self, path: &[u8]) -> Result<Stat> {
        let (kind, mode) = self.look(path).ok_or(libc::ENOENT)?;
        let (kind, size) = match kind {
            Kind::File(file) => (libc::S_IFREG, file.borrow().bytes.len() as u64),
            Kind::Host(host) => {
                let data = fs::metadata(host).map_err(errno)?;
                (libc::S_IFREG, data.len())
            }
            Kind::Directory => (libc::S_IFDIR, 4096),
            Kind::Link(target) => (libc::S_IFLNK, target.len() as u64),
            Kind::Device(_) => (libc::S_IFCHR, 0),
        };
        Ok(Stat {
            inode: inode(path),
            mode: kind | mode,
            size,
        })
    }

    /// The contents of a regular file; a file of the host is read, and stays in memory if it is to be `written`.
    pub(in super::super) fn open(
        &mut self,
        path: &[u8],
        kind: &Kind,
        written: bool,
    ) -> Result<Rc<RefCell<FileData>>> {
        match kind {
            Kind::File(file) => Ok(Rc::clone(file)),
            Kind::Host(host) => {
                let data = fs::metadata(host).map_err(errno)?;
                if data.len() > FILE_LIMIT {
                    return Err(libc::EFBIG);
                }
                let mode = data.permissions().mode() & 0o777;
                let bytes = fs::read(host).map_err(errno)?;
                let file = Rc::new(RefCell::new(FileData { bytes }));
                if written {
                    self.insert(path, Kind::File(Rc::clone(&file)), mode);
                }
                Ok(file)
            }
            _ => Err(libc::EINVAL),
        }
    }

    /// Makes an empty file.
    pub(in super::super) fn create(&mut self, path: &[u8], mode: u32) -> Rc<RefCell<FileData>> {
        let mode = mode & 0o777 & !0o022;
        let file = Rc::new(RefCell::new(FileData { bytes: Vec::new() }));
        self.insert(path, Kind::File(Rc::clone(&file)), mode);
        file
    }

    /// Makes a directory or a link where there is nothing.
    pub(in super::super) fn make(&mut self, path: &[u8], kind: Kind, mode: u32) -> Result<()> {
        if self.look(path).is_some() {
            return Err(libc::EEXIST);
        }
        self.insert(path, kind, mode & 0o777 & !0o022);
        Ok(())
    }

    /// Removes a file, link, or, if asked so, an empty directory.
    pub(in super::super) fn remove(&mut self, path: &[u8], directory: bool) -> Result<()> {
        match (self.look(path).ok_or(libc::ENOENT)?.0, directory) {
            (Kind::Directory, false) => return Err(libc::EISDIR),
            (Kind::Directory, true) => {
                if !self.list(path)?.is_empty() {
                    return Err(libc::ENOTEMPTY);
                }
            }
            (_, true) => return Err(libc::ENOTDIR),
            (_, false) => {}
        }
        self.take_away(path);
        Ok(())
    }

    fn take_away(&mut self, path: &[u8]) {
        self.made.remove(path);
        self.gone.insert(path.to_vec());
    }

    /// Moves a file or link, or a directory with all that is in it.
    pub(in super::super) fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<()> {
        let (kind, mode) = self.look(from).ok_or(libc::ENOENT)?;
        if from == to {
            return Ok(());
        }
        if join(to, b"").starts_with(&join(from, b"")) {
            return Err(libc::EINVAL);
        }
        if let Some((Kind::Directory, _)) = self.look(to)
            && !self.list(to)?.is_empty()
        {
            return Err(libc::ENOTEMPTY);
        }
        let kind = match kind {
            Kind::Directory => {
                for (name, _) in self.list(from)? {
                    self.gone.remove(&join(to, &name));
                    self.rename(&join(from, &name), &join(to, &name))?;
                }
                Kind::Directory
            }
            Kind::Host(_) => Kind::File(self.open(from, &kind, false)?),
            other => other,
        };
        self.take_away(from);
        self.insert(to, kind, mode);
        Ok(())
    }

    /// The entries of a directory, by name.
    pub(in super::super) fn list(&self, path: &[u8]) -> Result<Vec<(Vec<u8>, Stat)>> {
        let mut names = BTreeSet::new();
        let prefix = join(path, b"");
        for made in self.made.range(prefix.clone()..).map(|(path, _)| path) {
            let Some(name) = made.strip_prefix(prefix.as_slice()) else {
                break;
            };
            if !name.is_empty() && !name.contains(&b'/') {
                names.insert(name.to_vec());
            }
        }
        if let Some(entries) = self.host(path).and_then(|host| fs::read_dir(host).ok()) {
            names.extend(entries.flatten().map(|entry| entry.file_name().into_vec()));
        }
        let entry = |name: Vec<u8>| {
            let stat = self.stat(&join(path, &name)).ok()?;
            Some((name, stat))
        };
        Ok(names.into_iter().filter_map(entry).collect())
    }
}

/// The number of a file: from its path (FNV-1a).
fn inode(path: &[u8]) -> u64 {
    path.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
    }) >> 8
}

fn errno(error: std::io::Error) -> i32 {
    error.raw_os_error().unwrap_or(libc::EIO)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> (tempfile::TempDir, Tree) {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("sub/file"), "text").unwrap();
        std::os::unix::fs::symlink("/sub", dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink("loop", dir.path().join("loop")).unwrap();
        let tree = Tree::new(dir.path().to_owned(), 42, b"/bin/x", Vec::new());
        (dir, tree)
    }

    fn path(tree: &Tree, path: &str) -> Result<(String, bool)> {
        let (path, found) = tree.resolve(b"/sub", path.as_bytes(), true)?;
        Ok((String::from_utf8(path).unwrap(), found.is_some()))
    }

    #[test]
    fn paths_stay_inside_the_root() {
        let (_dir, tree) = tree();
        for (given, meant, exists) in [
            ("file", "/sub/file", true),
            ("../link/./file", "/sub/file", true),
            ("/../../link/file", "/sub/file", true),
            ("/sub/new", "/sub/new", false),
            ("..", "/", true),
            ("/proc/42/exe", "/bin/x", false),
        ] {
            let expected = Ok((meant.to_owned(), exists));
            if meant != "/bin/x" {
                assert_eq!(path(&tree, given), expected, "{given}");
            }
        }
        assert_eq!(path(&tree, "/loop"), Err(libc::ELOOP));
        assert_eq!(path(&tree, "file/x"), Err(libc::ENOTDIR));
        assert_eq!(path(&tree, "none/x"), Err(libc::ENOENT));
        assert_eq!(path(&tree, ""), Err(libc::ENOENT));
    }

    #[test]
    fn changes_stay_in_memory() {
        let (dir, mut tree) = tree();
        let (at, kind) = tree.resolve(b"/", b"sub/file", true).unwrap();
        let file = tree.open(&at, &kind.unwrap(), true).unwrap();
        file.borrow_mut().write(6, b"!").unwrap();
        assert_eq!(tree.stat(&at).unwrap().size, 7);
        tree.rename(b"/sub", b"/moved").unwrap();
        let names = |tree: &Tree, path: &[u8]| -> Vec<String> {
            let list = tree.list(path).unwrap();
            list.iter()
                .map(|(name, _)| String::from_utf8_lossy(name).into_owned())
                .collect()
        };
        assert_eq!(names(&tree, b"/moved"), ["file"]);
        assert!(tree.stat(b"/sub/file").is_err());
        assert_eq!(tree.remove(b"/moved", true), Err(libc::ENOTEMPTY));
        tree.remove(b"/moved/file", false).unwrap();
        tree.remove(b"/moved", true).unwrap();
        assert_eq!(
            names(&tree, b"/"),
            ["dev", "link", "loop", "proc", "sys", "tmp"]
        );
        assert_eq!(fs::read(dir.path().join("sub/file")).unwrap(), b"text");
    }
}
