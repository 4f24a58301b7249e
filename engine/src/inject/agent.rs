//! The agent: traces the program from before its execve, hooks it, lets go of it, and writes the stream until it ends.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use super::change::Change;
use super::fail_at::{FailAt, Step};
use super::failure::{Failure, FailureCode, Result};
use super::ground::{FRONT, Ground};
use super::prepare::{self, Chosen, Description, Wanted};
use super::session::Session;
use crate::event::{
    Anchor, Clock, End, ExitStatus, Header, Host, Process, Reason, SCHEMA, SpanLine, StreamWriter,
    VERSION,
};
use crate::os::process::{self, Exit, PidFd};
use crate::os::{Pid, clock, limits, memory, spawn};
use crate::ring::{Reader, Span, Totals};

/// Name of the agent's process; its arguments are this and the program's process id.
pub const NAME: &str = "gondwana-agent";
/// Exit status of a program that was to be hooked at all costs.
pub const NOT_HOOKED: u8 = 125;
/// The counter's frequency is measured for so long at least.
const MEASURE: Duration = Duration::from_millis(20);
/// So long a process may take to end whose memory is gone already.
const ENDING: Duration = Duration::from_secs(1);
/// Longest pause between two looks at the rings.
const IDLE: Duration = Duration::from_millis(24);
/// Shortest pause between two looks at the rings.
const BUSY: Duration = Duration::from_micros(100);
/// Pauses are made so long that the fullest ring comes to be filled to this part: one in so many.
const FILLED: u64 = 8;
/// Lines become visible when nothing has come in for so long.
const FLUSH: Duration = Duration::from_millis(10);
/// Spans that may wait in memory to be written: some 20 MiB.
const MAX_WAITING: usize = 1 << 18;

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
    /// The process that will execute the program.
    pub pid: Pid,
    /// What to hook.
    pub wanted: Wanted,
    /// Where the stream goes.
    pub output: Output,
    /// Whether the program must not run unhooked.
    pub require: bool,
    /// Where the one line goes that says why a program runs unhooked.
    pub complaints: Option<OwnedFd>,
    /// Failures that a test asks for.
    pub fail_at: FailAt,
    /// What a test changes of the plan.
    pub change: Change,
}

