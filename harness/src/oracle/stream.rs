//! A monitoring stream, and the run that it describes -> [`Finding`]s.
//!
//! Re-derives everything from the lines: counts per hook against the end line, nesting of each goroutine's calls, order
//! of each M's returns (a thread has no id before `minit`), times within the run, records that hooks published against
//! those that arrived. Losses are never hidden: what they make undecidable is inconclusive.

mod nesting;

use std::collections::BTreeMap;
use std::io::BufRead;

use gondwana_engine::event::{Call, End, ExitStatus, Header, Kind, Totals};
use gondwana_engine::export::ndjson;
use gondwana_engine::spec::Pattern;

use crate::executor::native::process::{self, Finished};
use crate::oracle::{Answer, Finding};
use crate::testbins::{Count, Expected};

/// Spans whose nesting is checked; the memory for more is better left to the program under test.
const NESTING_LIMIT: usize = 20_000_000;
/// Nanoseconds that the stream's clock and the harness's may differ.
const CLOCK_SLACK: u64 = 2_000_000_000;

/// What one hook did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fired {
    /// The function.
    pub name: String,
    /// Calls that got a frame.
    pub entered: u64,
    /// Calls with a span line.
    pub spans: u64,
    /// Those, by the hooked function during whose call they were made; `None`: during no other's.
    pub callers: BTreeMap<Option<u32>, u64>,
}

/// A stream, judged.
#[derive(Debug)]
pub struct Judged {
    /// The answers.
    pub findings: Vec<Finding>,
    /// The header, if there was one.
    pub header: Option<Header>,
    /// The end line, if there was one.
    pub end: Option<End>,
    /// What each hook did, by id.
    pub fired: Vec<Fired>,
    /// Spans whose nesting was not looked at: there were too many.
    pub unlooked: u64,
}

/// What the harness knows about the run besides its stream.
#[derive(Clone, Copy, Debug)]
pub struct Context<'c> {
    /// The run.
    pub run: &'c Finished,
    /// Nanoseconds since 1970 when it was started and when it had ended.
    pub times: (u64, u64),
    /// What the program must produce, where that is known.
    pub expected: &'c [Expected],
}

/// Reads and judges a stream.
#[must_use]
pub fn judge(input: impl BufRead, context: Context<'_>) -> Judged {
    let mut judged = Judged {
        findings: Vec::new(),
        header: None,
        end: None,
        fired: Vec::new(),
        unlooked: 0,
    };
    let reader = match ndjson::Reader::new(input) {
        Ok(reader) => reader,
        Err(error) => {
            judged.say("stream", Answer::Diverge(format!("not a stream: {error}")));
            return judged;
        }
    };
    let header = reader.header.clone();
    if let Some(reason) = header.reason.as_ref().filter(|_| !header.hooked) {
        let why = format!(
            "the program ran unhooked: {}: {}",
            reason.code, reason.message
        );
        judged.say("stream", Answer::Diverge(why));
    }
    let mut lines = Lines::new(header.hooks.len(), context.times);
    for line in reader {
        match line.map(|event| event.kind) {
            Ok(Kind::Span(span)) => lines.add(&span),
            Ok(Kind::End(end)) => {
                lines.ended(&end);
                judged.end = Some(end);
            }
            Ok(Kind::Totals(totals)) => lines.counted(&totals),
            Ok(other) => {
                let why = format!("{other:?}, which no strategy writes");
                judged.say("stream", Answer::Diverge(why));
            }
            Err(error) => {
                judged.say("stream", Answer::Diverge(error.to_string()));
                break;
            }
        }
    }
    judged.header = Some(header);
    judged.order(lines.order.take(), lines.time.take());
    let counts = lines.counts.take();
    judged.say(
        "counts on the way",
        counts.map_or(Answer::Agree, Answer::Diverge),
    );
    let callers = judged.nesting(&mut lines);
    judged.end(&lines, &callers, context);
    judged
}

/// What the span lines say.
struct Lines {
    spans: Vec<u64>,
    times: (u64, u64),
    /// Records that the lines stand for: with raw words a call has three.
    records: u64,
    /// When the last call on each M returned.
    ms: BTreeMap<u64, u64>,
    kept: Vec<nesting::Call>,
    dropped: u64,
    order: Option<String>,
    time: Option<String>,
    /// The counts so far.
    totals: Totals,
    /// Counts that are not those of the lines before them.
    counts: Option<String>,
}

impl Lines {
    fn new(hooks: usize, times: (u64, u64)) -> Self {
        Self {
            spans: vec![0; hooks],
            times,
            records: 0,
            ms: BTreeMap::new(),
            kept: Vec::new(),
            dropped: 0,
            order: None,
            time: None,
            totals: Totals::default(),
            counts: None,
        }
    }

