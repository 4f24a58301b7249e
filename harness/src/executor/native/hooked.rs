//! A program and hook patterns -> the command that runs it hooked, and its whole stream.
//!
//! The agent that writes the stream belongs to no process group of ours: it ends by itself shortly after the program.
//! One that does not is found by the stream, which it has open, and killed.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use gondwana_engine::agent;
use gondwana_engine::os::process;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The variable that names the program `gondwana` to prove, instead of the engine in this program.
pub const VARIABLE: &str = "GONDWANA";

/// What the last line of a stream starts with (engine/docs/STREAM.md).
const END: &[u8] = b"\n{\"kind\":\"end\",";
/// The longest last line that is looked for.
const TAIL: u64 = 8 << 20;
const POLL: Duration = Duration::from_millis(5);
/// Threads that have a ring of their own.
pub const RINGS: u32 = 256;
/// Records per thread that may wait for the agent: programs that end at once must not outrun it. Only what is written
/// costs memory.
const SLOTS: u32 = 1 << 20;

/// The program that runs programs hooked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agent {
    path: PathBuf,
    subcommand: &'static str,
    slots: u32,
}

impl Agent {
    /// `$GONDWANA`, if it is set, else this program.
    pub fn find() -> io::Result<Self> {
        match std::env::var_os(VARIABLE) {
            Some(path) => Ok(Self {
                path: path.into(),
                subcommand: "run",
                slots: SLOTS,
            }),
            None => Ok(Self::harness(std::env::current_exe()?)),
        }
    }

    /// The harness's program at `path`.
    #[must_use]
    pub fn harness(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            subcommand: "__run",
            slots: SLOTS,
        }
    }

    /// The same with so many records per thread, a power of two: for programs whose records nobody wants.
    #[must_use]
    pub fn with_slots(self, slots: u32) -> Self {
        Self { slots, ..self }
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The command that runs `program` with these hooks; the stream goes to `stream`.
    #[must_use]
    pub fn command<S: AsRef<OsStr>>(
        &self,
        program: &Path,
        patterns: &[String],
        stream: &Path,
        args: &[S],
    ) -> Command {
        let mut command = Command::new(&self.path);
        command.arg(self.subcommand);
        for pattern in patterns {
            command.arg("--hook").arg(pattern);
        }
        if self.subcommand == "run" {
            // A little more, for the counters of some thousand hooks.
            let memory = u64::from(RINGS + 1) * (64 * u64::from(self.slots) + (1 << 18));
            command.args(["--memory", &memory.to_string()]);
        } else {
            command.args(["--slots", &self.slots.to_string()]);
        }
        command
            .arg("--out")
            .arg(stream)
            .arg("--")
            .arg(program)
            .args(args);
        command
    }
}

/// Waits until the agent has written the last line of `stream`; whether it did within `patience`. One that did not is
/// gone afterwards all the same.
pub fn wait_for_end(stream: &Path, patience: Duration) -> bool {
    let by = Instant::now() + patience;
    let mut wait = Duration::from_millis(1);
    loop {
        if is_complete(stream).unwrap_or(false) {
            return true;
        }
        // It may have written the line and ended between the two looks.
        if agents(stream).is_empty() {
            return is_complete(stream).unwrap_or(false);
        }
        if Instant::now() >= by {
            kill_agents(stream);
            return false;
        }
        std::thread::sleep(wait);
        wait = (wait * 2).min(POLL);
    }
}

/// Kills the agent that writes this stream, if there is one.
pub fn kill_agents(stream: &Path) {
    for agent in agents(stream) {
        let _ = kill(agent, Signal::SIGKILL);
    }
}

/// Whether the last line starts with [`END`].
fn is_complete(stream: &Path) -> io::Result<bool> {
    let mut file = File::open(stream)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(TAIL)))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    let Some((b'\n', lines)) = tail.split_last() else {
        return Ok(false);
    };
    let start = lines.iter().rposition(|&byte| byte == b'\n');
    Ok(start.is_some_and(|start| lines.get(start..).is_some_and(|line| line.starts_with(END))))
}

/// Agents that have the stream open.
fn agents(stream: &Path) -> Vec<Pid> {
    let Ok(stream) = stream.canonicalize() else {
        return Vec::new();
    };
    let named = process::named(agent::NAME).into_iter();
    named
        .filter(|&pid| process::has_open(pid, &stream))
        .map(|pid| Pid::from_raw(pid.0))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_last_line_is_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s");
        assert!(!wait_for_end(&file, Duration::ZERO));
        for (text, complete) in [
            ("", false),
            ("{\"schema\":1}\n", false),
            ("{\"schema\":1}\n{\"kind\":\"end\",\"lost\":0}", false),
            ("{\"schema\":1}\n{\"kind\":\"end\",\"lost\":0}\n", true),
            (
                "{\"schema\":1}\n{\"kind\":\"end\",\"lost\":0}\n{\"kind\":\"span\"}\n",
                false,
            ),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(wait_for_end(&file, Duration::ZERO), complete, "{text}");
        }
    }

    #[test]
    fn an_agent_that_hangs_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("stream");
        // Something else by that name.
        let program = dir.path().join(agent::NAME);
        std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
        let mut hanging = Command::new(program)
            .arg("60")
            .stdout(File::create(&file).unwrap())
            .spawn()
            .unwrap();
        while agents(&file).is_empty() {
            std::thread::sleep(POLL);
        }
        assert!(!wait_for_end(&file, Duration::from_millis(20)));
        assert!(!hanging.wait().unwrap().success());
    }
}
