//! Unhooked runs and a hooked one -> [`Judged`]: the program's end and output must not change.
//!
//! Two unhooked runs are enough if all three say the same. Where they differ from each other, more are needed, three to
//! [`MOST`] in all, until one more brings nothing new; where the hooked one differs from all of them, up to [`SURE`]
//! ([`Wants`]). Then what varies among them is masked, place by place and each by its class, and the rest is compared
//! (`model.rs`). A difference at a place at which unhooked runs differ from all others as well decides nothing: it is
//! inconclusive.
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
/// Unhooked runs by which a difference must be seen before it is believed, where they take little time. A value that comes
/// in one run of n only is met by chance in the hooked run alone with less than 1 in e·n.
pub const SURE: usize = 40;
/// How much more disorder than the worst of unhooked runs another run may have. Of [`SURE`] runs and one more that are all
/// alike, this one is the worst in 1 of 41.
const DISORDER: usize = 2;
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
}

/// Whether another unhooked run could change an answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Wants {
    /// No.
    #[default]
    Nothing,
    /// Unhooked runs differ from each other, and the last one brought something new.
    UntilStill,
    /// The hooked run differs from all of them.
    UntilSure,
}

/// A hooked run, and unhooked ones that come one after the other.
#[derive(Debug)]
pub struct Comparison<'r> {
    hooked: &'r Finished,
    masks: &'r [Regex],
    streams: [Stream; 2],
}

/// An output stream in all runs.
#[derive(Debug)]
struct Stream {
    what: &'static str,
    of: fn(&Finished) -> &[u8],
    skeletons: Skeletons,
    hooked: Option<Text>,
    /// Those of the first unhooked runs; taken apart when the first one differs.
    runs: Vec<Text>,
    /// Whether a run wrote too much to be taken apart.
    is_too_long: bool,
}

impl<'r> Comparison<'r> {
    /// Begins with the hooked run.
    #[must_use]
    pub fn new(hooked: &'r Finished, masks: &'r [Regex]) -> Self {
        let stream = |what, of| Stream {
            what,
            of,
            skeletons: Skeletons::default(),
            hooked: None,
            runs: Vec::new(),
            is_too_long: false,
        };
        Self {
            hooked,
            masks,
            streams: [
                stream("standard output", |run| &run.stdout),
                stream("standard error", |run| &run.stderr),
            ],
        }
    }

    /// Whether more unhooked runs than these are wanted. They must be those of the last call, and perhaps more.
    pub fn wants(&mut self, unhooked: &[Finished]) -> Wants {
        let exit = exit::judge(unhooked, self.hooked);
        let mut wants = match exit.iter().all(|finding| finding.answer.agrees()) {
            true => Wants::Nothing,
            false => Wants::UntilSure,
        };
        for stream in &mut self.streams {
            wants = wants.max(stream.wants(unhooked, self.hooked, self.masks));
        }
        wants
    }

    /// Compares the end, both output streams and the load's end.
    #[must_use]
    pub fn judge(&mut self, unhooked: &[Finished]) -> Judged {
        let mut judged = Judged {
            exit: exit::judge(unhooked, self.hooked),
            ..Judged::default()
        };
        for stream in &mut self.streams {
            let (answer, masked) = stream.judge(unhooked, self.hooked, self.masks);
            let what = stream.what;
            if !masked.is_empty() {
                let before = if judged.masked.is_empty() { "" } else { "; " };
                judged.masked += &format!("{before}{what}: {masked} masked");
            }
            judged.output.push(Finding {
                what: what.to_owned(),
                answer,
            });
            if let Some(line) = stream.crash(unhooked, self.hooked) {
                judged.output.push(Finding {
                    what: format!("words of a crash in {what}"),
                    answer: Answer::Diverge(format!("only hooked: {line:?}")),
                });
            }
        }
        judged
    }
}

