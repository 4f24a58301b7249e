//! `gondwana`: inspect Go programs, plan hooks, run hooked.
fn main() {}
