//! Program -> whether any function of it may be hooked at all.

use crate::golang::policy;
use crate::image::{Image, ImageError, ImageErrorCode};

/// Admits a program, or says why none of its functions may be hooked.
///
/// # Errors
/// [`ImageErrorCode::SelfPatching`] if a library is linked in by which the program rewrites its own functions
/// ([`policy::PATCHERS`]).
pub fn admit(image: &Image<'_>) -> Result<(), ImageError> {
    let found = image
        .functions()
        .iter()
        .find_map(|function| Some((function, policy::patcher_of(function.name)?)));
    match found {
        None => Ok(()),
        Some((function, patcher)) => Err(ImageError::new(
            ImageErrorCode::SelfPatching,
            function.entry,
            format!(
                "{} of {}, by which a program rewrites its own functions,",
                function.name, patcher.path
            ),
            "no such library",
        )),
    }
}
