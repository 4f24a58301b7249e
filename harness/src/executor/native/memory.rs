//! A running process -> a [`Series`] of how much memory it has, gondwana's own mappings left out.
//!
//! Counted is what /proc/PID/smaps (proc_pid_smaps(5)) says of resident and swapped anonymous and shared memory, and of
//! changed pages of files that cannot be executed. Left out are the rings (by their name), executable mappings (trampolines,
//! and the program's own code, of which hooks change pages) and, in a hooked program, the synthetic module, which lies behind
//! the trampolines. What was seen before there were rings is dropped once there are: a program that is being hooked stands
//! still for longer than it may run. Never stops the process; a sample that cannot be taken is none.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The name of the rings' file (engine/src/inject/ground.rs).
const RINGS: &str = "gondwana-rings";
/// Time between samples: at first, for programs that end soon; at last. In between it grows with the program's age.
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_millis(50);
/// The age of the program by which time between samples grows: a fiftieth of it.
const SHARE: u32 = 50;

/// One sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// When, since the program was started.
    pub at: Duration,
    /// Bytes.
    pub bytes: u64,
}

/// Samples, in their order.
pub type Series = Vec<Sample>;

/// A thread that takes samples until it is told to stop.
pub(super) struct Sampler {
    stop: Arc<AtomicBool>,
    series: Arc<Mutex<Series>>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    /// Watches the process, as long as it executes `program`: before that it is what starts it. The first sample is taken at
    /// once, since the process may have ended before a thread begins.
    pub(super) fn start(pid: u32, program: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let at = Duration::ZERO;
        let first = sample(pid, &program).map(|(bytes, _)| Sample { at, bytes });
        let series = Arc::new(Mutex::new(Series::from_iter(first)));
        let (is_over, into) = (Arc::clone(&stop), Arc::clone(&series));
        let thread = std::thread::spawn(move || {
            let begun = Instant::now();
            let mut was_hooked = false;
            // Relaxed: a flag, which orders nothing.
            while !is_over.load(Ordering::Relaxed) {
                let at = begun.elapsed();
                if let Some((bytes, is_hooked)) = sample(pid, &program) {
                    let mut series = into.lock().unwrap_or_else(PoisonError::into_inner);
                    if is_hooked && !was_hooked {
                        series.clear();
                    }
                    was_hooked |= is_hooked;
                    series.push(Sample { at, bytes });
                }
                std::thread::park_timeout((at / SHARE).clamp(SHORTEST, LONGEST));
            }
        });
        Self {
            stop,
            series,
            thread: Some(thread),
        }
    }

