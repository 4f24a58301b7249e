//! A command -> what it wrote and how it ended, with nothing of it left behind.
//!
//! The command gets its own process group, which is killed as a whole when the command has ended or its time is up.
//! Never shows the program's output; never waits longer than it was told.

use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use super::memory::{Sampler, Series};

/// Bytes of each output stream that are kept; what comes after is read and counted.
const KEPT: usize = 64 << 20;
/// How often the state of a child is looked at: `wait` has no time limit of its own.
const POLL: Duration = Duration::from_millis(2);
/// How long a server must stay after its load, before it is told to stop.
const STAY: Duration = Duration::from_millis(30);
/// How long killed processes may take to be gone.
const LINGER: Duration = Duration::from_millis(300);
/// How long the readers may take after the process group was killed.
const DRAIN: Duration = Duration::from_secs(2);

/// How a program is run.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Scenario {
    /// Its arguments.
    pub args: Vec<String>,
    /// Variables added to its environment.
    pub env: Vec<(String, String)>,
    /// What it reads; nothing if left out.
    pub stdin: Option<PathBuf>,
    /// For servers: when it can be used.
    pub ready: Option<Ready>,
    /// For servers: a shell command that uses it.
    pub load: Option<String>,
    /// For servers: the signal that ends it, sent after the load.
    pub stop: Option<String>,
    /// Seconds that it may take.
    pub timeout: u64,
}

/// The sign that a server can be used.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ready {
    /// This text stands in its standard output or error.
    Text(String),
    /// This port of the loopback interface accepts connections.
    Tcp(u16),
}

impl std::str::FromStr for Ready {
    type Err = String;

    /// `tcp:PORT`, or any other text.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("tcp:") {
            Some(port) => port
                .parse()
                .map(Self::Tcp)
                .map_err(|_| format!("`{port}` is not a port")),
            None if text.is_empty() => Err("an empty text is always there".to_owned()),
            None => Ok(Self::Text(text.to_owned())),
        }
    }
}

/// How a process ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// With this exit status.
    Status(i32),
    /// By this signal.
    Signal(i32),
    /// It was killed when its time was up.
    TimedOut,
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "exit status {status}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
            Self::TimedOut => f.write_str("killed after its time was up"),
        }
    }
}

/// How far a run came by itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reached {
    /// It ended before it was ready.
    Start,
    /// It was ready, if there is a sign for that, and ended by itself, or its time was up.
    Ready,
    /// It was there when it was told to stop.
    Stop,
}

impl std::fmt::Display for Reached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Start => "before it was ready",
            Self::Ready => "by itself",
            Self::Stop => "when it was told to stop",
        })
    }
}

/// One finished run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finished {
    /// Process id that it had.
    pub pid: u32,
    /// How it ended.
    pub end: End,
    /// How far it came before.
    pub reached: Reached,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
    /// How the load command ended; `None` without one.
    pub load: Option<End>,
    /// How long it took.
    pub elapsed: Duration,
    /// The memory that it had, if that was watched.
    pub memory: Series,
}

impl Finished {
    /// A run that wrote nothing and took no time.
    #[must_use]
    pub fn new(pid: u32, end: End) -> Self {
        Self {
            pid,
            end,
            reached: Reached::Ready,
            stdout: Vec::new(),
            stderr: Vec::new(),
            load: None,
            elapsed: Duration::ZERO,
            memory: Series::new(),
        }
    }
}

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It could not be started.
    #[error("start {program}: {error}")]
    Start {
        /// What.
        program: String,
        /// Why.
        error: io::Error,
    },
    /// `--stop` names no signal.
    #[error("`{0}` is not a signal")]
    NoSignal(String),
    /// A system call failed.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        error: io::Error,
    },
}

/// Starts `command` with the scenario's input, plays the scenario and waits for the end.
pub fn run(command: Command, scenario: &Scenario) -> Result<Finished, RunError> {
    play(command, scenario, None)
}

/// As [`run`], and watches the memory of the process while it executes `program`, whose links are resolved.
pub fn run_watched(
    command: Command,
    scenario: &Scenario,
    program: &Path,
) -> Result<Finished, RunError> {
    play(command, scenario, Some(program))
}

fn play(
    mut command: Command,
    scenario: &Scenario,
    watched: Option<&Path>,
) -> Result<Finished, RunError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let stop = scenario.stop.as_deref().map(signal).transpose()?;
    let stdin = match &scenario.stdin {
        Some(path) => std::fs::File::open(path)
            .map(Stdio::from)
            .map_err(|error| RunError::Start {
                program: path.display().to_string(),
                error,
            })?,
        None => Stdio::null(),
    };
    let begun = Instant::now();
    let deadline = begun + Duration::from_secs(scenario.timeout.max(1));
    let child = command
        .envs(scenario.env.iter().map(|(k, v)| (k, v)))
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|error| RunError::Start { program, error })?;
    let pid = child.id();
    let sampler = watched.map(|program| Sampler::start(pid, program.to_owned()));
    let mut group = Group::new(child);
    let acted = act(&mut group, scenario, stop, deadline);
    let memory = sampler.map_or_else(Series::new, Sampler::finish);
    let (end, reached, load) = acted?;
    let (stdout, stderr) = group.finish();
    Ok(Finished {
        pid,
        end,
        reached,
        stdout,
        stderr,
        load,
        elapsed: begun.elapsed(),
        memory,
    })
}

