//! What a release changes against another: nothing against itself, and what is known of real ones.

use gondwana_harness::build::Builder;
use gondwana_harness::layouts::compare::What;
use gondwana_harness::release::{Report, check, render};
use gondwana_harness::toolchain::Toolchains;

fn between(old: &str, new: &str) -> Report {
    let toolchains = Toolchains::open().unwrap();
    let (old, new) = (toolchains.get(old).unwrap(), toolchains.get(new).unwrap());
    check(&old, &new, &Builder::open().unwrap(), |_| {}).unwrap()
}

#[test]
fn a_release_changes_nothing_against_itself() {
    let report = between("1.27", "1.27");
    assert!(!report.changed(), "{}", render(&report));
    // Not because nothing was looked at.
    assert!(
        report.decisions.compared > 4000,
        "{}",
        report.decisions.compared
    );
    assert!(report.decisions.goldens_read > 0);
    assert!(
        report.forms.histogram.len() >= 5,
        "{:?}",
        report.forms.histogram
    );
    assert!(
        report.policy.read_before > 10,
        "{}",
        report.policy.read_before
    );
}

#[test]
fn what_1_27_changed_against_1_25_is_found() {
    let report = between("1.25", "1.27");
    let shown = render(&report);
    assert!(report.changed());
    let found = |structure: &str, item: &str| {
        let same = |one: &&gondwana_harness::layouts::compare::Difference| {
            one.structure == structure && one.item == item
        };
        report
            .layouts
            .iter()
            .find(same)
            .map(|one| (one.expected, one.found))
    };
    assert_eq!(
        found("runtime.moduledata", "typelinks"),
        Some((What::Field(352, 24), What::Absent)),
        "{shown}"
    );
    assert_eq!(
        found("runtime.m", "p"),
        Some((What::Field(200, 8), What::Field(208, 8))),
        "{shown}"
    );
    assert_eq!(
        found("", "PCDATA_PanicBounds"),
        Some((What::Absent, What::Value(4))),
        "{shown}"
    );
    assert!(report.rows.is_empty(), "{shown}");
    // No new way to check the stack.
    assert!(
        report.forms.new.is_empty() && report.forms.unrecognised.is_empty(),
        "{shown}"
    );
    // 1.26 brought assembly that looks up its own return address.
    assert!(
        report
            .policy
            .appeared
            .iter()
            .any(|rule| rule.starts_with("runtime.panicBounds")),
        "{shown}"
    );
    // It replaced `runtime.panicIndex*`, whose rule says so.
    assert!(report.policy.vanished.is_empty(), "{shown}");
    assert!(report.policy.uncovered.is_empty(), "{shown}");
    assert!(
        report.decisions.differ > 0 && !report.decisions.examples.is_empty(),
        "{shown}"
    );
}
