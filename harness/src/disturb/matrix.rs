//! The matrix instruction × disturbance of one call, as data and as a table.

use std::fmt::{self, Write as _};

use gondwana_engine::image::Image;
use serde::{Deserialize, Serialize};

use super::call::{Call, Step};
use super::cell::Answer;
use super::kind::Kind;
use super::session::Session;

/// Name and version of the form of the JSON.
pub const SCHEMA: &str = "gondwana.disturb/1";
/// Said where no disturbance had an effect.
pub(super) const NOTHING: &str = "nothing was disturbed";
/// Width of the column with instructions.
const TEXT: usize = 44;

/// Whose call it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Subject {
    /// Go version of the program.
    pub go: String,
    /// The hooked function.
    pub function: String,
    /// `abi0` or `abi-internal`.
    pub abi: String,
    /// The program's arguments.
    pub args: Vec<String>,
    /// Variables of its environment.
    pub env: Vec<String>,
    /// Seed of the run.
    pub seed: u64,
    /// Frames above the call.
    pub depth: i32,
    /// Bytes of stack left at the call.
    pub room: u64,
}

/// A disturbance of the unhooked program.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Control {
    /// Which.
    pub kind: Kind,
    /// Where.
    pub place: Place,
    /// What came of it.
    pub answer: Answer,
}

/// Where the unhooked program is disturbed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// Before the function's first instruction.
    Call,
    /// After its return.
    Return,
}

/// The disturbances at one instruction.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// The instruction.
    pub step: Step,
    /// What came of each.
    pub answers: Vec<(Kind, Answer)>,
}

/// All disturbances of one call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Matrix {
    /// Whose.
    pub subject: Subject,
    /// The kinds that were asked for by name; none if all were wanted.
    pub asked: Vec<Kind>,
    /// The hooked program, undisturbed.
    pub undisturbed: Answer,
    /// The unhooked program, disturbed.
    pub controls: Vec<Control>,
    /// Instructions that the call executes of its hook.
    pub steps: usize,
    /// One for each instruction that was asked for.
    pub lines: Vec<Line>,
}

/// What `--json` prints.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Document<'m> {
    schema: &'static str,
    undecided: Vec<String>,
    #[serde(flatten)]
    matrix: &'m Matrix,
}

/// How many cells said what.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Counts {
    /// [`Answer::Agree`].
    pub agree: u64,
    /// [`Answer::NoEffect`].
    pub no_effect: u64,
    /// [`Answer::Diverge`].
    pub diverge: u64,
    /// [`Answer::Inconclusive`].
    pub inconclusive: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Call => "call",
            Self::Return => "return",
        })
    }
}

impl Counts {
    /// Counts one more.
    pub const fn add(&mut self, answer: &Answer) {
        match answer {
            Answer::Agree => self.agree += 1,
            Answer::NoEffect(_) => self.no_effect += 1,
            Answer::Diverge(_) => self.diverge += 1,
            Answer::Inconclusive(_) => self.inconclusive += 1,
        }
    }

    /// Adds other counts.
    pub const fn add_all(&mut self, other: Self) {
        self.agree += other.agree;
        self.no_effect += other.no_effect;
        self.diverge += other.diverge;
        self.inconclusive += other.inconclusive;
    }

    /// Cells whose disturbance happened.
    #[must_use]
    pub const fn disturbed(self) -> u64 {
        self.agree + self.diverge
    }

    /// All cells.
    #[must_use]
    pub const fn sum(self) -> u64 {
        self.agree + self.no_effect + self.diverge + self.inconclusive
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} agree, {} no effect, {} diverge, {} inconclusive",
            self.agree, self.no_effect, self.diverge, self.inconclusive
        )
    }
}

