//! What varies is masked where it varies; everything else is seen.

use super::*;
use crate::executor::native::process::Reached;

fn run(stdout: &str) -> Finished {
    Finished {
        stdout: stdout.into(),
        reached: Reached::Ready,
        ..Finished::new(1, End::Status(0))
    }
}

/// The answer for standard output after as many unhooked runs as are wanted.
fn answer(unhooked: &[&str], hooked: &str) -> Answer {
    let runs: Vec<Finished> = unhooked.iter().map(|text| run(text)).collect();
    let mut made = 2;
    loop {
        let hooked = run(hooked);
        let mut comparison = Comparison::new(&hooked, &[]);
        if comparison.wants(&runs[..made]) == Wants::Nothing || made == runs.len() {
            return comparison.judge(&runs[..made]).output[0].answer.clone();
        }
        made += 1;
    }
}

fn wants(unhooked: &[&str], hooked: &str) -> Wants {
    let runs: Vec<Finished> = unhooked.iter().map(|text| run(text)).collect();
    Comparison::new(&run(hooked), &[]).wants(&runs)
}

fn diverges(unhooked: &[&str], hooked: &str) -> bool {
    matches!(answer(unhooked, hooked), Answer::Diverge(_))
}

#[test]
fn the_same_three_times_agrees_and_needs_no_more() {
    let judged = judge(&[run("a\nb\n"), run("a\nb\n")], &run("a\nb\n"), &[]);
    assert!(
        judged
            .output
            .iter()
            .chain(&judged.exit)
            .all(|f| f.answer.agrees())
    );
    assert!(judged.masked.is_empty());
    assert_eq!(wants(&["a\nb\n"; 2], "a\nb\n"), Wants::Nothing);
}

#[test]
fn two_equal_runs_and_a_third_number_need_more_runs() {
    assert_eq!(
        wants(&["Done in 2 rounds\n"; 2], "Done in 3 rounds\n"),
        Wants::UntilSure
    );
    let texts = [
        "Done in 2 rounds\n",
        "Done in 2 rounds\n",
        "Done in 4 rounds\n",
        "Done in 2 rounds\n",
    ];
    assert!(answer(&texts, "Done in 3 rounds\n").agrees());
    assert!(diverges(
        &["Done in 2 rounds\n"; MOST],
        "Done in 3 rounds\n"
    ));
}

#[test]
fn a_measured_duration_may_be_longer_a_set_one_may_not() {
    assert!(answer(&["Done in 2ms\n"; MOST], "Done in 12ms\n").agrees());
    assert!(diverges(&["timeout 30s\n"; MOST], "timeout 31s\n"));
}

