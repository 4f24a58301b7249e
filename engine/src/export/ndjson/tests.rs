use std::collections::BTreeMap;

use super::*;
use crate::addr::RunAddr;
use crate::event::{
    Anchor, Call, Clock, End, Event, ExitStatus, Gap, Header, Hook, Host, Memory, Moment, Part,
    Process, Program, Reason, Refused, Skipped, Totals, Unmatched,
};
use crate::export::Sink as _;

/// One line of each kind, every field set.
fn sample() -> (Header, [Kind; 8]) {
    let anchor = Anchor {
        tsc: 1_000_000,
        unix_ns: 1_700_000_000_000_000_000,
    };
    let header = Header {
        hooked: true,
        reason: Some(Reason {
            code: "not-go".to_owned(),
            message: "never together with hooks".to_owned(),
        }),
        host: Host {
            name: "host".to_owned(),
            kernel: "6.1.0".to_owned(),
        },
        process: Process {
            pid: 42,
            start: 4711,
            exe: "/opt/program".to_owned(),
        },
        program: Some(Program {
            go: "go1.21.13".to_owned(),
            path: "example.com/program".to_owned(),
            module: "example.com/program v1.2.3".to_owned(),
            settings: [("-trimpath".to_owned(), "true".to_owned())].into(),
            slide: RunAddr::new(0),
        }),
        hooks: vec![Hook {
            id: 0,
            name: "main.(*T).f".to_owned(),
            entry: RunAddr::new(0x48_0000),
            strategy: "frame".to_owned(),
            abi: "abi-internal".to_owned(),
            args: 16,
            inlined: 2,
            raw: true,
        }],
        memory: Some(Memory {
            records: 67_104_768,
            rings: 251,
            slots: 4096,
            counters: 2016,
            code: 676,
            tables: 900,
            text: 4096,
        }),
        deviations: vec!["callers+1".to_owned(), "stack-use".to_owned()],
        refusals: vec![Refused {
            name: "runtime.goexit".to_owned(),
            code: "caller-frame".to_owned(),
            detail: "looks at its caller".to_owned(),
        }],
        unmatched: vec![Unmatched {
            pattern: "main.F".to_owned(),
            nearest: vec!["main.f".to_owned()],
        }],
        clock: Some(Clock {
            anchor,
            tsc_hz: 2_500_000_000,
            error_ppm: 4.5,
            measured_ns: 20_000_000,
            invariant: true,
        }),
    };
    let moment = Moment {
        hook: 0,
        time: 1_700_000_000_000_000_111,
        g: 7,
        tid: 43,
        m: 3,
        depth: 512,
    };
    let skipped = Skipped {
        no_room: 3,
        no_g: 4,
        gsignal: 5,
        deep: 7,
    };
    let kinds = [
        Kind::Span(Call {
            hook: 0,
            start: 1_700_000_000_000_000_123,
            dur: 456,
            g: 7,
            tid: 43,
            m: 3,
            depth: 512,
            args: Some(vec![1, 2, 3, 4, 5, 6, u64::MAX]),
            results: Some(vec![0; 7]),
        }),
        Kind::Enter(moment.clone()),
        Kind::Exit(moment.clone()),
        Kind::Unwound(moment),
        Kind::Gap(Gap {
            from: 1_700_000_000_000_000_000,
            to: 1_700_000_000_000_000_100,
            why: "the agent was stopped".to_owned(),
        }),
        Kind::Totals(Totals {
            time: 1_700_000_000_000_000_200,
            entered: BTreeMap::from([(0, 2)]),
            spans: BTreeMap::from([(0, 1)]),
            lost: 1,
            skipped,
            unread: 8,
            malformed: 6,
        }),
        Kind::Part(Part {
            number: 1,
            next: "program.42.ndjson".to_owned(),
        }),
        Kind::End(End {
            entered: vec![2],
            spans: vec![1],
            lost: 1,
            published: 1,
            skipped,
            malformed: 6,
            exit: Some(ExitStatus::Code(0)),
            anchor: Some(anchor),
        }),
    ];
    (header, kinds)
}

/// A file of these events, of the header's process.
fn written(kinds: &[Kind]) -> String {
    let (header, _) = sample();
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, &header).unwrap();
    for kind in kinds {
        writer.event(&kind.clone().into()).unwrap();
    }
    writer.flush().unwrap();
    drop(writer);
    String::from_utf8(out).unwrap()
}

/// One line of each kind.
fn all() -> String {
    written(&sample().1)
}

/// Header, a span and the end.
fn short() -> String {
    let [span, .., end] = sample().1;
    written(&[span, end])
}

fn read(text: &str) -> Result<Vec<Event>, ReadError> {
    Reader::new(text.as_bytes())?.collect()
}

const GOLDEN: &str = include_str!("stream-v2.0.ndjson");
const DOCUMENT: &str = include_str!("../../../docs/STREAM.md");

