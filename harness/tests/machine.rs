//! Whole Go programs in the emulated process: the output and exit status that they have natively, hooked and unhooked; the
//! same run for the same seed.
//!
//! By default each test program runs on some of the versions, and every version runs some programs; `GONDWANA_GO=1.21,1.27`
//! chooses versions, `GONDWANA_GO=all` takes every minor version, and each chosen version then runs every program.

use std::io::BufReader;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use gondwana_engine::golang::GoVersion;
use gondwana_engine::inject::budget::Memory;
use gondwana_engine::inject::prepare::{Description, Wanted};
use gondwana_engine::plan::HookOptions;
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::executor::native::process::{self, End, Finished, Scenario};
use gondwana_harness::machine::{
    Ending, Event, MEMORY, Machine, Pause, Setup, Stream, Traced, Trouble, Until,
};
use gondwana_harness::oracle::{Answer, output, stream};
use gondwana_harness::testbins::{self, Case};
use gondwana_harness::toolchain::{Toolchains, choice, chosen};

/// One version of each generation of the runtime: line tables, preemption, calling conventions, allocator.
const EVERYDAY: [&str; 8] = ["1.5", "1.9", "1.13", "1.16", "1.17", "1.21", "1.25", "1.27"];
/// Of the pairs of a program and an everyday version, one in so many is run.
const SHARE: usize = 4;
/// Test programs are done with far less work than this.
const LIMIT: u64 = 40_000_000_000;

struct Programs {
    toolchains: Toolchains,
    builder: Builder,
}

impl Programs {
    fn open() -> Self {
        Self {
            toolchains: Toolchains::open().unwrap(),
            builder: Builder::open().unwrap(),
        }
    }

    fn build(&self, case: &Case, version: GoVersion, mode: Mode) -> std::path::PathBuf {
        let toolchain = self.toolchains.get_version(version).unwrap();
        self.builder.build(&toolchain, &case.dir, mode).unwrap()
    }

