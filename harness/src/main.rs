//! `gondwana-harness`: qualify hooks, manage Go toolchains.
fn main() {}
