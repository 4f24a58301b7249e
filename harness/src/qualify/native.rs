//! The sections `exit`, `output`, `stream` and `memory`: the program unhooked and hooked; and once more in FIPS mode, if it
//! has code that checks itself there.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::runs::{self, Runs};
use super::{Request, stream_note};
use crate::executor::native::hooked::Agent;
use crate::executor::native::process::{Finished, Scenario};
use crate::oracle::{Finding, output, stream};
use crate::report::case::{self, Case, Native};
use crate::report::{Hook, Part, Section, Skipped};

/// The directory of the case of the plain runs.
const CASE: &str = "cases/native";
/// The directory of the case of the runs in FIPS mode.
const CASE_FIPS: &str = "cases/native-fips140";
/// The variable with the runtime's settings, and the one that turns FIPS mode on (Go 1.24, crypto/internal/fips140/check:
/// the program then hashes its own code between `go:textfipsstart` and `go:textfipsend`).
const GODEBUG: &str = "GODEBUG";
const FIPS: &str = "fips140=on";

/// What the native runs gave.
pub(super) struct Outcome {
    pub(super) sections: Vec<Section>,
    pub(super) hooks: Vec<Hook>,
    pub(super) deviations: Vec<String>,
    pub(super) skipped: Vec<Skipped>,
}

/// Runs in one setting, with what is said of them.
struct Group {
    /// Stands before what is said, if there is more than one setting.
    label: &'static str,
    runs: Runs,
    case: Option<String>,
}

/// Makes all runs. `fips`: whether the program has FIPS code.
pub(super) fn sections(
    request: &Request,
    patterns: &[String],
    sha256: &str,
    fips: bool,
    progress: &mut impl FnMut(&str),
) -> Result<Outcome> {
    let program = request
        .program
        .canonicalize()
        .with_context(|| request.program.display().to_string())?;
    let native = Native {
        program,
        sha256: sha256.to_owned(),
        patterns: patterns.to_owned(),
        masks: request.masks.clone(),
        scenario: request.scenario.clone(),
    };
    let mut groups = vec![group(
        request,
        native.clone(),
        "",
        "stream.ndjson",
        CASE,
        progress,
    )?];
    if fips {
        let native = Native {
            scenario: in_fips_mode(&native.scenario),
            ..native
        };
        let mut progress = |what: &str| progress(&format!("{FIPS}: {what}"));
        let file = "stream-fips140.ndjson";
        groups.push(group(
            request,
            native,
            FIPS,
            file,
            CASE_FIPS,
            &mut progress,
        )?);
    }
    outcome(request, patterns, &groups)
}

/// The scenario with FIPS mode on, other settings of the runtime kept.
fn in_fips_mode(scenario: &Scenario) -> Scenario {
    let mut scenario = scenario.clone();
    let own = scenario.env.iter().rev().find(|(name, _)| name == GODEBUG);
    let settings = match own {
        Some((_, settings)) => settings.clone(),
        None => std::env::var(GODEBUG).unwrap_or_default(),
    };
    let comma = if settings.is_empty() { "" } else { "," };
    // The last of equal settings counts (runtime/runtime1.go, parsegodebug).
    scenario
        .env
        .push((GODEBUG.to_owned(), format!("{settings}{comma}{FIPS}")));
    scenario
}

fn group(
    request: &Request,
    native: Native,
    label: &'static str,
    stream_file: &str,
    place: &str,
    progress: &mut impl FnMut(&str),
) -> Result<Group> {
    let stream_file = request.out.join(stream_file);
    let mut runs = runs::make(
        &native,
        &request.agent,
        &stream_file,
        &request.expected,
        progress,
    )?;
    if let Some(promised) = request.exit
        && let Some(first) = runs.settled.unhooked.first()
    {
        let finding = output::judge_exit(promised, first);
        runs.settled.output.exit.push(finding);
    }
    let is_bad = |finding: &Finding| !finding.answer.agrees();
    let failed = runs
        .settled
        .findings()
        .chain(&runs.stream.findings)
        .any(is_bad);
    if failed {
        case::write(&request.out, place, &Case::Native(Box::new(native)))?;
        runs::keep(&request.out.join(place), &runs.settled, &runs.hooked)?;
    }
    Ok(Group {
        label,
        runs,
        case: failed.then(|| place.to_owned()),
    })
}

/// Runs a case again: its answers.
///
/// # Errors
/// When the program is not what it was, or cannot be run.
pub fn replay(native: &Native, agent: &Agent) -> Result<Vec<Finding>> {
    if super::digest_of_file(&native.program)? != native.sha256 {
        bail!(
            "{} is not the file that the case is about",
            native.program.display()
        );
    }
    let dir = tempfile::tempdir().context("make a directory for the stream")?;
    let stream = dir.path().join("stream.ndjson");
    let runs = runs::make(native, agent, &stream, &[], &mut |_| {})?;
    Ok(runs
        .settled
        .findings()
        .chain(&runs.stream.findings)
        .cloned()
        .collect())
}

