//! Go's own tests of its standard library, hooked: they must do what they do unhooked.
//!
//! | file | one job |
//! |---|---|
//! | [`definition`] | `testbins/std.toml` -> packages, core cells, known deviations |
//! | [`output`] | what a test binary wrote -> the outcome and the shape of the output of each test |
//! | [`shape`] | a line -> the line without what differs from run to run |
//! | [`subject`] | a package of a toolchain -> its binary, and one run of all its tests, unhooked or hooked |
//! | [`judge`] | unhooked runs and a hooked one -> what is the same, what is flaky, what is not as it must be |
//! | [`cell`] | a version and a package -> its report |
//! | [`run`] | many cells, kept when finished (with [`cells`](crate::cells)) |
//! | [`render`], [`markdown`], [`junit`] | the table, in three forms |
//!
//! Never decides what a hook may change: what may is in the file, test by test, with its reason.

pub mod cell;
pub mod definition;
pub mod judge;
pub mod junit;
pub mod markdown;
pub mod output;
pub mod render;
pub mod run;
pub mod shape;
pub mod subject;

pub use cell::Cell;
pub use definition::{Definition, Deviation, FILE};
