//! Functions and what was decided about them -> the lines that `gondwana funcs` prints, for people or as JSON.
//!
//! Decides nothing. Goldens keep these lines, so that tests see what users see.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::{Refusal, RefusalCode, Site};
use crate::golang::{Abi, Deviations};
use crate::image::Function;

/// Schema of the JSON lines; changes when a field changes its meaning or goes.
pub const SCHEMA: &str = "gondwana.funcs/2";

/// The first JSON line.
#[derive(Serialize)]
pub struct Header {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The program's Go version.
    pub go: String,
    /// Lines that follow.
    pub functions: usize,
    /// What the program can notice of hooks.
    pub deviations: Deviations,
}

/// The last JSON line.
#[derive(Serialize)]
pub struct Footer {
    /// How many functions got which answer.
    pub totals: Totals,
}

/// One function: how it would be hooked, or why it is not. `Display` gives one line without its end.
#[derive(Serialize)]
pub struct Row<'a> {
    name: &'a str,
    entry: u64,
    size: u32,
    #[serde(skip_serializing_if = "is_zero")]
    inlined_copies: u32,
    #[serde(flatten)]
    answer: Answer<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer<'a> {
    Hookable {
        strategy: &'static str,
        abi: Abi,
        args: u32,
        window: u8,
        stack_check: bool,
    },
    Refused {
        refused: &'a Refusal,
    },
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl<'a> Row<'a> {
    /// The line of one function; `inlined_copies` as [`crate::image::Image::inlined_copies`] counts them.
    #[must_use]
    pub fn new(
        function: &Function<'a>,
        answer: &'a Result<Site<'_>, Refusal>,
        inlined_copies: u32,
    ) -> Self {
        let answer = match answer {
            Ok(site) => Answer::Hookable {
                strategy: "frame",
                abi: site.abi,
                args: site.args,
                window: site.window_len,
                stack_check: site.stack_check.is_some(),
            },
            Err(refused) => Answer::Refused { refused },
        };
        Self {
            name: function.name,
            entry: function.entry.get(),
            size: function.size,
            inlined_copies,
            answer,
        }
    }
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#10x}  ", self.entry)?;
        match &self.answer {
            Answer::Hookable {
                strategy, window, ..
            } => {
                write!(f, "{strategy:<5}  {window:<19}  {}", self.name)?;
            }
            Answer::Refused { refused } => {
                let Refusal { code, detail, .. } = refused;
                write!(f, "-      {code:<19}  {}  ({detail})", self.name)?;
            }
        }
        match self.inlined_copies {
            0 => Ok(()),
            1 => write!(f, "  [1 inlined copy]"),
            copies => write!(f, "  [{copies} inlined copies]"),
        }
    }
}

/// How many functions got which answer. `Display` gives one line for each answer.
#[derive(Default, Serialize)]
pub struct Totals {
    functions: usize,
    frame: usize,
    refused: BTreeMap<RefusalCode, usize>,
}

impl Totals {
    /// Counts one answer.
    pub fn add(&mut self, answer: &Result<Site<'_>, Refusal>) {
        self.functions += 1;
        match answer {
            Ok(_) => self.frame += 1,
            Err(refusal) => *self.refused.entry(refusal.code).or_default() += 1,
        }
    }
}

/// What the program can notice of hooks, for people: a heading and a line for each code. Its `Display` is that text.
pub struct Noticed(pub Deviations);

impl fmt::Display for Noticed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "what the program can notice of hooks:")?;
        for deviation in self.0.iter() {
            writeln!(f, "  {deviation:<21}  {}", deviation.explain())?;
        }
        Ok(())
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |count: usize| 100.0 * count as f64 / self.functions.max(1) as f64;
        writeln!(f, "{:>8}         functions", self.functions)?;
        writeln!(f, "{:>8} {:5.1} %  frame", self.frame, share(self.frame))?;
        for (code, &count) in &self.refused {
            let (share, why) = (share(count), code.explain());
            writeln!(f, "{count:>8} {share:5.1} %  {code:<19}  {why}")?;
        }
        Ok(())
    }
}
