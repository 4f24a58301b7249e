//! `gondwana run`: becomes the program, with the agent beside it.
//!
//! The program is executed in this very process, so that it keeps the process id, parent, terminal, session and
//! descriptors of the command that was started. The agent is an orphaned grandchild in a session of its own; where this
//! is process 1 of a PID namespace, orphans are its children, and so the program's ([`spawn::grandchild`]).

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use super::run::{self, NOT_HOOKED, Output, Task};
use crate::inject::change::Change;
use crate::inject::fail_at::FailAt;
use crate::inject::failure::Result;
use crate::inject::hook::Request;
use crate::inject::prepare::Wanted;
use crate::os::spawn::{self, Side};
use crate::os::{Pid, process, startup};

/// Exit status if the program was found and could not be executed (as of shells).
const CANNOT_EXECUTE: u8 = 126;
/// Exit status if the program was not found.
const NOT_FOUND: u8 = 127;

/// Where the stream goes, as the user says it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Destination {
    /// A new file in the working directory, named after program and process.
    Default,
    /// This file.
    File(PathBuf),
    /// This descriptor; the program does not get it, unless it is a standard one.
    Descriptor(i32),
}

/// What to run, and how.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program: a path, or a name to search `PATH` for.
    pub program: OsString,
    /// Its arguments, without its name.
    pub arguments: Vec<OsString>,
    /// What to hook.
    pub wanted: Wanted,
    /// Where the stream goes.
    pub destination: Destination,
    /// Whether the program must not run unhooked.
    pub require: bool,
    /// Failures that a test asks for.
    pub fail_at: FailAt,
}

/// Runs the program in place of this process. Returns only an exit status: in the agent, at its end, or if the program
/// was not executed.
#[must_use]
pub fn launch(launch: Launch) -> u8 {
    start(launch, Change::default())
}

/// As [`launch()`], with a plan that is changed after it was verified: for tests that must see it fail.
#[cfg(feature = "test-support")]
#[must_use]
pub fn launch_changed(launch: Launch, change: Change) -> u8 {
    start(launch, change)
}

fn start(launch: Launch, change: Change) -> u8 {
    match start_agent(&launch, change) {
        Ok(Start::Agent) => return 0,
        Ok(Start::Traced) => {}
        Err(reason) => {
            if launch.require {
                complain(&format!("not started: {reason}"));
                return NOT_HOOKED;
            }
            complain(&format!("running unhooked: {reason}"));
        }
    }
    if let Destination::Descriptor(fd @ 3..) = launch.destination {
        // Meant for the agent, which has its own copy; were the program to hold it, its reader would see no end.
        let _ = spawn::close_on_exec(fd);
    }
    // If the program cannot be executed there must be something to say it with.
    let stderr = spawn::duplicate(2).ok().filter(|_| !startup::was_closed(2));
    startup::restore();
    let error = spawn::exec(&launch.program, &launch.arguments);
    if let Some(fd) = stderr {
        let line = format!(
            "gondwana: {}: {}\n",
            Path::new(&launch.program).display(),
            error
        );
        let _ = File::from(fd).write_all(line.as_bytes());
    }
    match error.kind() {
        std::io::ErrorKind::NotFound => NOT_FOUND,
        _ => CANNOT_EXECUTE,
    }
}

/// One line on standard error.
fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "gondwana: {line}");
}

enum Start {
    /// This is the agent, at its end.
    Agent,
    /// This is the process that is to become the program; the agent traces it.
    Traced,
}

/// Messages on the pipe from the agent: its process id (4 bytes), then nothing but [`READY`], or why it failed.
const READY: &[u8] = b"ready";

