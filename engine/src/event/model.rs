//! What a stream says, as data: what it begins with, and what comes after. Names of fields are those of each written form.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::clock::Clock;
use crate::addr::RunAddr;
use crate::ring::{self, Span};

/// What a stream begins with: a process, and what is hooked in it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Header {
    /// Whether the program runs hooked.
    pub hooked: bool,
    /// If not, why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Where.
    pub host: Host,
    /// Which process.
    pub process: Process,
    /// Which program; absent if it is no Go program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<Program>,
    /// The hooks, by id.
    pub hooks: Vec<Hook>,
    /// What hooks cost the program; absent if it is not hooked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// What the program can notice of hooks, as stable codes; absent if it is not hooked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deviations: Vec<String>,
    /// Functions that were asked for and are not hooked.
    pub refusals: Vec<Refused>,
    /// Patterns that match no function of the program.
    pub unmatched: Vec<Unmatched>,
    /// How time stamps became times; absent if there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
}

/// Why a program runs unhooked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reason {
    /// Stable code.
    pub code: String,
    /// For people.
    pub message: String,
}

/// The machine.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Release of its kernel.
    pub kernel: String,
}

/// The process.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// When it started, in clock ticks after boot: with the id it names the process for ever.
    pub start: u64,
    /// The executed file.
    pub exe: String,
}

/// The program.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Program {
    /// `runtime.buildVersion`.
    pub go: String,
    /// Import path of package main; empty if unknown.
    pub path: String,
    /// Path and version of the main module; empty if unknown.
    pub module: String,
    /// Build settings, as `go version -m` shows them; empty before Go 1.18.
    pub settings: BTreeMap<String, String>,
    /// How far the loader moved the program.
    pub slide: RunAddr,
}

/// One hook.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hook {
    /// Its number in span lines: its index in the list.
    pub id: u32,
    /// The function.
    pub name: String,
    /// Its entry in the process.
    pub entry: RunAddr,
    /// `frame`.
    pub strategy: String,
    /// `abi0` or `abi-internal`.
    pub abi: String,
    /// Bytes of stack arguments and spill area.
    pub args: u32,
    /// Calls that the compiler inlined are not seen; in so many places it did.
    pub inlined: u32,
    /// Whether raw words are recorded.
    pub raw: bool,
}

/// Memory that hooks take of the program, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Memory {
    /// The mapping of records and counters: at most so much, whatever the number of threads and calls.
    pub records: u64,
    /// Threads (Ms) that have a ring of their own in it; the others share one.
    pub rings: u32,
    /// Records in each.
    pub slots: u32,
    /// Counters of one hook; part of `records`.
    pub counters: u64,
    /// Code of all hooks.
    pub code: u64,
    /// Their tables.
    pub tables: u64,
    /// Pages of the program's text that are its own since jumps stand in them.
    pub text: u64,
}

/// A function that was asked for and is not hooked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Refused {
    /// The function.
    pub name: String,
    /// Stable code.
    pub code: String,
    /// For people.
    pub detail: String,
}

/// A pattern that matches no function.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Unmatched {
    /// The pattern.
    pub pattern: String,
    /// Names of functions that come close, best first.
    pub nearest: Vec<String>,
}

/// One moment: counter and time of day.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Anchor {
    /// Time stamp counter.
    pub tsc: u64,
    /// Nanoseconds since 1970.
    pub unix_ns: u64,
}

/// What is told after the header.
#[derive(Clone, PartialEq, Debug)]
pub struct Event {
    /// The process that it is about; `None`: that of the header.
    pub pid: Option<i32>,
    /// What it is.
    pub kind: Kind,
}

/// The kinds of events.
#[derive(Clone, PartialEq, Debug)]
pub enum Kind {
    /// A call that has returned.
    Span(Call),
    /// A call has begun. For strategies that see beginnings and ends apart.
    Enter(Moment),
    /// A call has returned, likewise.
    Exit(Moment),
    /// A call was left by a panic or by `runtime.Goexit`, likewise.
    Unwound(Moment),
    /// A time of which nothing is known.
    Gap(Gap),
    /// Counts so far.
    Totals(Totals),
    /// This file ends, the stream goes on in another one.
    Part(Part),
    /// The stream's end.
    End(End),
}

impl From<Kind> for Event {
    fn from(kind: Kind) -> Self {
        Self { pid: None, kind }
    }
}

/// One finished call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Call {
    /// Id of the hook.
    pub hook: u32,
    /// Nanoseconds since 1970 at entry.
    pub start: u64,
    /// Nanoseconds from entry to exit.
    pub dur: u64,
    /// Goroutine id.
    pub g: u64,
    /// Linux thread id at exit.
    pub tid: u64,
    /// Id of the runtime's M at exit.
    pub m: u64,
    /// Bytes of stack in use at entry.
    pub depth: u64,
    /// Raw words at entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<u64>>,
    /// Raw words at exit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results: Option<Vec<u64>>,
}

impl Call {
    /// What a record says.
    #[must_use]
    pub fn new(span: &Span, clock: &Clock) -> Self {
        let start = clock.unix_ns(span.entry_tsc);
        let raw = span.raw.as_deref();
        Self {
            hook: span.hook,
            start,
            // Counters of two CPUs may differ by some ticks.
            dur: clock.unix_ns(span.exit_tsc).saturating_sub(start),
            g: span.goid,
            tid: span.tid,
            m: span.m,
            depth: span.depth,
            args: raw.map(|raw| raw.args.to_vec()),
            results: raw.map(|raw| raw.results.to_vec()),
        }
    }
}

