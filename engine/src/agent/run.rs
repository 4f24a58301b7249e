//! The agent: traces the program from before its execve, hooks it, lets go of it, and writes the stream until it ends.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use crate::collect::{self, Source, exit_status};
use crate::event::{End, Header, Host, Kind, Process, Reason};
use crate::export::Sink as _;
use crate::export::ndjson;
use crate::inject::fail_at::{FailAt, Step};
use crate::inject::failure::{Failure, FailureCode, Result};
use crate::inject::ground::Ground;
use crate::inject::hook::{self, Request, Rest};
use crate::inject::prepare::Description;
use crate::inject::session::Session;
use crate::os::process::{self, PidFd};
use crate::os::{clock, memory, spawn};
use crate::ring::Totals;

/// Name of the agent's process; its arguments are this and the program's process id.
pub const NAME: &str = "gondwana-agent";
/// Exit status of a program that was to be hooked at all costs.
pub const NOT_HOOKED: u8 = 125;
/// So long a process may take to end whose memory is gone already.
const ENDING: Duration = Duration::from_secs(1);

/// Where the stream goes.
#[derive(Debug)]
pub enum Output {
    /// A new file, in the working directory, named after program and process.
    Default(String),
    /// This file; one that exists is overwritten.
    File(PathBuf),
    /// This descriptor.
    Descriptor(OwnedFd),
}

/// What the agent is to do.
#[derive(Debug)]
pub struct Task {
    /// The process that will execute the program, and what to hook.
    pub request: Request,
    /// Where the stream goes.
    pub output: Output,
    /// Where the one line goes that says why a program runs unhooked.
    pub complaints: Option<OwnedFd>,
}

/// Runs the agent, from before the program's execve to its end. `traced` is called when the program may execute.
pub fn run(mut task: Task, traced: impl FnOnce(Result<()>)) {
    let began = clock::monotonic();
    let handle = PidFd::open(task.request.pid);
    let session = Session::seize(task.request.pid).and_then(|session| {
        task.request.fail_at.reached(Step::Traced)?;
        Ok(session)
    });
    let (mut session, handle) = match (session, handle) {
        (Ok(session), Ok(handle)) => (session, handle),
        (Err(failure), _) => return traced(Err(failure)),
        (_, Err(error)) => return traced(Err(Failure::system("cannot watch the program")(error))),
    };
    traced(Ok(()));
    if session.wait_exec().is_err() {
        // The program could not be executed, and has said so.
        return;
    }

    let output = open(&mut task);
    // A program may be gone when its header is written.
    let mut known = Description {
        process: Process {
            pid: task.request.pid.0,
            start: process::start_time(task.request.pid).unwrap_or_default(),
            exe: process::executable_path(task.request.pid)
                .map(|path| path.to_string_lossy().into_owned())
                .unwrap_or_default(),
        },
        ..Description::default()
    };
    let result = match output.as_ref() {
        Ok(_) => hook::hook(session, &task.request, &mut known, |missing| {
            complain(&task, &format!("hooked, but {}", missing.detail));
        }),
        Err(_) => Err((Failure::new(FailureCode::Output, ""), Some(session.into()))),
    };
    match result {
        Ok(reader) => {
            // Nothing will go wrong that the program's user must know: release the terminal or pipe.
            task.complaints = None;
            if let Ok(file) = output {
                // A stream that cannot be written ends here; the program goes on, its rings fill up.
                let _ = std::env::set_current_dir("/");
                let source = Source {
                    reader,
                    hooks: known.hooks.len(),
                    pid: task.request.pid,
                    handle: &handle,
                };
                let begin = |header: &Header| ndjson::Writer::new(file, header);
                let _ = collect::run(source, known.header(host()), began, begin);
            }
        }
        Err((failure, rest)) => {
            let failure = match &output {
                Err(error) => Failure::new(
                    FailureCode::Output,
                    format!("cannot write the stream: {error}"),
                ),
                Ok(_) => failure,
            };
            let failure = or_ended(failure, &handle);
            give_up(&task, &failure, rest);
            task.complaints = None;
            if let Ok(file) = output {
                let _ = record_unhooked(&task, file, &failure, known, &handle);
            }
        }
    }
}

