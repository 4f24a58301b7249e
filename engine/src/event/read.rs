//! Bytes -> lines. Total: any bytes are a stream or an error that names the line.
//!
//! A stream without its last line is a stream: the agent may have been killed.

use std::io::{self, BufRead, Read};

use serde::Deserialize;

use super::model::{End, EndLine, Header, SCHEMA, SpanLine, VERSION};

/// Longest line that is read: a header with a hook and a refusal for every function of a large program.
const MAX_LINE: u64 = 256 << 20;

/// A line after the header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Line {
    /// A finished call.
    Span(SpanLine),
    /// The last line.
    End(End),
}

/// A whole stream.
#[derive(Clone, PartialEq, Debug)]
pub struct Stream {
    /// The first line.
    pub header: Header,
    /// All span lines, in file order.
    pub spans: Vec<SpanLine>,
    /// The last line, if there is one.
    pub end: Option<End>,
}

/// Why bytes are no stream.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {found}, expected {expected}")]
pub struct ReadError {
    /// From 1.
    pub line: u64,
    /// What was found.
    pub found: String,
    /// What was expected.
    pub expected: &'static str,
}

/// Reads a stream line by line.
#[derive(Debug)]
pub struct StreamReader<R> {
    input: R,
    line: u64,
    buffer: Vec<u8>,
    /// The first line.
    pub header: Header,
    ended: bool,
}

/// Only what tells foreign and future files from damaged ones.
#[derive(Deserialize)]
struct Kind {
    schema: Option<String>,
    version: Option<u32>,
}

impl<R: BufRead> StreamReader<R> {
    /// Reads the header.
    pub fn new(mut input: R) -> Result<Self, ReadError> {
        let mut buffer = Vec::new();
        let expected = "a header with schema gondwana.stream, version 3";
        let fail = |found: String| ReadError {
            line: 1,
            found,
            expected,
        };
        if !next_line(&mut input, &mut buffer, 1)? {
            return Err(fail("no line".to_owned()));
        }
        let kind: Kind = serde_json::from_slice(&buffer).map_err(|e| fail(e.to_string()))?;
        if kind.schema.as_deref() != Some(SCHEMA) || kind.version != Some(VERSION) {
            return Err(fail(format!(
                "schema {}, version {}",
                kind.schema.as_deref().unwrap_or("none"),
                kind.version.map_or("none".to_owned(), |v| v.to_string())
            )));
        }
        let header: Header = serde_json::from_slice(&buffer).map_err(|e| fail(e.to_string()))?;
        Ok(Self {
            input,
            line: 1,
            buffer,
            header,
            ended: false,
        })
    }

    fn fail(&self, found: impl Into<String>, expected: &'static str) -> ReadError {
        ReadError {
            line: self.line,
            found: found.into(),
            expected,
        }
    }

    fn read(&mut self) -> Result<Option<Line>, ReadError> {
        self.line += 1;
        if !next_line(&mut self.input, &mut self.buffer, self.line)? {
            return Ok(None);
        }
        if self.ended {
            return Err(self.fail("a line", "nothing after the end"));
        }
        let hooks = self.header.hooks.len();
        if self.buffer.starts_with(b"{\"end\":") {
            let EndLine { end } = serde_json::from_slice(&self.buffer)
                .map_err(|e| self.fail(e.to_string(), "an end line"))?;
            if end.entered.len() != hooks || end.spans.len() != hooks {
                return Err(self.fail(
                    format!(
                        "counts of {} and {} hooks",
                        end.entered.len(),
                        end.spans.len()
                    ),
                    "one of each hook of the header",
                ));
            }
            self.ended = true;
            return Ok(Some(Line::End(end)));
        }
        let span: SpanLine = serde_json::from_slice(&self.buffer)
            .map_err(|e| self.fail(e.to_string(), "a span or end line"))?;
        if span.span as usize >= hooks {
            return Err(self.fail(format!("hook {}", span.span), "a hook of the header"));
        }
        Ok(Some(Line::Span(span)))
    }
}

impl<R: BufRead> Iterator for StreamReader<R> {
    type Item = Result<Line, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// The next line without its end; `false` if there is none. A last line without an end of line is half written.
fn next_line(input: &mut impl BufRead, into: &mut Vec<u8>, line: u64) -> Result<bool, ReadError> {
    into.clear();
    let fail = |found: String, expected| ReadError {
        line,
        found,
        expected,
    };
    let read: io::Result<usize> = input.by_ref().take(MAX_LINE).read_until(b'\n', into);
    match read {
        Err(error) => Err(fail(error.to_string(), "a line")),
        Ok(0) => Ok(false),
        Ok(_) if into.pop() == Some(b'\n') => Ok(true),
        Ok(_) => Err(fail("no end of line".to_owned(), "a whole line")),
    }
}

impl Stream {
    /// Reads a whole stream into memory.
    pub fn read(input: impl BufRead) -> Result<Self, ReadError> {
        let mut reader = StreamReader::new(input)?;
        let (mut spans, mut end) = (Vec::new(), None);
        for line in &mut reader {
            match line? {
                Line::Span(span) => spans.push(span),
                Line::End(last) => end = Some(last),
            }
        }
        Ok(Self {
            header: reader.header,
            spans,
            end,
        })
    }
}

#[cfg(test)]
mod tests;
