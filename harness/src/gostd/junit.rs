//! Reports of cells -> JUnit XML: a suite per Go version, a test case per package.

use std::time::Duration;

use anyhow::{Context, Result};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::cell::CellReport;
use super::run::Finished;
use crate::cells::Report as _;

/// The XML text.
///
/// # Errors
/// When it cannot be written as XML.
pub fn render(finished: &Finished) -> Result<String> {
    let mut report = Report::new("gondwana std");
    let mut suites: Vec<TestSuite> = Vec::new();
    for cell in finished.cells() {
        if suites
            .last()
            .is_none_or(|suite| suite.name.as_str() != cell.go)
        {
            suites.push(TestSuite::new(cell.go.as_str()));
        }
        if let Some(suite) = suites.last_mut() {
            suite.add_test_case(case(cell));
        }
    }
    report.add_test_suites(suites);
    report.to_string().context("write JUnit XML")
}

fn case(cell: &CellReport) -> TestCase {
    let status = if !cell.was_run() {
        let mut status = TestCaseStatus::skipped();
        status.set_message("not run: the time was over");
        status
    } else if cell.is_good() {
        TestCaseStatus::success()
    } else {
        let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
        status
            .set_message(cell.reasons.first().map_or("", |reason| reason.as_str()))
            .set_description(cell.reasons.join("\n"));
        status
    };
    let mut case = TestCase::new(cell.package.as_str(), status);
    case.set_classname(cell.go.as_str());
    case.set_time(Duration::from_secs_f64(cell.seconds.max(0.0)));
    for (name, count) in [
        ("passed", cell.passed),
        ("skipped", cell.skipped),
        ("failed-unhooked-too", cell.failed),
        ("hooks", cell.calls.hooks),
        ("calls-entered", cell.calls.entered),
        ("spans", cell.calls.spans),
    ] {
        case.add_property(Property::new(name, count.to_string()));
    }
    for name in &cell.flaky {
        case.add_property(Property::new("flaky", name.as_str()));
    }
    for known in &cell.known {
        let text = format!("{}: {}", known.test, known.why);
        case.add_property(Property::new("known-deviation", text));
    }
    case
}
