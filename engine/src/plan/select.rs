//! Hook patterns and an image -> the functions to hook, and the refusals.

use std::collections::HashMap;

use super::{HookOptions, HookRequest};
use crate::image::Image;
use crate::site::{Finder, Refusal};
use crate::spec::{HookSpec, SpecError};

/// What a specification comes to in one program.
#[derive(Clone, Debug)]
pub struct Selection<'d> {
    /// Functions that can be hooked, by ascending entry.
    pub requests: Vec<HookRequest<'d>>,
    /// Functions that match and cannot.
    pub refused: Vec<(String, Refusal)>,
}

impl<'d> Selection<'d> {
    /// Decides about every function that `spec` names.
    ///
    /// # Errors
    /// A pattern that matches no function.
    pub fn new(
        image: &Image<'d>,
        spec: &HookSpec,
        options: HookOptions,
    ) -> Result<Self, SpecError> {
        let selected = spec.select(image)?;
        let inlined = if selected.is_empty() {
            HashMap::new()
        } else {
            image.inlined_copies()
        };
        let finder = Finder::new(image);
        let mut selection = Self {
            requests: Vec::new(),
            refused: Vec::new(),
        };
        for function in selected
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
