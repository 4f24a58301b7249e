//! Every versioned format that others read -> [`Format`]: values that have all its members, or its offsets.
//!
//! Members that may be absent, and all variants of what has variants, must stand in some value: a shape shows only what it
//! has seen. The structures are written out, so that a new member does not compile here before it is given a value.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use gondwana_engine::addr::{LinkAddr, RunAddr};
use gondwana_engine::event;
use gondwana_engine::export::{Sink as _, ndjson};
use gondwana_engine::golang::{Abi, GoVersion, PreRelease};
use gondwana_engine::image::Image;
use gondwana_engine::plan::{Document, SCHEMA as PLAN};
use gondwana_engine::ring::{Record, decode, layout};
use gondwana_engine::site::table::{self, Footer, Header, Row, Totals};
use gondwana_engine::site::{Finder, Refusal, RefusalCode};
use gondwana_harness::build::Mode;
use gondwana_harness::calibrate::{render, run as calibrated};
use gondwana_harness::disturb::call::{Part, Step};
use gondwana_harness::disturb::case::Disturbed;
use gondwana_harness::disturb::cell::Answer as Disturbance;
use gondwana_harness::disturb::kind::Kind;
use gondwana_harness::disturb::{full, matrix};
use gondwana_harness::executor::native::process::{Ready, Scenario};
use gondwana_harness::generate::relocation;
use gondwana_harness::gostd;
use gondwana_harness::layouts::compare as layouts;
use gondwana_harness::matrix::cell::{self, CellReport};
use gondwana_harness::matrix::{Cell, run};
use gondwana_harness::oracle::Answer;
use gondwana_harness::release;
use gondwana_harness::report::case::{self, Case, Native};
use gondwana_harness::report::{self, Failure, Hook, Program, Refused, Report, Section, Skipped};
use gondwana_harness::verdict::{Conclusion, Counts, Verdict};
use serde_json::{Value, json};

use super::program;
use super::shapes::{Format, shape};

pub(crate) fn all() -> Vec<Format> {
    vec![
        stream(),
        ring(),
        plan(),
        funcs(),
        report(),
        case(),
        matrix(),
        go_std(),
        disturb(),
        disturb_set(),
        calibration(),
        layouts(),
        release(),
    ]
}

/// A schema of the form `name/version`.
fn of_schema(schema: &'static str, stands_in: &'static str, values: &[Value]) -> Format {
    let (name, version) = schema.split_once('/').unwrap();
    Format {
        name,
        version: version.to_owned(),
        stands_in,
        shape: shape(values),
    }
}