#[test]
fn what_is_written_is_read() {
    let (header, kinds) = sample();
    assert_eq!(Reader::new(all().as_bytes()).unwrap().header, header);
    for kind in &kinds {
        let event = Event::from(kind.clone());
        let found = read(&written(std::slice::from_ref(kind))).unwrap();
        assert_eq!(found, [event]);
    }
    let mut out = Vec::new();
    let mut writer = Writer::new(&mut out, &header).unwrap();
    let other = Event {
        pid: Some(43),
        kind: kinds[0].clone(),
    };
    writer.event(&other).unwrap();
    writer.flush().unwrap();
    drop(writer);
    assert_eq!(read(&String::from_utf8(out).unwrap()).unwrap(), [other]);
}

/// If this fails the format has changed: raise `VERSION`, describe the change in the document, add a golden.
#[test]
fn the_format_is_that_of_its_version() {
    assert_eq!(all(), GOLDEN);
    assert!(GOLDEN.contains(&format!("\"version\":\"{VERSION}\",")));
}

/// Streams of each released version from 2.0 on are read.
#[test]
fn golden_streams_are_read() {
    // What stands behind the end of a part is another file.
    let lines: Vec<&str> = GOLDEN.lines().collect();
    for (index, line) in lines.iter().enumerate().skip(1) {
        let found = read(&format!("{}\n{line}\n", lines[0])).unwrap();
        assert_eq!(found.len(), 1, "line {index}");
    }
}

#[test]
fn the_document_names_version_and_every_field() {
    assert!(DOCUMENT.contains(&format!("version {VERSION}")));
    assert!(DOCUMENT.contains(SCHEMA));
    for line in GOLDEN.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let kind = line["kind"].as_str().unwrap();
        assert!(DOCUMENT.contains(&format!("`{kind}`")), "lacks {kind}");
        names(&line, &mut |name| {
            assert!(
                DOCUMENT.contains(&format!("`{name}`")),
                "STREAM.md lacks `{name}`"
            );
        });
    }
}

fn names(value: &serde_json::Value, seen: &mut impl FnMut(&str)) {
    match value {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields {
                // Numbers of hooks.
                if name.parse::<u32>().is_err() {
                    seen(name);
                }
                // Build settings name themselves.
                if name != "settings" {
                    names(value, seen);
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| names(item, seen)),
        _ => {}
    }
}

#[test]
fn errors_name_the_line() {
    let good = short();
    let lines: Vec<&str> = good.lines().collect();
    let fails = |lines: &[&str]| {
        let text = lines.join("\n") + "\n";
        Stream::read(text.as_bytes()).unwrap_err().to_string()
    };
    assert!(fails(&[""]).starts_with("line 1: "));
    for other in ["\"3.0\"", "3", "\"20\"", "null"] {
        let header = lines[0].replace("\"version\":\"2.0\"", &format!("\"version\":{other}"));
        let error = fails(&[&header]);
        let told = if other == "null" { "none" } else { other };
        assert!(error.contains(&format!("version {told}")), "{error}");
    }
    let foreign = lines[1].replace("\"hook\":0", "\"hook\":1");
    assert!(fails(&[lines[0], &foreign]).starts_with("line 2: hook 1"));
    let lacks = lines[1].replace("\"dur\"", "\"duration\"");
    assert!(fails(&[lines[0], lines[1], &lacks]).starts_with("line 3: "));
    assert!(fails(&[lines[0], lines[2], lines[1]]).starts_with("line 3: a line"));
    assert!(fails(&[lines[0], lines[0]]).starts_with("line 2: a header"));
    assert!(fails(&[lines[0], "{\"span\":0}"]).starts_with("line 2: missing field `kind`"));
    let short = lines[2].replace("\"spans\":[1]", "\"spans\":[]");
    assert!(fails(&[lines[0], &short]).contains("counts of 1 and 0 hooks"));
    let totals = "{\"kind\":\"totals\",\"time\":1,\"entered\":{\"7\":1}}";
    assert!(fails(&[lines[0], totals]).starts_with("line 2: hook 7"));
    let cut = Stream::read(&good.as_bytes()[..good.len() - 1]).unwrap_err();
    assert!(cut.to_string().starts_with("line 3: no end of line"));
}

#[test]
fn what_is_not_known_is_passed_over() {
    let good = short();
    let lines: Vec<&str> = good.lines().collect();
    let later = lines[0].replace(
        "\"version\":\"2.0\"",
        "\"version\":\"2.17\",\"of\":{\"the\":\"future\"}",
    );
    let more = lines[1].replace("\"g\":7", "\"g\":7,\"trace\":\"0af7\"");
    let unknown = "{\"kind\":\"metric\",\"value\":1}";
    let text = [&later, unknown, &more, lines[2]].join("\n") + "\n";
    let stream = Stream::read(text.as_bytes()).unwrap();
    assert_eq!(stream, Stream::read(good.as_bytes()).unwrap());
}

#[test]
fn a_killed_agent_leaves_a_stream_without_an_end() {
    let good = short();
    let lines: Vec<&str> = good.lines().take(2).collect();
    let stream = Stream::read((lines.join("\n") + "\n").as_bytes()).unwrap();
    assert_eq!((stream.spans.len(), stream.end), (1, None));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400), at in 0usize..900) {
        let _ = Stream::read(bytes.as_slice());
        let mut damaged = short().into_bytes();
        let at = at.min(damaged.len());
        damaged.splice(at..at, bytes);
        let _ = Stream::read(damaged.as_slice());
    }
}
