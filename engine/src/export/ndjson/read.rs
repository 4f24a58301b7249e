//! Bytes -> events. Total: any bytes are a stream or an error that names the line.
//!
//! A stream without its last line is a stream: the agent may have been killed. Lines of kinds that are not known, and
//! members that are not, are passed over.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{HEADER, MAJOR, SCHEMA};
use crate::event::{Call, End, Event, Header, Kind, Moment, Totals};

/// Longest line that is read: a header with a hook and a refusal for every function of a large program.
const MAX_LINE: u64 = 256 << 20;

/// A whole stream.
#[derive(Clone, PartialEq, Debug)]
pub struct Stream {
    /// The first line.
    pub header: Header,
    /// All span lines, in file order.
    pub spans: Vec<Call>,
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
pub struct Reader<R> {
    input: R,
    line: u64,
    buffer: Vec<u8>,
    /// The first line.
    pub header: Header,
    ended: bool,
}

/// Only what tells foreign and future files from damaged ones.
#[derive(Deserialize)]
struct First {
    schema: Option<String>,
    /// Of any type: that of a foreign file is not ours.
    version: Option<serde_json::Value>,
}

/// What every line has.
#[derive(Deserialize)]
struct Line<'l> {
    #[serde(borrow)]
    kind: Cow<'l, str>,
    #[serde(default)]
    pid: Option<i32>,
}

impl<R: BufRead> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// Without a header, or with one of another schema or major version.
    pub fn new(mut input: R) -> Result<Self, ReadError> {
        let mut buffer = Vec::new();
        let expected = "a header with schema gondwana.stream, version 2";
        let fail = |found: String| ReadError {
            line: 1,
            found,
            expected,
        };
        if !next_line(&mut input, &mut buffer, 1)? {
            return Err(fail("no line".to_owned()));
        }
        let first: First = serde_json::from_slice(&buffer).map_err(|e| fail(e.to_string()))?;
        let version = first.version.as_ref();
        let is_known = version
            .and_then(serde_json::Value::as_str)
            .is_some_and(|version| version.starts_with(MAJOR));
        if first.schema.as_deref() != Some(SCHEMA) || !is_known {
            return Err(fail(format!(
                "schema {}, version {}",
                first.schema.as_deref().unwrap_or("none"),
                version.map_or("none".to_owned(), ToString::to_string)
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

    fn fields<T: DeserializeOwned>(&self, expected: &'static str) -> Result<T, ReadError> {
        serde_json::from_slice(&self.buffer).map_err(|e| self.fail(e.to_string(), expected))
    }

    /// Whether the header has a hook of this number.
    fn has(&self, hook: u32) -> Result<(), ReadError> {
        if hook as usize >= self.header.hooks.len() {
            return Err(self.fail(format!("hook {hook}"), "a hook of the header"));
        }
        Ok(())
    }

    fn read(&mut self) -> Result<Option<Event>, ReadError> {
        loop {
            self.line += 1;
            if !next_line(&mut self.input, &mut self.buffer, self.line)? {
                return Ok(None);
            }
            if self.ended {
                return Err(self.fail("a line", "nothing after the end"));
            }
            let line: Line<'_> = serde_json::from_slice(&self.buffer)
                .map_err(|e| self.fail(e.to_string(), "a line with a kind"))?;
            if let Some(kind) = self.kind(&line.kind)? {
                let event = Event {
                    pid: line.pid,
                    kind,
                };
                self.ended = matches!(event.kind, Kind::End(_) | Kind::Part(_));
                return Ok(Some(event));
            }
        }
    }

    /// The line as one of this kind; `None` if the kind is not known.
    fn kind(&self, name: &str) -> Result<Option<Kind>, ReadError> {
        let moment = |of: fn(_) -> Kind| {
            let moment: Moment = self.fields("a moment of a call")?;
            self.has(moment.hook)?;
            Ok(of(moment))
        };
        let kind = match name {
            "span" => {
                let call: Call = self.fields("a span")?;
                self.has(call.hook)?;
                Kind::Span(call)
            }
            "enter" => moment(Kind::Enter)?,
            "exit" => moment(Kind::Exit)?,
            "unwound" => moment(Kind::Unwound)?,
            "gap" => Kind::Gap(self.fields("a gap")?),
            "totals" => {
                let totals: Totals = self.fields("totals")?;
                let hooks = totals.entered.keys().chain(totals.spans.keys());
                hooks.copied().try_for_each(|hook| self.has(hook))?;
                Kind::Totals(totals)
            }
            "part" => Kind::Part(self.fields("the end of a part")?),
            "end" => Kind::End(self.end()?),
            HEADER => return Err(self.fail("a header", "one header")),
            _ => return Ok(None),
        };
        Ok(Some(kind))
    }

    fn end(&self) -> Result<End, ReadError> {
        let hooks = self.header.hooks.len();
        let end: End = self.fields("an end line")?;
        if end.entered.len() == hooks && end.spans.len() == hooks {
            return Ok(end);
        }
        let (entered, spans) = (end.entered.len(), end.spans.len());
        Err(self.fail(
            format!("counts of {entered} and {spans} hooks"),
            "one of each hook of the header",
        ))
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = Result<Event, ReadError>;

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
    ///
    /// # Errors
    /// When the bytes are none.
    pub fn read(input: impl BufRead) -> Result<Self, ReadError> {
        let mut reader = Reader::new(input)?;
        let (mut spans, mut end) = (Vec::new(), None);
        for event in &mut reader {
            match event?.kind {
                Kind::Span(span) => spans.push(span),
                Kind::End(last) => end = Some(last),
                _ => {}
            }
        }
        Ok(Self {
            header: reader.header,
            spans,
            end,
        })
    }
}