    fn add(&mut self, span: &Call) {
        if let Some(count) = self.spans.get_mut(span.hook as usize) {
            *count += 1;
        }
        let end = span.start.saturating_add(span.dur);
        let (begun, ended) = self.times;
        if span.start.saturating_add(CLOCK_SLACK) < begun || end > ended.saturating_add(CLOCK_SLACK)
        {
            self.time.get_or_insert_with(|| {
                format!(
                    "a call from {} to {end}, in a run from {begun} to {ended}",
                    span.start
                )
            });
        }
        self.records += if span.args.is_some() { 3 } else { 1 };
        let last = self.ms.insert(span.m, end).unwrap_or(0);
        if end < last {
            self.order.get_or_insert_with(|| {
                let (m, tid) = (span.m, span.tid);
                format!("M {m} (thread {tid}) returned at {end} after it had returned at {last}")
            });
        }
        if self.kept.len() < NESTING_LIMIT {
            self.kept.push(nesting::Call::new(span));
        } else {
            self.dropped += 1;
        }
    }

    /// Counts while the program runs: spans are those of the lines so far, and none falls.
    fn counted(&mut self, now: &Totals) {
        let lines = |hook: u32| self.spans.get(hook as usize).copied().unwrap_or(0);
        let mut spans = now.spans.iter();
        let wrong = spans.find(|&(&hook, &count)| count != lines(hook));
        let wrong = wrong.map(|(&hook, count)| {
            let lines = lines(hook);
            format!("totals of {count} spans of hook {hook} after {lines} lines")
        });
        let entered = |hook: u32| self.totals.entered.get(&hook).copied().unwrap_or(0);
        let mut fallen = now.entered.iter();
        let fallen = fallen.find(|&(&hook, &count)| count < entered(hook));
        let fallen = fallen.map(|(&hook, count)| {
            let before = entered(hook);
            format!("totals of {count} calls of hook {hook} after {before}")
        });
        let older = (now.time < self.totals.time || now.lost < self.totals.lost)
            .then(|| "totals that are less than those before".to_owned());
        if let Some(why) = wrong.or(fallen).or(older) {
            self.counts.get_or_insert(why);
        }
        let mut entered = std::mem::take(&mut self.totals.entered);
        entered.extend(&now.entered);
        self.totals = Totals {
            entered,
            ..now.clone()
        };
    }

    /// What the end line says, against the counts that stood before it.
    fn ended(&mut self, end: &End) {
        let less = self.totals.entered.iter().find(|&(&hook, &count)| {
            let last = end.entered.get(hook as usize).copied();
            last.unwrap_or(0) < count
        });
        if let Some((hook, count)) = less {
            let why = format!("an end with fewer calls of hook {hook} than {count}");
            self.counts.get_or_insert(why);
        } else if end.lost < self.totals.lost {
            let why = "an end with fewer lost calls than before".to_owned();
            self.counts.get_or_insert(why);
        }
    }
}

/// Whether calls that have no span can have none: for whole programs, of which nothing else is known.
///
/// A call without a span did not return, or its record was dropped before it was published. What bytes and counts prove:
/// initialisers have returned when `main.main` is entered (runtime/proc.go, `main`), and of functions that are called again
/// and again some call returns before the program ends by itself. One call each may be the last one: then nothing was seen
/// of what hooks do at a return.
#[must_use]
pub fn returns(judged: &Judged, ended_by_itself: bool) -> Finding {
    let fired = || judged.fired.iter().filter(|hook| hook.entered > 0);
    let initialiser = |name: &str| {
        let last = name.rsplit_once(".init").map(|(_, last)| last);
        last.is_some_and(|last| {
            let number = last.strip_prefix('.').unwrap_or("0");
            number.bytes().all(|b| b.is_ascii_digit()) && (last.is_empty() || last.starts_with('.'))
        })
    };
    let lost = judged.end.as_ref().map_or(0, |end| end.lost);
    let stuck = fired().find(|hook| initialiser(&hook.name) && hook.entered > hook.spans);
    let in_main = fired().any(|hook| hook.name == "main.main");
    let again = fired().max_by_key(|hook| hook.entered);
    let answer = match (stuck, again) {
        (Some(hook), _) if in_main && lost == 0 => Answer::Diverge(format!(
            "{} has {} calls and {} spans, although main.main was entered",
            hook.name, hook.entered, hook.spans
        )),
        (_, Some(most)) if lost == 0 && fired().all(|hook| hook.spans == 0) => {
            if most.entered > 1 && ended_by_itself {
                let name = &most.name;
                Answer::Diverge(format!(
                    "{} calls of {name}, and no span of any hook",
                    most.entered
                ))
            } else {
                let why = "no hooked call returned: what hooks do at a return was not seen";
                Answer::Inconclusive(why.to_owned())
            }
        }
        _ => Answer::Agree,
    };
    Finding {
        what: "calls without a span".to_owned(),
        answer,
    }
}

impl Judged {
    fn say(&mut self, what: impl Into<String>, answer: Answer) {
        self.findings.push(Finding {
            what: what.into(),
            answer,
        });
    }

    fn order(&mut self, order: Option<String>, time: Option<String>) {
        self.say(
            "order of each M",
            order.map_or(Answer::Agree, Answer::Diverge),
        );
        self.say(
            "times within the run",
            time.map_or(Answer::Agree, Answer::Diverge),
        );
    }

