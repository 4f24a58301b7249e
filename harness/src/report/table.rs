//! [`Report`] -> text for people.

use std::fmt::Write;

use super::Report;
use crate::verdict::Conclusion;

/// Hooks and failures that the table shows; `report.json` has them all.
const SHOWN: usize = 12;

/// Renders the table. Ends with the verdict and, for each failing case, the command that replays it.
#[must_use]
pub fn render(report: &Report, dir: &str) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut text, report, dir);
    text
}

fn write(out: &mut String, report: &Report, dir: &str) -> std::fmt::Result {
    let program = &report.program;
    writeln!(out, "program     {}", program.path)?;
    writeln!(
        out,
        "            {}, {} functions, {} of them hookable, sha256 {}",
        program.go,
        program.functions,
        program.hookable,
        program.sha256.get(..16).unwrap_or(&program.sha256)
    )?;
    hooks(out, report)?;
    writeln!(out)?;
    writeln!(
        out,
        "{:<12}{:>10}{:>10}{:>14}   conclusion",
        "section", "agree", "diverge", "inconclusive"
    )?;
    for section in &report.sections {
        let counts = section.counts;
        writeln!(
            out,
            "{:<12}{:>10}{:>10}{:>14}   {:<11}{}",
            section.name,
            counts.agreed,
            counts.diverged,
            counts.inconclusive,
            conclusion(&section.conclusion),
            section.note
        )?;
    }
    for skipped in &report.skipped {
        writeln!(
            out,
            "skipped     {:>10} {}: {}",
            skipped.count, skipped.what, skipped.why
        )?;
    }
    let failures: Vec<_> = report.sections.iter().flat_map(|s| &s.failures).collect();
    if !failures.is_empty() {
        writeln!(out)?;
    }
    for failure in failures.iter().take(SHOWN) {
        writeln!(out, "{}: {}", failure.what, failure.answer)?;
        if let Some(case) = &failure.case {
            writeln!(out, "    gondwana-harness replay {dir}/{case}")?;
        }
    }
    if let Some(more @ 1..) = failures.len().checked_sub(SHOWN) {
        writeln!(out, "… and {more} more in report.json")?;
    }
    writeln!(out)?;
    writeln!(out, "verdict     {}", report.verdict)
}

fn conclusion(conclusion: &Conclusion) -> &'static str {
    match conclusion {
        Conclusion::Agrees => "agrees",
        Conclusion::Diverges(_) => "DIVERGES",
        Conclusion::Undecided(_) => "undecided",
    }
}

fn hooks(out: &mut String, report: &Report) -> std::fmt::Result {
    let fired = report.hooks.iter().filter(|hook| hook.entered > 0).count();
    writeln!(
        out,
        "hooks       {}: {} functions hooked, {fired} fired, {} refused",
        report.patterns.join(" "),
        report.hooks.len(),
        report.refused.len()
    )?;
    let mut hooks: Vec<_> = report.hooks.iter().collect();
    hooks.sort_by_key(|hook| std::cmp::Reverse(hook.entered));
    for hook in hooks.iter().take(SHOWN) {
        write!(
            out,
            "            {:>10} calls {:>10} returned  {}",
            hook.entered, hook.spans, hook.name
        )?;
        if hook.inlined > 0 {
            write!(
                out,
                "  [inlined in {} places: not seen there]",
                hook.inlined
            )?;
        }
        writeln!(out)?;
    }
    if let Some(more @ 1..) = hooks.len().checked_sub(SHOWN) {
        writeln!(out, "            … and {more} more in report.json")?;
    }
    for refused in report.refused.iter().take(SHOWN) {
        writeln!(
            out,
            "            refused {}: {} ({})",
            refused.name, refused.code, refused.detail
        )?;
    }
    if !report.deviations.is_empty() {
        let codes = report.deviations.join(" ");
        writeln!(out, "            the program can notice: {codes}")?;
    }
    Ok(())
}
