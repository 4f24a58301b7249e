//! Goldens: what the engine says about small inputs, as text that people read, rendered by the code that users meet.
//!
//! | part | snapshots | inputs |
//! |---|---|---|
//! | `sites` | `goldens/sites`: each prologue form, in each range of versions that has one of its own | `goldens/inputs` |
//! | `refusals` | `goldens/refusals`: each reason code | `goldens/inputs`, or made up here |
//! | `plans` | `goldens/plans`: trampolines, for each ABI and range of versions | made up here |
//! | `modules` | `goldens/modules`: the synthetic module, for each range of versions | made up here |
//! | `inspects` | `goldens/inspects`: a program of each range of versions | made up here |
//! | `shapes` | `goldens/shapes`: members and types of each versioned format | values of every kind |
//!
//! None needs a Go toolchain. `cargo xtask test` fails if a snapshot belongs to no test.

mod formats;
mod input;
mod inspects;
mod modules;
mod plans;
mod program;
mod refusals;
mod shapes;
mod sites;

use std::path::Path;

use insta::Settings;

/// Settings for the snapshots in `goldens/FOLDER`.
fn settings(folder: &str) -> Settings {
    let mut settings = Settings::clone_current();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens");
    settings.set_snapshot_path(root.join(folder));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}