    fn nesting(&mut self, lines: &mut Lines) -> nesting::Callers {
        self.unlooked = lines.dropped;
        let (answer, callers) = match nesting::check(&mut lines.kept) {
            Err(what) => (Answer::Diverge(what), nesting::Callers::new()),
            Ok(callers) => (Answer::Agree, callers),
        };
        self.say("nesting of each goroutine", answer);
        callers
    }

    /// Everything that needs the end line.
    fn end(&mut self, lines: &Lines, callers: &nesting::Callers, context: Context<'_>) {
        let Some(end) = self.end.clone() else {
            self.say(
                "end",
                Answer::Diverge("the stream has no end line".to_owned()),
            );
            return;
        };
        // The agent is no parent of the program: it may come too late to be told.
        if let Some(said) = end.exit {
            self.say("exit status", exit(said, context.run.end));
        }
        let names: Vec<String> = match &self.header {
            Some(header) => header.hooks.iter().map(|hook| hook.name.clone()).collect(),
            None => Vec::new(),
        };
        let mut missing = 0;
        for (hook, (((name, &entered), &said), &seen)) in names
            .iter()
            .zip(&end.entered)
            .zip(&end.spans)
            .zip(&lines.spans)
            .enumerate()
        {
            missing += entered.saturating_sub(seen);
            let answer = if said != seen {
                Answer::Diverge(format!("the end line says {said} spans, there are {seen}"))
            } else if seen > entered {
                Answer::Diverge(format!("entered {entered} times, returned {seen} times"))
            } else {
                Answer::Agree
            };
            self.say(format!("count of {name}"), answer);
            self.fired.push(Fired {
                name: name.clone(),
                entered,
                spans: seen,
                callers: callers
                    .iter()
                    .filter(|((callee, _), _)| *callee as usize == hook)
                    .map(|(&(_, caller), &calls)| (caller, calls))
                    .collect(),
            });
        }
        let accounted = end.lost.saturating_add(end.malformed);
        let losses = if end.malformed != 0 {
            Answer::Diverge(format!("{} malformed records", end.malformed))
        } else if accounted > missing {
            Answer::Diverge(format!(
                "{accounted} spans said to be lost, {missing} are missing"
            ))
        } else {
            Answer::Agree
        };
        self.say("losses", losses);
        let arrived = lines.records.saturating_add(end.malformed);
        let records = match end.published.cmp(&arrived) {
            std::cmp::Ordering::Equal => Answer::Agree,
            _ => Answer::Diverge(format!(
                "the hooks published {} records, {arrived} arrived",
                end.published
            )),
        };
        self.say("records", records);
        for expected in context.expected {
            self.expect(expected, &end);
        }
    }

    fn expect(&mut self, expected: &Expected, end: &End) {
        let Ok(pattern) = Pattern::parse(&expected.pattern) else {
            let why = format!("`{}` is no pattern", expected.pattern);
            self.say("expectation", Answer::Diverge(why));
            return;
        };
        let of = |f: fn(&Fired) -> u64| -> u64 {
            let fired = self.fired.iter().filter(|f| pattern.matches(&f.name));
            fired.map(f).sum()
        };
        let (entered, spans) = (of(|f| f.entered), of(|f| f.spans));
        let abandoned = entered.saturating_sub(spans);
        // Lost spans are calls that returned; of which hooks they were is not known.
        let explained = |lost: u64| {
            expected.spans.admits(spans + lost) && expected.abandoned.admits(abandoned - lost)
        };
        let most = end.lost.min(abandoned);
        let wanted = match (expected.spans, expected.abandoned) {
            (Count::Exactly(n), _) => n.saturating_sub(spans),
            (_, Count::Exactly(n)) => abandoned.saturating_sub(n),
            (Count::AtLeast(n), Count::AtLeast(_)) => n.saturating_sub(spans),
        };
        let answer = if explained(wanted.min(most)) {
            Answer::Agree
        } else {
            let what = format!(
                "expected {} calls and {} abandoned, got {spans} and {abandoned}",
                expected.spans, expected.abandoned
            );
            let unseen = end.skipped.no_room.saturating_add(end.skipped.deep);
            match unseen {
                0 => Answer::Diverge(what),
                _ => Answer::Inconclusive(format!("{what}; {unseen} calls ran without their hook")),
            }
        };
        self.say(format!("expectation of {}", expected.pattern), answer);
    }
}

fn exit(said: ExitStatus, seen: process::End) -> Answer {
    let agrees = match (said, seen) {
        (ExitStatus::Code(a), process::End::Status(b)) => a == b,
        (ExitStatus::Signal(a), process::End::Signal(b)) => a == b,
        (_, process::End::TimedOut) => true,
        _ => false,
    };
    if agrees {
        Answer::Agree
    } else {
        Answer::Diverge(format!(
            "the stream says {said:?}, the program ended with {seen}"
        ))
    }
}

#[cfg(test)]
mod tests;
