//! Executors: code and a state -> [`crate::outcome::Outcome`].

pub mod native;
pub mod unicorn;
