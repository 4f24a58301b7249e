//! What hooks take of a program's memory: with many threads, under mlockall, under `ulimit -v`, in core dumps.
//!
//! `GONDWANA_GO=1.5,1.21.13` chooses the versions, `GONDWANA_GO=all` takes every minor version's last patch.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use gondwana_engine::event::Header;
use gondwana_engine::export::ndjson::Stream;
use gondwana_harness::build::{Builder, Mode, Source};
use gondwana_harness::executor::native::hooked::wait_for_end;
use gondwana_harness::toolchain::{Toolchains, chosen};

const EVERYDAY: [&str; 2] = ["1.9", "1.27"];
const MIB: u64 = 1 << 20;

/// The program `threads`; `locked` is the same with another `prepare`.
fn sources(name: &str) -> Source {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs");
    let mut source = Source::read(&programs.join("threads")).unwrap();
    for (path, text) in &mut source.files {
        if path.ends_with("/prepare.go") {
            *text = std::fs::read(programs.join(name).join("prepare.go")).unwrap();
        }
    }
    source
}

fn programs(name: &str) -> Vec<(String, PathBuf)> {
    let toolchains = Toolchains::open().unwrap();
    let builder = Builder::open().unwrap();
    chosen(&EVERYDAY)
        .unwrap()
        .into_iter()
        .map(|version| {
            let toolchain = toolchains.get_version(version).unwrap();
            let program = builder.build_source(&toolchain, &sources(name), Mode::Static);
            (version.to_string(), program.unwrap())
        })
        .collect()
}

/// One run of a test program: started by a shell after `before`, hooked or not.
struct Run {
    directory: tempfile::TempDir,
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    hooked: bool,
}

impl Run {
    fn start(program: &Path, hooked: Option<&[&str]>, before: &str, args: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", &format!("{before}\nexec \"$@\""), "sh"])
            .current_dir(directory.path());
        if let Some(options) = hooked {
            command
                .arg(env!("CARGO_BIN_EXE_gondwana-harness"))
                .args(["__run", "--hook", "main.unit", "--out"])
                .arg(directory.path().join("stream"))
                .args(options)
                .arg("--");
        }
        let mut child = command
            .arg(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            directory,
            out: BufReader::new(child.stdout.take().unwrap()),
            child,
            hooked: hooked.is_some(),
        }
    }

    /// Bytes of VmSize, VmRSS, VmLck, once all calls are made; `None` if the program has ended before.
    fn status(&mut self) -> Option<[u64; 3]> {
        let mut line = String::new();
        let mut found = [0; 3];
        let mut next = |out: &mut BufReader<_>| {
            line.clear();
            out.read_line(&mut line).unwrap();
            line.clone()
        };
        if !next(&mut self.out).starts_with("calls ") {
            return None;
        }
        for _ in 0..3 {
            let line = next(&mut self.out);
            let (name, rest) = line.split_once(": ").unwrap();
            let bytes = 1024 * rest.split(' ').next().unwrap().parse::<u64>().unwrap();
            let at = ["VmSize", "VmRSS", "VmLck"]
                .iter()
                .position(|one| *one == name);
            found[at.unwrap()] = bytes;
        }
        Some(found)
    }

    /// Lets the program end; what it has written to standard error.
    fn end(mut self) -> (ExitStatus, String, Option<Stream>, tempfile::TempDir) {
        let _ = self.child.stdin.take().unwrap().write_all(b"\n");
        let mut stderr = String::new();
        let mut pipe = self.child.stderr.take().unwrap();
        pipe.read_to_string(&mut stderr).unwrap();
        let status = self.child.wait().unwrap();
        let stream = self.hooked.then(|| {
            let path = self.directory.path().join("stream");
            assert!(wait_for_end(&path, Duration::from_secs(60)), "{stderr}");
            Stream::read(std::fs::read(path).unwrap().as_slice()).unwrap()
        });
        (status, stderr, stream, self.directory)
    }
}

/// What the header says that hooks take beside records and counters.
fn besides(header: &Header) -> u64 {
    let memory = header.memory.unwrap();
    memory.code + memory.tables + memory.text
}

