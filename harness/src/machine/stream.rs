//! The spans of a hooked machine -> the same NDJSON stream that `gondwana run` writes of a live process.
//!
//! The clock is exact: one tick of the emulated time stamp counter is one nanosecond.

use std::io::{self, Write};

use gondwana_engine::event::{
    Anchor, Clock, End, ExitStatus, Header, Host, Process, SCHEMA, SpanLine, StreamWriter, VERSION,
};
use gondwana_engine::inject::prepare::Description;
use gondwana_engine::ring::{Span, Totals};

use super::process::{Ending, Machine};
use super::time::EPOCH;

const CLOCK: Clock = Clock {
    anchor: Anchor {
        tsc: 0,
        unix_ns: EPOCH,
    },
    tsc_hz: 1_000_000_000,
    error_ppm: 0.0,
    measured_ns: 1_000_000_000,
    invariant: true,
};

/// A stream that is being written.
pub struct Stream<W: Write> {
    writer: StreamWriter<W>,
    totals: Totals,
}

impl<W: Write> Stream<W> {
    /// Begins the stream of a machine that has just been hooked; `known` is what [`Machine::hook`] found.
    ///
    /// # Errors
    /// Of the sink.
    pub fn new(out: W, machine: &Machine<'_>, known: Description) -> io::Result<Self> {
        let header = Header {
            schema: SCHEMA.to_owned(),
            version: VERSION,
            hooked: true,
            reason: None,
            host: Host {
                name: "gondwana-harness".to_owned(),
                kernel: "emulated".to_owned(),
            },
            process: Process {
                pid: machine.pid(),
                start: 0,
                exe: machine.path_of_program(),
            },
            program: known.program,
            hooks: known.hooks,
            memory: known.memory,
            deviations: known.deviations.codes(),
            refusals: known.refusals,
            unmatched: known.unmatched,
            clock: Some(CLOCK),
        };
        Ok(Self {
            writer: StreamWriter::new(out, &header)?,
            totals: Totals::default(),
        })
    }

    /// Writes the spans that came since the last time.
    ///
    /// # Errors
    /// Of the sink.
    pub fn take(&mut self, machine: &mut Machine<'_>) -> io::Result<()> {
        let (spans, totals) = machine.take_spans();
        self.totals = totals;
        self.write(&spans)
    }

    fn write(&mut self, spans: &[Span]) -> io::Result<()> {
        for span in spans {
            self.writer.span(&SpanLine::new(span, &CLOCK))?;
        }
        Ok(())
    }

    /// Writes what is left, and the end.
    ///
    /// # Errors
    /// Of the sink.
    pub fn end(mut self, machine: &mut Machine<'_>) -> io::Result<()> {
        self.take(machine)?;
        let exit = machine.ending().map(|ending| match ending {
            Ending::Status(status) => ExitStatus::Code(status),
            Ending::Signal(signal) => ExitStatus::Signal(signal),
        });
        let now = machine.now();
        let anchor = Anchor {
            tsc: now,
            unix_ns: EPOCH + now,
        };
        self.writer.end(End::new(self.totals, exit, Some(anchor)))
    }
}
