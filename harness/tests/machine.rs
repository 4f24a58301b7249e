//! Whole Go programs in the emulated process: the output and exit status that they have natively, hooked and unhooked; the
//! same run for the same seed.
//!
//! `GONDWANA_GO` chooses the versions, as in every test.

use gondwana_engine::inject::prepare::{Description, Wanted};
use gondwana_engine::plan::HookOptions;
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::machine::{Ending, Event, Machine, Pause, Setup, Traced, Until};
use gondwana_harness::testbins;
use gondwana_harness::toolchain::{Toolchains, chosen};

/// One version of each generation of the runtime: line tables, preemption, calling conventions, allocator.
const EVERYDAY: [&str; 8] = ["1.5", "1.9", "1.13", "1.16", "1.17", "1.21", "1.25", "1.27"];

/// The bytes of a test program of each chosen version.
fn programs(name: &str) -> Vec<(String, Vec<u8>)> {
    let toolchains = Toolchains::open().unwrap();
    let builder = Builder::open().unwrap();
    let case = testbins::case(name).unwrap();
    let versions = chosen(&EVERYDAY).unwrap();
    let supported = versions.into_iter().filter(|&v| case.supports(v));
    supported
        .map(|version| {
            let toolchain = toolchains.get_version(version).unwrap();
            let program = builder.build(&toolchain, &case.dir, Mode::Static).unwrap();
            (version.to_string(), std::fs::read(program).unwrap())
        })
        .collect()
}

fn setup(seed: u64, chaos: bool) -> Setup {
    Setup {
        seed,
        chaos,
        ..Setup::new("program")
    }
}

const ALL: Traced = Traced {
    schedule: true,
    calls: true,
    signals: true,
};

fn run(machine: &mut Machine<'_>) -> Ending {
    match machine.run(Until::END).unwrap() {
        Pause::Ended(ending) => ending,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_program_says_hello_in_every_version_hooked_and_unhooked() {
    for (version, file) in programs("fib") {
        for hooked in [false, true] {
            let mut machine = Machine::start(&file, setup(1, false)).unwrap();
            if hooked {
                let wanted = Wanted::new(vec!["main.fib".into()], HookOptions::default(), None);
                let mut known = Description::default();
                machine.hook(&wanted, &mut known).unwrap();
            }
            assert_eq!(run(&mut machine), Ending::Status(0), "{version}");
            let (out, err) = machine.output();
            assert_eq!(
                String::from_utf8_lossy(out),
                "fib(20) = 6765\n",
                "{version}"
            );
            assert_eq!(String::from_utf8_lossy(err), "", "{version}");
            if hooked {
                let (spans, totals) = machine.take_spans();
                assert_eq!(spans.len(), 21891, "{version}");
                assert_eq!((totals.entered, totals.lost), (vec![21891], 0), "{version}");
            }
        }
    }
}

#[test]
fn a_seed_gives_the_same_run_instruction_for_instruction() {
    let trace = |file: &[u8], seed, chaos| -> (Vec<Event>, u64, u64) {
        let mut machine = Machine::start(file, setup(seed, chaos)).unwrap();
        machine.trace(ALL);
        run(&mut machine);
        (machine.take_events(), machine.work(), machine.path())
    };
    for (version, file) in programs("fib") {
        for chaos in [false, true] {
            let first = trace(&file, 3, chaos);
            assert!(first.0.len() > 10);
            assert_eq!(first, trace(&file, 3, chaos), "{version}");
            assert_ne!(first.2, trace(&file, 4, chaos).2, "{version}");
        }
    }
}
