//! How far the verdict of `qualify` can be believed: programs that are harmless and programs that are harmed on purpose,
//! judged many times.
//!
//! | file | one job |
//! |---|---|
//! | [`definition`] | `testbins/calibration.toml` -> the programs, what is done to the harmed ones, the versions of Go |
//! | [`subject`] | a program of the list -> its executable, and the scenario of one trial |
//! | [`trial`] | a subject -> what the verdict is of one run, judged as if it were hooked, with unhooked runs of its own |
//! | [`run`] | many trials, several at a time -> a [`Row`](run::Row) for each subject |
//! | [`render`] | the rows as a table, as Markdown in `harness/docs/CALIBRATION.md`, as a document |
//!
//! A trial is judged by what judges a real run, [`qualify::runs::settle`](crate::qualify::runs::settle), and by nothing
//! else. No run is used twice, so that trials are independent of each other. Never hooks anything: what the harmed programs
//! see is a variable. That they see hooks too, and that `qualify` then says so, is shown by `harness/tests/calibration.rs`.

pub mod definition;
pub mod render;
pub mod run;
pub mod subject;
pub mod trial;

pub use definition::Definition;
