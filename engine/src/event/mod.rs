//! Records -> the monitoring stream, and back: newline-delimited JSON, described in `engine/docs/STREAM.md`.
//!
//! [`model`] holds the lines as data, [`mod@write`] writes them, [`read`] reads any bytes back, [`clock`] turns time stamps
//! into time. Knows neither processes nor images; imports only [`crate::addr`] and the records of [`crate::ring`].

pub mod clock;
pub mod model;
pub mod read;
pub mod write;

pub use clock::Clock;
pub use model::{
    Anchor, End, ExitStatus, Header, Hook, Host, Memory, Process, Program, Reason, Refused, SCHEMA,
    Skipped, SpanLine, Unmatched, VERSION,
};
pub use read::{Line, ReadError, Stream, StreamReader};
pub use write::StreamWriter;