/// Compares a hooked run with unhooked ones.
#[must_use]
pub fn judge(unhooked: &[Finished], hooked: &Finished, masks: &[Regex]) -> Judged {
    Comparison::new(hooked, masks).judge(unhooked)
}

impl Stream {
    fn crash(&self, unhooked: &[Finished], hooked: &Finished) -> Option<String> {
        let bytes: Vec<&[u8]> = unhooked.iter().map(self.of).collect();
        crash::only_hooked(&bytes, (self.of)(hooked))
    }

    fn is_same(&self, run: &Finished, hooked: &Finished) -> bool {
        (self.of)(run) == (self.of)(hooked)
    }

    /// Takes apart what is not yet; whether all can be compared line by line.
    fn read(&mut self, unhooked: &[Finished], hooked: &Finished, masks: &[Regex]) -> bool {
        let (of, skeletons) = (self.of, &mut self.skeletons);
        let mut text = |run: &Finished| {
            let is_cut = run.end == End::TimedOut;
            Text::of(of(run), is_cut, masks, skeletons)
        };
        if self.hooked.is_none() {
            self.hooked = text(hooked);
            self.is_too_long |= self.hooked.is_none();
        }
        for run in unhooked.get(self.runs.len()..).unwrap_or_default() {
            match text(run) {
                Some(text) if !self.is_too_long => self.runs.push(text),
                _ => self.is_too_long = true,
            }
        }
        !self.is_too_long
    }

    fn differences(&self) -> (Model, Vec<Difference>) {
        let runs: Vec<&Text> = self.runs.iter().collect();
        let model = Model::learn(&runs);
        let differences = match &self.hooked {
            Some(hooked) => model.differences(hooked, &self.skeletons),
            None => Vec::new(),
        };
        (model, differences)
    }

    fn wants(&mut self, unhooked: &[Finished], hooked: &Finished, masks: &[Regex]) -> Wants {
        if unhooked.iter().all(|run| self.is_same(run, hooked)) {
            return Wants::Nothing;
        }
        if self.crash(unhooked, hooked).is_some() {
            return Wants::UntilSure;
        }
        let is_known = unhooked.iter().any(|run| self.is_same(run, hooked));
        if !self.read(unhooked, hooked, masks) {
            return if is_known {
                Wants::Nothing
            } else {
                Wants::UntilSure
            };
        }
        let (_, differences) = self.differences();
        if !differences.is_empty() && !is_known {
            return Wants::UntilSure;
        }
        let runs: Vec<&Text> = self.runs.iter().collect();
        let stands_still = runs.len() > 2
            && runs.split_last().is_some_and(|(last, before)| {
                let model = Model::learn(before);
                model.differences(last, &self.skeletons).is_empty()
            });
        match stands_still {
            true => Wants::Nothing,
            false => Wants::UntilStill,
        }
    }

    /// The answer, and what was masked, for people.
    fn judge(
        &mut self,
        unhooked: &[Finished],
        hooked: &Finished,
        masks: &[Regex],
    ) -> (Answer, String) {
        if unhooked.iter().all(|run| self.is_same(run, hooked)) {
            return (Answer::Agree, String::new());
        }
        let is_known = unhooked.iter().any(|run| self.is_same(run, hooked));
        if !self.read(unhooked, hooked, masks) {
            let why = "it is too long to be compared line by line".to_owned();
            let answer = match is_known {
                true => Answer::Agree,
                false => Answer::Inconclusive(why),
            };
            return (answer, String::new());
        }
        let (model, mut differences) = self.differences();
        if is_known {
            differences.clear();
        }
        let runs: Vec<&Text> = self.runs.iter().collect();
        if let Some(disorder) = differences.iter().find(|d| d.place == Place::Order)
            && disorder.size <= DISORDER * model.usual_disorder()
        {
            // As much as in unhooked runs, more or less: then this is no order.
            differences.clear();
        }
        (answer(&differences, &runs, &self.skeletons), masked(&model))
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
