//! The report of a test program -> its events, as text in which nothing depends on time, addresses or scheduling; and the
//! file below `goldens/events` that holds this text for every Go version.
//!
//! Numbers stand only where the program's head promises exact ones. A file has a part for each set of versions that say the
//! same: a line `# VERSIONS`, then the text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use gondwana_engine::golang::GoVersion;
use gondwana_engine::spec::Pattern;

use crate::cache::Lock;
use crate::report::{Hook, Report};
use crate::testbins::{Case, Count, Expected};

/// The variable that insta reads, too: with `always`, files are brought up to date instead of compared.
const UPDATE: &str = "INSTA_UPDATE";

/// The events of one run of `case` on which the expectations `expected` were checked (those that its build can meet).
///
/// # Errors
/// When the run leaves something open on which the text depends.
pub fn render(case: &Case, expected: &[Expected], report: &Report) -> Result<String> {
    // In a program of many test programs each is a package of its own.
    let own = |text: &str| text.replace(&format!("testbins/{}.", case.name), "main.");
    let mut out = String::new();
    let mut told: Vec<&str> = Vec::new();
    for event in expected {
        let pattern = Pattern::parse(&event.pattern).context("the pattern of an event")?;
        let hooks = report.hooks.iter();
        let hooks = by_name(hooks.filter(|hook| pattern.matches(&hook.name)));
        writeln!(
            out,
            "{}: {} returned, {} abandoned",
            own(&event.pattern),
            event.spans,
            event.abandoned
        )?;
        let is_exact = matches!(event.spans, Count::Exactly(_)) && hooks.len() == 1;
        for hook in &hooks {
            writeln!(out, "  {}", described(hook, &own))?;
            if is_exact && hook.spans > 0 {
                writeln!(out, "    {}", callers(hook, expected, &own)?)?;
            }
        }
        told.extend(hooks.iter().map(|hook| hook.name.as_str()));
    }
    let is_told = |hook: &&Hook| told.contains(&hook.name.as_str());
    let others = by_name(report.hooks.iter().filter(|hook| !is_told(hook)));
    if !others.is_empty() {
        writeln!(out, "no expectation")?;
    }
    for hook in others {
        writeln!(out, "  {}", described(hook, &own))?;
    }
    let mut refused: Vec<String> = report
        .refused
        .iter()
        .map(|refused| format!("  {}: {}\n", own(&refused.name), refused.code))
        .collect();
    refused.sort();
    if !refused.is_empty() {
        writeln!(out, "refused\n{}", refused.concat().trim_end())?;
    }
    Ok(out)
}

/// The linker's order differs from program to program.
fn by_name<'r>(hooks: impl Iterator<Item = &'r Hook>) -> Vec<&'r Hook> {
    let mut hooks: Vec<&Hook> = hooks.collect();
    hooks.sort_by(|a, b| a.name.cmp(&b.name));
    hooks
}

fn described(hook: &Hook, own: &dyn Fn(&str) -> String) -> String {
    let (name, strategy, abi) = (own(&hook.name), &hook.strategy, &hook.abi);
    format!(
        "{name}: {strategy}, {abi}, {} bytes of stack arguments",
        hook.args
    )
}

/// In which hooked functions the calls were made. What functions without an exact number did is not told.
fn callers(hook: &Hook, expected: &[Expected], own: &dyn Fn(&str) -> String) -> Result<String> {
    let sum: u64 = hook.callers.values().sum();
    if sum != hook.spans {
        bail!(
            "{} of {} calls of {} have a caller that the clocks of two CPUs leave open",
            hook.spans - sum.min(hook.spans),
            hook.spans,
            hook.name
        );
    }
    let is_exact = |name: &str| {
        expected.iter().any(|event| {
            matches!(event.spans, Count::Exactly(_))
                && Pattern::parse(&event.pattern).is_ok_and(|pattern| pattern.matches(name))
        })
    };
    let parts = hook.callers.iter().map(|(caller, calls)| match caller {
        caller if caller.is_empty() => format!("{calls} outermost"),
        caller if is_exact(caller) => format!("{calls} inside {}", own(caller)),
        caller => format!("some inside {}", own(caller)),
    });
    let parts: Vec<String> = parts.collect();
    // With an inexact caller the rest is inexact, too.
    Ok(match parts.iter().any(|part| part.starts_with("some")) {
        true => "calls inside others and outermost ones".to_owned(),
        false => parts.join(", "),
    })
}

/// The text of each set of versions.
type Parts = Vec<(Vec<GoVersion>, String)>;

fn read(text: &str) -> Result<Parts> {
    let mut parts = Parts::new();
    for line in text.lines() {
        match (line.strip_prefix("# "), parts.last_mut()) {
            (Some(versions), _) => {
                let versions: Result<Vec<GoVersion>, _> =
                    versions.split(' ').map(str::parse).collect();
                parts.push((versions?, String::new()));
            }
            (None, Some((_, body))) => {
                body.push_str(line);
                body.push('\n');
            }
            (None, None) => bail!("`{line}` before the first line with versions"),
        }
    }
    Ok(parts)
}

fn write(parts: &Parts) -> String {
    let mut out = String::new();
    for (versions, body) in parts {
        let names: Vec<String> = versions.iter().map(GoVersion::to_string).collect();
        out.push_str(&format!("# {}\n{body}", names.join(" ")));
    }
    out
}