/// One end of a call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Moment {
    /// Id of the hook.
    pub hook: u32,
    /// Nanoseconds since 1970.
    pub time: u64,
    /// Goroutine id.
    pub g: u64,
    /// Linux thread id.
    pub tid: u64,
    /// Id of the runtime's M.
    pub m: u64,
    /// Bytes of stack in use: both ends of a call of one goroutine have the same.
    pub depth: u64,
}

/// A time of which nothing is known.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Gap {
    /// When it began, in nanoseconds since 1970.
    pub from: u64,
    /// When it ended.
    pub to: u64,
    /// Why, for people.
    pub why: String,
}

/// What has been counted since the stream began.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Totals {
    /// When, in nanoseconds since 1970.
    pub time: u64,
    /// Calls that got a frame, of hooks for which that or `spans` is another number than in the `Totals` before.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub entered: BTreeMap<u32, u64>,
    /// Spans, likewise.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub spans: BTreeMap<u32, u64>,
    /// Calls whose span found its ring full.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lost: u64,
    /// Calls that ran without their hook.
    #[serde(default, skip_serializing_if = "is_default")]
    pub skipped: Skipped,
    /// Records that are published and not read yet.
    #[serde(default, skip_serializing_if = "is_default")]
    pub unread: u64,
    /// Records that could not be read.
    #[serde(default, skip_serializing_if = "is_default")]
    pub malformed: u64,
}

/// What is left out.
fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Totals {
    /// What rings and reader have counted at `time`, as far as it is not what they had counted `before`; `None` if it is.
    #[must_use]
    pub fn since(before: &ring::Totals, now: &ring::Totals, time: u64) -> Option<Self> {
        let changed = |counts: fn(&ring::Totals) -> &Vec<u64>| {
            let (old, new) = (counts(before), counts(now));
            let old = old.iter().copied().chain(std::iter::repeat(0));
            let pairs = (0..).zip(new.iter().copied().zip(old));
            let others = pairs.filter(|(_, (new, old))| new != old);
            others.map(|(hook, (new, _))| (hook, new)).collect()
        };
        let whole = |totals: &ring::Totals| Self {
            time,
            lost: totals.lost,
            skipped: Skipped::of(totals),
            unread: totals.unread,
            malformed: totals.malformed,
            ..Self::default()
        };
        let found = Self {
            entered: changed(|totals| &totals.entered),
            spans: changed(|totals| &totals.spans),
            ..whole(now)
        };
        (found != whole(before)).then_some(found)
    }
}

/// The stream goes on elsewhere.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Part {
    /// Number of the part that ends, from 1.
    pub number: u32,
    /// Name of the next one's file, in the same directory.
    pub next: String,
}

/// The stream's end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct End {
    /// Calls that got a frame, by hook. Those without a span did not return: they panicked, or the program ended.
    pub entered: Vec<u64>,
    /// Span lines, by hook.
    pub spans: Vec<u64>,
    /// Calls whose span found its ring full.
    pub lost: u64,
    /// Records that hooks published: one a span, three with raw words.
    pub published: u64,
    /// Calls that ran without their hook.
    pub skipped: Skipped,
    /// Records that could not be read.
    pub malformed: u64,
    /// How the program ended; null if that could not be learned.
    pub exit: Option<ExitStatus>,
    /// A second moment, at the end; absent if the program ran unhooked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchor: Option<Anchor>,
}

/// Calls that ran without their hook, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Skipped {
    /// Too little stack.
    pub no_room: u64,
    /// Outside of any goroutine.
    pub no_g: u64,
    /// On the signal stack.
    pub gsignal: u64,
    /// Too deep in the stack: a frame would take what the program may need near the limit of its stack.
    pub deep: u64,
}

impl Skipped {
    /// As rings count them.
    #[must_use]
    pub const fn of(totals: &ring::Totals) -> Self {
        Self {
            no_room: totals.skipped_no_room,
            no_g: totals.skipped_no_g,
            gsignal: totals.skipped_gsignal,
            deep: totals.skipped_deep,
        }
    }

    /// All of them.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.no_room
            .saturating_add(self.no_g)
            .saturating_add(self.gsignal)
            .saturating_add(self.deep)
    }
}

/// How a program ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExitStatus {
    /// With this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl End {
    /// From what rings and reader have counted.
    #[must_use]
    pub fn new(totals: ring::Totals, exit: Option<ExitStatus>, anchor: Option<Anchor>) -> Self {
        Self {
            skipped: Skipped::of(&totals),
            entered: totals.entered,
            spans: totals.spans,
            lost: totals.lost,
            published: totals.published,
            malformed: totals.malformed,
            exit,
            anchor,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_say_what_has_changed_and_nothing_else() {
        let none = ring::Totals::default();
        let idle = ring::Totals {
            entered: vec![0; 3],
            spans: vec![0; 3],
            ..none.clone()
        };
        assert_eq!(Totals::since(&none, &idle, 1), None);
        let some = ring::Totals {
            entered: vec![0, 5, 0],
            spans: vec![0, 4, 0],
            lost: 1,
            ..idle.clone()
        };
        let line = Totals::since(&idle, &some, 2).unwrap();
        assert_eq!((line.time, line.lost), (2, 1));
        assert_eq!(
            (line.entered, line.spans),
            ([(1, 5)].into(), [(1, 4)].into())
        );
        assert_eq!(Totals::since(&some, &some, 3), None);
        // What is not a hook's own is said whole.
        let more = ring::Totals {
            unread: 7,
            ..some.clone()
        };
        let line = Totals::since(&some, &more, 4).unwrap();
        assert_eq!((line.lost, line.unread), (1, 7));
        assert!(line.entered.is_empty() && line.spans.is_empty());
    }
}
