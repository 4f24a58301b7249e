//! Reports of cells -> JUnit XML: a suite per Go version, a test case per build mode.

use std::time::Duration;

use anyhow::{Context, Result};
use quick_junit::{NonSuccessKind, Property, Report, TestCase, TestCaseStatus, TestSuite};

use super::cell::{CellReport, Outcome};
use super::run::Finished;

/// The XML text.
///
/// # Errors
/// When it cannot be written as XML.
pub fn render(finished: &Finished) -> Result<String> {
    let mut report = Report::new("gondwana matrix");
    let mut suites: Vec<TestSuite> = Vec::new();
    for (_, cell) in &finished.reports {
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
    let status = match &cell.outcome {
        Outcome::Qualified | Outcome::Refused { .. } => TestCaseStatus::success(),
        Outcome::Failed { reasons } => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status
                .set_message(reasons.first().map_or("", |reason| reason.as_str()))
                .set_description(reasons.join("\n"));
            status
        }
        Outcome::Skipped { why } => {
            let mut status = TestCaseStatus::skipped();
            status.set_message(why.as_str());
            status
        }
    };
    let mut case = TestCase::new(cell.mode.as_str(), status);
    case.set_classname(cell.go.as_str());
    case.set_time(Duration::from_secs_f64(cell.seconds.max(0.0)));
    if let Outcome::Refused { code } = &cell.outcome {
        case.add_property(Property::new("refused", code.as_str()));
    }
    if let Some(program) = &cell.program {
        case.add_property(Property::new(
            "hookable-percent",
            format!("{:.2}", program.share()),
        ));
        for (code, count) in &program.refused {
            case.add_property(Property::new(format!("refused.{code}"), count.to_string()));
        }
    }
    case
}
