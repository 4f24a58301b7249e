//! Each reason code of a refusal, as `gondwana funcs` and `gondwana plan` tell it. Snapshots: `goldens/refusals/CODE*.snap`.
//!
//! Inputs: `goldens/inputs/refused-CODE*.function`; what a single function's bytes cannot show is made up here.

use std::collections::BTreeSet;

use gondwana_engine::addr::{LinkAddr, RunAddr, Slide};
use gondwana_engine::golang::GoVersion;
use gondwana_engine::image::testing::{Synthetic, SyntheticFunction};
use gondwana_engine::image::{Function, Image};
use gondwana_engine::relocate::relocate;
use gondwana_engine::site::table::Row;
use gondwana_engine::site::{Finder, Refusal, RefusalCode, Site};

use super::sites::{compare, inputs};

#[test]
fn every_code_has_a_refusal() {
    let mut codes = BTreeSet::new();
    for (name, path) in inputs() {
        let Some(rest) = name.strip_prefix("refused-") else {
            continue;
        };
        let input = compare("refusals", rest, &path);
        let code = input.decide().expect_err(&name).code;
        assert!(
            rest.starts_with(code.as_str()),
            "{name} is refused as {code}"
        );
        codes.insert(code);
    }
    for refusal in [
        unreadable as fn() -> (String, RefusalCode),
        tls_unknown,
        out_of_reach,
        not_relocatable,
    ] {
        let (text, code) = refusal();
        super::settings("refusals").bind(|| insta::assert_snapshot!(code.as_str(), text));
        codes.insert(code);
    }
    let all: BTreeSet<RefusalCode> = RefusalCode::ALL.iter().copied().collect();
    assert_eq!(codes, all);
}

/// Finds `function` in a program that has it, and lets `then` say why it is not hooked.
fn refuse(
    function: SyntheticFunction,
    change: impl Fn(&mut Function<'_>),
    then: impl Fn(Site<'_>) -> Refusal,
) -> (String, RefusalCode) {
    let version = GoVersion::new(21, 13);
    let mut program = Synthetic::new(version);
    // Of the program's own functions only the first, which does nothing.
    program.functions.truncate(1);
    program.functions.push(function);
    let data = program.build();
    let image = Image::parse(&data).unwrap();
    let mut function = *image.functions().last().unwrap();
    change(&mut function);
    let refusal = match Finder::new(&image).find(&function) {
        Ok(site) => then(site),
        Err(refusal) => refusal,
    };
    let code = refusal.code;
    let answer = Err(refusal);
    let row = Row::new(&function, &answer, 0);
    let refusal = answer.as_ref().unwrap_err();
    let (name, why) = (function.name, code.explain());
    (
        format!("{name} of {version}\n\n{row}\n\n{refusal}\n({why})\n"),
        code,
    )
}

fn none(site: Site<'_>) -> Refusal {
    panic!("a site: {site:?}")
}

/// A function that the line table has longer than the file.
fn unreadable() -> (String, RefusalCode) {
    let function = SyntheticFunction::new("main.longer", &[0x48, 0x8d, 0x44, 0x24, 0x08, 0xc3]);
    refuse(function, |function| function.size = 1 << 20, none)
}

/// Assembly in a program in which no function loads g.
fn tls_unknown() -> (String, RefusalCode) {
    let code = [0x48, 0x8d, 0x44, 0x24, 0x08, 0xc3];
    let function = SyntheticFunction {
        args: 16,
        flags: 4,
        ..SyntheticFunction::new("main.assembly", &code)
    };
    refuse(function, |_| (), none)
}

/// `mov rax,[rip+0]`, to be moved farther than a displacement reaches.
fn out_of_reach() -> (String, RefusalCode) {
    let code = [0x48, 0x8b, 0x05, 0, 0, 0, 0, 0xc3];
    let far = |site: Site<'_>| {
        let at = site.function.entry.get() + (4 << 30);
        relocate(&site, RunAddr::new(at), Slide::ZERO).unwrap_err()
    };
    refuse(SyntheticFunction::new("main.global", &code), |_| (), far)
}

/// A window whose bytes are no longer those that were decoded.
fn not_relocatable() -> (String, RefusalCode) {
    let code = [0x48, 0x8d, 0x44, 0x24, 0x08, 0xc3];
    let changed = |mut site: Site<'_>| {
        site.window = &[0x90; 5];
        let at = LinkAddr::new(site.function.entry.get() + 0x10_0000);
        relocate(&site, Slide::ZERO.run(at), Slide::ZERO).unwrap_err()
    };
    refuse(
        SyntheticFunction::new("main.changed", &code),
        |_| (),
        changed,
    )
}
