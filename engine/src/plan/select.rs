//! Hook patterns and an image -> the functions to hook, and the refusals.

use super::{HookOptions, HookRequest};
use crate::image::Image;
use crate::site::{Finder, Refusal};
use crate::spec::{Chosen, HookSpec, SpecError, Unmatched};

/// What a specification comes to in one program.
#[derive(Clone, Debug)]
pub struct Selection<'d> {
    /// Functions that can be hooked, by ascending entry.
    pub requests: Vec<HookRequest<'d>>,
    /// Functions that match and cannot.
    pub refused: Vec<(String, Refusal)>,
    /// Patterns that match no function.
    pub unmatched: Vec<Unmatched>,
}

impl<'d> Selection<'d> {
    /// Decides about every function that `spec` names.
    ///
    /// # Errors
    /// No pattern matches any function.
    pub fn new(
        image: &Image<'d>,
        spec: &HookSpec,
        options: HookOptions,
    ) -> Result<Self, SpecError> {
        let Chosen {
            functions,
            unmatched,
        } = spec.select(image)?;
        let inlined = image.inlined_copies();
        let finder = Finder::new(image);
        let mut selection = Self {
            requests: Vec::new(),
            refused: Vec::new(),
            unmatched,
        };
        for function in functions
            .iter()
            .filter_map(|&index| image.functions().get(index))
        {
            match finder.find(function) {
                Ok(site) => selection.requests.push(HookRequest {
                    site,
                    options,
                    inlined_copies: inlined.get(function.name).copied().unwrap_or(0),
                }),
                Err(refusal) => selection.refused.push((function.name.to_owned(), refusal)),
            }
        }
        Ok(selection)
    }
}
