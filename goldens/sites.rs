//! One function of a real Go program each -> its site and the moved window, as text.
//!
//! Inputs: `goldens/inputs/FORM-goVERSION.function`. Snapshots: `goldens/sites/FORM-goVERSION.site.snap`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use gondwana_engine::addr::{RunAddr, Slide};
use gondwana_engine::golang::Facts;
use gondwana_engine::listing::listing;
use gondwana_engine::relocate;
use gondwana_engine::site::Site;
use gondwana_engine::site::table::Row;

use super::input::Input;

/// What the engine says about one input.
pub(crate) fn render(input: &Input) -> String {
    let answer = input.decide();
    let row = Row::new(&input.function(), &answer, &input.facts(), 0);
    let mut out = format!(
        "{} of {}\n\n{row}\n",
        input.function().name,
        input.version()
    );
    match &answer {
        Ok(site) => render_site(&mut out, site, &input.facts()),
        Err(refusal) => writeln!(out, "\n{refusal}\n({})", refusal.code.explain()).unwrap(),
    }
    out
}

fn render_site(out: &mut String, site: &Site<'_>, facts: &Facts) {
    let entry = Slide::ZERO.run(site.function.entry);
    let count = site.displaced.len();
    writeln!(
        out,
        "\nwindow: {} bytes, {count} displaced",
        site.window_len
    )
    .unwrap();
    out.push_str(&listing(site.window, entry, |_| None));
    writeln!(out, "abi: {:?}, args: {} bytes", site.abi, site.args).unwrap();
    match site.stack_check {
        Some(check) => writeln!(
            out,
            "stack check: up to {}, else to {}",
            check.end, check.morestack
        )
        .unwrap(),
        None => writeln!(out, "stack check: none").unwrap(),
    }
    writeln!(out, "callee stack: {:?}", site.callee_stack).unwrap();
    if let Some(deviation) = site.deviation(facts) {
        writeln!(out, "deviation: {deviation}").unwrap();
    }

    let at = RunAddr::new((entry.get() & !0xfff) + 0x100_0000);
    let relocated = relocate::relocate(site, at, Slide::ZERO).unwrap();
    let end = site
        .function
        .entry
        .checked_add(u64::from(site.window_len))
        .unwrap();
    relocate::check::check(&site.displaced, end, &relocated, at, Slide::ZERO).unwrap();
    let label = |at: RunAddr| {
        let (old, _) = relocated.moved.iter().find(|(_, new)| *new == at)?;
        Some(format!("{old}"))
    };
    writeln!(out, "\nmoved: {} bytes", relocated.bytes.len()).unwrap();
    out.push_str(&listing(&relocated.bytes, at, label));
}

/// The inputs, by name.
pub(crate) fn inputs() -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens/inputs");
    let mut inputs: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "function")
        })
        .map(|path| (path.file_stem().unwrap().to_str().unwrap().to_owned(), path))
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty());
    inputs
}

/// Compares what [`render`] makes of an input with its snapshot in `goldens/FOLDER`.
pub(crate) fn compare(folder: &str, name: &str, path: &Path) -> Input {
    let text = std::fs::read_to_string(path).unwrap();
    let from: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .collect();
    let input = Input::read(&text);
    let mut settings = super::settings(folder);
    settings.set_description(from.join(" "));
    settings.bind(|| insta::assert_snapshot!(name, render(&input)));
    input
}

#[test]
fn every_input_gives_its_site() {
    for (name, path) in inputs() {
        if !name.starts_with("refused-") {
            let input = compare("sites", &format!("{name}.site"), &path);
            assert!(input.decide().is_ok(), "{name} is refused");
        }
    }
}