fn start_agent(launch: &Launch, change: Change) -> std::result::Result<Start, String> {
    let failed = |what: &'static str| move |error: std::io::Error| format!("{what}: {error}");
    if let Some(file) = search(&launch.program)
        && process::gives_privileges(&file)
        && !process::may_trace_all()
    {
        // The kernel does not give privileges to a program under trace: it would run, and miss them.
        return Err(format!(
            "{} has privileges that it would not get (not-permitted)",
            file.display()
        ));
    }
    let task = task(launch, change)?;
    let (mut from_agent, to_caller) = pipe().map_err(failed("cannot create a pipe"))?;
    let (from_caller, mut to_agent) = pipe().map_err(failed("cannot create a pipe"))?;
    match spawn::grandchild().map_err(failed("cannot start the agent"))? {
        Side::Grandchild => {
            // Descriptors outside of `keep` are closed under their owners.
            std::mem::forget((from_agent, to_agent));
            agent_side(task, to_caller, from_caller);
            Ok(Start::Agent)
        }
        Side::Caller => {
            drop((task, to_caller, from_caller));
            let mut id = [0; 4];
            from_agent
                .read_exact(&mut id)
                .map_err(|_| "the agent ended".to_owned())?;
            spawn::allow_tracer(Pid(i32::from_ne_bytes(id)));
            // If the agent has ended the next read says so.
            let _ = to_agent.write_all(b"!");
            let mut answer = Vec::new();
            from_agent
                .read_to_end(&mut answer)
                .map_err(failed("cannot hear the agent"))?;
            match answer.as_slice() {
                READY => Ok(Start::Traced),
                [] => Err("the agent ended".to_owned()),
                text => Err(String::from_utf8_lossy(text).into_owned()),
            }
        }
    }
}

/// The agent's life.
fn agent_side(task: Task, mut to_caller: File, mut from_caller: File) {
    if run::settle(&task, &[to_caller.as_fd(), from_caller.as_fd()]).is_err() {
        return;
    }
    let id = Pid::this().0.to_ne_bytes();
    let mut go = [0];
    if to_caller.write_all(&id).is_err() || from_caller.read_exact(&mut go).is_err() {
        return;
    }
    drop(from_caller);
    run::run(task, move |traced: Result<()>| {
        let answer = match traced {
            Ok(()) => READY.to_vec(),
            Err(failure) => failure.to_string().into_bytes(),
        };
        let _ = to_caller.write_all(&answer);
    });
}

/// The file that execvp(3) would execute.
fn search(program: &OsStr) -> Option<PathBuf> {
    let path = Path::new(program);
    if program.as_encoded_bytes().contains(&b'/') {
        return Some(path.to_owned());
    }
    let list = std::env::var_os("PATH")?;
    std::env::split_paths(&list)
        .map(|directory| directory.join(path))
        .find(|file| file.is_file())
}

fn pipe() -> std::io::Result<(File, File)> {
    let (read, write) = std::io::pipe()?;
    Ok((
        File::from(OwnedFd::from(read)),
        File::from(OwnedFd::from(write)),
    ))
}

fn task(launch: &Launch, change: Change) -> std::result::Result<Task, String> {
    let output = match &launch.destination {
        Destination::Descriptor(fd) if startup::was_closed(*fd) => {
            return Err(format!(
                "cannot write the stream: descriptor {fd} is closed"
            ));
        }
        Destination::Descriptor(fd) => Output::Descriptor(
            spawn::duplicate(*fd)
                .map_err(|error| format!("cannot write the stream to descriptor {fd}: {error}"))?,
        ),
        Destination::File(path) => Output::File(path.clone()),
        Destination::Default => Output::Default(
            Path::new(&launch.program)
                .file_name()
                .map_or("program".to_owned(), |name| {
                    name.to_string_lossy().into_owned()
                }),
        ),
    };
    let complaints = if startup::was_closed(2) {
        None
    } else {
        spawn::duplicate(std::io::stderr().as_raw_fd()).ok()
    };
    Ok(Task {
        request: Request {
            pid: Pid::this(),
            wanted: launch.wanted.clone(),
            require: launch.require,
            fail_at: launch.fail_at,
            change,
        },
        output,
        complaints,
    })
}
