//! A program -> its [`Report`]: makes the checks in their order, and nothing that they do not need.
//!
//! 1. `relocation`: every hookable function's window in Unicorn.
//! 2. `native`: the program unhooked and hooked; end, output, stream and memory.

mod native;
mod relocation;
pub mod runs;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use gondwana_engine::image::{FileView, Image};
use gondwana_engine::input::{self, Symbols};
use gondwana_engine::site::{self, Finder, Refusal, Site};
use gondwana_engine::spec::HookSpec;
use sha2::{Digest, Sha256};

use crate::executor::native::hooked::Agent;
use crate::executor::native::process::Scenario;
use crate::oracle::stream;
use crate::report::{self, Program, Refused, Report, Skipped};
use crate::testbins::Expected;
use crate::verdict::Verdict;

pub use native::replay as replay_native;
pub use relocation::NAME as RELOCATION;

/// Names of the functions that a program checks in FIPS mode begin with this.
const FIPS_CODE: &str = "crypto/internal/fips140/";

/// The hooks if no pattern is given.
pub const DEFAULT_PATTERN: &str = "main.*";

/// What to qualify, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// The program.
    pub program: PathBuf,
    /// Hook patterns; [`DEFAULT_PATTERN`] if there are none, and then no single one must fire.
    pub patterns: Vec<String>,
    /// Where report and cases go.
    pub out: PathBuf,
    /// What runs it hooked.
    pub agent: Agent,
    /// How the program is run.
    pub scenario: Scenario,
    /// Seed of everything that is random.
    pub seed: u64,
    /// Whether the whole program's relocation is checked.
    pub relocation: bool,
    /// Whether a program with FIPS code is also run in FIPS mode.
    pub fips: bool,
    /// Regular expressions for what is not compared in the program's output.
    pub masks: Vec<String>,
    /// The exit status of the unhooked program, where that is known.
    pub exit: Option<i32>,
    /// What the stream must say, where that is known.
    pub expected: Vec<Expected>,
}

/// A program and what has been decided about each of its functions: made once, whatever is run of it.
pub struct Subject<'d> {
    /// Its file, for people.
    pub name: String,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// The program.
    pub image: Image<'d>,
    /// Where it can be hooked.
    pub sites: Vec<Site<'d>>,
    /// Where it cannot, by the function's entry.
    pub refusals: Refusals,
}

impl<'d> Subject<'d> {
    /// Reads the program, the SHA-256 of whose file is known, and looks at each of its functions.
    ///
    /// # Errors
    /// It is no Go program.
    pub fn of(name: &str, file: impl Into<FileView<'d>>, sha256: String) -> Result<Self> {
        let image = Image::parse(file).with_context(|| name.to_owned())?;
        site::admit(&image).with_context(|| name.to_owned())?;
        let (sites, refusals) = decide(&image);
        Ok(Self {
            name: name.to_owned(),
            sha256,
            image,
            sites,
            refusals,
        })
    }

    /// How many functions are refused, by reason.
    #[must_use]
    pub fn refused(&self) -> BTreeMap<String, u64> {
        let mut reasons = BTreeMap::new();
        for (_, refusal) in &self.refusals {
            *reasons.entry(refusal.code.to_string()).or_default() += 1;
        }
        reasons
    }
}

/// Makes all checks and writes `report.json` and the failing cases.
///
/// # Errors
/// Bad input (no Go program, a pattern that matches nothing) and failures of the tool itself; never a failed check.
pub fn qualify(request: &Request, mut progress: impl FnMut(&str)) -> Result<Report> {
    let name = request.program.display().to_string();
    // Debug information and whatever follows the program is not kept in memory.
    let file = input::read(&request.program, Symbols::Skip).with_context(|| name.clone())?;
    progress("looking for places to hook");
    let sha256 = digest_of_file(&request.program)?;
    let subject = Subject::of(&name, &file, sha256)?;
    check(&subject, request, progress)
}

