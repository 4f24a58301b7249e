//! Runs from one point: copies of a machine do what the machine itself would have done, and leave it alone.
//!
//! Copies need a process with one thread, so there is no test harness with its threads here.

use gondwana_engine::inject::prepare::{Description, Wanted};
use gondwana_engine::plan::HookOptions;
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::machine::{Ending, MEMORY, Machine, Pause, Setup, Until};
use gondwana_harness::testbins;
use gondwana_harness::toolchain::{Toolchains, chosen};

/// Each with another way of starting threads and of taking time.
const EVERYDAY: [&str; 2] = ["1.9", "1.27"];
/// Copies made of one machine.
const COPIES: usize = 8;

/// What a run came to.
type Outcome = (Option<Ending>, u64, u64, String);

fn to_the_end(machine: &mut Machine<'_>) -> Outcome {
    let pause = machine.run(Until::END).unwrap();
    assert!(matches!(pause, Pause::Ended(_)));
    let out = String::from_utf8_lossy(machine.output().0).into_owned();
    (machine.ending(), machine.work(), machine.path(), out)
}

fn main() {
    let toolchains = Toolchains::open().unwrap();
    let case = testbins::case("fib").unwrap();
    for version in chosen(&EVERYDAY).unwrap() {
        let toolchain = toolchains.get_version(version).unwrap();
        let builder = Builder::open().unwrap();
        let program = builder.build(&toolchain, &case.dir, Mode::Static).unwrap();
        let file = std::fs::read(program).unwrap();
        let mut machine = Machine::start(&file, Setup::new("fib")).unwrap();
        let wanted = Wanted::new(["main.fib"], HookOptions::default(), MEMORY).unwrap();
        machine.hook(&wanted, &mut Description::default()).unwrap();
        let entry = machine.entry_of("main.fib").unwrap();
        let pause = machine.run_to(entry, Until::END).unwrap();
        assert_eq!(pause, Pause::Watched(entry), "{version}");
        let before = (machine.work(), machine.path());

        let outcomes: Vec<Outcome> = (0..COPIES)
            .map(|_| machine.branch(to_the_end).unwrap())
            .collect();
        // A copy that is disturbed ends as it may; what it does stays in it.
        let current = machine.current();
        let disturbed: Outcome = machine
            .branch(|copy| {
                copy.signal_thread(current, libc::SIGURG).unwrap();
                copy.write(entry, &[0xcc]).unwrap();
                copy.unhook().unwrap();
                to_the_end(copy)
            })
            .unwrap();
        assert_eq!(disturbed.3, "fib(20) = 6765\n", "{version}");
        assert_ne!(
            disturbed.2, outcomes[0].2,
            "{version}: the disturbance did nothing"
        );
        let panicked = machine.branch(|_| -> u64 { panic!("expected: a copy panics") });
        assert!(
            panicked.unwrap_err().to_string().contains("Exited"),
            "{version}"
        );

        assert_eq!(before, (machine.work(), machine.path()), "{version}");
        let straight = to_the_end(&mut machine);
        assert_eq!(straight.0, Some(Ending::Status(0)), "{version}");
        for outcome in outcomes {
            assert_eq!(outcome, straight, "{version}");
        }
        println!("{version}: {COPIES} copies and the machine itself did the same");
    }

    let (send, receive) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || receive.recv().is_err());
    let file = std::fs::read("/proc/self/exe").unwrap();
    match Machine::start(&file, Setup::new("x")) {
        // This test's own program needs a dynamic linker, as it should.
        Err(error) => assert!(error.to_string().contains("needs a native run"), "{error}"),
        Ok(mut machine) => assert!(machine.branch(|_| 0).is_err()),
    }
    drop(send);
    assert!(thread.join().unwrap());
}
