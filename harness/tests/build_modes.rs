//! Programs of every build mode, as they are built, stripped, and without section headers: everything that hooks need is
//! found where the linker's own symbols say it is, and what is told of the build is what Go's own tools tell.
//!
//! `GONDWANA_GO=1.5,1.21..` chooses the versions, `GONDWANA_GO=all` takes every minor version's last patch.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gondwana_engine::addr::LinkAddr;
use gondwana_engine::golang::GoVersion;
use gondwana_engine::image::{FileView, Image, ImageErrorCode, ImageKind, Labels, VersionSource};
use gondwana_engine::input::{self, Symbols};
use gondwana_engine::inspect::{Document, Process};
use gondwana_engine::meta::{self, Linker, Mark, Meta};
use gondwana_engine::os::Pid;
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::toolchain::{NEWEST_MINOR, Toolchain, Toolchains, chosen};
use serde::Deserialize;
use serde_json::Value;

/// One version before build information, one with pointers in it, one with the strings themselves.
const EVERYDAY: [&str; 3] = ["1.9", "1.16", "1.27"];
const MODES: [Mode; 7] = [
    Mode::Static,
    Mode::Stripped,
    Mode::Pie,
    Mode::PieExternal,
    Mode::Cgo,
    Mode::CgoTls,
    Mode::Race,
];

/// What `oracles/image` prints: Go's own libraries on the file's symbols.
#[derive(Deserialize)]
struct Oracle {
    marks: HashMap<String, u64>,
    text: u64,
    tls: i64,
    gnu: String,
}