impl Subject {
    pub(super) fn new(session: &Session<'_>, call: &Call, image: Option<&Image<'_>>) -> Self {
        let texts = |list: &[Vec<u8>]| -> Vec<String> {
            list.iter()
                .map(|text| String::from_utf8_lossy(text).into_owned())
                .collect()
        };
        let args = session.setup.argv.get(1..).unwrap_or_default();
        Self {
            go: image.map_or_else(String::new, |image| image.version().to_string()),
            function: call.hook.name.clone(),
            abi: call.hook.abi.to_string(),
            args: texts(args),
            env: texts(&session.setup.env),
            seed: session.setup.seed,
            depth: session.depth,
            room: call.stack.size().saturating_sub(call.depth),
        }
    }
}

impl Matrix {
    /// It, under the name of its form.
    #[must_use]
    pub fn document(&self) -> Document<'_> {
        Document {
            schema: SCHEMA,
            undecided: self.undecided(),
            matrix: self,
        }
    }

    /// Counts of the hooked program's cells, the undisturbed run among them.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        counts.add(&self.undisturbed);
        for (_, answer) in self.lines.iter().flat_map(|line| &line.answers) {
            counts.add(answer);
        }
        counts
    }

    /// Counts of one kind.
    #[must_use]
    pub fn counts_of(&self, kind: Kind) -> Counts {
        let mut counts = Counts::default();
        let answers = self.lines.iter().flat_map(|line| &line.answers);
        for (_, answer) in answers.filter(|(of, _)| *of == kind) {
            counts.add(answer);
        }
        counts
    }

    /// Controls that did not end as the undisturbed program: the program, not the hook, is to blame.
    pub fn bad_controls(&self) -> impl Iterator<Item = &Control> {
        self.controls
            .iter()
            .filter(|c| matches!(c.answer, Answer::Diverge(_) | Answer::Inconclusive(_)))
    }

    /// What diverged or could not be decided, a line each.
    pub fn findings(&self) -> impl Iterator<Item = String> + '_ {
        let bad = |answer: &Answer| matches!(answer, Answer::Diverge(_) | Answer::Inconclusive(_));
        let undisturbed =
            bad(&self.undisturbed).then(|| format!("undisturbed: {}", self.undisturbed));
        let controls = self
            .bad_controls()
            .map(|c| format!("without hooks, {} at the {}: {}", c.kind, c.place, c.answer));
        let cells = self.lines.iter().flat_map(move |line| {
            let answers = line.answers.iter().filter(move |(_, answer)| bad(answer));
            answers.map(|(kind, answer)| format!("step {}, {kind}: {answer}", line.step.index))
        });
        undisturbed.into_iter().chain(controls).chain(cells)
    }

    /// What the matrix says nothing about, a line each: no cell had any effect, or none of a kind that was asked for by name.
    /// A kind that was not may have none: a function without a stack check does not yield.
    #[must_use]
    pub fn undecided(&self) -> Vec<String> {
        let disturbs = |kind: Kind| self.counts_of(kind).disturbed() > 0;
        if !Kind::ALL.into_iter().any(disturbs) {
            return vec![NOTHING.to_owned()];
        }
        let idle = self.asked.iter().filter(|&&kind| !disturbs(kind));
        idle.map(|kind| format!("{NOTHING} by {kind}")).collect()
    }

    /// Exit status that follows: 0 if nothing diverged, all could be decided and something was disturbed, else 1.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        let counts = self.counts();
        let bad = counts.diverge + counts.inconclusive + self.bad_controls().count() as u64;
        u8::from(bad != 0 || !self.undecided().is_empty())
    }

    /// The table for people.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        let subject = &self.subject;
        writeln!(
            out,
            "{}  {}  {}  seed {}  {} bytes of stack left",
            subject.function, subject.abi, subject.go, subject.seed, subject.room
        )?;
        writeln!(
            out,
            "A agrees, n no effect, D diverges, ? inconclusive; . not asked\n"
        )?;
        let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        let longest = names.iter().map(|name| name.len()).max().unwrap_or(0);
        for row in 0..longest {
            let mut line = " ".repeat(16 + TEXT);
            for name in &names {
                // Aligned at their ends.
                let pad = longest - name.len();
                let letter = row.checked_sub(pad).and_then(|at| name.get(at..=at));
                write!(line, " {}", letter.unwrap_or(" "))?;
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        for line in &self.lines {
            let step = &line.step;
            let offset = step
                .offset
                .map_or_else(|| "-".to_owned(), |offset| format!("{offset:x}"));
            let text: String = step.text.chars().take(TEXT).collect();
            write!(
                out,
                "{:>4} {:>5} {:<4}  {text:<TEXT$}",
                step.index,
                offset,
                short(step)
            )?;
            for kind in Kind::ALL {
                let answer = line.answers.iter().find(|(of, _)| *of == kind);
                write!(out, " {}", letter(answer.map(|(_, answer)| answer)))?;
            }
            writeln!(out)?;
        }
        writeln!(out)?;
        for finding in self.findings() {
            writeln!(out, "{finding}")?;
        }
        for why in self.undecided() {
            writeln!(out, "undecided: {why}")?;
        }
        writeln!(out, "{} instructions: {}", self.steps, self.counts())
    }
}

