//! [`Report`] -> text for people.

use std::fmt::Write as _;

use super::Report;

/// Lines of a section that are shown; `--json` has all.
const SHOWN: usize = 30;

/// The report, section by section.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut out = String::new();
    // Writing into a string cannot fail.
    let _ = writeln!(out, "{} against {}", report.version, report.against);
    let differences: Vec<String> = report
        .layouts
        .iter()
        .map(|one| {
            let name = if one.structure.is_empty() {
                one.item.clone()
            } else {
                format!("{} {}", one.structure, one.item)
            };
            format!(
                "{name}: {}, was {} ({})",
                one.found, one.expected, one.source
            )
        })
        .collect();
    section(&mut out, "layouts and constants", &differences);
    section(&mut out, "lines for engine/src/golang/tables", &report.rows);
    let _ = writeln!(
        out,
        "\nforms of function entries: {}",
        report.forms.histogram.len()
    );
    for form in report.forms.histogram.iter().take(SHOWN) {
        let [old, new] = form.functions;
        let _ = writeln!(out, "  {old:>6} -> {new:>6}  {}", form.form);
    }
    section(&mut out, "new forms", &report.forms.new);
    section(&mut out, "forms that are gone", &report.forms.gone);
    section(
        &mut out,
        "functions that call morestack without a check that is known",
        &report.forms.unrecognised,
    );
    let _ = writeln!(out, "\nanswers of the engine");
    for (answer, [old, new]) in &report.decisions.answers {
        let _ = writeln!(out, "  {old:>6} -> {new:>6}  {answer}");
    }
    let decisions = &report.decisions;
    let _ = writeln!(
        out,
        "  of {} functions that both have, {} have another site or refusal",
        decisions.compared, decisions.differ
    );
    let title = format!(
        "of {} goldens, those about such functions",
        decisions.goldens_read
    );
    section(&mut out, &title, &decisions.goldens);
    section(
        &mut out,
        "policy: functions that appeared",
        &report.policy.appeared,
    );
    section(
        &mut out,
        "policy: functions that vanished",
        &report.policy.vanished,
    );
    section(
        &mut out,
        "functions that look at their caller, without a rule",
        &report.policy.uncovered,
    );
    let _ = writeln!(
        out,
        "  {} others do so in both releases and were read before",
        report.policy.read_before
    );
    let verdict = if report.changed() {
        "something changed"
    } else {
        "nothing to do"
    };
    let _ = writeln!(out, "\n{verdict}");
    out
}

fn section(out: &mut String, title: &str, lines: &[String]) {
    let _ = writeln!(
        out,
        "\n{title}: {}",
        match lines.len() {
            0 => "none".to_owned(),
            count => count.to_string(),
        }
    );
    for line in lines.iter().take(SHOWN) {
        let _ = writeln!(out, "  {line}");
    }
    if lines.len() > SHOWN {
        let _ = writeln!(out, "  and {} more", lines.len() - SHOWN);
    }
}