/// Waits for the sign, plays the load, stops the program, and waits for its end.
fn act(
    group: &mut Group,
    scenario: &Scenario,
    stop: Option<Signal>,
    deadline: Instant,
) -> Result<(End, Reached, Option<End>), RunError> {
    if let Some(ready) = &scenario.ready
        && let Some((end, reached)) = group.wait_ready(ready, deadline)?
    {
        return Ok((end, reached, None));
    }
    let mut load = None;
    if let Some(line) = &scenario.load {
        let mut shell = Command::new("/bin/sh");
        shell.arg("-c").arg(line);
        let inner = Scenario {
            timeout: deadline.saturating_duration_since(Instant::now()).as_secs(),
            ..Scenario::default()
        };
        load = Some(run(shell, &inner)?.end);
    }
    let mut reached = Reached::Ready;
    if let Some(stop) = stop {
        // One that is about to end by itself may still be there.
        let stays = (Instant::now() + STAY).min(deadline);
        while Instant::now() < stays {
            if let Some(end) = group.ended()? {
                return Ok((end, reached, load));
            }
            std::thread::sleep(POLL);
        }
        reached = Reached::Stop;
        // It may have ended by itself.
        let _ = nix::sys::signal::kill(group.pid, stop);
    }
    Ok((group.wait(deadline)?, reached, load))
}

fn signal(name: &str) -> Result<Signal, RunError> {
    let full = match name.strip_prefix("SIG") {
        Some(_) => name.to_owned(),
        None => format!("SIG{name}"),
    };
    full.parse()
        .map_err(|_| RunError::NoSignal(name.to_owned()))
}

/// A process group under watch; it is killed when this goes.
struct Group {
    child: Child,
    pid: Pid,
    out: Capture,
    err: Capture,
}

impl Group {
    fn new(mut child: Child) -> Self {
        let pid = Pid::from_raw(child.id().cast_signed());
        let out = Capture::new(child.stdout.take());
        let err = Capture::new(child.stderr.take());
        Self {
            child,
            pid,
            out,
            err,
        }
    }

    /// `None`: it is ready. Else how it ended, and whether it had said that it is ready.
    fn wait_ready(
        &mut self,
        ready: &Ready,
        deadline: Instant,
    ) -> Result<Option<(End, Reached)>, RunError> {
        loop {
            let is_ready = match ready {
                Ready::Text(text) => self.has_said(text),
                Ready::Tcp(port) => {
                    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
                    TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok()
                }
            };
            if is_ready {
                return Ok(None);
            }
            if let Some(end) = self.poll(deadline)? {
                let reached = match ready {
                    Ready::Text(text) if self.has_said_at_last(text) => Reached::Ready,
                    _ => Reached::Start,
                };
                return Ok(Some((end, reached)));
            }
        }
    }

    fn has_said(&self, text: &str) -> bool {
        self.out.contains(text) || self.err.contains(text)
    }

    /// What it wrote before its end may not have been read yet.
    fn has_said_at_last(&self, text: &str) -> bool {
        let by = Instant::now() + LINGER;
        while !(self.out.is_done() && self.err.is_done()) && Instant::now() < by {
            std::thread::sleep(POLL);
        }
        self.has_said(text)
    }

    fn wait(&mut self, deadline: Instant) -> Result<End, RunError> {
        loop {
            if let Some(end) = self.poll(deadline)? {
                return Ok(end);
            }
        }
    }

    /// Looks whether it has ended or its time is up; sleeps a moment if neither.
    fn poll(&mut self, deadline: Instant) -> Result<Option<End>, RunError> {
        if let Some(end) = self.ended()? {
            return Ok(Some(end));
        }
        if Instant::now() >= deadline {
            return Ok(Some(End::TimedOut));
        }
        std::thread::sleep(POLL);
        Ok(None)
    }

    /// How it ended, if it has.
    fn ended(&mut self) -> Result<Option<End>, RunError> {
        let status = self.child.try_wait().map_err(|error| RunError::System {
            what: "wait for the program",
            error,
        })?;
        Ok(status.map(end))
    }

    /// Kills what is left and returns what was written.
    fn finish(mut self) -> (Vec<u8>, Vec<u8>) {
        self.kill();
        let by = Instant::now() + DRAIN;
        (self.out.take(by), self.err.take(by))
    }