/// `failure`, or that the program has ended, which is then why a system call failed: it was killed meanwhile.
fn or_ended(failure: Failure, handle: &PidFd) -> Failure {
    let patience = match failure.code {
        FailureCode::Ended => return failure,
        FailureCode::System | FailureCode::Mapping | FailureCode::MemoryDiffers => ENDING,
        _ => Duration::ZERO,
    };
    match handle.wait_end(patience) {
        Ok(true) => Failure::new(
            FailureCode::Ended,
            "the program ended before it could be hooked",
        ),
        _ => failure,
    }
}

/// One line on the program's standard error, if it has one.
fn complain(task: &Task, what: &str) {
    if let Some(Ok(copy)) = task.complaints.as_ref().map(OwnedFd::try_clone) {
        let line = format!("gondwana: {}\n", what.replace(['\r', '\n'], " "));
        let _ = File::from(copy).write_all(line.as_bytes());
    }
}

/// Lets the program run unhooked, or not at all if it must not; says so in one line.
fn give_up(task: &Task, failure: &Failure, rest: Option<Rest>) {
    if failure.code == FailureCode::Ended {
        return;
    }
    let consequence = if task.request.require {
        "not started"
    } else {
        "running unhooked"
    };
    complain(task, &format!("{consequence}: {failure}"));
    // Threads that cannot be let go have ended.
    let _ = match (rest, task.request.require) {
        (None, _) => Ok(()),
        (Some(Rest::Ground(ground)), true) => ground.exit(NOT_HOOKED),
        (Some(Rest::Session(session)), true) => {
            Ground::new(session, FailAt::NEVER).and_then(|ground| ground.exit(NOT_HOOKED))
        }
        (Some(Rest::Ground(ground)), false) => ground.detach(),
        (Some(Rest::Session(session)), false) => session.detach(),
    };
}

/// Opens the stream's file, readable by its owner only.
fn open(task: &mut Task) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    match &task.output {
        Output::Descriptor(fd) => Ok(File::from(fd.try_clone()?)),
        Output::File(path) => options.create(true).truncate(true).open(path),
        Output::Default(program) => {
            // Never over another one: a process id comes again.
            options.create_new(true);
            let mut name = format!("{program}.{}.ndjson", task.request.pid);
            for again in 1..100 {
                match options.open(&name) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    result => return result,
                }
                name = format!("{program}.{}.{again}.ndjson", task.request.pid);
            }
            Err(io::ErrorKind::AlreadyExists.into())
        }
    }
}

fn host() -> Host {
    let (name, kernel) = process::host();
    Host { name, kernel }
}

/// Writes the stream of a program that runs unhooked.
fn record_unhooked(
    task: &Task,
    file: File,
    failure: &Failure,
    known: Description,
    handle: &PidFd,
) -> io::Result<()> {
    let header = Header {
        hooked: false,
        reason: Some(Reason {
            code: failure.code.as_str().to_owned(),
            message: failure.detail.clone(),
        }),
        ..known.header(host())
    };
    let _ = std::env::set_current_dir("/");
    let hooks = header.hooks.len();
    let mut writer = ndjson::Writer::new(file, &header)?;
    drop(header);
    memory::give_back();
    while !handle.wait_end(Duration::from_secs(60))? {}
    let totals = Totals {
        entered: vec![0; hooks],
        spans: vec![0; hooks],
        ..Totals::default()
    };
    let exit = failure.exit.or_else(|| handle.exit(task.request.pid));
    let end = End::new(totals, exit_status(exit), None);
    writer.event(&Kind::End(end).into())
}

/// Descriptors that the agent needs: all others are the program's.
#[must_use]
pub(super) fn kept(task: &Task) -> Vec<std::os::fd::BorrowedFd<'_>> {
    use std::os::fd::AsFd as _;
    let output = match &task.output {
        Output::Descriptor(fd) => Some(fd.as_fd()),
        Output::Default(_) | Output::File(_) => None,
    };
    output
        .into_iter()
        .chain(task.complaints.as_ref().map(|fd| fd.as_fd()))
        .collect()
}

/// Frees the agent of what it has inherited.
pub(super) fn settle(task: &Task, also: &[std::os::fd::BorrowedFd<'_>]) -> io::Result<()> {
    spawn::ignore_termination();
    // Neither is needed by what follows.
    let _ = spawn::rename(NAME, &format!("{NAME} {}", task.request.pid));
    let _ = spawn::go_first_without_memory();
    let mut keep = kept(task);
    keep.extend_from_slice(also);
    spawn::drop_descriptors(&keep)
}