    /// What was seen.
    pub(super) fn finish(mut self) -> Series {
        self.end();
        std::mem::take(&mut *self.series.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.end();
    }
}

/// The bytes that count, and whether there are rings.
fn sample(pid: u32, program: &PathBuf) -> Option<(u64, bool)> {
    if std::fs::read_link(format!("/proc/{pid}/exe")).ok()? != *program {
        return None;
    }
    let text = std::fs::read(format!("/proc/{pid}/smaps")).ok()?;
    seen(&String::from_utf8_lossy(&text))
}

/// As [`bytes`]; nothing of a process that is about to end, which has no mappings any more, or no pages in them.
fn seen(smaps: &str) -> Option<(u64, bool)> {
    Some(bytes(smaps)).filter(|(bytes, _)| *bytes > 0)
}

/// The bytes that count in a text of smaps, and whether there are rings.
fn bytes(smaps: &str) -> (u64, bool) {
    let is_hooked = smaps.contains(RINGS);
    let mut total = 0u64;
    let mut mapping = Mapping::default();
    for line in smaps.lines() {
        if let Some(next) = Mapping::parse(line) {
            // Behind the trampolines comes the module's data (engine/src/inject/prepare.rs).
            let behind = mapping.is_trampolines && !next.is_code && !next.is_file;
            mapping = Mapping {
                is_own: is_hooked && behind || next.is_own,
                is_trampolines: is_hooked && next.is_trampolines,
                ..next
            };
            continue;
        }
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let counts = match key {
            "Rss" => !mapping.is_file,
            "Anonymous" => mapping.is_file,
            "Swap" => true,
            _ => false,
        };
        if counts && !mapping.is_own && !mapping.is_code {
            let kib = value
                .trim()
                .split(' ')
                .next()
                .and_then(|n| n.parse::<u64>().ok());
            total = total.saturating_add(kib.unwrap_or(0).saturating_mul(1024));
        }
    }
    (total, is_hooked)
}

#[derive(Default)]
struct Mapping {
    is_code: bool,
    is_trampolines: bool,
    is_own: bool,
    is_file: bool,
}

impl Mapping {
    /// `start-end rights offset device inode path`.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        // Other lines have a hyphen, too.
        let is_number = |text| u64::from_str_radix(text, 16).is_ok();
        if !is_number(start) || !is_number(end) {
            return None;
        }
        let rights = words.next()?;
        let inode = words.nth(2)?;
        let path = words.next().unwrap_or_default();
        let is_code = rights.as_bytes().get(2) == Some(&b'x');
        let is_memory = inode == "0" || path.as_bytes().starts_with(b"/memfd:");
        Some(Self {
            is_code,
            is_trampolines: is_code && inode == "0" && path.is_empty(),
            is_own: path.contains(RINGS),
            is_file: !is_memory && !path.as_bytes().starts_with(b"/dev/zero"),
        })
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    const SMAPS: &str = "\
00400000-00500000 r-xp 00000000 08:01 77 /bin/p
Rss: 1000 kB
Anonymous: 16 kB
00600000-00700000 rw-p 00000000 08:01 77 /bin/p
Rss: 100 kB
Anonymous: 40 kB
00a00000-00a10000 r-xp 00000000 00:00 0
Rss: 64 kB
Anonymous: 64 kB
00a20000-00a30000 rw-p 00000000 00:00 0
Rss: 60 kB
Anonymous: 60 kB
c000000000-c000400000 rw-p 00000000 00:00 0 
Size: 4096 kB
Rss: 2000 kB
Anonymous: 2000 kB
Swap: 8 kB
7f0000000000-7f0040000000 rw-s 00000000 00:01 5 /memfd:gondwana-rings (deleted)
Rss: 5000 kB
7f1000000000-7f1000001000 rw-s 00000000 00:01 6 /memfd:other (deleted)
Rss: 4 kB
7ffe00000000-7ffe00020000 rw-p 00000000 00:00 0 [stack]
Rss: 12 kB
Anonymous: 12 kB
";

    #[test]
    fn own_mappings_and_code_are_left_out() {
        assert_eq!(bytes(SMAPS), ((40 + 2000 + 8 + 4 + 12) * 1024, true));
        // Without rings nothing is gondwana's: what lies behind code is the program's.
        let unhooked = SMAPS.replace("gondwana-rings", "x");
        assert_eq!(
            bytes(&unhooked),
            ((40 + 60 + 2000 + 8 + 5000 + 4 + 12) * 1024, false)
        );
    }

    #[test]
    fn a_process_that_is_about_to_end_has_no_memory_and_no_sample() {
        assert!(seen(SMAPS).is_some());
        let no_pages = Regex::new(": [0-9]+ kB")
            .unwrap()
            .replace_all(SMAPS, ": 0 kB");
        assert_eq!(seen(&no_pages), None);
        assert_eq!(seen(""), None);
    }

    #[test]
    fn a_process_is_watched_while_it_is_the_program() {
        let program = PathBuf::from("/bin/sleep").canonicalize().unwrap();
        let mut child = std::process::Command::new(&program)
            .arg("5")
            .spawn()
            .unwrap();
        let watched = Sampler::start(child.id(), program);
        let other = Sampler::start(child.id(), PathBuf::from("/bin/other"));
        std::thread::sleep(Duration::from_millis(300));
        let (series, none) = (watched.finish(), other.finish());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(
            series.len() > 2 && series.iter().any(|s| s.bytes > 0),
            "{series:?}"
        );
        assert!(none.is_empty());
    }
}
