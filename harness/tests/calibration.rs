//! The verdict of `qualify` is right: a few trials of programs that are harmless and of programs that are harmed on purpose
//! (`gondwana-harness calibrate` makes a hundred of each), and each harm once for real, by hooks.

use std::path::PathBuf;

use gondwana_harness::build::Builder;
use gondwana_harness::calibrate::definition::{Definition, Entry, Origin};
use gondwana_harness::calibrate::render;
use gondwana_harness::calibrate::run::{Row, run};
use gondwana_harness::calibrate::subject::{Subject, harmed};
use gondwana_harness::executor::native::hooked::Agent;
use gondwana_harness::qualify::{Request, qualify};
use gondwana_harness::report::table;
use gondwana_harness::toolchain::{NEWEST_MINOR, Toolchains, last_patch};
use gondwana_harness::verdict::Verdict;

/// Trials of each program.
const TRIALS: u64 = 3;
/// Runs of a second and more; the long set has more of them.
const LONG: [&str; 3] = ["leak", "heap", "hang"];

/// The modes of the harmed program, built by the newest version.
fn modes() -> Vec<Subject> {
    let (toolchains, builder) = (Toolchains::open().unwrap(), Builder::open().unwrap());
    let newest = last_patch(NEWEST_MINOR).unwrap();
    let entries = Definition::read().unwrap().entries.into_iter();
    entries
        .filter(|entry| entry.origin == Origin::Harmed)
        .flat_map(|entry| {
            let entry = Entry {
                versions: vec![newest],
                ..entry
            };
            Subject::build(&toolchains, &builder, &entry).unwrap()
        })
        .collect()
}

#[test]
fn harmless_programs_agree_and_harmed_ones_diverge() {
    let (long, short): (Vec<_>, Vec<_>) = modes()
        .into_iter()
        .partition(|subject| LONG.contains(&subject.entry.name.as_str()));
    let mut rows = run(&short, TRIALS, 2, None, |_| {});
    rows.extend(run(&long, 1, 4, None, |_| {}));
    eprintln!("{}", render::table(&rows));
    // One of a hundred may be wrong, so one of all of these.
    let trials: u64 = rows.iter().map(Row::trials).sum();
    let right: u64 = rows.iter().map(Row::right).sum();
    assert!(
        trials > 150 && right + 1 >= trials,
        "{}",
        render::table(&rows)
    );
}

/// As `qualify` runs the mode, with hooks on main.work.
fn qualified(subject: &Subject, patterns: &[&str]) -> (Verdict, String) {
    let dir = tempfile::tempdir().unwrap();
    let scenario = subject.scenario(dir.path()).unwrap();
    let request = Request {
        program: subject.program.clone(),
        patterns: patterns.iter().map(|&pattern| pattern.to_owned()).collect(),
        out: dir.path().join("out"),
        agent: Agent::harness(env!("CARGO_BIN_EXE_gondwana-harness")),
        scenario,
        seed: 1,
        relocation: false,
        fips: false,
        masks: Vec::new(),
        exit: None,
        expected: Vec::new(),
    };
    let report = qualify(&request, |_| {}).unwrap();
    let shown = table::render(&report, "");
    (report.verdict, shown)
}

#[test]
fn each_harm_is_caught_where_the_program_sees_real_hooks() {
    for subject in modes() {
        let name = &subject.entry.name;
        let (verdict, shown) = match &subject.entry.harm {
            Some(_) => qualified(&subject, &["main.work"]),
            None => continue,
        };
        assert!(
            matches!(verdict, Verdict::NotQualified(_)),
            "{name}: {shown}"
        );
    }
}

#[test]
fn the_same_program_qualifies_with_hooks_that_it_does_not_see() {
    for name in ["answer", "request", "goroutine", "between"] {
        let subjects = modes();
        let subject = subjects.iter().find(|s| s.entry.name == name).unwrap();
        // Not main.work, at which it looks.
        let (verdict, shown) = qualified(subject, &["main.main", "main.seesHooks"]);
        assert!(
            !matches!(verdict, Verdict::NotQualified(_)),
            "{name}: {shown}"
        );
    }
}

#[test]
fn the_document_has_the_table() {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/CALIBRATION.md");
    let text = std::fs::read_to_string(file).unwrap();
    assert!(render::with_table(&text, &[]).is_ok());
}

#[test]
fn every_mode_of_the_list_is_one_of_the_program() {
    let (toolchains, builder) = (Toolchains::open().unwrap(), Builder::open().unwrap());
    let program = harmed(&toolchains, &builder, last_patch(NEWEST_MINOR).unwrap()).unwrap();
    let output = std::process::Command::new(program).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let theirs = said.trim().strip_prefix("modes: [").unwrap();
    let theirs: Vec<&str> = theirs.trim_end_matches(']').split(' ').collect();
    let mut ours: Vec<String> = modes().into_iter().map(|s| s.entry.name).collect();
    ours.sort();
    assert_eq!(ours, theirs);
}
