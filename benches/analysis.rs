//! Analysis of a Go binary.
fn main() {}
