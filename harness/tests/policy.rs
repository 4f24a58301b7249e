//! The functions that must not get a frame, against real toolchains: every rule meets something, everyone who looks at its
//! caller is known, and the newest release's own names are.

use gondwana_engine::golang::{GoVersion, policy};
use gondwana_engine::image::Image;
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::policy::{Evidence, names};
use gondwana_harness::testbins;
use gondwana_harness::toolchain::{CHOICE, NEWEST_MINOR, Toolchain, Toolchains, chosen};

const EVERYDAY: [&str; 3] = ["1.13", "1.21", "1.27"];

fn toolchain(version: GoVersion) -> Toolchain {
    Toolchains::open().unwrap().get_version(version).unwrap()
}

/// Everyday without the modes that need the C compiler, and so without the findings that only these contradict.
fn evidence(version: GoVersion) -> Evidence {
    let modes: &[Mode] = match full() {
        true => &[Mode::Static, Mode::Cgo, Mode::Race],
        false => &[Mode::Static],
    };
    Evidence::gather(&toolchain(version), &Builder::open().unwrap(), modes).unwrap()
}

fn full() -> bool {
    std::env::var(CHOICE).is_ok_and(|all| all == "all")
}

#[test]
fn every_rule_meets_a_function_and_everyone_who_looks_at_its_caller_is_known() {
    for version in chosen(&EVERYDAY).unwrap() {
        let found = evidence(version).verify();
        assert!(
            found.findings.is_empty(),
            "{version}: {:#?}",
            found.findings
        );
        // Not vacuously.
        assert!(found.met > 60, "{version}: {found:?}");
        assert!(found.looking > 30, "{version}: {found:?}");
    }
}

/// Each part of the data is needed: without it there is a finding that names what is missing.
#[test]
fn what_is_not_in_the_data_is_found() {
    let version = chosen(&["1.27"]).unwrap()[0];
    let evidence = evidence(version);
    let without_rule = |name: &str| -> Vec<policy::Rule> {
        let others = policy::RULES.iter().filter(|rule| rule.name != name);
        others.copied().collect()
    };
    for name in [
        "internal/synctest.Run",
        "runtime.newproc",
        "runtime.AddCleanup",
    ] {
        let rules = without_rule(name);
        let found = evidence.verify_against(&rules, policy::HARMLESS);
        assert_eq!(found.findings.len(), 1, "{name}: {:?}", found.findings);
        assert!(found.findings[0].starts_with(name), "{:?}", found.findings);
    }
    for index in 0..policy::HARMLESS.len() {
        let row = policy::HARMLESS[index];
        if !(row.from..=row.to).contains(&version.minor) {
            continue;
        }
        let mut rows = policy::HARMLESS.to_vec();
        rows.remove(index);
        let found = evidence.verify_against(policy::RULES, &rows);
        assert!(!found.findings.is_empty(), "{}", row.name);
    }
    // The name that the source has, and no line table.
    let mut rules = without_rule("internal/synctest.Run");
    rules.push(policy::Rule {
        name: "runtime.synctestRun",
        from: 25,
        to: u16::MAX,
        ground: policy::Ground::EntryOnly,
        source: "(runtime/synctest.go)",
    });
    let found = evidence.verify_against(&rules, policy::HARMLESS);
    assert_eq!(found.findings.len(), 2, "{:?}", found.findings);
}

#[test]
fn the_list_of_names_is_the_newest_releases() {
    let toolchain = Toolchains::open().unwrap().get_minor(NEWEST_MINOR).unwrap();
    let text = names::newest(&toolchain).unwrap();
    assert!(
        text == policy::NEWEST_NAMES,
        "`gondwana-harness policy names > engine/src/golang/policy/newest.txt` writes another list"
    );
}

/// No function of the newest known release is taken for one that it does not have, in whatever mode it is built.
#[test]
fn no_function_of_the_newest_release_is_new() {
    let toolchain = Toolchains::open().unwrap().get_minor(NEWEST_MINOR).unwrap();
    let builder = Builder::open().unwrap();
    let mut modes = vec![Mode::Static, Mode::Pie];
    if full() {
        modes.extend([Mode::Race, Mode::Cgo, Mode::Debug, Mode::Amd64V3]);
    }
    for mode in modes {
        for name in ["httpserve", "reflection", "children"] {
            let case = testbins::case(name).unwrap();
            let program = builder.build(&toolchain, &case.dir, mode).unwrap();
            let data = std::fs::read(&program).unwrap();
            let image = Image::parse(&data).unwrap();
            let wrapper = image.facts().func_id_wrapper;
            let mut listed = 0;
            for function in image.functions() {
                let new = policy::is_new(function.name) && Some(function.func_id) != wrapper;
                assert!(!new, "{mode} {name}: {}", function.name);
                listed += u32::from(function.name.starts_with("runtime."));
            }
            assert!(listed > 1000, "{mode} {name}: {listed}");
        }
    }
}
