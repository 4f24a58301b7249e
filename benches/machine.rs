//! The emulated process beside the real one: a compute loop, the start of the smallest program, a copy of a machine.
//!
//! The slowdown on the compute loop is a promise (README): more than [`MOST`] ends this bench with a failure.

use std::hint::black_box;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use criterion::Criterion;
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::machine::{Machine, Pause, Setup, Until};
use gondwana_harness::testbins;
use gondwana_harness::toolchain::{NEWEST_MINOR, Toolchains};

/// Rounds of the loop; so many take the processor some tenths of a second.
const ROUNDS: &str = "200000000";
/// As many as the emulated processor is given: its start counts for nothing beside them.
const EMULATED_ROUNDS: &str = "20000000";
const SHARE: f64 = 10.0;
/// Times that the emulated loop may be slower.
const MOST: f64 = 60.0;

fn main() -> ExitCode {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    let version = format!("1.{NEWEST_MINOR}");
    let build = |name| {
        let toolchain = Toolchains::open()
            .and_then(|all| all.get(&version))
            .unwrap();
        let case = testbins::case(name).unwrap();
        let builder = Builder::open().unwrap();
        builder.build(&toolchain, &case.dir, Mode::Static).unwrap()
    };
    let spin = build("spin");
    let file = std::fs::read(&spin).unwrap();
    let mut group = criterion.benchmark_group("loop");
    let (mut native, mut emulated) = (Duration::MAX, Duration::MAX);
    group.bench_function("native", |b| {
        b.iter(|| native = native.min(natively(&spin, ROUNDS)));
    });
    group.bench_function("emulated", |b| {
        b.iter(|| emulated = emulated.min(in_machine(&file, &[EMULATED_ROUNDS])));
    });
    group.finish();

    let fib = std::fs::read(build("fib")).unwrap();
    criterion.bench_function("hello/emulated", |b| {
        b.iter(|| black_box(in_machine(&fib, &[])));
    });
    let mut machine = Machine::start(&fib, Setup::new("fib")).unwrap();
    let main = machine.entry_of("main.main").unwrap();
    machine.run_to(main, Until::END).unwrap();
    criterion.bench_function("copy", |b| {
        b.iter(|| machine.branch(|copy| copy.work()).unwrap());
    });
    criterion.final_summary();

    if native == Duration::MAX || emulated == Duration::MAX {
        return ExitCode::SUCCESS; // other benches were asked for
    }
    let slowdown = emulated.as_secs_f64() * SHARE / native.as_secs_f64();
    println!("slowdown on the compute loop: {slowdown:.1} times");
    if slowdown > MOST {
        eprintln!("the emulated processor is {slowdown:.1} times slower where {MOST} is the most");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn natively(program: &Path, rounds: &str) -> Duration {
    let begun = Instant::now();
    let mut command = Command::new(program);
    let status = command.arg(rounds).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
    begun.elapsed()
}

fn in_machine(file: &[u8], args: &[&str]) -> Duration {
    let begun = Instant::now();
    let mut machine = Machine::start(file, Setup::new("program").args(args)).unwrap();
    let pause = machine.run(Until::END).unwrap();
    assert!(matches!(pause, Pause::Ended(_)));
    begun.elapsed()
}
