//! A program and hooks -> its unhooked runs and its hooked one, judged together.
//!
//! Unhooked twice, then hooked; then unhooked again as often as the oracles want, while that takes little time. Watches memory, keeps no file but the
//! stream.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use gondwana_engine::event::Header;
use regex::Regex;

use crate::executor::native::hooked::{self, Agent};
use crate::executor::native::process::{self, End, Finished, Reached, Scenario};
use crate::oracle::output::{MOST, SURE, Wants};
use crate::oracle::{Finding, memory, output, stream};
use crate::report::case::Native;
use crate::testbins::Expected;

/// How long the agent may take to end after the program.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long unhooked runs may take, all together, that are made beyond [`MOST`] to be sure of a difference.
const SURE_WITHIN: Duration = Duration::from_secs(10);

/// The runs and what the oracles say of them.
pub struct Runs {
    /// The hooked run.
    pub hooked: Finished,
    /// The unhooked runs with what they say.
    pub settled: Settled,
    /// The hooked run's stream.
    pub stream: stream::Judged,
}

/// A run, compared with as many unhooked ones as that takes.
#[derive(Debug)]
pub struct Settled {
    /// The unhooked runs.
    pub unhooked: Vec<Finished>,
    /// Ends and output.
    pub output: output::Judged,
    /// Memory.
    pub memory: memory::Judged,
}

impl Settled {
    /// All answers, by section.
    #[must_use]
    pub fn sections(&self) -> [(&'static str, &[Finding]); 3] {
        [
            ("exit", &self.output.exit),
            ("output", &self.output.output),
            ("memory", &self.memory.findings),
        ]
    }

    /// All answers.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.sections()
            .into_iter()
            .flat_map(|(_, findings)| findings)
    }
}

/// Compares a run with unhooked ones; `more` makes another of these.
///
/// # Errors
/// Those of `more`.
pub fn settle(
    hooked: &Finished,
    mut unhooked: Vec<Finished>,
    masks: &[Regex],
    mut more: impl FnMut(usize) -> Result<Finished>,
) -> Result<Settled> {
    let mut comparison = output::Comparison::new(hooked, masks);
    loop {
        let memory = memory::judge(&unhooked, hooked);
        let wants = comparison.wants(&unhooked);
        let spent: Duration = unhooked.iter().map(|run| run.elapsed).sum();
        let most = match wants {
            Wants::UntilSure if spent < SURE_WITHIN => SURE,
            Wants::Nothing if !memory.wants_more => 0,
            _ => MOST,
        };
        if unhooked.len() >= most {
            return Ok(Settled {
                output: comparison.judge(&unhooked),
                unhooked,
                memory,
            });
        }
        // To be sure takes many; looking at each of them would take longer than they do.
        let next = match unhooked.len() {
            few if few < MOST => few + 1,
            many => (many + many / 3).min(most),
        };
        while unhooked.len() < next {
            unhooked.push(more(unhooked.len() + 1)?);
        }
    }
}

/// Runs the program unhooked.
///
/// # Errors
/// When it cannot be run, or never was ready: then there is nothing to compare with.
pub fn unhooked(program: &Path, scenario: &Scenario) -> Result<Finished> {
    let run = as_it_is(program, scenario)?;
    if let (Some(sign), Reached::Start) = (&scenario.ready, run.reached) {
        bail!("not ready ({sign:?}): {}", run.end);
    }
    Ok(run)
}

/// Runs the program unhooked; one that never is ready, too, has been run.
///
/// # Errors
/// When it cannot be run.
pub fn as_it_is(program: &Path, scenario: &Scenario) -> Result<Finished> {
    let mut command = Command::new(program);
    command.args(&scenario.args);
    Ok(process::run_watched(command, scenario, program)?)
}

/// Keeps what the runs wrote, `unhooked-N.stdout`, `hooked.stderr` and so on, in a directory that is there; in `*.memory`
/// the samples: microseconds and bytes.
///
/// # Errors
/// When a file cannot be written.
pub fn keep(dir: &Path, settled: &Settled, hooked: &Finished) -> Result<()> {
    let unhooked = settled.unhooked.iter().enumerate();
    let named = unhooked.map(|(index, run)| (format!("unhooked-{}", index + 1), run));
    for (name, run) in named.chain([("hooked".to_owned(), hooked)]) {
        let memory: String = run
            .memory
            .iter()
            .map(|sample| format!("{} {}\n", sample.at.as_micros(), sample.bytes))
            .collect();
        let memory = memory.into_bytes();
        for (stream, bytes) in [
            ("stdout", &run.stdout),
            ("stderr", &run.stderr),
            ("memory", &memory),
        ] {
            let file = dir.join(format!("{name}.{stream}"));
            std::fs::write(&file, bytes).with_context(|| format!("write {}", file.display()))?;
        }
    }
    Ok(())
}

/// Runs the program hooked, and waits for the end of its stream.
///
/// # Errors
/// When it cannot be run.
pub fn hooked(
    program: &Path,
    patterns: &[String],
    scenario: &Scenario,
    agent: &Agent,
    stream_file: &Path,
) -> Result<Finished> {
    match std::fs::remove_file(stream_file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("remove {}", stream_file.display()));
        }
        _ => {}
    }
    let command = agent.command(program, patterns, stream_file, &scenario.args);
    let run = process::run_watched(command, scenario, program)?;
    hooked::wait_for_end(stream_file, PATIENCE);
    Ok(run)
}

/// Makes and judges all runs of a case.
pub(super) fn make(
    native: &Native,
    agent: &Agent,
    stream_file: &Path,
    expected: &[Expected],
    progress: &mut impl FnMut(&str),
) -> Result<Runs> {
    let scenario = &native.scenario;
    let masks = native.masks.iter().map(|mask| Regex::new(mask));
    let masks: Vec<Regex> = masks.collect::<Result<_, _>>().context("a mask")?;
    progress("running unhooked");
    let first = unhooked(&native.program, scenario)?;
    progress("running unhooked again");
    let second = unhooked(&native.program, scenario)?;
    progress("running hooked");
    let begun = now();
    let hooked = hooked(
        &native.program,
        &native.patterns,
        scenario,
        agent,
        stream_file,
    )?;
    let times = (begun, now());
    let context = stream::Context {
        run: &hooked,
        times,
        expected,
    };
    let mut stream = match File::open(stream_file) {
        Ok(file) => stream::judge(BufReader::new(file), context),
        // No stream is a stream without a line.
        Err(_) => stream::judge(std::io::empty(), context),
    };
    if let Some(reason) = stream.header.as_ref().and_then(cannot_hook) {
        bail!("cannot run the program hooked: {reason}");
    }
    // What is promised of a program says better which of its calls return.
    if expected.is_empty() && stream.end.is_some() {
        let by_itself = hooked.reached == Reached::Ready && hooked.end != End::TimedOut;
        stream.findings.push(stream::returns(&stream, by_itself));
    }
    let settled = settle(&hooked, vec![first, second], &masks, |number| {
        progress(&format!("running unhooked, {number} times now: it varies"));
        unhooked(&native.program, scenario)
    })?;
    Ok(Runs {
        hooked,
        settled,
        stream,
    })
}

/// Why this machine cannot run programs hooked, which says nothing about the hooks.
fn cannot_hook(header: &Header) -> Option<String> {
    let reason = header.reason.as_ref()?;
    ["not-permitted", "output", "system", "memory"]
        .contains(&reason.code.as_str())
        .then(|| reason.message.clone())
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
                r#"{{"kind":"header","schema":"gondwana.stream","version":"2.0","hooked":false,{reason}
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
