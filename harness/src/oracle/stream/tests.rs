//! A true stream agrees; each way of being wrong is a divergence.

use std::time::Duration;

use super::*;

const HEADER: &str = r#"{"schema":"gondwana.stream","version":2,"hooked":true,"host":{"name":"h","kernel":"6"},"process":{"pid":1,"start":1,"exe":"/x"},"hooks":[{"id":0,"name":"main.f","entry":4096,"strategy":"frame","abi":"abi0","args":0,"inlined":0,"raw":false}],"refusals":[],"unmatched":[]}"#;
const SPANS: [&str; 2] = [
    r#"{"span":0,"start":5000000020,"dur":10,"g":1,"tid":7,"m":0,"depth":128}"#,
    r#"{"span":0,"start":5000000000,"dur":50,"g":1,"tid":7,"m":0,"depth":64}"#,
];
const END: &str = r#"{"end":{"entered":[3],"spans":[2],"lost":0,"skipped":{"no_room":0,"no_g":0,"gsignal":0},"malformed":0,"exit":{"code":0}}}"#;

fn whole() -> String {
    [HEADER, SPANS[0], SPANS[1], END].join("\n") + "\n"
}

fn judge_text(text: &str, spans: Count, abandoned: Count) -> Judged {
    let run = Finished {
        pid: 1,
        end: process::End::Status(0),
        stdout: Vec::new(),
        stderr: Vec::new(),
        load: None,
        elapsed: Duration::ZERO,
    };
    let expected = [Expected {
        pattern: "main.f".to_owned(),
        spans,
        abandoned,
        refusable: false,
    }];
    let context = Context {
        run: &run,
        times: (4_000_000_000, 6_000_000_000),
        expected: &expected,
    };
    judge(text.as_bytes(), context)
}

fn bad(judged: &Judged) -> Vec<String> {
    let findings = judged.findings.iter().filter(|f| !f.answer.agrees());
    findings
        .map(|f| format!("{}: {}", f.what, f.answer))
        .collect()
}

#[test]
fn a_true_stream_agrees() {
    let judged = judge_text(&whole(), Count::Exactly(2), Count::Exactly(1));
    assert_eq!(bad(&judged), Vec::<String>::new());
    assert_eq!((judged.fired[0].entered, judged.fired[0].spans), (3, 2));
}

#[test]
fn each_change_is_seen() {
    let changes: [(&str, &str, &str); 11] = [
        (
            r#""hooked":true"#,
            r#""hooked":false,"reason":{"code":"plan","message":"m"}"#,
            "ran unhooked: plan: m",
        ),
        (r#""version":2"#, r#""version":3"#, "not a stream"),
        (
            r#""start":5000000020,"dur":10"#,
            r#""start":5000000020,"dur":40"#,
            "order of each thread",
        ),
        (r#""depth":128"#, r#""depth":64"#, "nesting"),
        (r#""dur":50"#, r#""dur":5000000000"#, "times within the run"),
        (
            r#""spans":[2]"#,
            r#""spans":[3]"#,
            "the end line says 3 spans, there are 2",
        ),
        (
            r#""entered":[3]"#,
            r#""entered":[1]"#,
            "entered 1 times, returned 2 times",
        ),
        (
            r#""lost":0"#,
            r#""lost":9"#,
            "9 spans said to be lost, 1 are missing",
        ),
        (r#""malformed":0"#, r#""malformed":1"#, "1 malformed"),
        (r#"{"code":0}"#, r#"{"code":3}"#, "exit status"),
        (END, "", "no end line"),
    ];
    for (from, to, part) in changes {
        let text = whole().replace(from, to).replace("\n\n", "\n");
        assert_ne!(text, whole());
        let found = bad(&judge_text(&text, Count::Exactly(2), Count::Exactly(1)));
        assert!(
            found
                .iter()
                .any(|line| line.contains(part) && line.contains("diverge")),
            "{part}: {found:?}"
        );
    }
}

#[test]
fn expectations_are_held_against_exact_counts_and_losses() {
    let wrong = |judged: &Judged| {
        bad(judged)
            .iter()
            .any(|line| line.starts_with("expectation"))
    };
    assert!(wrong(&judge_text(
        &whole(),
        Count::Exactly(3),
        Count::Exactly(0)
    )));
    assert!(wrong(&judge_text(
        &whole(),
        Count::Exactly(2),
        Count::Exactly(0)
    )));
    assert!(!wrong(&judge_text(
        &whole(),
        Count::AtLeast(1),
        Count::AtLeast(1)
    )));
    // The third call's span was lost: the call returned.
    let lost = whole().replace(r#""lost":0"#, r#""lost":1"#);
    assert!(!wrong(&judge_text(
        &lost,
        Count::Exactly(3),
        Count::Exactly(0)
    )));
    assert!(!wrong(&judge_text(
        &lost,
        Count::AtLeast(1),
        Count::Exactly(0)
    )));
    assert!(wrong(&judge_text(
        &lost,
        Count::Exactly(4),
        Count::Exactly(0)
    )));
    assert!(wrong(&judge_text(
        &lost,
        Count::Exactly(3),
        Count::Exactly(1)
    )));
}
