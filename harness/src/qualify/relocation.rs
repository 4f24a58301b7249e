//! The section `relocation`: every hookable function in Unicorn.

use anyhow::Result;
use gondwana_engine::image::Image;
use gondwana_engine::site::Site;

use super::Request;
use crate::executor::unicorn::program;
use crate::report::case::{self, Case};
use crate::report::{Failure, Section, Skipped};
use crate::verdict::{Conclusion, Counts, Kind};

/// The section's name.
pub const NAME: &str = "relocation";
/// Failing cases that get a directory.
const CASES: usize = 20;

pub(super) fn section(
    image: &Image<'_>,
    sites: &[Site<'_>],
    request: &Request,
    skipped: &mut Vec<Skipped>,
    progress: &mut impl FnMut(&str),
) -> Result<Section> {
    let total = sites.len();
    let checked = program::check(image, sites, request.seed, |done| {
        progress(&format!("relocation: {done} of {total} functions"));
    })?;
    let mut failures = Vec::new();
    for (index, (of, answer)) in checked.failures.iter().enumerate() {
        let name = format!("cases/relocation-{index}");
        let kept = index < CASES;
        if kept {
            case::write(&request.out, &name, &Case::Relocation(Box::new(of.clone())))?;
        }
        failures.push(Failure {
            what: of.function.clone(),
            answer: answer.clone(),
            case: kept.then_some(name),
        });
    }
    if let Some((first, why)) = checked.not_relocated.first() {
        skipped.push(Skipped {
            what: "functions".to_owned(),
            count: checked.not_relocated.len() as u64,
            why: format!("their windows cannot be moved ({first} for one: {why})"),
        });
    }
    let counts = Counts {
        agreed: checked.agreed,
        diverged: checked.diverged,
        inconclusive: checked.inconclusive,
    };
    let unproven = checked.unproven.first().map(|first| {
        let count = checked.unproven.len();
        format!("no state completed for {count} functions, {first} for one")
    });
    Ok(Section {
        name: NAME.to_owned(),
        counts,
        conclusion: Conclusion::of(counts, Kind::Alike, unproven.as_slice()),
        note: format!(
            "{} functions in {} states each, {:.0} functions/s",
            checked.functions,
            crate::executor::unicorn::relocation::STACKS.len(),
            checked.rate()
        ),
        failures,
    })
}
