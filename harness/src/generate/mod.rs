//! Inputs of checks. What is random comes from a seed: the same seed gives the same input on every machine.

pub mod relocation;
pub mod states;
