//! What a program can notice of hooks is what the stream's header lists, and nothing else: a program of each version looks at
//! itself, and ends in several ways. A deviation that is listed and not seen fails, and one that is seen and not listed.
//!
//! Each way of looking gives an [`Evidence`]: the deviation, and whether it was seen there. What cannot be looked at in a version
//! is said aloud. `GONDWANA_GO=1.5,1.21.13` chooses the versions, `GONDWANA_GO=all` takes every minor version's last patch.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use gondwana_engine::export::ndjson::Stream;
use gondwana_engine::golang::{Deviation, GoVersion};
use gondwana_harness::build::{Builder, Mode, Source};
use gondwana_harness::executor::native::hooked::{self, Agent};
use gondwana_harness::executor::native::process::{self, Scenario};
use gondwana_harness::toolchain::{Toolchains, chosen};

/// One below and one above each release at which a row of the table changes, 1.10 and 1.11 counting as 1.12.
const EVERYDAY: [&str; 6] = ["1.9", "1.12", "1.17", "1.19", "1.21", "1.25"];
/// With the race detector, which needs a C compiler.
const EVERYDAY_RACE: [&str; 2] = ["1.16", "1.26"];
const HOOKS: [&str; 4] = ["main.hit", "main.parked", "main.empty", "main.framed"];
/// `system` as 1.5 calls it, too.
const SYSTEM: &str = "2";
/// What traces call hooks.
const HOOK: &str = "gondwana.hook:";

/// Whether a deviation was seen in one way of looking.
struct Evidence {
    deviation: Deviation,
    seen: bool,
    /// Where, and what was found, for people.
    found: String,
}

/// One run: what the program wrote to both outputs.
struct Run {
    output: String,
    stream: Option<Stream>,
}

/// A test program of one version, and the runs that are made of it.
struct Bench {
    program: PathBuf,
    version: GoVersion,
}

impl Bench {
    fn new(version: GoVersion, mode: Mode) -> Self {
        let mut source = Source::read(&folder()).unwrap();
        // There is no mutex profile before 1.8.
        if version.minor < 8 {
            let nothing = b"package main\n\nfunc mutexes(int) bool { return false }\n".to_vec();
            let file = source
                .files
                .iter_mut()
                .find(|(name, _)| name.ends_with("/mutexes.go"));
            file.unwrap().1 = nothing;
        }
        let toolchain = Toolchains::open().unwrap().get_version(version).unwrap();
        let program = Builder::open()
            .unwrap()
            .build_source(&toolchain, &source, mode)
            .unwrap();
        Self { program, version }
    }