#[test]
fn many_threads_take_no_more_than_the_budget() {
    for (version, program) in programs("threads") {
        // More calls than any ring has slots.
        let args = ["200", "9000"];
        let mut plain = Run::start(&program, None, "", &args);
        let [_, unhooked, _] = plain.status().unwrap();
        assert!(plain.end().0.success());
        let mut run = Run::start(&program, Some(&[]), "", &args);
        let [_, hooked, _] = run.status().unwrap();
        let (status, stderr, stream, _) = run.end();
        assert!(status.success() && stderr.is_empty(), "{stderr}");
        let stream = stream.unwrap();
        let memory = stream.header.memory.unwrap();
        let end = stream.end.unwrap();
        println!(
            "{version}: 200 threads: unhooked {unhooked} bytes resident, hooked {hooked}; {memory:?}"
        );
        assert!(memory.records <= 64 * MIB, "{memory:?}");
        assert!(hooked <= unhooked + memory.records + besides(&stream.header) + 4 * MIB);
        assert_eq!(end.entered, [200 * 9000]);
        assert_eq!(end.spans[0] + end.lost, 200 * 9000);

        // The least that is possible: one ring, and one for all others.
        let mut run = Run::start(&program, Some(&["--memory", "40000"]), "", &args);
        let [_, hooked, _] = run.status().unwrap();
        let (status, stderr, stream, _) = run.end();
        assert!(status.success() && stderr.is_empty(), "{stderr}");
        let stream = stream.unwrap();
        let end = stream.end.unwrap();
        assert!(hooked <= unhooked + 4 * MIB, "{unhooked} {hooked}");
        assert_eq!(stream.header.memory.unwrap().rings, 1);
        assert_eq!(end.entered, [200 * 9000]);
        assert_eq!(end.spans[0] + end.lost, 200 * 9000);
    }
}

#[test]
fn locked_memory_takes_no_more_than_the_budget() {
    for (version, program) in programs("locked") {
        let args = ["2", "100"];
        // A system may forbid this, and lets the shell go on.
        let before = "ulimit -l unlimited 2>/dev/null || ulimit -l $(ulimit -H -l)";
        let mut plain = Run::start(&program, None, before, &args);
        let [_, _, unhooked] = plain.status().unwrap();
        let (status, refused, ..) = plain.end();
        assert!(status.success());
        let started = Instant::now();
        let mut run = Run::start(&program, Some(&[]), before, &args);
        let [_, _, hooked] = run.status().unwrap();
        let took = started.elapsed();
        let (status, stderr, stream, _) = run.end();
        assert!(status.success() && stderr == refused, "{stderr}");
        let stream = stream.unwrap();
        let memory = stream.header.memory.unwrap();
        println!(
            "{version}: unhooked {unhooked} bytes locked, hooked {hooked}, after {took:?}; {memory:?}"
        );
        assert!(
            memory.records <= 8 * MIB && memory.records > 4 * MIB,
            "{memory:?}"
        );
        if unhooked == 0 {
            println!("not tested: this system lets no program lock its memory: {refused}");
            continue;
        }
        // What the runtime has mapped at that time varies.
        assert!(hooked <= unhooked + memory.records + besides(&stream.header) + 16 * MIB);
    }
}

#[test]
fn a_limit_of_addresses_is_no_tighter_than_unhooked() {
    for (version, program) in programs("threads") {
        let (mut hooks, mut without, mut neither) = (0, 0, 0);
        for kib in [
            150_000, 400_000, 600_000, 700_000, 800_000, 1_100_000, 1_200_000, 1_300_000,
            1_500_000, 1_800_000,
        ] {
            let before = format!("ulimit -v {kib}");
            let args = ["4", "100"];
            // Near its own limit a program starts by chance.
            let ran = (0..3).all(|_| {
                let mut plain = Run::start(&program, None, &before, &args);
                plain.status().is_some() && plain.end().0.success()
            });
            let mut run = Run::start(&program, Some(&[]), &before, &args);
            let found = run.status();
            let (status, stderr, stream, _) = run.end();
            if !ran {
                neither += 1;
                continue;
            }
            assert!(
                found.is_some() && status.success(),
                "{version} {kib}: {stderr}"
            );
            let header = stream.unwrap().header;
            if header.hooked {
                hooks += 1;
                println!("{version} {kib} KiB: {:?}", header.memory.unwrap());
            } else {
                without += 1;
                println!("{version} {kib} KiB: {stderr}");
                assert_eq!(header.reason.unwrap().code, "memory", "{stderr}");
            }
        }
        println!(
            "{version}: {hooks} hooked, {without} with too little memory, {neither} not even unhooked"
        );
        assert!(hooks >= 3, "{version}");
    }
}

