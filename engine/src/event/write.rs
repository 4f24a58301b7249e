//! Lines -> bytes.

use std::io::{self, BufWriter, Write};

use serde::Serialize;

use super::model::{End, EndLine, Header, SpanLine};

/// Writes one stream: the header, spans, the end. Buffers; [`Self::flush`] makes whole lines visible.
#[derive(Debug)]
pub struct StreamWriter<W: Write> {
    out: BufWriter<W>,
}

impl<W: Write> StreamWriter<W> {
    /// Begins a stream.
    pub fn new(out: W, header: &Header) -> io::Result<Self> {
        let mut writer = Self {
            out: BufWriter::with_capacity(1 << 16, out),
        };
        writer.line(header)?;
        writer.flush()?;
        Ok(writer)
    }

    /// One finished call.
    pub fn span(&mut self, span: &SpanLine) -> io::Result<()> {
        self.line(span)
    }

    /// Hands over what is buffered.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Ends the stream.
    pub fn end(mut self, end: End) -> io::Result<()> {
        self.line(&EndLine { end })?;
        self.flush()
    }

    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, line)?;
        self.out.write_all(b"\n")
    }
}
