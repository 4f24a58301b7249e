//! Events -> lines.

use std::io::{self, BufWriter, Write};

use serde::Serialize;

use super::{HEADER, SCHEMA, VERSION, name};
use crate::event::{Event, Header, Kind};
use crate::export::Sink;

/// Writes one stream. Buffers; [`Sink::flush`] makes whole lines visible, and so does the end.
#[derive(Debug)]
pub struct Writer<W: Write> {
    out: BufWriter<W>,
}

#[derive(Serialize)]
struct First<'h> {
    kind: &'static str,
    schema: &'static str,
    version: &'static str,
    #[serde(flatten)]
    header: &'h Header,
}

#[derive(Serialize)]
struct Line<'f, T> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<i32>,
    #[serde(flatten)]
    fields: &'f T,
}

impl<W: Write> Writer<W> {
    /// Begins a stream.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(out: W, header: &Header) -> io::Result<Self> {
        let mut writer = Self {
            out: BufWriter::with_capacity(1 << 16, out),
        };
        writer.line(&First {
            kind: HEADER,
            schema: SCHEMA,
            version: VERSION,
            header,
        })?;
        writer.flush()?;
        Ok(writer)
    }

    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, line)?;
        self.out.write_all(b"\n")
    }

    fn fields(&mut self, event: &Event, fields: &impl Serialize) -> io::Result<()> {
        self.line(&Line {
            kind: name(&event.kind),
            pid: event.pid,
            fields,
        })
    }
}

impl<W: Write> Sink for Writer<W> {
    fn event(&mut self, event: &Event) -> io::Result<()> {
        match &event.kind {
            Kind::Span(call) => self.fields(event, call),
            Kind::Enter(moment) | Kind::Exit(moment) | Kind::Unwound(moment) => {
                self.fields(event, moment)
            }
            Kind::Gap(gap) => self.fields(event, gap),
            Kind::Totals(totals) => self.fields(event, totals),
            Kind::Part(part) => self.fields(event, part),
            Kind::End(end) => self.fields(event, end),
        }?;
        match event.kind {
            Kind::Part(_) | Kind::End(_) => self.flush(),
            _ => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
