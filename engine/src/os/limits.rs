//! Resource limits and control groups -> how much memory a process may still take, by each of them.
//!
//! Source: getrlimit(2), proc(5), cgroups(7), Documentation/admin-guide/cgroup-v2.rst (`memory.max`, `memory.high`,
//! `memory.current`, `memory.stat`), cgroup-v1/memory.rst (`memory.limit_in_bytes`, `memory.usage_in_bytes`).

use std::io;
use std::path::{Path, PathBuf};

use super::process::Pid;

/// What a limit is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LimitKind {
    /// Addresses, whether there is memory behind them or not.
    Addresses,
    /// The size of a file: a shared mapping is one.
    FileSize,
    /// Memory in use.
    Memory,
}

/// One limit of a process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limit {
    /// On what.
    pub kind: LimitKind,
    /// What to look at and to change: a setting of the shell, a file.
    pub name: String,
    /// So many bytes it leaves.
    pub left: u64,
}

/// What limits the process, and how much each limit leaves now. What cannot be read limits nothing.
///
/// # Errors
/// There is no such process.
pub fn of(pid: Pid) -> io::Result<Vec<Limit>> {
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
    let mut found = of_resources(&read("limits")?, &read("status")?);
    // Both describe the process as this one sees it.
    if let (Ok(groups), Ok(mounts)) = (
        read("cgroup"),
        std::fs::read_to_string("/proc/self/mountinfo"),
    ) {
        for (directory, top) in directories(&groups, &mounts) {
            let up = directory.ancestors();
            let below = up.take_while(|parent| parent.starts_with(&top));
            found.extend(below.flat_map(of_group));
        }
    }
    Ok(found)
}

/// From `/proc/PID/limits` and `/proc/PID/status`.
fn of_resources(limits: &str, status: &str) -> Vec<Limit> {
    let soft = |name: &str| -> Option<u64> {
        let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let taken = status
        .lines()
        .find_map(|line| line.strip_prefix("VmSize:"))
        .and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0)
        .saturating_mul(1024);
    let addresses = soft("Max address space").map(|limit| Limit {
        kind: LimitKind::Addresses,
        name: "RLIMIT_AS (ulimit -v)".to_owned(),
        left: limit.saturating_sub(taken),
    });
    let file = soft("Max file size").map(|limit| Limit {
        kind: LimitKind::FileSize,
        name: "RLIMIT_FSIZE (ulimit -f)".to_owned(),
        left: limit,
    });
    addresses.into_iter().chain(file).collect()
}

/// The directories of the control groups of memory that are visible, with that at which each hierarchy is mounted.
/// `groups` is `/proc/PID/cgroup`, `mounts` is `/proc/self/mountinfo`.
fn directories(groups: &str, mounts: &str) -> Vec<(PathBuf, PathBuf)> {
    let path_of = |wanted: fn(&str, &str) -> bool| {
        groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (number, controllers) = (fields.next()?, fields.next()?);
            wanted(number, controllers).then(|| fields.next())?
        })
    };
    let second = path_of(|number, controllers| number == "0" && controllers.is_empty());
    let first = path_of(|_, controllers| controllers.split(',').any(|name| name == "memory"));
    let mut found = Vec::new();
    for line in mounts.lines() {
        let Some((before, after)) = line.split_once(" - ") else {
            continue;
        };
        let mut before = before.split(' ').skip(3);
        let (Some(root), Some(mount)) = (before.next(), before.next()) else {
            continue;
        };
        let mut after = after.split(' ');
        let (kind, options) = (after.next(), after.nth(1).unwrap_or_default());
        let path = match kind {
            Some("cgroup2") => second,
            Some("cgroup") if options.split(',').any(|name| name == "memory") => first,
            _ => None,
        };
        let Some(path) = path else { continue };
        // What is mounted may be a part of the hierarchy only, as in containers; a path that does not lie in it, or that
        // is told from elsewhere (`/../x`), is not visible, but the part is.
        let top = Path::new(mount);
        let below = Path::new(path).strip_prefix(root).ok();
        let below = below.filter(|below| !below.starts_with(".."));
        let directory = match below {
            Some(below) if below != Path::new("") => top.join(below),
            _ => top.to_owned(),
        };
        found.push((directory, top.to_owned()));
    }
    found
}