    fn kill(&mut self) {
        // The group may be gone already, and the child may have been waited for.
        let _ = killpg(self.pid, Signal::SIGKILL);
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The others die on their own time; zombies of a lazy init count as there.
        let by = Instant::now() + LINGER;
        while killpg(self.pid, None).is_ok() && Instant::now() < by {
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

fn end(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Status(code),
        (None, Some(signal)) => End::Signal(signal),
        (None, None) => End::Status(-1),
    }
}

/// What a pipe has delivered so far.
#[derive(Default)]
struct Captured {
    bytes: Vec<u8>,
    done: bool,
}

/// A thread that empties a pipe.
struct Capture {
    shared: Arc<(Mutex<Captured>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    fn new(pipe: Option<impl Read + Send + 'static>) -> Self {
        let shared = Arc::new((Mutex::new(Captured::default()), Condvar::new()));
        let theirs = Arc::clone(&shared);
        let thread = pipe.map(|mut pipe| {
            std::thread::spawn(move || {
                let mut buffer = vec![0; 1 << 16];
                while let Ok(len @ 1..) = pipe.read(&mut buffer) {
                    let mut captured = theirs.0.lock().unwrap_or_else(PoisonError::into_inner);
                    let room = KEPT.saturating_sub(captured.bytes.len());
                    captured.bytes.extend(buffer.iter().take(len.min(room)));
                }
                theirs.0.lock().unwrap_or_else(PoisonError::into_inner).done = true;
                theirs.1.notify_all();
            })
        });
        Self { shared, thread }
    }

    fn contains(&self, text: &str) -> bool {
        let captured = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&captured.bytes).contains(text)
    }

    /// Whether the pipe's end was reached.
    fn is_done(&self) -> bool {
        let captured = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        captured.done || self.thread.is_none()
    }

    /// Everything up to the pipe's end; what there is if somebody outside the group still holds it at `by`.
    fn take(&self, by: Instant) -> Vec<u8> {
        let captured = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
        let patience = by.saturating_duration_since(Instant::now());
        let (mut captured, _) = self
            .shared
            .1
            .wait_timeout_while(captured, patience, |captured| !captured.done)
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut captured.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(line: &str, scenario: &Scenario) -> Result<Finished, RunError> {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(line);
        run(command, scenario)
    }

    fn seconds(timeout: u64) -> Scenario {
        Scenario {
            timeout,
            ..Scenario::default()
        }
    }

    #[test]
    fn output_and_status_are_kept_apart() {
        let finished = shell("echo out; echo err >&2; cat; exit 3", &seconds(10)).unwrap();
        assert_eq!(finished.end, End::Status(3));
        assert_eq!(
            (finished.stdout.as_slice(), finished.stderr.as_slice()),
            (&b"out\n"[..], &b"err\n"[..])
        );
        assert_eq!(
            shell("kill -9 $$", &seconds(10)).unwrap().end,
            End::Signal(9)
        );
    }

    #[test]
    fn the_whole_group_is_killed_when_time_is_up() {
        let begun = Instant::now();
        let finished = shell("sleep 60 & echo $!; sleep 60", &seconds(1)).unwrap();
        assert_eq!(finished.end, End::TimedOut);
        assert!(begun.elapsed() < Duration::from_secs(10));
        let pid: i32 = String::from_utf8(finished.stdout)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        // Gone, or a zombie that waits for init.
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{state}");
    }

    #[test]
    fn what_a_program_leaves_running_is_killed_too() {
        let begun = Instant::now();
        let finished = shell("sleep 60 & exit 0", &seconds(30)).unwrap();
        assert_eq!(finished.end, End::Status(0));
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_server_is_used_and_stopped() {
        let scenario = Scenario {
            ready: Some("ready".parse().unwrap()),
            load: Some("exit 7".to_owned()),
            stop: Some("TERM".to_owned()),
            ..seconds(20)
        };
        let line = "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done";
        let finished = shell(line, &scenario).unwrap();
        assert_eq!(
            (finished.end, finished.load),
            (End::Status(5), Some(End::Status(7)))
        );
        assert_eq!(finished.stdout, b"ready\nbye\n");
        assert_eq!(finished.reached, Reached::Stop);
        // One that ends during the load ends by itself.
        let scenario = Scenario {
            load: Some("sleep 0.3".to_owned()),
            ..scenario
        };
        let early = shell("echo ready; exit 5", &scenario).unwrap();
        assert_eq!((early.end, early.reached), (End::Status(5), Reached::Ready));
        // Even before anybody has read what it says.
        let at_once = shell("printf ready; kill -9 $$", &scenario).unwrap();
        assert_eq!(
            (at_once.end, at_once.reached),
            (End::Signal(9), Reached::Ready)
        );
    }

    #[test]
    fn what_cannot_be_run_is_an_error() {
        let missing = run(Command::new("/does/not/exist"), &seconds(1));
        assert!(matches!(missing, Err(RunError::Start { .. })));
        let never = Scenario {
            ready: Some(Ready::Text("never".into())),
            ..seconds(5)
        };
        let dead = shell("exit 1", &never).unwrap();
        assert_eq!((dead.end, dead.reached), (End::Status(1), Reached::Start));
        let stop = Scenario {
            stop: Some("NONSENSE".into()),
            ..seconds(5)
        };
        assert!(matches!(shell("exit 1", &stop), Err(RunError::NoSignal(_))));
        assert!("tcp:x".parse::<Ready>().is_err() && "".parse::<Ready>().is_err());
        assert_eq!("tcp:80".parse(), Ok(Ready::Tcp(80)));
    }
}