    fn run(&self, how: &str, traceback: Option<&str>, is_hooked: bool) -> Run {
        let dir = tempfile::tempdir().unwrap();
        let stream = dir.path().join("stream");
        let command = if is_hooked {
            let patterns = HOOKS.map(str::to_owned);
            Agent::harness(env!("CARGO_BIN_EXE_gondwana-harness")).command(
                &self.program,
                &patterns,
                &stream,
                &[how],
            )
        } else {
            let mut command = Command::new(&self.program);
            command.arg(how);
            command
        };
        // A program that crashes on purpose leaves no core file behind.
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -c 0; exec \"$0\" \"$@\""]);
        shell.arg(command.get_program()).args(command.get_args());
        shell.env_remove("GOTRACEBACK");
        let scenario = Scenario {
            env: traceback
                .map(|level| ("GOTRACEBACK".into(), level.into()))
                .into_iter()
                .collect(),
            timeout: 60,
            ..Scenario::default()
        };
        let ran = process::run(shell, &scenario).unwrap();
        let stream = is_hooked.then(|| {
            hooked::wait_for_end(&stream, Duration::from_secs(60));
            Stream::read(std::fs::read(&stream).unwrap().as_slice()).unwrap()
        });
        if let Some(stream) = &stream {
            assert!(
                stream.header.hooked,
                "{} {how}: {:?}",
                self.version, stream.header.reason
            );
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Run {
            output: text(&ran.stdout) + &text(&ran.stderr),
            stream,
        }
    }

    /// A run that ends with a traceback that has frames of the functions `of`.
    fn dies(&self, how: &str, traceback: Option<&str>, of: &[&str]) -> String {
        for is_hooked in [false, true] {
            let run = self.run(how, traceback, is_hooked);
            for function in of {
                // Else nothing about it could be seen there.
                let frame = format!("\n{function}(");
                assert!(
                    run.output.contains(&frame),
                    "{} {how}: {}",
                    self.version,
                    run.output
                );
            }
            if is_hooked {
                return run.output;
            }
            assert!(
                !run.output.contains(HOOK),
                "{} {how}: {}",
                self.version,
                run.output
            );
        }
        unreachable!("the second run is the hooked one")
    }

    /// The lines `KEY: …` of a run of `alive` or `cpu`.
    fn lines(run: &Run) -> BTreeMap<&str, Vec<&str>> {
        let mut lines: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (key, rest) in run.output.lines().filter_map(|line| line.split_once(": ")) {
            lines.entry(key).or_default().push(rest);
        }
        lines
    }

    /// What all ways of looking show, and what is listed.
    fn look(&self) -> (Vec<Evidence>, Vec<String>) {
        use Deviation::*;
        let mut all = Vec::new();
        let mut note = |deviation, seen, found: String| {
            all.push(Evidence {
                deviation,
                seen,
                found,
            });
        };
        let [plain, hooked] = [false, true].map(|is_hooked| self.run("alive", None, is_hooked));
        let [before, after] = [&plain, &hooked].map(Self::lines);
        let differs = ["callers", "caller"].map(|key| before[key] != after[key]);
        note(
            CallersPlusOne,
            differs[0] || differs[1],
            format!("{:?} -> {:?}", before["caller"], after["caller"]),
        );
        note(
            Tracebacks,
            frames(&after, "stack").unwrap().1 > 0,
            format!("runtime.Stack: {:?}", after["stack"]),
        );
        for key in ["goroutine", "heap"] {
            let found = format!("{key}: {:?} -> {:?}", before[key], after[key]);
            assert!(
                frames(&before, key).unwrap().0 >= 4,
                "{} {found}",
                self.version
            );
            note(CallersPlusOne, before[key] != after[key], found);
        }
        for (key, shows, shortens) in [
            ("block", Some(BlockProfileFrames), BlockProfileDepth),
            ("mutex", Some(BlockProfileFrames), BlockProfileDepth),
            ("trace", None, TraceDepth),
        ] {
            let (Some((whole, none)), Some((left, hooks))) =
                (frames(&before, key), frames(&after, key))
            else {
                println!("{}: no {key} to look at", self.version);
                continue;
            };
            assert!(
                whole > 20 && none == 0,
                "{} {key}: {before:?}",
                self.version
            );
            let found = format!("{key}: {whole} frames, hooked {left} and {hooks} of hooks");
            if let Some(shows) = shows {
                note(shows, hooks > 0, found.clone());
            }
            note(shortens, left < whole, found);
        }
        // The second function is the same and not hooked: what it takes is what the first one takes unhooked.
        let use_of = |lines: &BTreeMap<&str, Vec<&str>>| -> Vec<u64> {
            lines["use"][0]
                .split(' ')
                .map(|bytes| bytes.parse().unwrap())
                .collect()
        };
        let (without, with) = (use_of(&before), use_of(&after));
        assert!(
            without[0] == without[1] && with[1] == without[1],
            "{}: {without:?} {with:?}",
            self.version
        );
        note(
            StackUse,
            with[0] > with[1],
            format!("{without:?} -> {with:?}"),
        );

        // runtime.Stack has a level of its own.
        let system = self.run("alive", Some(SYSTEM), true);
        let lines = Self::lines(&system);
        note(
            Tracebacks,
            frames(&lines, "stack").unwrap().1 > 0,
            format!("runtime.Stack at system: {:?}", lines["stack"]),
        );
        let shows = |output: &str, function: &str| output.contains(&format!("\n{HOOK}{function}("));
        for level in [SYSTEM, "crash"] {
            let panic = self.dies("panic", Some(level), &["main.hit"]);
            note(SystemTracebacks, shows(&panic, "main.hit"), panic);
        }
        for how in ["panic", "deadlock"] {
            let output = self.dies(how, None, &["main.hit"]);
            note(Tracebacks, output.contains(HOOK), output);
        }
        for how in ["throw", "abort", "quit"] {
            let output = self.dies(how, None, &["main.hit", "main.parked"]);
            note(ThrowTraceback, shows(&output, "main.hit"), output.clone());
            note(ThrowTracebacks, shows(&output, "main.parked"), output);
        }
        let fatal = self.dies("fatal", None, &["main.hit"]);
        note(FatalErrorTraceback, shows(&fatal, "main.hit"), fatal);
        match self.share_behind_the_call() {
            Some((share, found)) => note(CpuProfileLine, share > 0.5, found),
            None => println!("{}: a CPU profile in another form", self.version),
        }
        (all, hooked.stream.unwrap().header.deviations)
    }

    /// The share of a CPU profile's samples that name the line behind the call, of those at that line or the call's.
    fn share_behind_the_call(&self) -> Option<(f64, String)> {
        let source = std::fs::read_to_string(folder().join("main.go")).unwrap();
        let line = |mark: &str| {
            1 + source
                .lines()
                .position(|line| line.ends_with(mark))
                .unwrap() as u64
        };
        let run = self.run("cpu", None, true);
        let lines = Self::lines(&run);
        let samples: BTreeMap<u64, f64> = lines
            .get("line")?
            .iter()
            .filter_map(|text| text.split_once(' '))
            .map(|(line, count)| (line.parse().unwrap(), count.parse().unwrap()))
            .collect();
        let [at, behind] = ["// the call", "// behind the call"]
            .map(|mark| samples.get(&line(mark)).copied().unwrap_or(0.0));
        assert!(
            at + behind >= 10.0,
            "{}: too few samples: {samples:?}",
            self.version
        );
        Some((
            behind / (at + behind),
            format!("{at} at the call, {behind} behind it"),
        ))
    }
}

