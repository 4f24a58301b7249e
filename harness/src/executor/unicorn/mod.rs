//! Runs pieces of a Go program's code in the Unicorn CPU emulator.
//!
//! [`machine::Machine`] is one emulated CPU with the image's data, a text area full of `hlt` and the memory of the
//! seeded states. It never runs more of the program than what was placed.

pub mod machine;
pub mod program;
pub mod relocation;