fn stream() -> Format {
    let anchor = event::Anchor { tsc: 1, unix_ns: 1 };
    let header = event::Header {
        hooked: true,
        reason: Some(event::Reason {
            code: "c".into(),
            message: "m".into(),
        }),
        host: event::Host {
            name: "h".into(),
            kernel: "k".into(),
        },
        process: event::Process {
            pid: 1,
            start: 1,
            exe: "/x".into(),
        },
        program: Some(event::Program {
            go: "go1.27".into(),
            path: "main".into(),
            module: "m".into(),
            settings: BTreeMap::from([("KEY".into(), "value".into())]),
            slide: RunAddr::new(0),
        }),
        hooks: vec![event::Hook {
            id: 0,
            name: "main.f".into(),
            entry: RunAddr::new(1),
            strategy: "frame".into(),
            abi: "abi0".into(),
            args: 8,
            inlined: 1,
            raw: true,
        }],
        memory: Some(event::Memory {
            records: 1,
            rings: 1,
            slots: 4,
            counters: 8,
            code: 1,
            tables: 1,
            text: 4096,
        }),
        deviations: vec!["stack-use".into()],
        refusals: vec![event::Refused {
            name: "main.g".into(),
            code: "too-short".into(),
            detail: "d".into(),
        }],
        unmatched: vec![event::Unmatched {
            pattern: "main.h".into(),
            nearest: vec!["main.f".into()],
        }],
        clock: Some(event::Clock {
            anchor,
            tsc_hz: 1,
            error_ppm: 0.5,
            measured_ns: 1,
            invariant: true,
        }),
    };
    let span = event::Call {
        hook: 0,
        start: 1,
        dur: 1,
        g: 1,
        tid: 1,
        m: 0,
        depth: 8,
        args: Some(vec![1]),
        results: Some(vec![1]),
    };
    let end = |exit| event::End {
        entered: vec![1],
        spans: vec![1],
        lost: 0,
        published: 0,
        skipped: event::Skipped {
            no_room: 0,
            no_g: 0,
            gsignal: 0,
            deep: 0,
        },
        malformed: 0,
        exit,
        anchor: Some(anchor),
    };
    let exits = [
        None,
        Some(event::ExitStatus::Code(0)),
        Some(event::ExitStatus::Signal(9)),
    ];
    let moment = event::Moment {
        hook: 0,
        time: 1,
        g: 1,
        tid: 1,
        m: 0,
        depth: 8,
    };
    let gap = event::Gap {
        from: 1,
        to: 1,
        why: "w".into(),
    };
    let totals = event::Totals {
        time: 1,
        entered: [(0, 1)].into(),
        spans: [(0, 1)].into(),
        lost: 1,
        skipped: event::Skipped {
            no_room: 1,
            ..event::Skipped::default()
        },
        unread: 1,
        malformed: 1,
    };
    let few = event::Totals {
        time: 1,
        ..event::Totals::default()
    };
    let part = event::Part {
        number: 1,
        next: "n".into(),
    };
    let mut kinds = vec![
        event::Kind::Span(span),
        event::Kind::Enter(moment.clone()),
        event::Kind::Exit(moment.clone()),
        event::Kind::Unwound(moment),
        event::Kind::Gap(gap),
        event::Kind::Totals(totals),
        event::Kind::Totals(few),
        event::Kind::Part(part),
    ];
    kinds.extend(exits.map(|exit| event::Kind::End(end(exit))));
    let mut bytes = Vec::new();
    let mut writer = ndjson::Writer::new(&mut bytes, &header).unwrap();
    for kind in kinds {
        for pid in [None, Some(1)] {
            let kind = kind.clone();
            writer.event(&event::Event { pid, kind }).unwrap();
        }
    }
    writer.flush().unwrap();
    drop(writer);
    let mut shapes: Vec<(String, Vec<Value>)> = Vec::new();
    for line in String::from_utf8(bytes).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let kind = line["kind"].as_str().unwrap().to_owned();
        match shapes.iter_mut().find(|(name, _)| *name == kind) {
            Some((_, lines)) => lines.push(line),
            None => shapes.push((kind, vec![line])),
        }
    }
    let shapes = shapes
        .iter()
        .map(|(kind, lines)| format!("{kind}\n{}", shape(lines)));
    Format {
        name: ndjson::SCHEMA,
        version: ndjson::VERSION.to_owned(),
        stands_in: "engine/src/event/model.rs",
        shape: shapes.collect::<Vec<_>>().join("\n"),
    }
}

/// Offsets in bytes, and which of a record's words is what.
fn ring() -> Format {
    let mut out = String::new();
    for (name, value) in [
        ("magic", layout::MAGIC),
        ("header: size", layout::HEADER_SIZE),
        ("header: skipped, no room", layout::SKIPPED_NO_ROOM),
        ("header: skipped, no g", layout::SKIPPED_NO_G),
        ("header: skipped, gsignal", layout::SKIPPED_GSIGNAL),
        ("header: skipped, deep", layout::SKIPPED_DEEP),
        ("ring: head", layout::RING_HEAD),
        ("ring: lost", layout::RING_LOST),
        ("ring: tail", layout::RING_TAIL),
        ("ring: entered", layout::RING_ENTERED),
        ("record: size", layout::RECORD_SIZE),
    ] {
        writeln!(out, "{name}: {value:#x}").unwrap();
    }
    let geometry = layout::RingGeometry {
        rings: 3,
        slots: 1 << 14,
        hooks: 9,
    };
    let [records, stride, shared, size] = [
        geometry.records(),
        geometry.stride(),
        geometry.ring(geometry.rings),
        geometry.size(),
    ];
    writeln!(
        out,
        "3 rings of 16384 slots for 9 hooks: records {records:#x}, stride {stride:#x}, shared {shared:#x}, size {size:#x}"
    )
    .unwrap();
    // Word n of the record holds n.
    for kind in 0..=5u64 {
        let first = 7 | 8 << 32 | kind << 56;
        let words = [first, 1, 2, 3, 4, 5, 6, 7];
        let text = match decode(&words, 9) {
            None => "no record".to_owned(),
            Some(Record::Span(span, raw)) => format!("{span:?}, raw words follow: {raw}"),
            Some(other) => format!("{other:?}"),
        };
        writeln!(out, "kind {kind} of hook 8: {text}").unwrap();
    }
    Format {
        name: "gondwana.ring",
        version: layout::VERSION.to_string(),
        stands_in: "engine/src/ring/layout.rs",
        shape: out,
    }
}

