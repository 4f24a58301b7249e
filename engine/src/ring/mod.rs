//! The shared-memory rings between hooked program and agent.
//!
//! [`layout`] says where everything lies; trampolines write by it, the reader reads by it. This room imports only
//! [`crate::addr`].

pub mod layout;

pub use layout::RingGeometry;
