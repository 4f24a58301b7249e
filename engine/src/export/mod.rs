//! Events -> what others read: each form is a [`Sink`] with a room of its own.
//!
//! | room | one form |
//! |---|---|
//! | [`ndjson`] | the monitoring stream, newline-delimited JSON (`engine/docs/STREAM.md`), and back |
//!
//! Imports only [`crate::event`]; never decides what is told, only how.

pub mod ndjson;

use std::io;

use crate::event::Event;

/// Something that events are written to. It has begun with a [`Header`](crate::event::Header); what that takes is the form's.
pub trait Sink {
    /// Takes one more. An [`End`](crate::event::Kind::End) is the last.
    ///
    /// # Errors
    /// When it cannot be written.
    fn event(&mut self, event: &Event) -> io::Result<()>;

    /// Makes visible what was taken.
    ///
    /// # Errors
    /// When it cannot be written.
    fn flush(&mut self) -> io::Result<()>;
}
