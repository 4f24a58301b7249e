//! Every test program, built with every version of the core set, runs hooked as it runs unhooked, and its stream says
//! what its head says; and every hookable function of one of them relocates.
//!
//! `GONDWANA_GO=1.5,1.21` chooses the versions, `GONDWANA_GO=all` takes every minor version's last patch.

use std::path::Path;

use gondwana_engine::image::Image;
use gondwana_engine::site::Finder;
use gondwana_engine::spec::HookSpec;
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::executor::native::hooked::Agent;
use gondwana_harness::executor::native::process::{Ready, Scenario};
use gondwana_harness::qualify::{Request, qualify};
use gondwana_harness::report::table;
use gondwana_harness::testbins::{self, Case, Expected};
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

/// Whether the pattern selects a function that can be hooked in this build of the program.
fn is_hookable(pattern: &str, image: &Image<'_>, finder: &Finder<'_, '_>) -> bool {
    let spec = HookSpec::parse([pattern]).unwrap();
    let selected = spec.select(image).unwrap_or_default();
    selected
        .iter()
        .filter_map(|&index| image.functions().get(index))
        .any(|function| finder.find(function).is_ok())
}

/// The hooks and expectations of a case without those of which its head says that some builds have nothing to hook.
fn possible(case: &Case, program: &Path) -> (Vec<String>, Vec<Expected>) {
    let data = std::fs::read(program).unwrap();
    let image = Image::parse(&data).unwrap();
    let finder = Finder::new(&image);
    let hookable = |pattern: &str| is_hookable(pattern, &image, &finder);
    let (mut hooks, mut events) = (case.hooks.clone(), case.events.clone());
    events.retain(|event| !event.refusable || hookable(&event.pattern));
    hooks.retain(|hook| hookable(hook) || !case.events.iter().any(|event| event.refusable));
    for event in case.events.iter().filter(|event| !events.contains(event)) {
        eprintln!(
            "{}: {} cannot be hooked here: skipped",
            case.name, event.pattern
        );
    }
    (hooks, events)
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
        let (patterns, expected) = possible(&case, &program);
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
