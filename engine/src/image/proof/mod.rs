//! A program of a Go version that is not known -> whether it is built like the known version next to it.
//!
//! Proved from the program alone, each point or none: the words of the module data and of the line table's header agree
//! with each other (`module`); every function's record, pc-value tables and inline tree decode, and the runtime's own
//! functions carry the ids of the tables (`functions`); instructions of the runtime use the fields of g and m where the
//! tables have them (`code`). What bytes cannot show, such as which frames `recover` skips, is not looked at.
//!
//! Never guesses: what cannot be found is an error like what differs, and there is one error, the first.

mod code;
mod functions;
mod module;

use crate::addr::LinkAddr;
use crate::golang::tables::{CONSTANTS, Release};

use super::Image;
use super::error::{ImageError, ImageErrorCode};

/// Proves that `image` is built like the version whose facts it was parsed with.
pub(super) fn prove(image: &Image<'_>) -> Result<(), ImageError> {
    module::words(image)?;
    module::header(image)?;
    module::function_buckets(image)?;
    functions::tables(image)?;
    functions::ids(image)?;
    functions::inline_trees(image)?;
    code::stack_checks(image)?;
    code::fields(image)
}

/// What does not hold: `what`, in a sentence with what was found.
fn unproven(at: LinkAddr, found: impl Into<String>, expected: &'static str) -> ImageError {
    ImageError::new(ImageErrorCode::UnprovenVersion, at, found, expected)
}

/// The release whose tables are to be proved.
fn release(image: &Image<'_>) -> Release {
    let like = image.assumed_like().unwrap_or(image.version);
    Release::new(like.minor, u16::MAX)
}

/// A constant of those tables.
fn constant(image: &Image<'_>, name: &str) -> Option<i64> {
    let found = CONSTANTS
        .iter()
        .find(|constant| constant.name == name && !constant.race)?;
    found.value_in(release(image))
}
