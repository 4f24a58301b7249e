//! Cells of a table -> their reports, several at a time; those that an earlier run has finished are taken from the cache.
//!
//! [`run`](run::run) does the cells and shows how far it is, [`kept`] keeps what is finished, `file` reads what a table is to be. What a cell is, and how it is
//! judged, is told by whoever has the table: [`matrix`](crate::matrix) and [`gostd`](crate::gostd).

pub(crate) mod file;
pub mod kept;
pub mod run;

/// What is known of a finished cell, whatever it is about.
pub trait Report {
    /// Whether everything is as it must be.
    fn is_good(&self) -> bool;
    /// How it ended, in a few words.
    fn summary(&self) -> String;
    /// How long it took.
    fn seconds(&self) -> f64;
}
