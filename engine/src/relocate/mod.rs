//! Displaced instructions -> position-independent form at a new place.

use crate::addr::{RunAddr, Slide};
use crate::site::{Refusal, RefusalCode, Site};

/// A relocated window.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Relocated {
    /// The bytes, the jump back included. Their number does not depend on where they lie.
    pub bytes: Vec<u8>,
    /// Old address -> new address of every displaced instruction, in order.
    pub moved: Vec<(RunAddr, RunAddr)>,
    /// Offset of the jump back to the function; `None` if the window ended in a `ret` or `jmp`.
    pub resume: Option<u32>,
}

/// Moves the window of `site` to `at`, in a process whose image was moved by `slide`.
pub fn relocate(site: &Site, at: RunAddr, slide: Slide) -> Result<Relocated, Refusal> {
    let _ = (at, slide);
    Err(Refusal {
        code: RefusalCode::TooShort,
        at: site.function.entry,
        detail: "not yet".to_owned(),
    })
}