/// The parts with `body` as what `version` says.
fn with(parts: Parts, version: GoVersion, body: &str) -> Parts {
    let mut by_body: BTreeMap<String, Vec<GoVersion>> = BTreeMap::new();
    for (versions, body) in parts {
        let others = versions.into_iter().filter(|other| *other != version);
        by_body.entry(body).or_default().extend(others);
    }
    by_body.entry(body.to_owned()).or_default().push(version);
    let mut parts: Parts = by_body
        .into_iter()
        .map(|(body, mut versions)| {
            versions.sort_unstable();
            (versions, body)
        })
        .filter(|(versions, _)| !versions.is_empty())
        .collect();
    parts.sort();
    parts
}

/// Compares the events of `program` in `version` with its file in `dir`.
///
/// # Errors
/// They differ, or the file does not know the version: the message says how, and how to accept the new ones.
pub fn compare(dir: &Path, program: &str, version: GoVersion, body: &str) -> Result<()> {
    let path = dir.join(format!("{program}.events"));
    let place = || path.display().to_string();
    if std::env::var(UPDATE).is_ok_and(|update| update == "always") {
        return accept(&path, version, body).with_context(place);
    }
    judge(&path, version, body).with_context(place)
}

/// Brings a file up to date.
fn accept(path: &Path, version: GoVersion, body: &str) -> Result<()> {
    // Tests of other versions do the same now.
    let lock = std::env::temp_dir().join("gondwana-goldens.lock");
    let _lock = Lock::exclusive(&lock, || {})?;
    fs::create_dir_all(path.parent().unwrap_or(path)).context("create the folder")?;
    let parts = read(&fs::read_to_string(path).unwrap_or_default())?;
    fs::write(path, write(&with(parts, version, body))).context("write")
}

fn judge(path: &Path, version: GoVersion, body: &str) -> Result<()> {
    let parts = read(&fs::read_to_string(path).context("read")?)?;
    let says = |is: &dyn Fn(&GoVersion) -> bool| {
        let part = parts.iter().find(|(versions, _)| versions.iter().any(is));
        part.map(|(_, body)| body.as_str())
    };
    // A patch release that has no part of its own is like the one that has.
    let known = says(&|other| *other == version).or_else(|| says(&|o| o.minor == version.minor));
    let Some(known) = known else {
        bail!("{version} is not in it; {UPDATE}=always adds it");
    };
    if known != body {
        let (old, new): (Vec<&str>, Vec<&str>) = (known.lines().collect(), body.lines().collect());
        let gone = old.iter().filter(|line| !new.contains(line));
        let come = new.iter().filter(|line| !old.contains(line));
        let lines: Vec<String> = gone
            .map(|line| format!("- {line}"))
            .chain(come.map(|line| format!("+ {line}")))
            .collect();
        bail!(
            "the events of {version} differ; {UPDATE}=always accepts the new ones\n{}",
            match lines.is_empty() {
                true => "in the order or number of their lines".to_owned(),
                false => lines.join("\n"),
            }
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testbins;
    use crate::toolchain::LAST_PATCHES;

    const FILE: &str = "# go1.5.4 go1.16.15\nold\n# go1.17.13\nnew\nline\n";

    #[test]
    fn files_come_back_as_they_were_and_versions_move() {
        let parts = read(FILE).unwrap();
        assert_eq!(write(&parts), FILE);
        let moved = with(parts, GoVersion::new(16, 15), "new\nline\n");
        assert_eq!(
            write(&moved),
            "# go1.5.4\nold\n# go1.16.15 go1.17.13\nnew\nline\n"
        );
        let alone = with(moved, GoVersion::new(5, 4), "new\nline\n");
        assert_eq!(write(&alone), "# go1.5.4 go1.16.15 go1.17.13\nnew\nline\n");
        assert!(read("x\n").is_err() && read("# go1.x\n").is_err());
    }

    #[test]
    fn other_events_and_unknown_versions_are_told() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("p.events"), FILE).unwrap();
        let say = |version, body| {
            judge(&dir.path().join("p.events"), version, body)
                .map_err(|error| format!("{error:#}"))
                .err()
        };
        assert_eq!(say(GoVersion::new(17, 13), "new\nline\n"), None);
        let differs = say(GoVersion::new(17, 13), "other\n").unwrap();
        assert!(differs.ends_with("\n- new\n- line\n+ other"), "{differs}");
        let shorter = say(GoVersion::new(17, 13), "new\nline\nline\n").unwrap();
        assert!(shorter.ends_with("number of their lines"), "{shorter}");
        assert_eq!(say(GoVersion::new(17, 2), "new\nline\n"), None);
        let unknown = say(GoVersion::new(18, 0), "new\nline\n").unwrap();
        assert!(unknown.contains("go1.18 is not in it"), "{unknown}");
    }

    #[test]
    fn every_program_has_a_file_that_knows_every_version() {
        let goldens = Path::new(env!("CARGO_MANIFEST_DIR")).join("../goldens/events");
        let mut files: Vec<String> = fs::read_dir(&goldens)
            .unwrap()
            .map(|file| file.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        files.sort();
        let cases = testbins::all().unwrap();
        let expected: Vec<String> = cases
            .iter()
            .map(|case| format!("{}.events", case.name))
            .collect();
        assert_eq!(files, expected);
        for case in cases {
            let path = goldens.join(format!("{}.events", case.name));
            let parts = read(&fs::read_to_string(path).unwrap()).unwrap();
            let mut versions: Vec<GoVersion> = parts.into_iter().flat_map(|(v, _)| v).collect();
            versions.sort_unstable();
            let supported = LAST_PATCHES.into_iter().filter(|&v| case.supports(v));
            assert_eq!(versions, supported.collect::<Vec<_>>(), "{}", case.name);
        }
    }
}
