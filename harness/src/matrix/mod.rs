//! Every Go version in every build mode, as one table of cells.
//!
//! [`Matrix`] (`testbins/matrix.toml`) says which cells there are and what may be left out; [`program`] makes one program
//! of all test programs; [`cell`] builds and qualifies it in one version and mode; [`run`] does so for many cells (with
//! [`cells`](crate::cells)); [`render`], [`markdown`] and [`junit`] write the results down.

pub mod cell;
mod definition;
pub mod junit;
pub mod markdown;
pub mod program;
pub mod render;
pub mod run;

pub use definition::{Cell, FILE, Matrix, Skip, Tier, When, with_least_hookable};
