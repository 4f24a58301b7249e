//! The agent beside a running program: what others see of it, what it costs, and how soon a call becomes a line.
//!
//! `GONDWANA_GO=1.5,1.21.13` chooses the versions, `GONDWANA_GO=all` takes every minor version's last patch.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use gondwana_engine::event::{Kind, Totals};
use gondwana_engine::export::ndjson;
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::executor::native::hooked::wait_for_end;
use gondwana_harness::toolchain::{Toolchains, chosen};

/// The agent's work does not depend on the version.
const EVERYDAY: [&str; 1] = ["1.27"];

struct Program {
    directory: tempfile::TempDir,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Program {
    /// Of the first chosen version, hooked and in its main function.
    fn start() -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/paced");
        let version = *chosen(&EVERYDAY).unwrap().first().unwrap();
        let toolchain = Toolchains::open().unwrap().get_version(version).unwrap();
        let program = Builder::open()
            .and_then(|builder| builder.build(&toolchain, &source, Mode::Static))
            .unwrap();
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_gondwana-harness"))
            .args(["__run", "--require-hooks", "--hook", "main.unit", "--out"])
            .arg(directory.path().join("stream"))
            .arg("--")
            .arg(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut program = Self {
            directory,
            child,
            input,
            output,
        };
        program.expect("up\n");
        program
    }

    fn stream(&self) -> PathBuf {
        self.directory.path().join("stream")
    }

    fn expect(&mut self, line: &str) {
        let mut found = String::new();
        self.output.read_line(&mut found).unwrap();
        assert_eq!(found, line);
    }

    fn call(&mut self) {
        self.input.write_all(b"\n").unwrap();
        self.expect("called\n");
    }

    /// The agent says on its command line whose it is.
    fn agent(&self) -> u32 {
        let title = format!("gondwana-agent {}", self.child.id());
        let found = Command::new("pgrep")
            .args(["-fx", &title])
            .output()
            .unwrap();
        let pids = String::from_utf8(found.stdout).unwrap();
        pids.trim()
            .parse()
            .unwrap_or_else(|_| panic!("{title}: {pids:?}"))
    }

    fn end(mut self) {
        drop(self.input);
        assert!(self.child.wait().unwrap().success());
        let path = self.directory.path().join("stream");
        assert!(wait_for_end(&path, Duration::from_secs(60)));
    }
}

#[test]
fn the_agent_is_not_taken_for_the_program_and_goes_first_when_memory_runs_out() {
    let program = Program::start();
    let agent = program.agent();
    let read = |name: &str| std::fs::read_to_string(format!("/proc/{agent}/{name}")).unwrap();
    assert_eq!(read("oom_score_adj"), "1000\n");
    assert_eq!(read("comm"), "gondwana-agent\n");
    // Nothing of its own arguments: neither the program's file nor the stream's.
    assert_eq!(
        read("cmdline"),
        format!("gondwana-agent {}\0", program.child.id())
    );
    let of_program = std::fs::read_to_string(format!("/proc/{}/oom_score_adj", program.child.id()));
    assert_ne!(of_program.unwrap(), "1000\n");
    program.end();
}

#[test]
fn a_call_becomes_a_line_soon_whenever_it_comes() {
    let mut program = Program::start();
    let stream = program.stream();
    // A header takes the time that the clock is measured in.
    program.call();
    let lines = || std::fs::read(&stream).map_or(0, |text| text.split(|&b| b == b'\n').count());
    while lines() < 3 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut took = Vec::new();
    for round in 0..20u64 {
        std::thread::sleep(Duration::from_millis(37 * (round % 8)));
        let before = lines();
        program.call();
        let called = Instant::now();
        while lines() == before {
            assert!(called.elapsed() < Duration::from_secs(10), "no line");
            std::thread::sleep(Duration::from_micros(500));
        }
        took.push(called.elapsed());
    }
    took.sort();
    println!("from call to line: {took:?}");
    // 50 ms on a machine with time to spare; the tests beside this one keep all processors busy.
    assert!(
        took[took.len() / 2] < Duration::from_millis(500),
        "{took:?}"
    );
    program.end();
}

#[test]
fn counts_are_known_while_the_program_runs_and_outlive_the_agent() {
    let mut program = Program::start();
    for _ in 0..3 {
        program.call();
    }
    let totals = || -> Vec<Totals> {
        let file = BufReader::new(File::open(program.stream()).unwrap());
        let events = ndjson::Reader::new(file).into_iter().flatten();
        let kinds = events.filter_map(|event| Some(event.ok()?.kind));
        kinds
            .filter_map(|kind| match kind {
                Kind::Totals(totals) => Some(totals),
                _ => None,
            })
            .collect()
    };
    let began = Instant::now();
    while totals().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "no totals");
        std::thread::sleep(Duration::from_millis(100));
    }
    let killed = Command::new("kill")
        .args(["-KILL", &program.agent().to_string()])
        .status();
    assert!(killed.unwrap().success());
    let [found] = totals().try_into().unwrap();
    assert_eq!(
        (&found.entered, &found.spans),
        (&[(0, 3)].into(), &[(0, 3)].into())
    );
    assert_eq!((found.lost, found.unread), (0, 0));
    drop(program.input);
    assert!(program.child.wait().unwrap().success());
}

#[test]
fn an_idle_agent_costs_next_to_nothing() {
    let mut program = Program::start();
    program.call();
    let agent = program.agent();
    let used = || -> u64 {
        let threads = std::fs::read_dir(format!("/proc/{agent}/task")).unwrap();
        let of = |path: PathBuf| {
            let text = std::fs::read_to_string(path.join("schedstat")).unwrap();
            text.split(' ').next().unwrap().parse::<u64>().unwrap()
        };
        threads.map(|thread| of(thread.unwrap().path())).sum()
    };
    // Until pauses have become long.
    std::thread::sleep(Duration::from_millis(500));
    let (before, began) = (used(), Instant::now());
    std::thread::sleep(Duration::from_secs(5));
    let (spent, passed) = (used() - before, began.elapsed());
    let share = spent as f64 / passed.as_nanos() as f64;
    let status = std::fs::read_to_string(format!("/proc/{agent}/status")).unwrap();
    let memory: Vec<&str> = status
        .lines()
        .filter(|line| line.starts_with("Rss"))
        .collect();
    println!("idle: {:.3} % of a processor; {memory:?}", 100.0 * share);
    // 0.3 % where a bare poll(2) as often takes 0.2 %; one that never waits takes 100 %.
    assert!(share < 0.01, "{share}");
    program.end();
}
