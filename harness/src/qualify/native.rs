//! The sections `output` and `stream`: the program unhooked twice, then hooked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use gondwana_engine::event::Header;

use super::Request;
use crate::executor::native::hooked::{self, Agent};
use crate::executor::native::process::{self, Finished};
use crate::oracle::{Finding, process as output, stream};
use crate::report::case::{self, Case, Native};
use crate::report::{Hook, Section, Skipped};
use crate::testbins::Expected;

/// How long the agent may take to end after the program.
const PATIENCE: Duration = Duration::from_secs(30);
/// The directory of the one native case.
const CASE: &str = "cases/native";

/// What the native runs gave.
pub(super) struct Outcome {
    pub(super) sections: Vec<Section>,
    pub(super) hooks: Vec<Hook>,
    pub(super) deviations: Vec<String>,
    pub(super) skipped: Vec<Skipped>,
}

/// The three runs, judged.
struct Runs {
    output: Vec<Finding>,
    stream: stream::Judged,
    hooked: Finished,
    unhooked: [Finished; 2],
}

pub(super) fn sections(
    request: &Request,
    patterns: &[String],
    sha256: &str,
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
        scenario: request.scenario.clone(),
    };
    let stream_file = request.out.join("stream.ndjson");
    let mut runs = run(
        &native,
        &request.agent,
        &stream_file,
        &request.expected,
        progress,
    )?;
    if let Some(promised) = request.exit {
        let [first, _] = &runs.unhooked;
        runs.output.push(output::judge_exit(promised, first));
    }
    let failed = runs
        .output
        .iter()
        .chain(&runs.stream.findings)
        .any(|f| !f.answer.agrees());
    if failed {
        case::write(&request.out, CASE, &Case::Native(Box::new(native)))?;
        keep(&request.out.join(CASE), &runs)?;
    }
    Ok(outcome(&runs, failed.then_some(CASE)))
}

/// Runs a case again: the answers of its output and its stream.
///
/// # Errors
/// When the program is not what it was, or cannot be run.
pub fn replay(native: &Native, agent: &Agent) -> Result<Vec<Finding>> {
    let data =
        std::fs::read(&native.program).with_context(|| native.program.display().to_string())?;
    if super::digest(&data) != native.sha256 {
        bail!(
            "{} is not the file that the case is about",
            native.program.display()
        );
    }
    let dir = tempfile::tempdir().context("make a directory for the stream")?;
    let runs = run(
        native,
        agent,
        &dir.path().join("stream.ndjson"),
        &[],
        &mut |_| {},
    )?;
    Ok(runs
        .output
        .into_iter()
        .chain(runs.stream.findings)
        .collect())
}

fn run(
    native: &Native,
    agent: &Agent,
    stream_file: &Path,
    expected: &[Expected],
    progress: &mut impl FnMut(&str),
) -> Result<Runs> {
    let scenario = &native.scenario;
    let unhooked = || {
        let mut command = Command::new(&native.program);
        command.args(&scenario.args);
        process::run(command, scenario)
    };
    progress("running unhooked");
    let first = unhooked()?;
    progress("running unhooked again");
    let second = unhooked()?;
    progress("running hooked");
    match std::fs::remove_file(stream_file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove {}", stream_file.display()));
        }
        _ => {}
    }
    let begun = now();
    let command = agent.command(
        &native.program,
        &native.patterns,
        stream_file,
        &scenario.args,
    );
    let hooked = process::run(command, scenario)?;
    hooked::wait_for_end(stream_file, PATIENCE);
    let ended = now();
    let context = stream::Context {
        run: &hooked,
        times: (begun, ended),
        expected,
    };
    let stream = match File::open(stream_file) {
        Ok(file) => stream::judge(BufReader::new(file), context),
        // No stream is a stream without a line.
        Err(_) => stream::judge(std::io::empty(), context),
    };
    if let Some(reason) = stream.header.as_ref().and_then(cannot_hook) {
        bail!("cannot run the program hooked: {reason}");
    }
    Ok(Runs {
        output: output::judge([&first, &second], &hooked),
        stream,
        hooked,
        unhooked: [first, second],
    })
}