/// Runs the agent, from before the program's execve to its end. `traced` is called when the program may execute.
pub fn run(mut task: Task, traced: impl FnOnce(Result<()>)) {
    let began = clock::monotonic();
    let handle = PidFd::open(task.pid);
    let session = Session::seize(task.pid).and_then(|session| {
        task.fail_at.reached(Step::Traced)?;
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
            pid: task.pid.0,
            start: process::start_time(task.pid).unwrap_or_default(),
            exe: process::executable_path(task.pid)
                .map(|path| path.to_string_lossy().into_owned())
                .unwrap_or_default(),
        },
        ..Description::default()
    };
    let result = match output.as_ref() {
        Ok(_) => hook(session, &task, &mut known),
        Err(_) => Err((Failure::new(FailureCode::Output, ""), Some(session.into()))),
    };
    match result {
        Ok(reader) => {
            // Planning took much more than reading will.
            memory::give_back();
            // Nothing will go wrong that the program's user must know: release the terminal or pipe.
            task.complaints = None;
            if let Ok(file) = output {
                // A stream that cannot be written ends here; the program goes on, its rings fill up.
                let _ = std::env::set_current_dir("/");
                let _ = record(file, reader, known, began, &handle, task.pid);
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

/// A program that is not hooked: traced still, or changed still.
enum Rest {
    Session(Session),
    Ground(Box<Ground>),
}

impl From<Session> for Rest {
    fn from(session: Session) -> Self {
        Self::Session(session)
    }
}

/// Hooks the program and lets it go. On failure the program is as it was, and stopped, if it has not ended.
fn hook(
    session: Session,
    task: &Task,
    known: &mut Description,
) -> std::result::Result<Reader, (Failure, Option<Rest>)> {
    let mut ground = Ground::new(session, task.fail_at).map_err(|failure| (failure, None))?;
    let mut steps = || -> Result<Reader> {
        task.fail_at.reached(Step::Executed)?;
        let file = prepare::read(task.pid)?;
        let image = prepare::parse(task.pid, &file)?;
        let slide = prepare::slide(task.pid, &image)?;
        let chosen = Chosen::new(&image, slide, &task.wanted, known)?;
        // Before the program has run anything.
        required(task, chosen.missing(known))?;
        let around = prepare::around(task.pid, &image, slide, ground.maps())?;
        let front = around.near(FRONT).ok_or_else(|| {
            Failure::new(
                FailureCode::Mapping,
                "there is no free memory near the program's code",
            )
        })?;
        ground.run_to_main(chosen.main, front)?;

        // The runtime has what it needs: what is left now is left to the program and to us.
        let limits = limits::of(task.pid).map_err(Failure::system("cannot read its limits"))?;
        let around = prepare::around(task.pid, &image, slide, ground.maps())?;
        let mut prepared = chosen.plan(around, &limits, known)?;
        let missing = required(task, prepared.missing.take())?;
        task.change.make(&mut prepared)?;
        task.fail_at.reached(Step::Planned)?;
        let placement = prepared.plan.plan().placement;
        let reader = ground.map(&placement, prepared.lengths)?;
        let patched = ground.patched(&prepared.plan)?;
        let plan = if patched.is_empty() {
            prepared.plan
        } else {
            chosen.plan_without(&patched, placement, known)?
        };
        ground.install(&plan)?;
        if let Some(missing) = missing {
            // Before the program's own first line.
            complain(task, &format!("hooked, but {}", missing.detail));
        }
        Ok(reader)
    };
    match steps() {
        Ok(reader) => {
            let detached = ground.detach();
            // From here on the program is hooked; a thread that could not be let go is one that has ended.
            drop(detached);
            // Too late to fail, not to die.
            let _ = task.fail_at.reached(Step::Detached);
            Ok(reader)
        }
        Err(failure) if failure.code == FailureCode::Ended => Err((failure, None)),
        Err(failure) => {
            known.hooks.clear();
            known.memory = None;
            match ground.clear() {
                Ok(()) => Err((failure, Some(Rest::Ground(Box::new(ground))))),
                Err(second) => {
                    let detail = format!("{}; then {}", failure.detail, second.detail);
                    Err((
                        Failure { detail, ..failure },
                        Some(Rest::Ground(Box::new(ground))),
                    ))
                }
            }
        }
    }
}

/// What is to be said of a pattern that has no hook.
///
/// # Errors
/// Each must have one.
fn required(task: &Task, missing: Option<Failure>) -> Result<Option<Failure>> {
    match missing {
        Some(failure) if task.require => Err(failure),
        missing => Ok(missing.filter(|failure| failure.code == FailureCode::NothingMatches)),
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
    let consequence = if task.require {
        "not started"
    } else {
        "running unhooked"
    };
    complain(task, &format!("{consequence}: {failure}"));
    // Threads that cannot be let go have ended.
    let _ = match (rest, task.require) {
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
            let mut name = format!("{program}.{}.ndjson", task.pid);
            for again in 1..100 {
                match options.open(&name) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    result => return result,
                }
                name = format!("{program}.{}.{again}.ndjson", task.pid);
            }
            Err(io::ErrorKind::AlreadyExists.into())
        }
    }
}

fn header(known: Description) -> Header {
    let (name, kernel) = process::host();
    Header {
        schema: SCHEMA.to_owned(),
        version: VERSION,
        hooked: true,
        reason: None,
        host: Host { name, kernel },
        process: known.process,
        program: known.program,
        hooks: known.hooks,
        memory: known.memory,
        deviations: known.deviations.codes(),
        refusals: known.refusals,
        unmatched: known.unmatched,
        clock: None,
    }
}

fn exit_status(exit: Option<Exit>) -> Option<ExitStatus> {
    exit.map(|exit| match exit {
        Exit::Code(code) => ExitStatus::Code(code),
        Exit::Signal(signal) => ExitStatus::Signal(signal),
    })
}

/// Writes the stream of a hooked program until it ends.
///
/// Two threads: this one empties the rings, which must be fast, into memory; another one writes lines.
fn record(
    file: File,
    mut reader: Reader,
    known: Description,
    began: io::Result<clock::Moment>,
    handle: &PidFd,
    pid: Pid,
) -> io::Result<()> {
    let waiting = AtomicUsize::new(0);
    let hooks = known.hooks.len();
    std::thread::scope(|scope| {
        let waiting = &waiting;
        // Made in here: whichever way this ends, the writer sees the end of the queue.
        let (batches, queue) = mpsc::channel::<Vec<Span>>();
        let writer = scope.spawn(move || write(file, known, began, handle, &queue, waiting));
        let mut pause = BUSY;
        let mut ended = handle.wait_end(Duration::ZERO)?;
        loop {
            // What does not fit in memory stays in the rings, and is lost and counted when these are full.
            if waiting.load(Ordering::Relaxed) > MAX_WAITING && !writer.is_finished() {
                std::thread::sleep(BUSY);
                continue;
            }
            let mut batch = Vec::new();
            let drained = if ended {
                reader.finish(|span| batch.push(span))
            } else {
                reader.drain(|span| batch.push(span))
            };
            if !batch.is_empty() {
                waiting.fetch_add(batch.len(), Ordering::Relaxed);
                if batches.send(batch).is_err() {
                    // The writer has failed and says why.
                    break;
                }
            }
            if ended {
                break;
            }
            pause = next_pause(pause, drained.fullest, reader.slots());
            // Known before the next look: records of a process that has ended are all there then.
            ended = handle.wait_end(pause)?;
        }
        drop(batches);
        let writer = writer.join();
        let writer = writer.map_err(|_| io::Error::other("the writing thread ended"))??;
        let exit = exit_status(handle.exit(pid));
        let now = clock::realtime()?;
        let anchor = Anchor {
            tsc: now.tsc,
            unix_ns: now.ns,
        };
        let mut totals = reader.totals();
        // The rings may have been made for more hooks than are left.
        totals.entered.truncate(hooks);
        totals.spans.truncate(hooks);
        writer.end(End::new(totals, exit, Some(anchor)))
    })
}

/// How long to wait for the next look at rings of so many slots, after one that found so many records in the fullest and came
/// after `pause`. A ring that is filling fast is looked at again at once.
fn next_pause(pause: Duration, fullest: u64, slots: u64) -> Duration {
    let aim = slots / FILLED;
    if fullest > 2 * aim {
        return Duration::ZERO;
    }
    let pause = pause.max(BUSY);
    // As it has been filled so far, it comes to this.
    let filled = u32::try_from(aim / fullest.max(1)).unwrap_or(u32::MAX);
    let longer = pause.saturating_mul(2);
    let next = if fullest > aim {
        pause / 2
    } else {
        longer.min(pause.saturating_mul(filled))
    };
    next.clamp(BUSY, IDLE)
}

/// Writes header and spans until no more come.
fn write(
    file: File,
    known: Description,
    began: io::Result<clock::Moment>,
    handle: &PidFd,
    queue: &mpsc::Receiver<Vec<Span>>,
    waiting: &AtomicUsize,
) -> io::Result<StreamWriter<File>> {
    // The frequency takes some time to measure, which the program does not wait for.
    let time = loop {
        let ended = handle.wait_end(Duration::from_millis(1))?;
        if let Some(time) = measure(began.as_ref(), ended)? {
            break time;
        }
    };
    let mut header = header(known);
    header.clock = Some(time);
    let mut writer = StreamWriter::new(file, &header)?;
    let mut pending = false;
    loop {
        let received = if pending {
            queue.recv_timeout(FLUSH)
        } else {
            // Nothing to be made visible: nothing to wake up for.
            queue.recv().map_err(mpsc::RecvTimeoutError::from)
        };
        match received {
            Ok(batch) => {
                for span in &batch {
                    writer.span(&SpanLine::new(span, &time))?;
                }
                waiting.fetch_sub(batch.len(), Ordering::Relaxed);
                pending = true;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                if std::mem::take(&mut pending) {
                    writer.flush()?;
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(writer),
        }
    }
}

/// The clock of the stream, once enough time has passed to measure it, or the program has ended.
fn measure(
    began: std::result::Result<&clock::Moment, &io::Error>,
    ended: bool,
) -> io::Result<Option<Clock>> {
    let began = began.map_err(|error| io::Error::from(error.kind()))?;
    let now = clock::monotonic()?;
    let measured = now.ns.saturating_sub(began.ns);
    if !ended && u128::from(measured) < MEASURE.as_nanos() {
        return Ok(None);
    }
    let real = clock::realtime()?;
    let anchor = Anchor {
        tsc: real.tsc,
        unix_ns: real.ns,
    };
    let ticks = now.tsc.saturating_sub(began.tsc);
    let width = (began.width + now.width) / 2;
    Clock::measure(anchor, ticks, measured, width, clock::tsc_is_invariant())
        .map(Some)
        .ok_or_else(|| io::Error::other("the time stamp counter stands still"))
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
        ..header(known)
    };
    let _ = std::env::set_current_dir("/");
    let hooks = header.hooks.len();
    let writer = StreamWriter::new(file, &header)?;
    while !handle.wait_end(Duration::from_secs(60))? {}
    let totals = Totals {
        entered: vec![0; hooks],
        spans: vec![0; hooks],
        ..Totals::default()
    };
    let exit = failure.exit.or_else(|| handle.exit(task.pid));
    writer.end(End::new(totals, exit_status(exit), None))
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
    let _ = spawn::rename(NAME, &format!("{NAME} {}", task.pid));
    let _ = spawn::go_first_without_memory();
    let mut keep = kept(task);
    keep.extend_from_slice(also);
    spawn::drop_descriptors(&keep)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_follow_what_comes_in() {
        let mut pause = BUSY;
        for _ in 0..10 {
            pause = next_pause(pause, 0, 4096);
        }
        assert_eq!(pause, IDLE);
        // Now and then a call is no reason to look more often, a burst is.
        assert_eq!(next_pause(pause, 20, 4096), IDLE);
        assert_eq!(next_pause(pause, 600, 4096), IDLE / 2);
        assert_eq!(next_pause(pause, 1025, 4096), Duration::ZERO);
        assert_eq!(next_pause(Duration::ZERO, 0, 4096), 2 * BUSY);
        // What comes in steadily is taken at an eighth of a ring.
        let per_second = 1_000_000.0;
        let mut pause = BUSY;
        for _ in 0..20 {
            pause = next_pause(pause, (pause.as_secs_f64() * per_second) as u64, 4096);
        }
        assert!(
            pause > Duration::from_micros(200) && pause < Duration::from_millis(1),
            "{pause:?}"
        );
        // Rings of four slots.
        for fullest in 0..4 {
            assert!(next_pause(BUSY, fullest, 4) <= IDLE);
        }
    }
}
