use super::*;
use crate::addr::RunAddr;
use crate::event::{
    Anchor, Clock, ExitStatus, Hook, Host, Memory, Process, Program, Reason, Refused, Skipped,
    StreamWriter, Unmatched,
};

/// One line of each kind, every field set.
fn sample() -> (Header, SpanLine, End) {
    let anchor = Anchor {
        tsc: 1_000_000,
        unix_ns: 1_700_000_000_000_000_000,
    };
    let header = Header {
        schema: SCHEMA.to_owned(),
        version: VERSION,
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
    let span = SpanLine {
        span: 0,
        start: 1_700_000_000_000_000_123,
        dur: 456,
        g: 7,
        tid: 43,
        m: 3,
        depth: 512,
        args: Some(vec![1, 2, 3, 4, 5, 6, u64::MAX]),
        results: Some(vec![0; 7]),
    };
    let end = End {
        entered: vec![2],
        spans: vec![1],
        lost: 1,
        published: 1,
        skipped: Skipped {
            no_room: 3,
            no_g: 4,
            gsignal: 5,
            deep: 7,
        },
        malformed: 6,
        exit: Some(ExitStatus::Code(0)),
        anchor: Some(anchor),
    };
    (header, span, end)
}

fn written() -> Vec<u8> {
    let (header, span, end) = sample();
    let mut out = Vec::new();
    let mut writer = StreamWriter::new(&mut out, &header).unwrap();
    writer.span(&span).unwrap();
    writer.end(end).unwrap();
    out
}

const GOLDEN: &str = include_str!("stream-v3.ndjson");
const DOCUMENT: &str = include_str!("../../../docs/STREAM.md");

#[test]
fn what_is_written_is_read() {
    let (header, span, end) = sample();
    let stream = Stream::read(written().as_slice()).unwrap();
    assert_eq!(stream.header, header);
    assert_eq!(stream.spans, [span]);
    assert_eq!(stream.end, Some(end));
}

/// If this fails the format has changed: raise `VERSION`, describe the change in the document, add a golden.
#[test]
fn the_format_is_that_of_its_version() {
    assert_eq!(String::from_utf8(written()).unwrap(), GOLDEN);
    assert!(GOLDEN.contains(&format!("\"version\":{VERSION},")));
}

#[test]
fn the_document_names_version_and_every_field() {
    assert!(DOCUMENT.contains(&format!("version {VERSION}")));
    assert!(DOCUMENT.contains(SCHEMA));
    for line in GOLDEN.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
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
                seen(name);
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
    let good = String::from_utf8(written()).unwrap();
    let lines: Vec<&str> = good.lines().collect();
    let fails = |lines: &[&str]| {
        let text = lines.join("\n") + "\n";
        Stream::read(text.as_bytes()).unwrap_err().to_string()
    };
    assert!(fails(&[""]).starts_with("line 1: "));
    let other = lines[0].replace("\"version\":3", "\"version\":4");
    assert!(fails(&[&other]).contains("version 4"));
    let foreign = lines[1].replace("\"span\":0", "\"span\":1");
    assert!(fails(&[lines[0], &foreign]).starts_with("line 2: hook 1"));
    let unknown = lines[1].replace("\"dur\"", "\"duration\"");
    assert!(fails(&[lines[0], lines[1], &unknown]).starts_with("line 3: "));
    assert!(fails(&[lines[0], lines[2], lines[1]]).starts_with("line 3: a line"));
    let short = lines[2].replace("\"spans\":[1]", "\"spans\":[]");
    assert!(fails(&[lines[0], &short]).contains("counts of 1 and 0 hooks"));
    let cut = Stream::read(&good.as_bytes()[..good.len() - 1]).unwrap_err();
    assert!(cut.to_string().starts_with("line 3: no end of line"));
}

#[test]
fn a_killed_agent_leaves_a_stream_without_an_end() {
    let good = String::from_utf8(written()).unwrap();
    let lines: Vec<&str> = good.lines().take(2).collect();
    let stream = Stream::read((lines.join("\n") + "\n").as_bytes()).unwrap();
    assert_eq!((stream.spans.len(), stream.end), (1, None));
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_answered(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..400), at in 0usize..900) {
        let _ = Stream::read(bytes.as_slice());
        let mut damaged = written();
        let at = at.min(damaged.len());
        damaged.splice(at..at, bytes);
        let _ = Stream::read(damaged.as_slice());
    }
}
