//! For tests: the agents that run.

use std::path::Path;

use super::NAME;
use crate::os::process;

/// Agents other than `program` that have a file open in this directory, or that were started with its name in their
/// environment.
#[must_use]
pub fn agents(directory: &Path, program: u32) -> Vec<u32> {
    let name = directory.as_os_str().as_encoded_bytes();
    let is_started_with = |pid| {
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.windows(name.len()).any(|part| part == name)
    };
    process::named(NAME)
        .into_iter()
        .filter(|&pid| is_started_with(pid) || process::has_open(pid, directory))
        .map(|pid| pid.0.cast_unsigned())
        .filter(|&pid| pid != program)
        .collect()
}