#[test]
fn a_wrong_answer_on_a_line_with_a_time_is_seen() {
    let text = |second: usize, answer: u32| {
        format!(
            "2026/11/26 11:38:{:02} request 1 answer 41\n2026/11/26 11:38:{second:02} request 2 answer {answer}\n",
            second + 1
        )
    };
    let texts: Vec<String> = (0..MOST).map(|second| text(second, 42)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert!(answer(&texts, &text(30, 42)).agrees());
    assert!(diverges(&texts, &text(30, 43)));
    // Nor can two answers change places.
    assert!(diverges(
        &texts,
        &text(30, 42)
            .replace("41", "x")
            .replace("42", "41")
            .replace('x', "42")
    ));
}

#[test]
fn lines_come_in_any_order_only_where_they_did() {
    let unhooked = [
        "start\nw 1 job 7\nw 2 job 8\nend\n",
        "start\nw 2 job 8\nw 1 job 7\nend\n",
        "start\nw 1 job 7\nw 2 job 8\nend\n",
    ];
    assert!(answer(&unhooked, "start\nw 2 job 8\nw 1 job 7\nend\n").agrees());
    for wrong in [
        "w 2 job 8\nstart\nw 1 job 7\nend\n",
        "start\nw 2 job 8\nend\n",
        "start\nw 2 job 8\nw 2 job 8\nw 1 job 7\nend\n",
        "start\nw 2 job 7\nw 1 job 8\nend\n",
        "start\nw 2 job 8\nw 1 job 9\nend\n",
    ] {
        assert!(diverges(&unhooked, wrong), "{wrong}");
    }
    assert!(diverges(&["a\nb\n"; MOST], "b\na\n"));
}

#[test]
fn an_order_is_no_harm_up_to_twice_the_worst_disorder_of_unhooked_runs() {
    let lines = |order: &str| order.replace(' ', "\n") + "\n";
    let mut unhooked = vec![lines("a b c d e"); MOST];
    // Only this run has another order of one pair.
    unhooked[2] = lines("b a c d e");
    let unhooked: Vec<&str> = unhooked.iter().map(String::as_str).collect();
    assert!(answer(&unhooked, &lines("a c b e d")).agrees());
    assert!(!answer(&unhooked, &lines("a d c b e")).agrees());
}

#[test]
fn lines_that_come_now_and_then_may_come_a_little_more_often() {
    let text = |n: usize| format!("begin\n{}end\n", "tick\n".repeat(n));
    let texts: Vec<String> = [3, 4, 3, 5, 4, 3, 4].map(text).into();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    assert!(answer(&texts, &text(6)).agrees());
    assert!(diverges(&texts, &text(60)));
    assert!(diverges(&texts, &text(0)));
    assert!(diverges(&texts, &text(4).replace("end\n", "end\nend\n")));
}

#[test]
fn words_that_vary_decide_nothing_unless_they_are_masked() {
    let texts = [
        "a heads\n",
        "a tails\n",
        "a rim\n",
        "a lost\n",
        "a found\n",
        "a none\n",
        "a some\n",
    ];
    assert!(matches!(
        answer(&texts, "a other\n"),
        Answer::Inconclusive(_)
    ));
    let masks = [Regex::new("a [a-z]+").unwrap()];
    let runs = texts.map(run);
    let judged = |hooked: &str| judge(&runs, &run(hooked), &masks).output;
    assert!(judged("a other\n")[0].answer.agrees());
    assert!(matches!(judged("b other\n")[0].answer, Answer::Diverge(_)));
    // A crash is seen through any mask and any noise.
    let masks = [Regex::new(".*").unwrap()];
    let found = judge(&runs, &run("panic: lost\n"), &masks).output;
    assert!(
        found
            .iter()
            .any(|f| f.what.starts_with("words of a crash") && !f.answer.agrees())
    );
}

#[test]
fn addresses_count_where_they_are_the_same_each_time() {
    let texts = [
        "pc=0x55d0c000 r=0x1f\n",
        "pc=0x7fd0c123 r=0x1f\n",
        "pc=0x7fd0c723 r=0x1f\n",
    ];
    assert!(answer(&texts, "pc=0x561111110 r=0x1f\n").agrees());
    for other in [
        "pc=0x561111110 r=0x1e\n",
        "pc=0x5611 r=0x1f\n",
        "pc=0x561111110",
    ] {
        assert!(diverges(&texts, other), "{other}");
    }
    assert!(diverges(&["pc=0x55d0c000\n"; MOST], "pc=0x55d0c001\n"));
}

#[test]
fn bytes_that_are_no_text_are_compared_too() {
    let of = |bytes: &[u8]| Finished {
        stdout: bytes.into(),
        ..run("")
    };
    let runs: Vec<Finished> = (0..7).map(|_| of(b"\xff\xfe 1\n")).collect();
    assert!(
        !judge(&runs, &of(b"\xff\xfd 1\n"), &[]).output[0]
            .answer
            .agrees()
    );
}

#[test]
fn a_run_that_was_killed_is_compared_without_its_last_line() {
    let of = |text: &str| Finished {
        end: End::TimedOut,
        ..run(text)
    };
    let runs = [
        of("tick 1\ntick 2\nti"),
        of("tick 1\ntick 2\ntick 3\n"),
        of("tick 1\ntick 2\ntick"),
    ];
    let judged = judge(&runs, &of("tick 1\ntick 2\ntick 3\nt"), &[]);
    assert!(judged.output[0].answer.agrees(), "{judged:?}");
}
