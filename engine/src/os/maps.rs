//! `/proc/PID/maps` -> [`Mapping`]s (proc_pid_maps(5)).

use std::io;

use super::process::Pid;
use crate::addr::RunAddr;

/// Access rights of a mapping.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Protection {
    /// Readable.
    pub read: bool,
    /// Writable.
    pub write: bool,
    /// Executable.
    pub execute: bool,
}

/// One line of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// First byte.
    pub start: RunAddr,
    /// One past the last byte.
    pub end: RunAddr,
    /// Access rights.
    pub protection: Protection,
    /// Path or `[name]`; empty if anonymous.
    pub name: String,
}

/// Mappings of a process, by ascending address.
pub fn read(pid: Pid) -> io::Result<Vec<Mapping>> {
    let text = std::fs::read(format!("/proc/{pid}/maps"))?;
    parse(&String::from_utf8_lossy(&text)).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("/proc/{pid}/maps has a line that is no mapping"),
        )
    })
}

/// Parses the whole file; `None` if a line is none of its format.
#[must_use]
pub fn parse(text: &str) -> Option<Vec<Mapping>> {
    text.lines().map(line).collect()
}

fn line(line: &str) -> Option<Mapping> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let rights = fields.next()?.as_bytes();
    let name = fields.nth(3).unwrap_or_default().trim_start();
    let address = |text| u64::from_str_radix(text, 16).ok().map(RunAddr::new);
    let (start, end) = (address(start)?, address(end)?);
    (start < end).then(|| Mapping {
        start,
        end,
        protection: Protection {
            read: rights.first() == Some(&b'r'),
            write: rights.get(1) == Some(&b'w'),
            execute: rights.get(2) == Some(&b'x'),
        },
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_and_without_names() {
        let text = "00400000-00401000 r-xp 00000000 fe:00 1234                       /opt/a program\n\
                    c000000000-c000400000 rw-p 00000000 00:00 0 \n\
                    ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0          [vsyscall]\n";
        let maps = parse(text).unwrap();
        assert_eq!(maps[0].name, "/opt/a program");
        assert_eq!(maps[0].end, RunAddr::new(0x40_1000));
        assert!(maps[0].protection.execute && !maps[0].protection.write);
        assert_eq!(maps[1].name, "");
        assert_eq!(maps[2].name, "[vsyscall]");
        assert!(!maps[2].protection.read);
    }

    #[test]
    fn other_lines_are_refused() {
        for text in ["x", "1-", "5-4 rwxp 0 0 0", "zz-11 r--p 0 0 0"] {
            assert!(parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn this_process_has_a_stack() {
        let maps = read(Pid::this()).unwrap();
        assert!(maps.iter().any(|map| map.name == "[stack]"));
        assert!(maps.is_sorted_by_key(|map| map.start));
    }
}
