//! The monitoring stream: newline-delimited JSON, described in `engine/docs/STREAM.md`. Every change here or in the fields of
//! [`crate::event::model`] changes [`VERSION`], the document, and adds a golden.
//!
//! [`Writer`] writes it, [`Reader`] and [`Stream`] read any bytes back.

mod read;
mod write;

use crate::event::Kind;

pub use read::{ReadError, Reader, Stream};
pub use write::Writer;

/// Name of the schema, in every header.
pub const SCHEMA: &str = "gondwana.stream";
/// Version of the schema, `major.minor`: with a new minor one lines and members come that readers pass over.
pub const VERSION: &str = "2.0";
/// The part of [`VERSION`] that a reader must know.
const MAJOR: &str = "2.";

/// `kind` of the first line.
const HEADER: &str = "header";

/// `kind` of an event's line.
const fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Span(_) => "span",
        Kind::Enter(_) => "enter",
        Kind::Exit(_) => "exit",
        Kind::Unwound(_) => "unwound",
        Kind::Gap(_) => "gap",
        Kind::Totals(_) => "totals",
        Kind::Part(_) => "part",
        Kind::End(_) => "end",
    }
}

#[cfg(test)]
mod tests;