fn refusal() -> Refusal {
    Refusal {
        code: RefusalCode::TooShort,
        at: LinkAddr::new(1),
        detail: "d".into(),
    }
}

fn plan() -> Format {
    let values: Vec<Value> = [9, 27]
        .into_iter()
        .map(|minor| {
            let version = GoVersion::new(minor, 0);
            let (facts, mut plan) = program::plan(version, "main.*", true);
            plan.refused.push(("main.g".into(), refusal()));
            let document = Document::new(version, facts.deviations(false), &plan);
            serde_json::to_value(document).unwrap()
        })
        .collect();
    of_schema(PLAN, "engine/src/plan/render.rs", &values)
}

fn funcs() -> Format {
    let data = program::program(GoVersion::new(9, 0));
    let image = Image::parse(&data).unwrap();
    let function = image.functions().last().unwrap();
    let (site, refused) = (Finder::new(&image).find(function), Err(refusal()));
    let mut totals = Totals::default();
    totals.add(&refused);
    let row = |answer| serde_json::to_value(Row::new(function, answer, 1)).unwrap();
    let header = Header {
        schema: table::SCHEMA,
        go: "go1.9".into(),
        functions: 1,
        deviations: image.deviations(),
    };
    let values = [
        serde_json::to_value(header).unwrap(),
        row(&site),
        row(&refused),
        serde_json::to_value(Footer { totals }).unwrap(),
    ];
    of_schema(table::SCHEMA, "engine/src/site/table.rs", &values)
}

fn report() -> Format {
    let failure = |answer| Failure {
        what: "w".into(),
        answer,
        case: Some("c".into()),
    };
    let report = |verdict| Report {
        schema: report::SCHEMA.into(),
        program: Program {
            path: "/x".into(),
            sha256: "00".into(),
            go: "go1.27".into(),
            functions: 1,
            hookable: 1,
        },
        patterns: vec!["main.*".into()],
        sections: vec![Section {
            name: "output".into(),
            counts: Counts {
                agreed: 1,
                diverged: 1,
                inconclusive: 1,
            },
            conclusion: Conclusion::Undecided("w".into()),
            note: "n".into(),
            failures: vec![
                failure(Answer::Agree),
                failure(Answer::Diverge("d".into())),
                failure(Answer::Inconclusive("i".into())),
            ],
        }],
        hooks: vec![Hook {
            name: "main.f".into(),
            strategy: "frame".into(),
            abi: "abi0".into(),
            args: 8,
            entered: 1,
            spans: 1,
            callers: BTreeMap::from([(String::new(), 1), ("main.g".into(), 1)]),
            inlined: 1,
        }],
        deviations: vec!["stack-use".into()],
        refused: vec![Refused {
            name: "main.g".into(),
            code: "too-short".into(),
            detail: "d".into(),
        }],
        skipped: vec![Skipped {
            what: "w".into(),
            count: 1,
            why: "y".into(),
        }],
        verdict,
    };
    let values = [Verdict::Qualified, Verdict::NotQualified(vec!["r".into()])]
        .map(|verdict| serde_json::to_value(report(verdict)).unwrap());
    of_schema(report::SCHEMA, "harness/src/report/mod.rs", &values)
}

