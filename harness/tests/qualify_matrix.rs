//! Every test program, built with every version of the core set, runs hooked as it runs unhooked, and its stream says
//! what its head says; and every hookable function of one of them relocates.
//!
//! `GONDWANA_GO=1.5,1.21` chooses the versions, `GONDWANA_GO=all` takes every minor version's last patch.

use std::path::Path;

use gondwana_engine::image::Image;
use gondwana_engine::site::{Finder, RefusalCode};
use gondwana_engine::spec::HookSpec;
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::executor::native::hooked::Agent;
use gondwana_harness::executor::native::process::{Ready, Scenario};
use gondwana_harness::qualify::{Request, qualify};
use gondwana_harness::report::table;
use gondwana_harness::testbins::{self, Case};
use gondwana_harness::toolchain::Toolchains;
use gondwana_harness::verdict::Verdict;

/// The versions at which something that hooks depend on changed.
const CORE: [u16; 12] = [5, 9, 13, 15, 16, 17, 19, 21, 23, 25, 26, 27];
/// The program whose functions are all relocated: it holds the most of the standard library.
const LARGEST: &str = "httpserve";
/// Only to end a program that hangs.
const TIMEOUT: u64 = 60;

fn is_wanted(minor: u16) -> bool {
    match std::env::var("GONDWANA_GO") {
        Ok(all) if all == "all" => true,
        Ok(list) => list.split(',').any(|version| {
            version
                .strip_prefix("go")
                .unwrap_or(version)
                .split('.')
                .nth(1)
                == Some(&minor.to_string())
        }),
        Err(_) => CORE.contains(&minor),
    }
}

fn scenario(case: &Case, program: &Path, dir: &Path) -> Scenario {
    let mut scenario = Scenario {
        args: case.args.clone(),
        env: case.env.clone(),
        timeout: TIMEOUT,
        ..Scenario::default()
    };
    if let Some(server) = &case.server {
        let socket = dir.join("socket").display().to_string();
        scenario.load = Some(format!("{} -load {socket} 20", program.display()));
        scenario.args = vec![socket];
        scenario.ready = Some(Ready::Text(server.ready.clone()));
        scenario.stop = Some(server.stop.clone());
    }
    scenario
}

/// Refusals that lie in the nature of a test program's functions: two instructions, a load in the first bytes, a loop
/// back to them.
const BY_NATURE: [RefusalCode; 3] = [
    RefusalCode::TooShort,
    RefusalCode::MayFault,
    RefusalCode::BranchIntoWindow,
];
/// Never entered with a frame: its 16,000 bytes of arguments are more than is ever left on a stack that its own check
/// is content with.
const NO_ROOM: &str = "main.f2000";

/// Whether no function that the pattern selects can be hooked, for a reason that lies in the function; or whether this
/// version has none such.
fn is_refused(pattern: &str, image: &Image<'_>, finder: &Finder<'_, '_>) -> bool {
    let Ok(selected) = HookSpec::parse([pattern]).and_then(|spec| spec.select(image)) else {
        return true;
    };
    let functions = selected
        .iter()
        .filter_map(|&index| image.functions().get(index));
    let answers: Vec<_> = functions.map(|function| finder.find(function)).collect();
    let refused = |code| BY_NATURE.contains(&code);
    !answers.is_empty()
        && answers
            .iter()
            .all(|a| a.as_ref().is_err_and(|r| refused(r.code)))
}

fn check(minor: u16) {
    if !is_wanted(minor) {
        eprintln!("go1.{minor} is not among the chosen versions: nothing checked");
        return;
    }
    let toolchain = Toolchains::open().unwrap().get_minor(minor).unwrap();
    let builder = Builder::open().unwrap();
    let mut failures = Vec::new();
    let mut done = 0;
    for case in testbins::all().unwrap() {
        if !case.supports(toolchain.version()) {
            continue;
        }
        let program = builder.build(&toolchain, &case.dir, Mode::Static).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let data = std::fs::read(&program).unwrap();
        let image = Image::parse(&data).unwrap();
        let finder = Finder::new(&image);
        let (mut patterns, mut expected) = (case.hooks.clone(), case.events.clone());
        patterns.retain(|pattern| !is_refused(pattern, &image, &finder));
        expected.retain(|event| {
            event.pattern != NO_ROOM && !is_refused(&event.pattern, &image, &finder)
        });
        for event in case.events.iter().filter(|event| !expected.contains(event)) {
            eprintln!(
                "{}: {} cannot be hooked here: skipped",
                case.name, event.pattern
            );
        }
        let request = Request {
            program: program.clone(),
            patterns,
            out: dir.path().join("out"),
            agent: Agent::harness(env!("CARGO_BIN_EXE_gondwana-harness")),
            scenario: scenario(&case, &program, dir.path()),
            seed: u64::from(minor),
            relocation: case.name == LARGEST,
            expected,
        };
        done += 1;
        match qualify(&request, |_| {}) {
            Ok(report) if report.verdict == Verdict::Qualified => {}
            Ok(report) => {
                // Kept for whoever looks at the failure.
                let kept = dir.keep().join("out").display().to_string();
                failures.push(format!("{}\n{}", case.name, table::render(&report, &kept)));
            }
            Err(error) => failures.push(format!("{}: {error:#}", case.name)),
        }
    }
    assert!(
        failures.is_empty(),
        "{}: {} of {done} programs\n{}",
        toolchain.version(),
        failures.len(),
        failures.join("\n")
    );
}

macro_rules! versions {
    ($($name:ident $minor:literal,)*) => {
        $(#[test] fn $name() { check($minor); })*
    };
}

versions! {
    go1_5 5, go1_6 6, go1_7 7, go1_8 8, go1_9 9, go1_10 10, go1_11 11, go1_12 12, go1_13 13, go1_14 14, go1_15 15,
    go1_16 16, go1_17 17, go1_18 18, go1_19 19, go1_20 20, go1_21 21, go1_22 22, go1_23 23, go1_24 24, go1_25 25,
    go1_26 26, go1_27 27,
}
