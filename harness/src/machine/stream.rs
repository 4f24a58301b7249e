//! The spans of a hooked machine -> the same NDJSON stream that `gondwana run` writes of a live process.
//!
//! The clock is exact: one tick of the emulated time stamp counter is one nanosecond.

use std::io::{self, Write};

use gondwana_engine::event::{Anchor, Call, Clock, End, ExitStatus, Header, Host, Kind, Process};
use gondwana_engine::export::Sink as _;
use gondwana_engine::export::ndjson::Writer;
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
    writer: Writer<W>,
    totals: Totals,
}

impl<W: Write> Stream<W> {
    /// Begins the stream of a machine that has just been hooked; `known` is what [`Machine::hook`] found.
    ///
    /// # Errors
    /// Of the sink.
    pub fn new(out: W, machine: &Machine<'_>, known: Description) -> io::Result<Self> {
        let host = Host {
            name: "gondwana-harness".to_owned(),
            kernel: "emulated".to_owned(),
        };
        let header = Header {
            process: Process {
                pid: machine.pid(),
                start: 0,
                exe: machine.path_of_program(),
            },
            clock: Some(CLOCK),
            ..known.header(host)
        };
        Ok(Self {
            writer: Writer::new(out, &header)?,
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
            let call = Kind::Span(Call::new(span, &CLOCK));
            self.writer.event(&call.into())?;
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
        let end = Kind::End(End::new(self.totals, exit, Some(anchor)));
        self.writer.event(&end.into())
    }
}