struct Bench {
    toolchains: Toolchains,
    builder: Builder,
    newest: Toolchain,
    oracle: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let (toolchains, builder) = (Toolchains::open().unwrap(), Builder::open().unwrap());
        let newest = toolchains.get_minor(NEWEST_MINOR).unwrap();
        let oracle = builder
            .build(&newest, &here("tests/oracles/image"), Mode::Static)
            .unwrap();
        Self {
            toolchains,
            builder,
            newest,
            oracle,
        }
    }

    fn build(&self, version: GoVersion, source: &Path, mode: Mode) -> PathBuf {
        let toolchain = self.toolchains.get_version(version).unwrap();
        self.builder.build(&toolchain, source, mode).unwrap()
    }

    fn ask(&self, program: &Path) -> Oracle {
        serde_json::from_slice(&stdout(Command::new(&self.oracle).arg(program))).unwrap()
    }

    /// What `go version -m -json` answers; `None` if it has no answer.
    fn go_version(&self, program: &Path) -> Option<Value> {
        self.newest.build_information_of(program).unwrap()
    }
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn stdout(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// The file as others may have left it: stripped (if the machine has a C toolchain anyway), and without section headers.
fn forms(
    program: &Path,
    mode: Mode,
    version: GoVersion,
    dir: &Path,
) -> Vec<(&'static str, PathBuf)> {
    let mut forms = vec![("as built", program.to_owned())];
    let headless = |name: &str, from: &Path| {
        let mut data = std::fs::read(from).unwrap();
        // e_shoff, then e_shnum and e_shstrndx.
        data[0x28..0x30].fill(0);
        data[0x3c..0x40].fill(0);
        let path = dir.join(name);
        std::fs::write(&path, data).unwrap();
        path
    };
    forms.push(("without section headers", headless("headless", program)));
    if mode.needs_c(version) {
        let stripped = dir.join("stripped");
        stdout(
            Command::new("strip")
                .arg("--strip-all")
                .arg("-o")
                .arg(&stripped)
                .arg(program),
        );
        forms.push((
            "stripped, without section headers",
            headless("bare", &stripped),
        ));
        forms.push(("stripped", stripped));
    }
    forms
}

#[test]
fn everything_is_found_and_told_in_every_form() {
    let bench = Bench::new();
    let mut answered = 0;
    for version in chosen(&EVERYDAY).unwrap() {
        for mode in MODES
            .into_iter()
            .filter(|mode| mode.missing_in(version).is_none())
        {
            let program = bench.build(version, &here("../testbins/fib"), mode);
            let oracle = bench.ask(&program);
            let dir = tempfile::tempdir().unwrap();
            for (form, path) in forms(&program, mode, version, dir.path()) {
                let what = format!("{version} {mode} {form}");
                let data = std::fs::read(&path).unwrap();
                let image = Image::parse(&data).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert_eq!(image.version(), version, "{what}");
                places(&image, mode, &oracle, &what);
                derived(&image, mode, form, &oracle, &what);
                answered += u32::from(build_information(&bench, &image, &path, &what));
                as_far_as_it_is_read(&data, &path, &what);
            }
        }
    }
    assert!(answered > 0, "`go version` had no answer for any of them");
}

/// The parts that are read tell what the whole file does, and are less of it where there is debug information.
fn as_far_as_it_is_read(data: &[u8], path: &Path, what: &str) {
    let parts = input::read(path, Symbols::Read).unwrap();
    let document = |file: FileView<'_>| serde_json::to_value(Document::of("it", file)).unwrap();
    let (read, whole) = (document((&parts).into()), document(data.into()));
    assert_eq!(read, whole, "{what}");
    if whole["layout"]["dwarf"] == true {
        let held = FileView::from(&parts).held();
        assert!(
            held < data.len() * 9 / 10,
            "{what}: {held} of {}",
            data.len()
        );
    }
}

/// Addresses are those of the linker's symbols.
fn places(image: &Image<'_>, mode: Mode, oracle: &Oracle, what: &str) {
    let is_pie = matches!(mode, Mode::Pie | Mode::PieExternal);
    let kind = if is_pie {
        ImageKind::Pie
    } else {
        ImageKind::Executable
    };
    assert_eq!(image.kind(), kind, "{what}");
    let expected: i64 = match mode {
        Mode::CgoTls => {
            assert!(
                oracle.tls < -8,
                "{what}: C data takes the place at -8, or it tests nothing"
            );
            oracle.tls
        }
        _ => -8,
    };
    assert_eq!(image.tls_g().map(i64::from), Some(expected), "{what}");
    let last = image
        .last_moduledatap()
        .unwrap_or_else(|| panic!("{what}: no lastmoduledatap"));
    assert_eq!(
        image.pointer(last),
        Some(image.first_moduledata().get()),
        "{what}"
    );
    assert!(image.max_stack_size().is_some(), "{what}: no maxstacksize");
    let (start, end) = image.text();
    if mode == Mode::Stripped {
        assert!(
            oracle.marks.is_empty(),
            "{what}: symbols in a stripped program"
        );
        return;
    }
    let mark = |name: &str| LinkAddr::new(oracle.marks[name]);
    assert_eq!(image.pclntab(), mark("runtime.pclntab"), "{what}");
    assert_eq!(
        image.first_moduledata(),
        mark("runtime.firstmoduledata"),
        "{what}"
    );
    assert_eq!(last, mark("runtime.lastmoduledatap"), "{what}");
    assert_eq!(
        image.max_stack_size(),
        Some(mark("runtime.maxstacksize")),
        "{what}"
    );
    assert_eq!(start, mark("runtime.text"), "{what}");
    // The end is that of the last function, with or without its padding.
    let padding = mark("runtime.etext").offset_from(end);
    assert!(
        padding.is_some_and(|bytes| bytes < 64),
        "{what}: {padding:?}"
    );
    let c_before = oracle.text < start.get();
    let is_external = image.function_at(image.entry()).is_none();
    assert_eq!(
        c_before, is_external,
        "{what}: C code before the Go code is what the C linker puts there"
    );
}

/// What is derived is what the mode is.
fn derived(image: &Image<'_>, mode: Mode, form: &str, oracle: &Oracle, what: &str) {
    let meta = Meta::of(image);
    let version = image.version();
    let needs_c = mode.needs_c(version);
    let is_pie = matches!(mode, Mode::Pie | Mode::PieExternal);
    let bools = [
        ("pie", &meta.pie, is_pie),
        // 1.8 and 1.9 put runtime/cgo into every position-independent program; later ones that need a C linker do not.
        (
            "cgo",
            &meta.cgo,
            needs_c && (mode != Mode::Pie || version.minor < 10),
        ),
        ("race", &meta.race, mode == Mode::Race),
        (
            "stripped",
            &meta.stripped,
            mode == Mode::Stripped || form != "as built",
        ),
    ];
    for (name, told, expected) in bools {
        let told = told
            .as_ref()
            .unwrap_or_else(|| panic!("{what}: {name} is unknown"));
        assert_eq!(
            (told.value, told.mark),
            (expected, Mark::Derived),
            "{what}: {name}, {}",
            told.evidence
        );
    }
    let linker = if needs_c {
        Linker::External
    } else {
        Linker::Internal
    };
    assert_eq!(meta.linker.map(|told| told.value), Some(linker), "{what}");
    if version.minor >= 9 {
        assert_eq!(meta.inlining.map(|told| told.value), Some(true), "{what}");
    }
    if form == "as built" {
        let gnu = meta.gnu_build_id.map(|told| told.value).unwrap_or_default();
        assert_eq!(gnu, oracle.gnu, "{what}");
    }
    let packages = meta.packages.expect("names of functions").value;
    assert!(
        packages.own.contains("main") && packages.standard.contains("runtime"),
        "{what}"
    );
    assert!(
        packages.third_party.is_empty(),
        "{what}: {:?}",
        packages.third_party
    );
}

/// Build ID and build information are those that the go command prints; whether it printed the latter.
fn build_information(bench: &Bench, image: &Image<'_>, path: &Path, what: &str) -> bool {
    let id = stdout(
        bench
            .newest
            .go_command()
            .args(["tool", "buildid"])
            .arg(path),
    );
    let id = String::from_utf8(id).unwrap();
    // Where old versions left the linking to a C linker there is no other than that one's own.
    let notes = image.notes();
    let gnu = notes.gnu_build_id.unwrap_or_default();
    let gnu: String = gnu.iter().map(|byte| format!("{byte:02x}")).collect();
    let ours = notes.go_build_id.unwrap_or(&gnu);
    assert_eq!(ours, id.trim_end(), "{what}");
    let ours = meta::go_build_info(image.build_info()).unwrap_or_else(|| panic!("{what}: refused"));
    let ours = serde_json::to_value(ours).unwrap();
    match bench.go_version(path) {
        Some(theirs) => {
            assert_eq!(ours, theirs, "{what}");
            true
        }
        None => {
            // The go command reads nothing older, and from 1.27 on asks for a section (`debug/buildinfo`, `DataStart`).
            let has_blob = image.version().minor >= 13;
            assert!(
                !has_blob || !image.sections().headers,
                "{what}: go version has no answer"
            );
            let source = if has_blob {
                VersionSource::BuildInfo
            } else {
                VersionSource::Variable
            };
            assert_eq!(image.build_info().source, source, "{what}");
            assert_eq!(ours["GoVersion"], image.version().to_string(), "{what}");
            false
        }
    }
}

#[test]
fn a_library_is_named_and_its_build_information_told() {
    let bench = Bench::new();
    for version in chosen(&EVERYDAY).unwrap() {
        if Mode::CShared.missing_in(version).is_some() {
            continue;
        }
        let library = bench.build(version, &here("../testbins/fib"), Mode::CShared);
        let data = std::fs::read(&library).unwrap();
        let error = Image::parse(&data).err().unwrap();
        assert_eq!(
            error.code(),
            ImageErrorCode::NotMainProgram,
            "{version}: {error}"
        );
        let labels = Labels::read(&data).unwrap();
        let ours = labels.build.as_ref().and_then(meta::go_build_info);
        let ours = ours.map(|info| serde_json::to_value(info).unwrap());
        assert_eq!(ours, bench.go_version(&library), "{version}");
        assert_eq!(ours.is_some(), version.minor >= 13, "{version}");
    }
}

/// Nothing inlined shows; that some was, too.
#[test]
fn a_program_built_for_debugging_is_told() {
    let bench = Bench::new();
    for version in chosen(&EVERYDAY)
        .unwrap()
        .into_iter()
        .filter(|version| version.minor >= 10)
    {
        let program = bench.build(version, &here("../testbins/fib"), Mode::Debug);
        let data = std::fs::read(&program).unwrap();
        let meta = Meta::of(&Image::parse(&data).unwrap());
        assert_eq!(
            meta.inlining.map(|told| (told.value, told.mark)),
            Some((false, Mark::Derived)),
            "{version}"
        );
        if version.minor >= 18 {
            let flags = meta.flags.expect("recorded").value;
            assert!(flags["-gcflags"].contains("-N -l"), "{version}: {flags:?}");
        }
    }
}

/// Waits until its standard input ends.
const WAITS: &str = "package main\n\nimport (\n\t\"fmt\"\n\t\"os\"\n)\n\nfunc main() {\n\tfmt.Println(\"ready\")\n\
    \tos.Stdin.Read(make([]byte, 1))\n}\n";

#[test]
fn a_process_is_told_by_what_it_runs_even_if_the_file_is_gone() {
    let bench = Bench::new();
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("waits");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("main.go"), WAITS).unwrap();
    for version in chosen(&EVERYDAY).unwrap() {
        for mode in [Mode::Static, Mode::Pie] {
            if mode.missing_in(version).is_some() {
                continue;
            }
            let what = format!("{version} {mode}");
            let program = dir.path().join(format!("{version}-{mode}"));
            // Not by this process: a child that another test starts meanwhile would hold the file open for writing.
            stdout(
                Command::new("cp")
                    .arg(bench.build(version, &source, mode))
                    .arg(&program),
            );
            let mut child = Command::new(&program)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut ready = String::new();
            BufReader::new(child.stdout.as_mut().unwrap())
                .read_line(&mut ready)
                .unwrap();
            assert_eq!(ready, "ready\n", "{what}");
            let pid = Pid(child.id().try_into().unwrap());
            let told = [false, true].map(|removed| {
                if removed {
                    std::fs::remove_file(&program).unwrap();
                }
                let (data, process) = Process::read(pid).unwrap();
                let document = Document::of_process(process, &data).unwrap();
                serde_json::to_value(document).unwrap()
            });
            let maps = gondwana_engine::os::maps::read(pid).unwrap();
            drop(child.stdin.take());
            assert!(child.wait().unwrap().success(), "{what}");

            let path = program.display().to_string();
            for (document, removed) in told.iter().zip([false, true]) {
                assert_eq!(document["file"]["path"], path, "{what}");
                assert_eq!(document["process"]["deleted"], removed, "{what}");
            }
            assert_eq!(told[0]["build"], told[1]["build"], "{what}");
            let document = &told[0];
            // The first mapping of the file is its first segment.
            let first = maps
                .iter()
                .find(|map| map.name.starts_with(&path))
                .unwrap_or_else(|| panic!("{what}: {maps:?}"));
            let start = document["layout"]["extent"]["start"].as_u64().unwrap() & !0xfff;
            let slide = first.start.get() - start;
            assert_eq!(document["process"]["placement"]["slide"], slide, "{what}");
            assert_eq!(
                slide == 0,
                mode == Mode::Static,
                "{what}: position-independent programs are moved"
            );
        }
    }
}
