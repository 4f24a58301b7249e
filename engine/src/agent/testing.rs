//! For tests: the agents that run.

use std::path::Path;

use super::NAME;

/// Agents other than `program` that have a file open in this directory, or that were started with its name in their
/// environment.
#[must_use]
pub fn agents(directory: &Path, program: u32) -> Vec<u32> {
    let name = directory.as_os_str().as_encoded_bytes();
    let is_ours = |pid: u32| {
        let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let files = std::fs::read_dir(format!("/proc/{pid}/fd"));
        let mut files = files.into_iter().flatten().flatten();
        comm.trim_end() == NAME
            && (environ.windows(name.len()).any(|part| part == name)
                || files.any(|file| {
                    std::fs::read_link(file.path()).is_ok_and(|path| path.starts_with(directory))
                }))
    };
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&pid: &u32| pid != program && is_ours(pid))
        .collect()
}
