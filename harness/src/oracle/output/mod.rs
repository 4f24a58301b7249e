//! Unhooked runs and a hooked one -> [`Judged`]: the program's end and output must not change.
//!
//! Two unhooked runs are enough if all three say the same. Where they differ, or the hooked one differs from two equal ones,
//! more are needed ([`Judged::wants_more`]), three to [`MOST`] in all, until one more brings nothing new. Then what varies
//! among them is masked, place by place and each by its class, and the rest is compared ([`model`]). A difference at a
//! place of a kind at which each unhooked run differs from all others as well decides nothing: it is inconclusive.
//!
//! Never masked: words of a crash and signals that only the hooked run has, an end that comes before the stop.

mod crash;
mod exit;
mod model;
mod order;
mod text;
mod token;

use std::collections::{BTreeMap, BTreeSet};

use regex::Regex;

use crate::executor::native::process::{End, Finished};
use crate::oracle::{Answer, Finding};

use model::{Difference, Model, Place};
use text::{Skeletons, Text};

pub use exit::promised as judge_exit;
pub use token::Class;

/// Unhooked runs that are made before places that still vary are given up.
pub const MOST: usize = 7;
/// Differences that an answer names.
const SHOWN: usize = 3;

/// What was found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Judged {
    /// How the runs ended.
    pub exit: Vec<Finding>,
    /// What they wrote.
    pub output: Vec<Finding>,
    /// What was masked, for people; nothing if it is empty.
    pub masked: String,
    /// Whether another unhooked run could change an answer.
    pub wants_more: bool,
}

/// Compares the end, both output streams and the load's end.
#[must_use]
pub fn judge(unhooked: &[Finished], hooked: &Finished, masks: &[Regex]) -> Judged {
    let mut judged = Judged {
        exit: exit::judge(unhooked, hooked),
        ..Judged::default()
    };
    judged.wants_more = judged.exit.iter().any(|finding| !finding.answer.agrees());
    let is_cut = |run: &Finished| run.end == End::TimedOut;
    for (what, of) in [
        (
            "standard output",
            (|run| &run.stdout) as fn(&Finished) -> &Vec<u8>,
        ),
        ("standard error", |run| &run.stderr),
    ] {
        let texts: Vec<(&[u8], bool)> = unhooked
            .iter()
            .map(|run| (of(run).as_slice(), is_cut(run)))
            .collect();
        let compared = compare(&texts, (of(hooked), is_cut(hooked)), masks);
        judged.wants_more |= compared.wants_more;
        if !compared.masked.is_empty() {
            let before = if judged.masked.is_empty() { "" } else { "; " };
            judged.masked += &format!("{before}{what}: {} masked", compared.masked);
        }
        judged.output.push(Finding {
            what: what.to_owned(),
            answer: compared.answer,
        });
        let bytes: Vec<&[u8]> = texts.iter().map(|(bytes, _)| *bytes).collect();
        if let Some(line) = crash::only_hooked(&bytes, of(hooked)) {
            judged.output.push(Finding {
                what: format!("words of a crash in {what}"),
                answer: Answer::Diverge(format!("only hooked: {line:?}")),
            });
            judged.wants_more = true;
        }
    }
    judged.wants_more &= unhooked.len() < MOST;
    judged
}

/// One stream, compared.
struct Compared {
    answer: Answer,
    masked: String,
    wants_more: bool,
}

fn compare(unhooked: &[(&[u8], bool)], hooked: (&[u8], bool), masks: &[Regex]) -> Compared {
    let plain = |answer| Compared {
        answer,
        masked: String::new(),
        wants_more: false,
    };
    let same = |(bytes, _): &(&[u8], bool)| *bytes == hooked.0;
    if unhooked.iter().all(same) {
        return plain(Answer::Agree);
    }
    let mut skeletons = Skeletons::default();
    let mut text = |(bytes, is_cut)| Text::of(bytes, is_cut, masks, &mut skeletons);
    let runs: Option<Vec<Text>> = unhooked.iter().map(|run| text(*run)).collect();
    let (Some(runs), Some(other)) = (runs, text(hooked)) else {
        return plain(match unhooked.iter().any(same) {
            true => Answer::Agree,
            false => Answer::Inconclusive("it is too long to be compared line by line".to_owned()),
        });
    };
    let runs: Vec<&Text> = runs.iter().collect();
    let model = Model::learn(&runs);
    let mut differences = model.differences(&other, &skeletons);
    if unhooked.iter().any(same) {
        differences.clear();
    }
    let stands_still = runs.len() > 2
        && runs.split_last().is_some_and(|(last, before)| {
            Model::learn(before)
                .differences(last, &skeletons)
                .is_empty()
        });
    Compared {
        masked: masked(&model),
        wants_more: !differences.is_empty() || !stands_still,
        answer: answer(&differences, &runs, &skeletons),
    }
}

/// A difference at a place at which unhooked runs differ from each other proves nothing.
fn answer(differences: &[Difference], runs: &[&Text], skeletons: &Skeletons) -> Answer {
    if differences.is_empty() {
        return Answer::Agree;
    }
    let open = restless(runs, skeletons);
    let (open, proved): (Vec<_>, Vec<_>) = differences
        .iter()
        .partition(|difference| open.contains(&difference.place));
    let shown = |list: &[&Difference]| {
        let texts: Vec<&str> = list.iter().take(SHOWN).map(|d| d.what.as_str()).collect();
        let more = list.len().saturating_sub(SHOWN);
        let more = if more > 0 {
            format!("; and {more} more")
        } else {
            String::new()
        };
        texts.join("; ") + &more
    };
    if proved.is_empty() {
        Answer::Inconclusive(format!(
            "{} unhooked runs differ from each other in the same way: {}",
            runs.len(),
            shown(&open)
        ))
    } else {
        Answer::Diverge(shown(&proved))
    }
}

/// Places at which a run differs from all others.
fn restless(runs: &[&Text], skeletons: &Skeletons) -> BTreeSet<Place> {
    let without = |at: usize| -> Vec<&Text> {
        let others = runs.iter().enumerate().filter(|(i, _)| *i != at);
        others.map(|(_, run)| *run).collect()
    };
    let found = runs
        .iter()
        .enumerate()
        .flat_map(|(at, run)| Model::learn(&without(at)).differences(run, skeletons));
    found.map(|difference| difference.place).collect()
}

fn masked(model: &Model) -> String {
    let (classes, unordered): (BTreeMap<Class, u64>, u64) = model.masked();
    let mut parts: Vec<String> = classes
        .iter()
        .map(|(class, count)| format!("{count} × {}", format!("{class:?}").to_lowercase()))
        .collect();
    if unordered > 0 {
        parts.push(format!("{unordered} × order of lines"));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests;
