//! What a hook costs per call, inside a real Go process, beside the same function without a hook.
//!
//! `testbins/overhead` measures itself: it calls two equal functions, `main.hooked` and `main.plain`, and says how long
//! a call took. One process gives both numbers, so their ratio does not depend on the machine's mood. Four cases:
//!
//! * `plain`: no hook, in the hooked process;
//! * `hooked`: a span is recorded for every call, in memory that was written before, as after the first lap of a ring;
//! * `hooked_fresh`: the same where every record lies in memory never touched: the kernel provides a page each 64 calls;
//! * `ring_full`: the ring is full, calls are counted as lost: what a stopped agent leaves of the cost.
//!
//! This bench starts itself to become the hooked program; `GONDWANA_BENCH_SLOTS` in the environment says so.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use criterion::Criterion;
use gondwana_engine::agent::{Destination, Launch, launch};
use gondwana_engine::inject::budget::Memory;
use gondwana_engine::inject::fail_at::FailAt;
use gondwana_engine::inject::prepare::Wanted;
use gondwana_engine::plan::HookOptions;
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::testbins;
use gondwana_harness::toolchain::Toolchains;

const SLOTS: &str = "GONDWANA_BENCH_SLOTS";
/// One way of calling.
struct Way {
    name: &'static str,
    /// Records per ring.
    slots: u32,
    /// Calls per round: enough that the loop dominates; where nothing may be lost, fewer than the ring has slots.
    calls: u32,
    rounds: u32,
    /// Which of the program's two functions.
    which: &'static str,
}

const WAYS: [Way; 4] = [
    Way {
        name: "plain",
        slots: 1 << 20,
        calls: 1 << 19,
        rounds: 1,
        which: "plain",
    },
    // Sixteen rounds go four times round the ring; the second half of them is counted.
    Way {
        name: "hooked",
        slots: 1 << 14,
        calls: 1 << 12,
        rounds: 16,
        which: "hooked",
    },
    Way {
        name: "hooked_fresh",
        slots: 1 << 20,
        calls: 1 << 19,
        rounds: 1,
        which: "hooked",
    },
    Way {
        name: "ring_full",
        slots: 4,
        calls: 1 << 19,
        rounds: 1,
        which: "hooked",
    },
];

fn main() -> ExitCode {
    if let Some(slots) = std::env::var(SLOTS)
        .ok()
        .and_then(|slots| slots.parse().ok())
    {
        return ExitCode::from(become_program(slots));
    }
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    for minor in [16, gondwana_engine::golang::NEWEST] {
        let program = build(minor);
        let mut group = criterion.benchmark_group(format!("call/go1.{minor}"));
        for way in &WAYS {
            group.bench_function(way.name, |b| {
                b.iter_custom(|iterations| {
                    let nanoseconds = nanoseconds_per_call(&program, way);
                    Duration::from_secs_f64(nanoseconds * iterations as f64 / 1e9)
                });
            });
        }
        group.finish();
    }
    criterion.final_summary();
    ExitCode::SUCCESS
}

/// Becomes the program that the arguments name, hooked.
fn become_program(slots: u32) -> u8 {
    let mut args = std::env::args_os().skip(1);
    launch(Launch {
        program: args.next().unwrap_or_default(),
        arguments: args.collect(),
        wanted: Wanted::new(
            ["main.hooked"],
            HookOptions::default(),
            Memory::Rings { rings: 256, slots },
        )
        .expect("a pattern"),
        destination: Destination::File("/dev/null".into()),
        require: true,
        fail_at: FailAt::NEVER,
    })
}

fn build(minor: u16) -> PathBuf {
    let case = testbins::case("overhead").expect("the test program");
    let toolchain = Toolchains::open()
        .and_then(|all| all.get_minor(minor))
        .expect("a Go toolchain");
    Builder::open()
        .and_then(|builder| builder.build(&toolchain, &case.dir, Mode::Static))
        .expect("a build")
}

/// One process; the line `WHICH N ns/call` of its standard error.
fn nanoseconds_per_call(program: &Path, way: &Way) -> f64 {
    let output = Command::new(std::env::current_exe().expect("this program"))
        .env(SLOTS, way.slots.to_string())
        .arg(program)
        .args([way.calls.to_string(), way.rounds.to_string()])
        .output()
        .expect("the program runs");
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines()
        .filter_map(|line| {
            line.strip_prefix(way.which)?
                .trim()
                .strip_suffix(" ns/call")?
                .parse()
                .ok()
        })
        .next()
        .unwrap_or_else(|| panic!("no time of `{}` in: {text}", way.which))
}