#[test]
fn a_file_size_limit_is_no_harm() {
    for (version, program) in programs("threads") {
        let mut run = Run::start(&program, Some(&[]), "ulimit -f 4000", &["4", "100"]);
        assert!(run.status().is_some());
        let (status, stderr, stream, _) = run.end();
        assert!(status.success() && stderr.is_empty(), "{version}: {stderr}");
        let records = stream.unwrap().header.memory.unwrap().records;
        assert!(records <= 4000 * 1024 / 16, "{records}");
        let mut run = Run::start(&program, Some(&[]), "ulimit -f 100", &["4", "100"]);
        assert!(run.status().is_some());
        let (status, stderr, stream, _) = run.end();
        assert!(
            status.success() && stderr.contains("(memory)"),
            "{version}: {stderr}"
        );
        assert_eq!(stream.unwrap().header.reason.unwrap().code, "memory");
    }
}

#[test]
fn core_dumps_hold_nothing_of_hooks() {
    for (version, program) in programs("threads") {
        let args = ["20", "5000", "panic"];
        let before = "ulimit -c unlimited; export GOTRACEBACK=crash";
        let mut plain = Run::start(&program, None, before, &args);
        assert!(plain.status().is_some());
        assert_eq!(dontdump(&plain.child), 0, "{version}");
        let (_, stderr, _, directory) = plain.end();
        assert!(stderr.contains("on purpose"), "{stderr}");
        let unhooked = core(directory.path());
        let mut run = Run::start(&program, Some(&[]), before, &args);
        assert!(run.status().is_some());
        // Records, code and tables.
        assert_eq!(dontdump(&run.child), 3, "{version}");
        assert_eq!(texts(&run.child, &program), 1, "{version}");
        let (_, stderr, stream, directory) = run.end();
        assert!(stderr.contains("on purpose"), "{stderr}");
        assert!(stream.unwrap().header.hooked);
        let hooked = core(directory.path());
        println!("{version}: core unhooked {unhooked:?}, hooked {hooked:?}");
        let (Some(unhooked), Some(hooked)) = (unhooked, hooked) else {
            println!("not tested: this system writes no core file where the program runs");
            continue;
        };
        // The program's text is dumped because it was changed.
        let most = unhooked + std::fs::metadata(&program).unwrap().len() + 2 * MIB;
        assert!(hooked <= most, "{version}: {unhooked} {hooked}");
    }
}

/// Executable mappings of the program's file in a process that runs it: the program sees them (runtime/pprof lists them).
fn texts(child: &Child, program: &Path) -> usize {
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", child.id())).unwrap();
    let name = program.to_str().unwrap();
    let lines = maps.lines().filter(|line| line.ends_with(name));
    lines.filter(|line| line.contains("r-xp")).count()
}

/// Mappings that are left out of core dumps, in a process of a test program.
fn dontdump(child: &Child) -> usize {
    let text = std::fs::read_to_string(format!("/proc/{}/smaps", child.id())).unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("VmFlags:"))
        .filter(|flags| flags.split(' ').any(|flag| flag == "dd"))
        // The kernel's own.
        .filter(|flags| !flags.split(' ').any(|flag| flag == "io" || flag == "pf"))
        .count()
}

/// What the core file in `directory` takes of the disk.
fn core(directory: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::read_dir(directory)
        .unwrap()
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with("core"))
        .map(|entry| entry.metadata().unwrap().blocks() * 512)
}
