//! Set-up and everyday commands of the workspace.
fn main() {}