/// Why this machine cannot run programs hooked, which says nothing about the hooks.
fn cannot_hook(header: &Header) -> Option<String> {
    let reason = header.reason.as_ref()?;
    ["not-permitted", "output", "system"]
        .contains(&reason.code.as_str())
        .then(|| reason.message.clone())
}

fn outcome(runs: &Runs, case: Option<&str>) -> Outcome {
    let millis = |run: &Finished| run.elapsed.as_millis();
    let [first, second] = &runs.unhooked;
    let output = Section::of_findings(
        "output",
        format!(
            "unhooked {} ms, {} ms; hooked {} ms",
            millis(first),
            millis(second),
            millis(&runs.hooked)
        ),
        &runs.output,
        case,
    );
    let end = runs.stream.end.as_ref();
    let sum = |counts: &[u64]| counts.iter().sum::<u64>();
    let note = end.map_or("no end line".to_owned(), |end| {
        let (entered, spans) = (sum(&end.entered), sum(&end.spans));
        format!(
            "{entered} calls entered, {spans} spans, {} without a return, {} lost",
            entered.saturating_sub(spans).saturating_sub(end.lost),
            end.lost
        )
    });
    let stream = Section::of_findings("stream", note, &runs.stream.findings, case);
    let skipped = end.map_or(Vec::new(), |end| {
        [
            (end.lost, "calls", "their spans were lost: the ring was full"),
            (end.skipped.no_room, "calls", "ran without their hook: too little stack (the restart after stack growth is hooked)"),
            (end.skipped.no_g, "calls", "ran without their hook: outside of any goroutine"),
            (end.skipped.gsignal, "calls", "ran without their hook: on the signal stack"),
        ]
        .into_iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, what, why)| Skipped { what: what.to_owned(), count, why: why.to_owned() })
        .collect()
    });
    let header = runs.stream.header.as_ref();
    let name = |id: Option<u32>| {
        let fired = id.and_then(|id| runs.stream.fired.get(id as usize));
        fired.map_or_else(String::new, |fired| fired.name.clone())
    };
    let callers = |fired: &stream::Fired| {
        let mut callers = BTreeMap::new();
        for (&caller, &calls) in &fired.callers {
            *callers.entry(name(caller)).or_default() += calls;
        }
        callers
    };
    let hooks = runs
        .stream
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
        .collect();
    Outcome {
        sections: vec![output, stream],
        hooks,
        deviations: header.map_or_else(Vec::new, |header| header.deviations.clone()),
        skipped,
    }
}

/// Keeps what the runs wrote beside their case.
fn keep(dir: &Path, runs: &Runs) -> Result<()> {
    let [first, second] = &runs.unhooked;
    for (name, run) in [
        ("unhooked-1", first),
        ("unhooked-2", second),
        ("hooked", &runs.hooked),
    ] {
        for (stream, bytes) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
            let file = dir.join(format!("{name}.{stream}"));
            std::fs::write(&file, bytes).with_context(|| format!("write {}", file.display()))?;
        }
    }
    Ok(())
}

/// Nanoseconds since 1970.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_nanos()).ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reasons_that_lie_in_the_machine_are_failures_of_the_tool() {
        let header = |reason: &str| -> Header {
            let text = format!(
                r#"{{"schema":"gondwana.stream","version":2,"hooked":false,{reason}
                "host":{{"name":"h","kernel":"6"}},"process":{{"pid":1,"start":1,"exe":"/x"}},"hooks":[],"refusals":[],"unmatched":[]}}"#
            );
            serde_json::from_str(&text).unwrap()
        };
        let reason = |code: &str| format!(r#""reason":{{"code":"{code}","message":"why"}},"#);
        assert_eq!(
            cannot_hook(&header(&reason("not-permitted"))).as_deref(),
            Some("why")
        );
        for code in ["rejected", "plan", "memory-differs", "nothing-hookable"] {
            assert_eq!(cannot_hook(&header(&reason(code))), None);
        }
        assert_eq!(cannot_hook(&header("")), None);
    }
}