const fn short(step: &Step) -> &'static str {
    use super::call::Part;
    match step.part {
        Part::Jump => "jump",
        Part::Entry => "in",
        Part::Exit => "out",
        Part::Prologue => "prol",
    }
}

const fn letter(answer: Option<&Answer>) -> char {
    match answer {
        Some(Answer::Agree) => 'A',
        Some(Answer::NoEffect(_)) => 'n',
        Some(Answer::Diverge(_)) => 'D',
        Some(Answer::Inconclusive(_)) => '?',
        None => '.',
    }
}

#[cfg(test)]
mod tests {
    use gondwana_engine::addr::RunAddr;

    use super::super::call::Part;
    use super::*;

    fn matrix(asked: &[Kind], answers: &[(Kind, Answer)]) -> Matrix {
        Matrix {
            subject: Subject {
                go: "go1.21.0".to_owned(),
                function: "main.f".to_owned(),
                abi: "abi0".to_owned(),
                args: Vec::new(),
                env: Vec::new(),
                seed: 1,
                depth: 0,
                room: 0,
            },
            asked: asked.to_vec(),
            undisturbed: Answer::Agree,
            controls: Vec::new(),
            steps: 1,
            lines: vec![Line {
                step: Step {
                    index: 0,
                    at: RunAddr::new(0),
                    offset: None,
                    part: Part::Jump,
                    text: "jmp".to_owned(),
                },
                answers: answers.to_vec(),
            }],
        }
    }

    #[test]
    fn what_was_not_disturbed_has_not_passed() {
        let no = || Answer::NoEffect("no handler ran".to_owned());
        for (asked, answers, status, said) in [
            (&[][..], vec![], 1, "undecided: nothing was disturbed\n"),
            (
                &[],
                vec![(Kind::Grow, no()), (Kind::Sigurg, no())],
                1,
                "undecided: nothing was disturbed\n",
            ),
            (
                &[],
                vec![(Kind::Grow, no()), (Kind::Sigurg, Answer::Agree)],
                0,
                "",
            ),
            (
                &[Kind::Grow, Kind::Sigurg],
                vec![(Kind::Grow, no()), (Kind::Sigurg, Answer::Agree)],
                1,
                "undecided: nothing was disturbed by grow\n",
            ),
            (&[Kind::Grow], vec![(Kind::Grow, Answer::Agree)], 0, ""),
        ] {
            let matrix = matrix(asked, &answers);
            let text = matrix.render();
            assert_eq!(matrix.exit_status(), status, "{text}");
            assert_eq!(text.contains("undecided"), !said.is_empty(), "{text}");
            assert!(text.contains(said), "{text}");
        }
    }
}
