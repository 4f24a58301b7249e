//! Go's own tests of some packages of its standard library do hooked what they do unhooked (`gondwana-harness std --core`), and
//! a hooked run that does not is seen.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use gondwana_harness::build::Builder;
use gondwana_harness::cells::Report as _;
use gondwana_harness::executor::native::hooked::Agent;
use gondwana_harness::gostd::cell::{Bench, CellReport};
use gondwana_harness::gostd::run::run;
use gondwana_harness::gostd::{Cell, Definition, markdown, render};
use gondwana_harness::toolchain::Toolchains;

fn bench(agent: Agent) -> Bench {
    Bench {
        definition: Definition::read().unwrap(),
        toolchains: Toolchains::open().unwrap(),
        builder: Builder::open().unwrap(),
        agent: agent.with_slots(1 << 12),
        patterns: vec!["*".to_owned()],
    }
}

#[test]
fn the_core_packages_pass_their_own_tests_hooked() {
    let bench = bench(Agent::harness(env!("CARGO_BIN_EXE_gondwana-harness")));
    let dir = tempfile::tempdir().unwrap();
    let cells = bench.definition.core();
    let finished = run(&bench, cells, 2, None, None, dir.path()).unwrap();
    let table = render::table(&finished);
    println!("{table}");
    assert!(finished.is_good(), "{table}");
    assert_eq!(finished.reports.len(), cells.len());
    for cell in finished.cells() {
        let calls = cell.calls;
        assert!(cell.passed > 5 && calls.entered > 1000, "{cell:?}");
        assert!(calls.hooks > 1000 && calls.spans > 0, "{cell:?}");
    }
}

/// What an agent makes of the package `io`, given by what it does with its arguments.
fn with_agent(script: &str) -> CellReport {
    let dir = tempfile::tempdir().unwrap();
    let agent = dir.path().join("agent");
    let harness = env!("CARGO_BIN_EXE_gondwana-harness");
    std::fs::write(&agent, format!("#!/bin/sh\nharness={harness}\n{script}\n")).unwrap();
    std::fs::set_permissions(&agent, std::fs::Permissions::from_mode(0o755)).unwrap();
    let bench = bench(Agent::harness(agent));
    let cell = Cell {
        go: "1.27.4".parse().unwrap(),
        package: "io".to_owned(),
    };
    let finished = run(&bench, &[cell], 1, None, None, &dir.path().join("out")).unwrap();
    finished.cells().next().unwrap().clone()
}

#[test]
fn hooked_runs_that_do_something_else_are_seen() {
    // `agent __run … --out STREAM -- BINARY ARGUMENTS…`
    let unhooked = r#"while [ "$1" != -- ]; do shift; done; shift; exec "$@""#;
    for (script, reason) in [
        (
            r#"exec "$harness" "$@" -test.skip='^TestCopyBuffer$'"#,
            "TestCopyBuffer: unhooked pass, hooked not run",
        ),
        (
            r#"echo 'fatal error: x' >&2; exec "$harness" "$@""#,
            "fatal error: x",
        ),
        (r#"echo another line; exec "$harness" "$@""#, "another line"),
        (unhooked, "the stream's first line"),
        (
            r#"exec "$harness" "$@" -test.timeout=1ns"#,
            "did not run to their end hooked",
        ),
    ] {
        let report = with_agent(script);
        let found = report.reasons.join("\n");
        assert!(found.contains(reason), "{script}: {found}");
    }
    let honest = with_agent(r#"exec "$harness" "$@""#);
    assert!(honest.is_good(), "{honest:?}");
}

/// The document's table has all cells of the file, the core ones were run, and none failed.
#[test]
fn the_table_in_the_document_is_that_of_the_file() {
    let definition = Definition::read().unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/STD.md");
    let document = std::fs::read_to_string(&file).unwrap();
    let named = |cell: &Cell| (cell.go.to_string(), cell.package.clone());
    let core: Vec<_> = definition.core().iter().map(named).collect();
    let mut found = Vec::new();
    for (go, package, text) in markdown::table_of(&document).unwrap() {
        let count = text.split(',').next().unwrap_or_default();
        let passed = count.parse::<u64>().is_ok_and(|passed| passed > 0);
        let cell = (go, package);
        let may_be_left = text == render::NOT_RUN && !core.contains(&cell);
        assert!(passed || may_be_left, "{cell:?}: {text}");
        found.push(cell);
    }
    found.sort();
    let cells = definition.cells(definition.versions());
    let mut expected: Vec<_> = cells.iter().map(named).collect();
    expected.sort();
    assert_eq!(found, expected, "run `gondwana-harness std --update`");
}
