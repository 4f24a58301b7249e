//! A true stream agrees; each way of being wrong is a divergence.

use super::*;

const HEADER: &str = r#"{"kind":"header","schema":"gondwana.stream","version":"2.0","hooked":true,"host":{"name":"h","kernel":"6"},"process":{"pid":1,"start":1,"exe":"/x"},"hooks":[{"id":0,"name":"main.f","entry":4096,"strategy":"frame","abi":"abi0","args":0,"inlined":0,"raw":false}],"refusals":[],"unmatched":[]}"#;
const SPANS: [&str; 2] = [
    r#"{"kind":"span","hook":0,"start":5000000020,"dur":10,"g":1,"tid":7,"m":0,"depth":128}"#,
    r#"{"kind":"span","hook":0,"start":5000000000,"dur":50,"g":1,"tid":7,"m":0,"depth":64}"#,
];
const END: &str = r#"{"kind":"end","entered":[3],"spans":[2],"lost":0,"published":2,"skipped":{"no_room":0,"no_g":0,"gsignal":0,"deep":0},"malformed":0,"exit":{"code":0}}"#;

fn whole() -> String {
    [HEADER, SPANS[0], SPANS[1], END].join("\n") + "\n"
}

fn judge_text(text: &str, spans: Count, abandoned: Count) -> Judged {
    let run = Finished::new(1, process::End::Status(0));
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
    let changes: [(&str, &str, &str); 12] = [
        (
            r#""hooked":true"#,
            r#""hooked":false,"reason":{"code":"plan","message":"m"}"#,
            "ran unhooked: plan: m",
        ),
        (r#""version":"2.0""#, r#""version":"3.0""#, "not a stream"),
        (
            r#""start":5000000020,"dur":10"#,
            r#""start":5000000020,"dur":40"#,
            "order of each M",
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
        (
            r#""published":2"#,
            r#""published":3"#,
            "published 3 records, 2 arrived",
        ),
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

/// A totals line; `entered` and `spans` of the only hook.
fn totals(time: u64, entered: u64, spans: u64) -> String {
    format!(
        r#"{{"kind":"totals","time":{time},"entered":{{"0":{entered}}},"spans":{{"0":{spans}}}}}"#
    )
}

#[test]
fn counts_on_the_way_are_those_of_the_lines_and_never_fall() {
    let judged = |first: &str, second: &str| {
        let lines = [HEADER, SPANS[0], first, SPANS[1], second, END];
        let text = lines.join("\n") + "\n";
        bad(&judge_text(&text, Count::Exactly(2), Count::Exactly(1)))
    };
    let (first, second) = (totals(5, 1, 1), totals(6, 3, 2));
    assert_eq!(judged(&first, &second), Vec::<String>::new());
    for (first, second, part) in [
        (
            totals(5, 1, 2),
            totals(6, 3, 2),
            "2 spans of hook 0 after 1 lines",
        ),
        (
            totals(5, 2, 1),
            totals(6, 1, 2),
            "1 calls of hook 0 after 2",
        ),
        (totals(6, 1, 1), totals(5, 3, 2), "less than those before"),
        (
            totals(5, 1, 1),
            totals(6, 4, 2),
            "fewer calls of hook 0 than 4",
        ),
    ] {
        let found = judged(&first, &second);
        assert!(
            matches!(found.as_slice(), [only] if only.contains(part)),
            "{part}: {found:?}"
        );
    }
    let enter = r#"{"kind":"enter","hook":0,"time":1,"g":1,"tid":1,"m":0,"depth":8}"#;
    assert!(judged(&first, enter)[0].contains("which no strategy writes"));
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

/// Both calls on threads of their own, whose ids the runtime has not written yet.
#[test]
fn order_is_kept_per_m_since_new_threads_have_no_id() {
    let text = whole()
        .replace(
            r#""tid":7,"m":0,"depth":128"#,
            r#""tid":0,"m":3,"depth":128"#,
        )
        .replace(r#""g":1,"tid":7,"m":0"#, r#""g":2,"tid":0,"m":4"#)
        .replace(
            r#""start":5000000000,"dur":50"#,
            r#""start":5000000000,"dur":5"#,
        );
    let judged = judge_text(&text, Count::Exactly(2), Count::Exactly(1));
    assert_eq!(bad(&judged), Vec::<String>::new());
    let one = text.replace(r#""m":4"#, r#""m":3"#);
    let found = bad(&judge_text(&one, Count::Exactly(2), Count::Exactly(1)));
    assert!(
        found.iter().any(|line| line.starts_with("order of each M")),
        "{found:?}"
    );
}

#[test]
fn hooks_and_agents_that_drop_records_are_seen() {
    let returns = |text: &str| {
        returns(
            &judge_text(text, Count::AtLeast(0), Count::AtLeast(0)),
            true,
        )
    };
    assert!(returns(&whole()).answer.agrees());
    // The agent drops every record, then one.
    let none = [HEADER, END]
        .join("\n")
        .replace(r#""spans":[2]"#, r#""spans":[0]"#)
        + "\n";
    let one = whole()
        .replace(SPANS[0], "")
        .replace("\n\n", "\n")
        .replace(r#""spans":[2]"#, r#""spans":[1]"#);
    for text in [&none, &one] {
        let found = bad(&judge_text(text, Count::AtLeast(0), Count::AtLeast(0)));
        assert!(
            found
                .iter()
                .any(|line| line.starts_with("records: diverge")),
            "{found:?}"
        );
    }
    // The hooks do.
    let unpublished = none.replace(r#""published":2"#, r#""published":0"#);
    let found = bad(&judge_text(
        &unpublished,
        Count::AtLeast(0),
        Count::AtLeast(0),
    ));
    assert_eq!(found, Vec::<String>::new());
    assert!(matches!(returns(&unpublished).answer, Answer::Diverge(_)));
    // One call may be the one in which the program ended.
    let last = unpublished.replace(r#""entered":[3]"#, r#""entered":[1]"#);
    assert!(matches!(returns(&last).answer, Answer::Inconclusive(_)));
}

#[test]
fn initialisers_have_returned_when_main_is_entered() {
    let fired = |name: &str, entered, spans| Fired {
        name: name.to_owned(),
        entered,
        spans,
        callers: BTreeMap::new(),
    };
    let answer = |name: &str, spans| {
        let mut judged = judge_text(&whole(), Count::AtLeast(0), Count::AtLeast(0));
        judged.fired = vec![
            fired("main.main", 1, 0),
            fired(name, 1, spans),
            fired("main.f", 5, 5),
        ];
        returns(&judged, true).answer
    };
    for name in ["main.init", "net/http.init.0", "main.init.12"] {
        assert!(matches!(answer(name, 0), Answer::Diverge(_)), "{name}");
        assert!(answer(name, 1).agrees());
    }
    for name in ["main.initialise", "main.init.0.func1", "main.(*T).init2"] {
        assert!(answer(name, 0).agrees(), "{name}");
    }
}