/// As [`qualify`], for a program that has been read.
///
/// # Errors
/// As [`qualify`].
pub fn check(
    subject: &Subject<'_>,
    request: &Request,
    mut progress: impl FnMut(&str),
) -> Result<Report> {
    let Subject {
        image,
        sites,
        refusals,
        ..
    } = subject;
    let patterns = if request.patterns.is_empty() {
        vec![DEFAULT_PATTERN.to_owned()]
    } else {
        request.patterns.clone()
    };
    let selected = HookSpec::parse(&patterns)?
        .select(image)?
        .by_every_pattern()?;
    std::fs::create_dir_all(&request.out)
        .with_context(|| format!("create {}", request.out.display()))?;

    let mut skipped: Vec<Skipped> = Vec::new();
    let mut sections = Vec::new();
    if request.relocation {
        let section = relocation::section(image, sites, request, &mut skipped, &mut progress)?;
        sections.push(section);
        skipped.push(refused(subject));
    } else {
        skipped.push(Skipped {
            what: "functions".to_owned(),
            count: sites.len() as u64,
            why: "relocation was not asked for".to_owned(),
        });
    }
    let fips = image
        .functions()
        .iter()
        .any(|function| function.name.starts_with(FIPS_CODE));
    if fips && !request.fips {
        skipped.push(Skipped {
            what: "runs in FIPS mode".to_owned(),
            count: 1,
            why: "they were not asked for".to_owned(),
        });
    }
    let native = native::sections(
        request,
        &patterns,
        &subject.sha256,
        fips && request.fips,
        &mut progress,
    )?;
    sections.extend(native.sections);
    skipped.extend(native.skipped);
    let conclusions = sections
        .iter()
        .map(|section| (section.name.as_str(), &section.conclusion));
    let verdict = Verdict::of(conclusions);
    let report = Report {
        schema: report::SCHEMA.to_owned(),
        program: Program {
            path: subject.name.clone(),
            sha256: subject.sha256.clone(),
            go: image.marked(image.version()),
            functions: image.functions().len() as u64,
            hookable: sites.len() as u64,
        },
        patterns,
        sections,
        hooks: native.hooks,
        deviations: native.deviations,
        refused: selected
            .iter()
            .filter_map(|&index| image.functions().get(index))
            .filter_map(|f| {
                refusals
                    .iter()
                    .find(|(entry, _)| *entry == f.entry)
                    .map(|(_, r)| (f, r))
            })
            .map(|(function, refusal)| Refused {
                name: function.name.to_owned(),
                code: refusal.code.to_string(),
                detail: refusal.detail.clone(),
            })
            .collect(),
        skipped,
        verdict,
    };
    write(&report, &request.out)?;
    Ok(report)
}

/// Refused functions by their entry.
pub type Refusals = Vec<(gondwana_engine::addr::LinkAddr, Refusal)>;

fn decide<'d>(image: &Image<'d>) -> (Vec<Site<'d>>, Refusals) {
    let finder = Finder::new(image);
    let (mut sites, mut refusals) = (Vec::new(), Vec::new());
    for function in image.functions() {
        match finder.find(function) {
            Ok(site) => sites.push(site),
            Err(refusal) => refusals.push((function.entry, refusal)),
        }
    }
    (sites, refusals)
}

/// The functions that are not checked because they are never hooked, by reason.
fn refused(subject: &Subject<'_>) -> Skipped {
    let reasons: Vec<String> = subject
        .refused()
        .iter()
        .map(|(code, count)| format!("{code} {count}"))
        .collect();
    Skipped {
        what: "functions".to_owned(),
        count: subject.refusals.len() as u64,
        why: format!("never hooked ({})", reasons.join(", ")),
    }
}

/// The patterns of which no function was entered.
fn never_fired(patterns: &[String], hooks: &[report::Hook]) -> Result<Vec<String>> {
    let mut silent = Vec::new();
    for text in patterns {
        let pattern = gondwana_engine::spec::Pattern::parse(text)?;
        if !hooks
            .iter()
            .any(|hook| hook.entered > 0 && pattern.matches(&hook.name))
        {
            silent.push(text.clone());
        }
    }
    Ok(silent)
}

/// What a stream counted, for people.
fn stream_note(judged: &stream::Judged) -> String {
    let sum = |counts: &[u64]| counts.iter().sum::<u64>();
    judged.end.as_ref().map_or("no end line".to_owned(), |end| {
        let (entered, spans) = (sum(&end.entered), sum(&end.spans));
        format!(
            "{entered} calls entered, {spans} spans, {} without a return, {} lost",
            entered.saturating_sub(spans).saturating_sub(end.lost),
            end.lost
        )
    })
}

/// SHA-256 of a file as text, whatever its size.
pub(crate) fn digest_of_file(path: &Path) -> Result<String> {
    let shown = || path.display().to_string();
    let mut file = std::fs::File::open(path).with_context(shown)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 20];
    loop {
        let len = file.read(&mut piece).with_context(shown)?;
        match piece.get(..len) {
            Some(bytes) if len > 0 => hash.update(bytes),
            _ => break,
        }
    }
    Ok(text(hash.finalize()))
}

/// SHA-256 as text.
pub(crate) fn digest(data: &[u8]) -> String {
    text(Sha256::digest(data))
}

fn text(hash: impl AsRef<[u8]>) -> String {
    let bytes = hash.as_ref().iter();
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

fn write(report: &Report, out: &Path) -> Result<()> {
    let file = out.join("report.json");
    let text = serde_json::to_string_pretty(report).context("write the report")?;
    std::fs::write(&file, text + "\n").with_context(|| format!("write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_hashed_in_pieces() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for len in [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 7] {
            let bytes: Vec<u8> = (0..len).map(|n: u32| n.to_le_bytes()[0]).collect();
            std::fs::write(file.path(), &bytes).unwrap();
            assert_eq!(digest_of_file(file.path()).unwrap(), digest(&bytes));
        }
        assert!(digest_of_file(Path::new("/does/not/exist")).is_err());
    }
}