fn case() -> Format {
    let scenario = |ready| Scenario {
        args: vec!["a".into()],
        env: vec![("KEY".into(), "value".into())],
        stdin: Some("/x".into()),
        ready: Some(ready),
        load: Some("l".into()),
        stop: Some("TERM".into()),
        timeout: 1,
    };
    let native = |ready| {
        Case::Native(Box::new(Native {
            program: "/x".into(),
            sha256: "00".into(),
            patterns: vec!["main.*".into()],
            masks: vec!["RE".into()],
            scenario: scenario(ready),
        }))
    };
    let disturbed = |kind| {
        Case::Disturbed(Box::new(Disturbed {
            program: "/x".into(),
            sha256: "00".into(),
            patterns: vec!["main.*".into()],
            args: vec!["a".into()],
            env: vec!["KEY=value".into()],
            seed: 1,
            depth: 1,
            shared_ring: true,
            kind,
            step: 1,
        }))
    };
    let relocation = |pre| {
        Case::Relocation(Box::new(relocation::Case {
            function: "main.f".into(),
            version: GoVersion {
                minor: 27,
                patch: 0,
                pre,
            },
            tls_g: -8,
            abi: Abi::Abi0,
            entry: 1,
            size: 1,
            window: vec![1],
            follow: vec![1],
            relocated_at: 1,
            relocated: vec![1],
            moved: vec![(1, 1)],
            check: Some(relocation::Check {
                end: 1,
                morestack: 1,
            }),
            defined_flags: 1,
            seed: 1,
            data: vec![relocation::Data {
                at: 1,
                bytes: vec![1],
            }],
        }))
    };
    let values = [
        native(Ready::Text("t".into())),
        native(Ready::Tcp(1)),
        disturbed(None),
        disturbed(Some(Kind::Gc)),
        relocation(PreRelease::Released),
        relocation(PreRelease::Candidate(1)),
    ]
    .map(|case| {
        let dir = tempfile::tempdir().unwrap();
        case::write(dir.path(), "case", &case).unwrap();
        assert_eq!(case::read(&dir.path().join("case")).unwrap(), case);
        let text = std::fs::read_to_string(dir.path().join("case/case.json")).unwrap();
        serde_json::from_str::<Value>(&text).unwrap()
    });
    assert_eq!(values[0]["schema"], json!(case::SCHEMA));
    of_schema(case::SCHEMA, "harness/src/report/case.rs", &values)
}

fn go_std() -> Format {
    let cell = gostd::Cell {
        go: GoVersion::new(27, 4),
        package: "io".into(),
    };
    let report = gostd::cell::CellReport {
        go: "go1.27.4".into(),
        package: "io".into(),
        reasons: vec!["r".into()],
        passed: 1,
        skipped: 1,
        failed: 1,
        flaky: vec!["TestA".into()],
        varying: vec!["TestA".into()],
        known: vec![gostd::judge::Known {
            test: "TestA".into(),
            what: "w".into(),
            why: "y".into(),
        }],
        endless: vec!["A".into()],
        calls: gostd::subject::Calls {
            hooks: 1,
            refused: 1,
            entered: 1,
            spans: 1,
            lost: 1,
            skipped: 1,
        },
        runs: 2,
        unhooked: 0.5,
        hooked: 0.5,
        seconds: 0.5,
    };
    let finished = gostd::run::Finished {
        reports: vec![(cell, report)],
        reused: 1,
        elapsed: Duration::from_millis(1500),
    };
    let value = serde_json::to_value(finished.document(&["*".into()])).unwrap();
    of_schema(gostd::run::SCHEMA, "harness/src/gostd/run.rs", &[value])
}

fn matrix() -> Format {
    let cell = Cell {
        go: GoVersion::new(27, 4),
        mode: Mode::Static,
    };
    let counts = Counts {
        agreed: 1,
        diverged: 1,
        inconclusive: 1,
    };
    let section = Section {
        name: "relocation".into(),
        counts,
        conclusion: Conclusion::Undecided("w".into()),
        note: "n".into(),
        failures: vec![Failure {
            what: "w".into(),
            answer: Answer::Diverge("d".into()),
            case: Some("c".into()),
        }],
    };
    let report = |outcome| CellReport {
        go: "go1.27.4".into(),
        mode: "static".into(),
        outcome,
        program: Some(cell::Program {
            sha256: "00".into(),
            functions: 1,
            hookable: 1,
            refused: BTreeMap::from([("too-short".into(), 1)]),
        }),
        relocation: Some(section.clone()),
        programs: vec![cell::Behaviour {
            name: "fib".into(),
            counts,
            hooks: vec![cell::Fired {
                function: "main.f".into(),
                entered: 1,
                spans: 1,
            }],
            skipped: vec![Skipped {
                what: "w".into(),
                count: 1,
                why: "y".into(),
            }],
            events: None,
        }],
        skipped: vec![cell::SkippedProgram {
            name: "fib".into(),
            why: "y".into(),
        }],
        seconds: 0.5,
    };
    let outcomes = [
        cell::Outcome::Qualified,
        cell::Outcome::Failed {
            reasons: vec!["r".into()],
        },
        cell::Outcome::Refused { code: "c".into() },
        cell::Outcome::Skipped { why: "y".into() },
    ];
    let finished = run::Finished {
        reports: outcomes.map(|outcome| (cell, report(outcome))).into(),
        reused: 1,
        elapsed: Duration::from_millis(1500),
    };
    let value = serde_json::to_value(finished.document()).unwrap();
    of_schema(run::SCHEMA, "harness/src/matrix/run.rs", &[value])
}

