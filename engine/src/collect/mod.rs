//! Shared memory of a running process -> events, until it ends.
//!
//! | file | one job |
//! |---|---|
//! | `pause` | what came in -> how long to wait for the next look |
//!
//! Only reads: nothing here touches the process, and whether anybody reads changes nothing for it but what is lost. Knows no
//! written form; what it finds goes to a [`Sink`].

mod pause;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::event::{Anchor, Call, Clock, End, ExitStatus, Header, Kind, Totals};
use crate::export::Sink;
use crate::os::process::{Exit, PidFd};
use crate::os::{Pid, clock, memory};
use crate::ring::{self, Reader, Span};

/// The counter's frequency is measured for so long at least.
const MEASURE: Duration = Duration::from_millis(20);
/// What was taken becomes visible when nothing has come in for so long.
const FLUSH: Duration = Duration::from_millis(10);
/// Time between two totals.
const TOTALS: Duration = Duration::from_secs(5);
/// Spans that may wait in memory to be written: some 20 MiB.
const MAX_WAITING: usize = 1 << 18;

/// A process whose hooks write.
#[derive(Debug)]
pub struct Source<'s> {
    /// Reads what they write.
    pub reader: Reader,
    /// Hooks of the header. The memory may have been made for more.
    pub hooks: usize,
    /// The process.
    pub pid: Pid,
    /// Says when it has ended.
    pub handle: &'s PidFd,
}

/// What goes from the thread that reads to the one that writes.
enum Message {
    Spans(Vec<Span>),
    /// With the time stamp counter when they were read.
    Totals(ring::Totals, u64),
}

/// Takes what comes, until the process ends; `begin` makes the sink when the header is complete. `began` is a moment before
/// the process was hooked.
///
/// Two threads: this one empties the memory, which must be fast; another one writes.
///
/// # Errors
/// When the sink fails: then nobody reads any more.
pub fn run<S: Sink + Send>(
    mut source: Source<'_>,
    header: Header,
    began: io::Result<clock::Moment>,
    begin: impl FnOnce(&Header) -> io::Result<S> + Send,
) -> io::Result<()> {
    let waiting = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (waiting, handle) = (&waiting, source.handle);
        // Made in here: whichever way this ends, the writer sees the end of the queue.
        let (messages, queue) = mpsc::channel();
        let writer = scope.spawn(move || {
            // The frequency takes some time to measure, which the program does not wait for.
            let time = measured(began.as_ref(), handle)?;
            let clock = Some(time);
            let mut sink = {
                let header = Header { clock, ..header };
                begin(&header)?
            };
            // Planning, and that, took much more than reading will.
            memory::give_back();
            write(&mut sink, &time, &queue, waiting)?;
            Ok::<_, io::Error>(sink)
        });
        source.read(&messages, waiting, || writer.is_finished())?;
        drop(messages);
        let sink = writer.join();
        let mut sink = sink.map_err(|_| io::Error::other("the writing thread ended"))??;
        let exit = exit_status(handle.exit(source.pid));
        let now = clock::realtime()?;
        let anchor = Anchor {
            tsc: now.tsc,
            unix_ns: now.ns,
        };
        let end = End::new(source.totals(), exit, Some(anchor));
        sink.event(&Kind::End(end).into())
    })
}

impl Source<'_> {
    /// Counts of the hooks of the header.
    fn totals(&self) -> ring::Totals {
        let mut totals = self.reader.totals();
        totals.entered.truncate(self.hooks);
        totals.spans.truncate(self.hooks);
        totals
    }

    /// Hands over what comes in until the process has ended, or nobody takes it any more.
    fn read(
        &mut self,
        messages: &mpsc::Sender<Message>,
        waiting: &AtomicUsize,
        is_failed: impl Fn() -> bool,
    ) -> io::Result<()> {
        let mut wait = pause::BUSY;
        let mut counted = Instant::now();
        let mut ended = self.handle.wait_end(Duration::ZERO)?;
        loop {
            // What does not fit in memory stays where it is, and is lost and counted when there is no more room.
            if waiting.load(Ordering::Relaxed) > MAX_WAITING && !is_failed() {
                std::thread::sleep(pause::BUSY);
                continue;
            }
            let mut spans = Vec::new();
            let drained = if ended {
                self.reader.finish(|span| spans.push(span))
            } else {
                self.reader.drain(|span| spans.push(span))
            };
            waiting.fetch_add(spans.len(), Ordering::Relaxed);
            // The one that takes them has failed and says why.
            if !spans.is_empty() && messages.send(Message::Spans(spans)).is_err() {
                return Ok(());
            }
            if ended {
                return Ok(());
            }
            if counted.elapsed() >= TOTALS {
                counted = Instant::now();
                let now = clock::monotonic()?;
                if messages
                    .send(Message::Totals(self.totals(), now.tsc))
                    .is_err()
                {
                    return Ok(());
                }
            }
            wait = pause::next(wait, drained.fullest, self.reader.slots());
            // Known before the next look: records of a process that has ended are all there then.
            ended = self.handle.wait_end(wait)?;
        }
    }
}

/// Writes what comes until no more does.
fn write(
    sink: &mut impl Sink,
    time: &Clock,
    queue: &mpsc::Receiver<Message>,
    waiting: &AtomicUsize,
) -> io::Result<()> {
    let mut told = ring::Totals::default();
    let mut pending = false;
    loop {
        let received = if pending {
            queue.recv_timeout(FLUSH)
        } else {
            // Nothing to be made visible: nothing to wake up for.
            queue.recv().map_err(mpsc::RecvTimeoutError::from)
        };
        match received {
            Ok(Message::Spans(spans)) => {
                for span in &spans {
                    sink.event(&Kind::Span(Call::new(span, time)).into())?;
                }
                waiting.fetch_sub(spans.len(), Ordering::Relaxed);
                pending = true;
            }
            Ok(Message::Totals(totals, tsc)) => {
                if let Some(line) = Totals::since(&told, &totals, time.unix_ns(tsc)) {
                    sink.event(&Kind::Totals(line).into())?;
                    told = totals;
                    pending = true;
                }
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                if std::mem::take(&mut pending) {
                    sink.flush()?;
                }
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// The stream's clock, once enough time has passed to measure it, or the program has ended.
fn measured(began: Result<&clock::Moment, &io::Error>, handle: &PidFd) -> io::Result<Clock> {
    loop {
        let ended = handle.wait_end(Duration::from_millis(1))?;
        if let Some(time) = measure(began, ended)? {
            return Ok(time);
        }
    }
}

/// That clock; `None` if it is too early.
fn measure(began: Result<&clock::Moment, &io::Error>, ended: bool) -> io::Result<Option<Clock>> {
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

/// How a process ended.
#[must_use]
pub fn exit_status(exit: Option<Exit>) -> Option<ExitStatus> {
    exit.map(|exit| match exit {
        Exit::Code(code) => ExitStatus::Code(code),
        Exit::Signal(signal) => ExitStatus::Signal(signal),
    })
}
