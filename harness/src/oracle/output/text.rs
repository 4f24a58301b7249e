//! What a run wrote -> its lines, taken apart, in groups of one skeleton. Loses no byte: what is no UTF-8 becomes characters
//! of its own.

use std::collections::BTreeMap;

use regex::Regex;

use super::token::{self, Line, Token};

/// Lines of one stream that are compared one by one.
const LINES: usize = 200_000;
/// Bytes of one stream that are compared line by line.
const BYTES: usize = 16 << 20;
/// Bytes that are no UTF-8 become characters from here on (private use).
const RAW: u32 = 0xf700;

/// One stream of one run.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    /// Number of the group of each line, in order.
    pub(super) sequence: Vec<usize>,
    /// The tokens of each line of a group, in order; the index is the group's number.
    pub(super) groups: Vec<Vec<Vec<Token>>>,
}

/// Skeletons, numbered in the order in which they were first seen. One for all runs that are compared.
#[derive(Clone, Debug, Default)]
pub(super) struct Skeletons {
    numbers: BTreeMap<String, usize>,
    texts: Vec<String>,
}

impl Skeletons {
    fn number(&mut self, skeleton: String) -> usize {
        let next = self.texts.len();
        let number = *self.numbers.entry(skeleton.clone()).or_insert(next);
        if number == next {
            self.texts.push(skeleton);
        }
        number
    }

    /// For people.
    pub(super) fn show(&self, number: usize) -> String {
        let text = self.texts.get(number).map_or("", String::as_str);
        let shown: String = text.chars().take(200).collect();
        shown.replace(token::HOLE, "#")
    }
}

impl Text {
    /// Takes a stream apart; `None` if there is too much of it. Of a run that was killed the last, unfinished line is left
    /// out.
    pub(super) fn of(
        bytes: &[u8],
        is_cut: bool,
        masks: &[Regex],
        skeletons: &mut Skeletons,
    ) -> Option<Self> {
        if bytes.len() > BYTES {
            return None;
        }
        let text = token::covered(&characters(bytes), masks);
        let mut lines: Vec<&str> = text.split('\n').collect();
        if is_cut {
            lines.pop();
        }
        if lines.len() > LINES {
            return None;
        }
        let mut made = Self::default();
        for line in lines {
            let Line { skeleton, tokens } = token::line(line);
            let number = skeletons.number(skeleton);
            made.sequence.push(number);
            if made.groups.len() <= number {
                made.groups.resize(number + 1, Vec::new());
            }
            if let Some(group) = made.groups.get_mut(number) {
                group.push(tokens);
            }
        }
        Some(made)
    }

    /// The lines of a group.
    pub(super) fn group(&self, number: usize) -> &[Vec<Token>] {
        self.groups.get(number).map_or(&[], Vec::as_slice)
    }
}

fn characters(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        let raw = chunk.invalid().iter();
        text.extend(raw.filter_map(|&byte| char::from_u32(RAW + u32::from(byte))));
    }
    text
}