/// What one control group allows.
fn of_group(directory: &Path) -> Vec<Limit> {
    let number = |name: &str| -> Option<u64> {
        let text = std::fs::read_to_string(directory.join(name)).ok()?;
        text.trim().parse().ok()
    };
    // The page cache gives way.
    let cached = || -> u64 {
        let text = std::fs::read_to_string(directory.join("memory.stat")).unwrap_or_default();
        let values = text.lines().filter_map(|line| line.split_once(' '));
        let whole_tree = text.contains("total_inactive_file ");
        let prefix = if whole_tree { "total_" } else { "" };
        values
            .filter(|(name, _)| {
                name.strip_prefix(prefix)
                    .is_some_and(|name| name == "inactive_file" || name == "active_file")
            })
            .filter_map(|(_, value)| value.parse::<u64>().ok())
            .fold(0, u64::saturating_add)
    };
    let used = || {
        number("memory.current")
            .or_else(|| number("memory.usage_in_bytes"))
            .map_or(0, |used| used.saturating_sub(cached()))
    };
    ["memory.max", "memory.high", "memory.limit_in_bytes"]
        .into_iter()
        .filter_map(|name| {
            // A group of version 1 without a limit has the largest number there is, in whole pages.
            let limit = number(name).filter(|&limit| limit < 1 << 62)?;
            Some(Limit {
                kind: LimitKind::Memory,
                name: directory.join(name).display().to_string(),
                left: limit.saturating_sub(used()),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_limits_leave_what_is_not_taken() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max file size             1024000              unlimited            bytes     \n\
            Max address space         1536000000           unlimited            bytes     \n";
        let status = "Name:\tx\nVmPeak:\t  900000 kB\nVmSize:\t  100000 kB\n";
        let found = of_resources(limits, status);
        let left: Vec<_> = found.iter().map(|one| (one.kind, one.left)).collect();
        assert_eq!(
            left,
            [
                (LimitKind::Addresses, 1_536_000_000 - 102_400_000),
                (LimitKind::FileSize, 1_024_000)
            ]
        );
        let none = limits
            .replace("1024000  ", "unlimited")
            .replace("1536000000", "unlimited ");
        assert_eq!(of_resources(&none, status), []);
        assert_eq!(of_resources("", ""), []);
    }

    #[test]
    fn groups_are_found_where_they_are_mounted() {
        let second = "30 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        fn of(groups: &str, mounts: &str) -> Vec<String> {
            directories(groups, mounts)
                .into_iter()
                .map(|(at, top)| format!("{} in {}", at.display(), top.display()))
                .collect()
        }
        assert_eq!(
            of("0::/system.slice/x.service\n", second),
            ["/sys/fs/cgroup/system.slice/x.service in /sys/fs/cgroup"]
        );
        // In a container: a part of the hierarchy, seen from outside and from inside of its namespace.
        let part = "33 25 0:30 /docker/1a /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";
        for path in [
            "4:memory:/docker/1a\n",
            "9:cpu,cpuacct:/\n4:memory:/\n",
            "4:memory:/../2b\n",
        ] {
            assert_eq!(
                of(path, part),
                ["/sys/fs/cgroup/memory in /sys/fs/cgroup/memory"]
            );
        }
        assert_eq!(
            of(
                "4:hugetlb,memory:/docker/1a/b\n0::/x\n",
                &format!("{part}{second}")
            ),
            [
                "/sys/fs/cgroup/memory/b in /sys/fs/cgroup/memory",
                "/sys/fs/cgroup/x in /sys/fs/cgroup"
            ]
        );
        assert!(of("4:cpu:/\n", part).is_empty());
        assert!(of("", "").is_empty());
    }

    #[test]
    fn a_group_leaves_what_is_not_used_but_for_the_page_cache() {
        let group = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(group.path().join(name), text).unwrap();
        assert_eq!(of_group(group.path()), []);
        write("memory.max", "max\n");
        write("memory.high", "1000000\n");
        write("memory.current", "500000\n");
        write(
            "memory.stat",
            "anon 9\ninactive_file 100000\nactive_file 50000\n",
        );
        let [high] = &of_group(group.path())[..] else {
            panic!()
        };
        assert!(high.name.ends_with("/memory.high"), "{high:?}");
        assert_eq!(high.left, 650_000);

        let group = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(group.path().join(name), text).unwrap();
        write("memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(of_group(group.path()), []);
        write("memory.limit_in_bytes", "268435456\n");
        write("memory.usage_in_bytes", "4096\n");
        write("memory.stat", "inactive_file 1\ntotal_inactive_file 4000\n");
        assert_eq!(of_group(group.path())[0].left, 268_435_456 - 96);
    }

    #[test]
    fn this_process_can_be_asked() {
        let found = of(Pid::this()).unwrap();
        println!("{found:#?}");
        assert!(of(Pid(i32::MAX)).is_err());
    }
}