fn outcome(request: &Request, patterns: &[String], groups: &[Group]) -> Result<Outcome> {
    let hooks = groups
        .first()
        .map_or(Vec::new(), |group| hooks(&group.runs.stream));
    // Without patterns nobody asked for a hook that must fire.
    let silent = match request.patterns.is_empty() {
        true => Vec::new(),
        false => super::never_fired(patterns, &hooks)?,
    };
    let section = |name: &str, part: fn(&Runs) -> (String, &[Finding])| {
        let parts: Vec<Part<'_>> = groups
            .iter()
            .map(|group| {
                let (note, findings) = part(&group.runs);
                let colon = if group.label.is_empty() { "" } else { ": " };
                Part {
                    note: format!("{}{colon}{note}", group.label),
                    findings,
                    open: Vec::new(),
                    case: group.case.clone(),
                }
            })
            .collect();
        (name.to_owned(), parts)
    };
    let mut sections = vec![
        section("exit", |runs| (times(runs), &runs.settled.output.exit)),
        section("output", |runs| (masked(runs), &runs.settled.output.output)),
        section("stream", |runs| {
            (stream_note(&runs.stream), &runs.stream.findings)
        }),
        section("memory", |runs| {
            (
                runs.settled.memory.note.clone(),
                &runs.settled.memory.findings,
            )
        }),
    ];
    for (name, parts) in &mut sections {
        if let ("stream", Some(part)) = (name.as_str(), parts.first_mut()) {
            part.open = silent
                .iter()
                .map(|pattern| format!("hook `{pattern}` never fired"))
                .collect();
        }
    }
    Ok(Outcome {
        sections: sections
            .iter()
            .map(|(name, parts)| Section::of(name, parts))
            .collect(),
        deviations: groups
            .first()
            .and_then(|group| group.runs.stream.header.as_ref())
            .map_or_else(Vec::new, |header| header.deviations.clone()),
        skipped: groups
            .iter()
            .flat_map(|group| skipped(&group.runs))
            .collect(),
        hooks,
    })
}

fn times(runs: &Runs) -> String {
    let millis = |run: &Finished| format!("{} ms", run.elapsed.as_millis());
    let unhooked: Vec<String> = runs.settled.unhooked.iter().map(millis).collect();
    format!(
        "unhooked {}; hooked {}",
        unhooked.join(", "),
        millis(&runs.hooked)
    )
}

fn masked(runs: &Runs) -> String {
    match runs.settled.output.masked.as_str() {
        "" => format!("the same in {} unhooked runs", runs.settled.unhooked.len()),
        masked => format!("{} unhooked runs; {masked}", runs.settled.unhooked.len()),
    }
}

/// What was not seen of these runs.
fn skipped(runs: &Runs) -> Vec<Skipped> {
    let end = runs.stream.end.as_ref();
    let counts = end.map_or(Vec::new(), |end| {
        vec![
            (end.lost, "calls", "their spans were lost: the ring was full"),
            (end.skipped.no_room, "calls", "ran without their hook: too little stack (the restart after stack growth is hooked)"),
            (end.skipped.no_g, "calls", "ran without their hook: outside of any goroutine"),
            (end.skipped.gsignal, "calls", "ran without their hook: on the signal stack"),
            (end.skipped.deep, "calls", "ran without their hook: too deep in the stack"),
        ]
    });
    let short = u64::from(runs.settled.memory.short);
    counts
        .into_iter()
        .chain([
            (
                runs.stream.unlooked,
                "spans",
                "their nesting was not looked at: too many",
            ),
            (
                short,
                "trend of memory",
                "a run took less than a second: its greatest memory alone was compared",
            ),
        ])
        .filter(|(count, ..)| *count > 0)
        .map(|(count, what, why)| Skipped {
            what: what.to_owned(),
            count,
            why: why.to_owned(),
        })
        .collect()
}

/// What each hook did.
fn hooks(judged: &stream::Judged) -> Vec<Hook> {
    let header = judged.header.as_ref();
    let name = |id: Option<u32>| {
        let fired = id.and_then(|id| judged.fired.get(id as usize));
        fired.map_or_else(String::new, |fired| fired.name.clone())
    };
    let callers = |fired: &stream::Fired| {
        let mut callers = BTreeMap::new();
        for (&caller, &calls) in &fired.callers {
            *callers.entry(name(caller)).or_default() += calls;
        }
        callers
    };
    judged
        .fired
        .iter()
        .enumerate()
        .map(|(id, fired)| {
            let hook = header.and_then(|header| header.hooks.get(id));
            Hook {
                name: fired.name.clone(),
                strategy: hook.map_or_else(String::new, |hook| hook.strategy.clone()),
                abi: hook.map_or_else(String::new, |hook| hook.abi.clone()),
                args: hook.map_or(0, |hook| hook.args),
                entered: fired.entered,
                spans: fired.spans,
                callers: callers(fired),
                inlined: hook.map_or(0, |hook| hook.inlined),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fips_mode_is_added_to_the_settings_that_are_there() {
        let of = |env: &[(&str, &str)]| {
            let env = env
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect();
            let scenario = Scenario {
                env,
                ..Scenario::default()
            };
            in_fips_mode(&scenario).env.last().cloned()
        };
        let set = |value: &str| Some((GODEBUG.to_owned(), value.to_owned()));
        assert_eq!(of(&[(GODEBUG, "gctrace=1")]), set("gctrace=1,fips140=on"));
        assert_eq!(
            of(&[(GODEBUG, "a=1"), ("X", "y"), (GODEBUG, "b=2")]),
            set("b=2,fips140=on")
        );
        assert_eq!(of(&[(GODEBUG, "")]), set("fips140=on"));
    }
}
