//! The shared-memory rings between hooked program and agent.
//!
//! [`layout`] says where everything lies; trampolines write by it, [`Reader`] reads by it. This room imports only
//! [`crate::addr`].

pub mod layout;
mod reader;
mod record;
mod shared;

pub use layout::RingGeometry;
pub use reader::{Drained, Reader, Totals, header};
pub use record::{RawWords, Record, Span, decode};
pub use shared::SharedMemory;
