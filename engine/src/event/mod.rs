//! What a hooked program told, as data that no written form shapes.
//!
//! [`model`] holds what a stream says, [`clock`] turns time stamps into time. How it is written is [`crate::export`]'s.
//! Knows neither processes nor images; imports only [`crate::addr`] and the records of [`crate::ring`].

pub mod clock;
pub mod model;

pub use clock::Clock;
pub use model::{
    Anchor, Call, End, Event, ExitStatus, Gap, Header, Hook, Host, Kind, Memory, Moment, Part,
    Process, Program, Reason, Refused, Skipped, Totals, Unmatched,
};