    /// A test program of each chosen version.
    fn all(&self, name: &str) -> Vec<(GoVersion, Vec<u8>)> {
        let case = testbins::case(name).unwrap();
        let versions = chosen(&EVERYDAY).unwrap();
        let supported = versions.into_iter().filter(|&v| case.supports(v));
        supported
            .map(|v| {
                (
                    v,
                    std::fs::read(self.build(&case, v, Mode::Static)).unwrap(),
                )
            })
            .collect()
    }
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

fn run(machine: &mut Machine<'_>) -> Result<Ending, Trouble> {
    match machine.run(Until::more(machine, LIMIT))? {
        Pause::Ended(ending) => Ok(ending),
        other => panic!("{other:?} after {} bytes of code", machine.work()),
    }
}

fn finished(machine: &Machine<'_>, ending: Ending) -> Finished {
    let (out, err) = machine.output();
    let end = match ending {
        Ending::Status(status) => End::Status(status),
        Ending::Signal(signal) => End::Signal(signal),
    };
    Finished {
        stdout: out.to_vec(),
        stderr: err.to_vec(),
        ..Finished::new(machine.pid().cast_unsigned(), end)
    }
}

/// A run in the machine and, if hooked, its stream.
fn emulate(
    file: &[u8],
    setup: Setup,
    hooks: &[String],
) -> Result<(Finished, Vec<u8>, u64), Trouble> {
    let mut machine = Machine::start(file, setup)?;
    let mut bytes = Vec::new();
    let ending = if hooks.is_empty() {
        run(&mut machine)?
    } else {
        let mut known = Description::default();
        let wanted = Wanted::new(hooks, HookOptions::default(), MEMORY).unwrap();
        machine.hook(&wanted, &mut known)?;
        let stream = Stream::new(&mut bytes, &machine, known).unwrap();
        let ending = run(&mut machine)?;
        stream.end(&mut machine).unwrap();
        ending
    };
    let now = machine.now();
    Ok((finished(&machine, ending), bytes, now))
}

fn natively(case: &Case, program: &Path) -> Finished {
    let dir = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    command.env_clear().args(&case.args).current_dir(dir.path());
    let scenario = Scenario {
        env: case.env.clone(),
        timeout: 120,
        ..Scenario::default()
    };
    process::run(command, &scenario).unwrap()
}

/// What is wrong with one program of one version; or why it cannot be run.
fn check(programs: &Programs, case: &Case, version: GoVersion) -> Result<Vec<String>, String> {
    if case.server.is_some() {
        return Err("another process is its client".to_owned());
    }
    let program = programs.build(case, version, Mode::Static);
    let file = std::fs::read(&program).unwrap();
    let native = [natively(case, &program), natively(case, &program)];
    let mut wrong = Vec::new();
    for hooks in [&[][..], &case.hooks] {
        let how = if hooks.is_empty() {
            "unhooked"
        } else {
            "hooked"
        };
        let mut setup = setup(1, false).args(&case.args);
        let env = case
            .env
            .iter()
            .map(|(k, v)| format!("{k}={v}").into_bytes());
        setup.env = env.collect();
        let (run, bytes, now) = match emulate(&file, setup, hooks) {
            Ok(done) => done,
            Err(Trouble::NeedsNative(why)) => return Err(why),
            Err(trouble) => {
                wrong.push(format!("{how}: {trouble}"));
                continue;
            }
        };
        let judged = output::judge(&native, &run, &[]);
        for finding in judged.exit.into_iter().chain(judged.output) {
            if !finding.answer.agrees() {
                wrong.push(format!("{how}: {}: {}", finding.what, finding.answer));
            }
        }
        if hooks.is_empty() {
            continue;
        }
        let epoch = 1_700_000_000_000_000_000;
        let context = stream::Context {
            run: &run,
            times: (epoch, epoch + now),
            expected: &case.events,
        };
        let judged = stream::judge(BufReader::new(&bytes[..]), context);
        for finding in judged.findings {
            match finding.answer {
                Answer::Agree => {}
                // Some versions compile the function to code that cannot be hooked.
                _ if case
                    .events
                    .iter()
                    .any(|e| e.refusable && finding.what.ends_with(&e.pattern)) => {}
                answer => wrong.push(format!("{how}: stream: {}: {answer}", finding.what)),
            }
        }
    }
    Ok(wrong)
}

#[test]
fn test_programs_do_what_they_do_natively() {
    let programs = Programs::open();
    let versions = chosen(&EVERYDAY).unwrap();
    let everything = choice().is_some();
    let (mut pairs, mut wrong, mut skipped) = (0, Vec::new(), Vec::new());
    for (row, case) in testbins::all().unwrap().iter().enumerate() {
        for (column, &version) in versions.iter().enumerate() {
            // One off: the collector's storm takes minutes with the collector of 1.5.
            let turn = everything || (row + column + 1).is_multiple_of(SHARE);
            if !turn || !case.supports(version) {
                continue;
            }
            let begun = Instant::now();
            match check(&programs, case, version) {
                Ok(found) => {
                    pairs += 1;
                    wrong.extend(
                        found
                            .iter()
                            .map(|what| format!("{} {version}: {what}", case.name)),
                    );
                }
                Err(why) => skipped.push(format!("{} {version}: {why}", case.name)),
            }
            println!("{} {version} {:?}", case.name, begun.elapsed());
        }
    }
    println!("{pairs} programs compared, {} skipped", skipped.len());
    for skipped in &skipped {
        println!("SKIPPED {skipped}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(pairs > 5 * skipped.len(), "{pairs} {skipped:?}");
}

#[test]
fn a_hooked_program_says_hello_in_every_version() {
    for (version, file) in Programs::open().all("fib") {
        let mut machine = Machine::start(&file, setup(1, false)).unwrap();
        let wanted = Wanted::new(["main.fib"], HookOptions::default(), Memory::Default).unwrap();
        let mut known = Description::default();
        machine.hook(&wanted, &mut known).unwrap();
        assert_eq!(run(&mut machine).unwrap(), Ending::Status(0), "{version}");
        let (out, err) = machine.output();
        assert_eq!(out, b"fib(20) = 6765\n", "{version}");
        assert_eq!(err, b"", "{version}");
        let (spans, totals) = machine.take_spans();
        assert_eq!(spans.len(), 21891, "{version}");
        assert_eq!((totals.entered, totals.lost), (vec![21891], 0), "{version}");
    }
}

#[test]
fn position_independent_programs_run_too() {
    let programs = Programs::open();
    let case = testbins::case("fib").unwrap();
    for version in chosen(&EVERYDAY).unwrap() {
        // Up to 1.14 they are linked by the C linker, with the C library.
        if version.minor < 15 {
            println!("SKIPPED {version}: needs shared libraries");
            continue;
        }
        let file = std::fs::read(programs.build(&case, version, Mode::Pie)).unwrap();
        let hooks = ["main.fib".to_owned()];
        let (run, _, _) = emulate(&file, setup(1, false), &hooks).unwrap();
        assert_eq!(run.stdout, b"fib(20) = 6765\n", "{version}");
    }
}

#[test]
fn a_seed_gives_the_same_run_instruction_for_instruction() {
    let trace = |file: &[u8], seed, chaos| -> (Vec<Event>, u64, u64) {
        let mut machine = Machine::start(file, setup(seed, chaos)).unwrap();
        machine.trace(ALL);
        run(&mut machine).unwrap();
        (machine.take_events(), machine.work(), machine.path())
    };
    for (version, file) in Programs::open().all("fib") {
        for chaos in [false, true] {
            let first = trace(&file, 3, chaos);
            assert!(first.0.len() > 10);
            assert_eq!(first, trace(&file, 3, chaos), "{version}");
            assert_ne!(first.2, trace(&file, 4, chaos).2, "{version}");
        }
    }
}
