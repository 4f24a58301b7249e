//! One function of a real Go program each -> its site and the moved window, as text.
//!
//! Inputs: `goldens/inputs/FORM-goVERSION.function`. Snapshots: `goldens/sites/FORM-goVERSION.site.snap`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use gondwana_engine::addr::{RunAddr, Slide};
use gondwana_engine::listing::listing;
use gondwana_engine::relocate;
use gondwana_engine::site::Site;
use gondwana_engine::site::table::Row;

use super::input::Input;

/// What the engine says about one input.
pub(crate) fn render(input: &Input) -> String {
    let answer = input.decide();
    let row = Row::new(&input.function(), &answer, 0);
    let mut out = format!(
        "{} of {}\n\n{row}\n",
        input.function().name,
        input.version()
    );
    match &answer {
        Ok(site) => render_site(&mut out, site),
        Err(refusal) => writeln!(out, "\n{refusal}\n({})", refusal.code.explain()).unwrap(),
    }
    out
}

fn render_site(out: &mut String, site: &Site<'_>) {
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

/// The forms of GO-COMPAT §3 and, for each, the ranges of minor versions in which it is written in its own way.
///
/// Ranges follow the register that holds g and the place of the frame pointer (`cmd/internal/obj/x86/obj6.go`): 1.5 and
/// 1.6 have no frame pointer, 1.7 to 1.20 set it up after `sub rsp`, 1.17 moved g to R14, 1.21 and later push RBP first.
const FORMS: &[(&str, &[(u16, u16)])] = &[
    ("small", &[(5, 6), (7, 16), (17, 20), (21, 27)]),
    ("medium", &[(5, 6), (7, 16), (17, 20), (21, 27)]),
    ("huge", &[(5, 6), (7, 16), (17, 20), (21, 27)]),
    ("systemstack", &[(5, 6), (7, 16), (17, 20), (21, 27)]),
    ("leaf", &[(5, 6), (7, 16), (17, 20), (21, 27)]),
    ("nosplit-frame", &[(5, 6), (7, 16), (17, 20), (21, 27)]),
    // `sub rsp,0x80` with a 32-bit operand to 1.12, `add rsp,-0x80` later.
    ("nosplit-frame-128", &[(7, 12), (13, 20)]),
    ("closure", &[(5, 6), (7, 16), (17, 20), (21, 27)]),
    // Method wrappers look whether they are deferred, to 1.25.
    ("wrapper", &[(5, 8), (9, 16), (17, 20), (21, 25), (26, 27)]),
    (
        "wrapper-nosplit",
        &[(5, 8), (9, 16), (17, 20), (21, 25), (26, 27)],
    ),
    ("abi0-wrapper", &[(17, 20), (21, 27)]),
    ("abi0-wrapper-pie", &[(17, 20), (21, 27)]),
    ("abi0-split-cgo", &[(17, 20), (21, 27)]),
    ("abi0-split-cgo-pie", &[(17, 20), (21, 27)]),
    ("small-pie", &[(6, 6), (7, 16), (17, 20), (21, 27)]),
    ("huge-pie", &[(7, 16), (17, 20), (21, 27)]),
    ("tls-behind-c", &[(7, 16)]),
    ("noregabi", &[(17, 17)]),
    ("noregabi-leaf", &[(17, 17)]),
    ("race", &[(7, 16), (17, 20), (21, 27)]),
    ("noopt", &[(5, 6), (7, 16), (17, 20), (21, 27)]),
];

#[test]
fn every_form_has_an_input_in_every_range() {
    let inputs = inputs();
    let minors = |form: &str| -> Vec<u16> {
        let of_form = inputs
            .iter()
            .filter_map(|(name, _)| name.strip_prefix(form)?.strip_prefix("-go1."));
        of_form.map(|minor| minor.parse().unwrap()).collect()
    };
    let mut missing = Vec::new();
    for (form, ranges) in FORMS {
        let minors = minors(form);
        for (from, to) in *ranges {
            if !minors.iter().any(|minor| (from..=to).contains(&minor)) {
                missing.push(format!("{form} of Go 1.{from} to 1.{to}"));
            }
        }
    }
    assert!(missing.is_empty(), "no input: {}", missing.join(", "));
}