/// Where the test program's source is.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/noticed")
}

/// `N own, M of hooks` of a line.
fn frames(lines: &BTreeMap<&str, Vec<&str>>, key: &str) -> Option<(u64, u64)> {
    let (own, hooks) = lines.get(key)?[0].split_once(" own, ")?;
    Some((
        own.parse().ok()?,
        hooks.strip_suffix(" of hooks")?.parse().ok()?,
    ))
}

/// What is listed and was not seen, or seen and is not listed.
fn wrong(version: GoVersion, evidence: &[Evidence], listed: &[String]) -> Vec<String> {
    let of = |one: &&Evidence| listed.contains(&one.deviation.to_string()) != one.seen;
    let say = |one: &Evidence| {
        let is = if one.seen {
            "seen and not listed"
        } else {
            "listed and not seen"
        };
        format!("{version}: {} is {is}: {}", one.deviation, one.found)
    };
    evidence.iter().filter(of).map(say).collect()
}

#[test]
fn what_is_listed_is_seen_and_nothing_else() {
    let mut all = Vec::new();
    for version in chosen(&EVERYDAY).unwrap() {
        let (evidence, listed) = Bench::new(version, Mode::Static).look();
        // A deviation that no way of looking covers would be listed unseen.
        for code in &listed {
            let is_covered = evidence.iter().any(|one| one.deviation.as_str() == code);
            assert!(
                is_covered || version.minor < 9,
                "{version}: nothing looks for {code}"
            );
        }
        println!("{version}: {}", listed.join(" "));
        let wrong = wrong(version, &evidence, &listed);
        wrong.iter().for_each(|what| println!("{what}"));
        all.extend(wrong);
    }
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn reports_of_the_race_detector_name_hooks() {
    for version in chosen(&EVERYDAY_RACE).unwrap() {
        if let Some(reason) = Mode::Race.missing_in(version) {
            println!("{version}: skipped: {reason}");
            continue;
        }
        let bench = Bench::new(version, Mode::Race);
        let [plain, hooked] = [false, true].map(|is_hooked| bench.run("race", None, is_hooked));
        for run in [&plain, &hooked] {
            assert!(
                run.output.contains("WARNING: DATA RACE"),
                "{version}: {}",
                run.output
            );
        }
        assert!(!plain.output.contains(HOOK), "{version}: {}", plain.output);
        let listed = hooked.stream.unwrap().header.deviations;
        let evidence = Evidence {
            deviation: Deviation::RaceReports,
            seen: hooked.output.contains(HOOK),
            found: hooked.output,
        };
        assert_eq!(wrong(version, &[evidence], &listed), Vec::<String>::new());
    }
}

#[test]
fn a_wrong_list_is_found() {
    let version = GoVersion::new(21, 13);
    let evidence = |seen| Evidence {
        deviation: Deviation::TraceDepth,
        seen,
        found: "x".to_owned(),
    };
    let listed = vec!["trace-depth".to_owned()];
    assert!(wrong(version, &[evidence(true)], &listed).is_empty());
    assert!(wrong(version, &[evidence(false)], &[]).is_empty());
    assert!(wrong(version, &[evidence(false)], &listed)[0].contains("listed and not seen"));
    assert!(wrong(version, &[evidence(true)], &[])[0].contains("seen and not listed"));
}