fn disturb() -> Format {
    let answers = || {
        [
            Disturbance::Agree,
            Disturbance::NoEffect("w".into()),
            Disturbance::Diverge("w".into()),
            Disturbance::Inconclusive("w".into()),
        ]
    };
    let step = |offset| Step {
        index: 0,
        at: RunAddr::new(1),
        offset,
        part: Part::Entry,
        text: "nop".into(),
    };
    let line = |offset| matrix::Line {
        step: step(offset),
        answers: answers().map(|answer| (Kind::Gc, answer)).into(),
    };
    let values = answers().map(|undisturbed| {
        let matrix = matrix::Matrix {
            subject: matrix::Subject {
                go: "go1.27.4".into(),
                function: "main.f".into(),
                abi: "abi0".into(),
                args: vec!["a".into()],
                env: vec!["KEY=value".into()],
                seed: 1,
                depth: 1,
                room: 1,
            },
            asked: vec![Kind::Grow],
            controls: vec![matrix::Control {
                kind: Kind::Gc,
                place: matrix::Place::Call,
                answer: undisturbed.clone(),
            }],
            undisturbed,
            steps: 1,
            lines: vec![line(None), line(Some(1))],
        };
        serde_json::to_value(matrix.document()).unwrap()
    });
    of_schema(matrix::SCHEMA, "harness/src/disturb/matrix.rs", &values)
}

fn disturb_set() -> Format {
    let counts = matrix::Counts {
        agree: 1,
        no_effect: 1,
        diverge: 1,
        inconclusive: 1,
    };
    let row = full::Row {
        version: "go1.27.4".into(),
        subject: "small".into(),
        scenario: full::Scenario::Roomy,
        steps: 1,
        counts,
        kinds: BTreeMap::from([(Kind::Gc, counts)]),
        controls: (1, 1),
        findings: vec!["f".into()],
    };
    let values =
        [&[row][..], &[]].map(|rows| serde_json::to_value(full::Document::new(rows)).unwrap());
    of_schema(full::SCHEMA, "harness/src/disturb/full.rs", &values)
}

fn calibration() -> Format {
    let row = calibrated::Row {
        name: "answer".into(),
        go: "go1.27.4".into(),
        harm: Some("a wrong answer".into()),
        agreed: 1,
        undecided: 1,
        diverged: 1,
        failed: 1,
        unhooked: 9,
        seconds: 0.5,
        wrong: vec!["w".into()],
    };
    let value = serde_json::to_value(render::Document::new(&[row])).unwrap();
    of_schema(render::SCHEMA, "harness/src/calibrate/render.rs", &[value])
}

fn differences() -> Vec<layouts::Difference> {
    use layouts::What::{Absent, Field, Size, Value};
    let of = |what| layouts::Difference {
        structure: "g",
        item: "m".into(),
        expected: what,
        found: what,
        source: "runtime/runtime2.go".into(),
    };
    [Absent, Size(1), Field(8, 8), Value(1)].map(of).into()
}

fn layouts() -> Format {
    let verified = layouts::Verified {
        version: "go1.27.4".into(),
        compared: layouts::Comparison {
            structures: 1,
            fields: 1,
            constants: 1,
            differences: differences(),
        },
        rows: vec!["r".into()],
    };
    let value = serde_json::to_value(layouts::Document::new(&[verified])).unwrap();
    of_schema(layouts::SCHEMA, "harness/src/layouts/compare.rs", &[value])
}

fn release() -> Format {
    let list = || vec!["x".into()];
    let report = release::Report {
        schema: release::SCHEMA,
        version: "go1.28.0".into(),
        against: "go1.27.4".into(),
        layouts: differences(),
        rows: list(),
        forms: release::Forms {
            histogram: vec![release::Form {
                form: "f".into(),
                functions: [1, 1],
                example: "main.f".into(),
            }],
            new: list(),
            gone: list(),
            unrecognised: list(),
        },
        decisions: release::Decisions {
            compared: 1,
            differ: 1,
            examples: list(),
            answers: BTreeMap::from([("hookable".into(), [1, 1])]),
            goldens_read: 1,
            goldens: list(),
        },
        policy: release::Policy {
            appeared: list(),
            vanished: list(),
            uncovered: list(),
            read_before: 1,
        },
    };
    let value = serde_json::to_value(report).unwrap();
    of_schema(release::SCHEMA, "harness/src/release/mod.rs", &[value])
}
