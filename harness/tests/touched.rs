//! What hooks may touch in real programs: code that the program hashes, programs that patch themselves, entries where
//! another tool stands, and programs with a call before each stack check.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use gondwana_engine::export::ndjson::Stream;
use gondwana_engine::golang::GoVersion;
use gondwana_engine::image::{Image, ImageErrorCode};
use gondwana_engine::site::{Finder, RefusalCode, admit};
use gondwana_harness::build::{Builder, Mode, Source};
use gondwana_harness::executor::native::hooked::{Agent, wait_for_end};
use gondwana_harness::toolchain::{CHOICE, Toolchain, Toolchains, chosen};

const HARNESS: &str = env!("CARGO_BIN_EXE_gondwana-harness");

/// The folder of a test program.
fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/programs")
        .join(name)
}

fn toolchain(version: GoVersion) -> Toolchain {
    Toolchains::open().unwrap().get_version(version).unwrap()
}

/// The versions to test, of those from 1.`oldest` on.
fn versions(everyday: &[&str], oldest: u16) -> Vec<GoVersion> {
    let mut versions = chosen(everyday).unwrap();
    versions.retain(|version| version.minor >= oldest);
    versions
}

/// Runs a program hooked, to its end and that of its agent.
fn run(program: &Path, patterns: &[&str], env: &[(&str, &str)]) -> (Output, Stream) {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("stream.ndjson");
    let patterns: Vec<String> = patterns.iter().map(|&text| text.to_owned()).collect();
    let output = Agent::harness(HARNESS)
        .command::<&str>(program, &patterns, &path, &[])
        .envs(env.iter().copied())
        .output()
        .unwrap();
    assert!(
        wait_for_end(&path, Duration::from_secs(20)),
        "{}: no end of the stream",
        program.display()
    );
    let stream = Stream::read(std::fs::read(&path).unwrap().as_slice()).unwrap();
    (output, stream)
}

/// What the program does unhooked; it must succeed.
fn plain(program: &Path, env: &[(&str, &str)]) -> Vec<u8> {
    let output = Command::new(program)
        .envs(env.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

#[test]
fn code_that_the_program_hashes_is_left_alone() {
    let mut modes = vec![Mode::Static, Mode::StripAll, Mode::Pie];
    if std::env::var(CHOICE).is_ok_and(|all| all == "all") {
        modes.extend([Mode::PieExternal, Mode::Cgo, Mode::Race, Mode::Debug]);
    }
    for version in versions(&["1.27"], 24) {
        for &mode in &modes {
            let builder = Builder::open().unwrap();
            let program = builder.build(&toolchain(version), &folder("hashes"), mode);
            let program = program.unwrap();
            let what = format!("{version} {mode}");
            let data = std::fs::read(&program).unwrap();
            let image = Image::parse(&data).unwrap();
            let finder = Finder::new(&image);
            // The linker puts nothing but the FIPS module between the marks, and all of it there.
            let (mut hashed, mut asked, mut others) = (0, 0, 0);
            for function in image.functions() {
                let module = function.name.starts_with("crypto/internal/fips140/")
                    || function.name.starts_with("crypto/internal/fips140.");
                let fips = finder
                    .find(function)
                    .is_err_and(|refusal| refusal.code == RefusalCode::Fips);
                let inside = image
                    .hashed_text()
                    .iter()
                    .any(|&(start, end)| (start..end).contains(&function.entry));
                let mark = function.name.starts_with("go:textfips");
                assert_eq!(fips, inside && !mark, "{what}: {}", function.name);
                // Read-only data of the check itself, and generated code, lie elsewhere.
                assert!(fips || !module || !inside, "{what}: {}", function.name);
                hashed += u32::from(fips);
                asked += usize::from(fips && function.name.starts_with("crypto/"));
                others += u32::from(!fips);
            }
            assert!(hashed > 50 && others > 500, "{what}: {hashed}, {others}");
            assert_eq!(image.hashed_text().len(), 1, "{what}: two ranges");

            let env = [("GODEBUG", "fips140=on")];
            let unhooked = plain(&program, &env);
            let (output, stream) = run(&program, &["crypto/*", "main.*"], &env);
            assert!(output.status.success(), "{what}: {output:?}");
            assert_eq!(output.stdout, unhooked, "{what}");
            assert!(stream.header.hooked, "{what}");
            let refused = |code: &str| {
                let of_code = stream.header.refusals.iter().filter(|one| one.code == code);
                of_code.count()
            };
            assert_eq!(refused("fips"), asked, "{what}");
        }
    }
}

#[test]
fn programs_that_patch_themselves_are_refused_as_a_whole() {
    let main = "package main\n\nimport \"github.com/bytedance/mockey\"\n\nfunc main() {\n\tprintln(mockey.Mock(1))\n}\n";
    let library = "package mockey\n\n//go:noinline\nfunc Mock(n int) int { return n }\n";
    let file = |path: &str, text: &str| (path.to_owned(), text.as_bytes().to_vec());
    let source = Source {
        name: "patches".to_owned(),
        files: vec![
            file("patches/main.go", main),
            file(
                "patches/vendor/github.com/bytedance/mockey/mockey.go",
                library,
            ),
        ],
    };
    for version in versions(&["1.13", "1.27"], 6) {
        let builder = Builder::open().unwrap();
        let program = builder.build_source(&toolchain(version), &source, Mode::Static);
        let program = program.unwrap();
        let data = std::fs::read(&program).unwrap();
        let image = Image::parse(&data).unwrap();
        let error = admit(&image).unwrap_err();
        assert_eq!(error.code(), ImageErrorCode::SelfPatching, "{version}");
        let text = error.to_string();
        assert!(text.contains("github.com/bytedance/mockey.Mock"), "{text}");

        let (output, stream) = run(&program, &["main.main"], &[]);
        assert!(output.status.success(), "{version}: {output:?}");
        assert!(!stream.header.hooked, "{version}");
        let reason = stream.header.reason.unwrap();
        assert_eq!(reason.code, "self-patching", "{version}: {reason:?}");
    }
}

#[test]
fn an_entry_where_another_tool_stands_is_refused_alone() {
    for version in versions(&["1.26"], 5) {
        let builder = Builder::open().unwrap();
        let program = builder.build(&toolchain(version), &folder("patched"), Mode::Cgo);
        let program = program.unwrap();
        let data = std::fs::read(&program).unwrap();
        let image = Image::parse(&data).unwrap();
        let victim = image.functions_named("main.victim").next().unwrap().entry;
        let (at, unhooked) = (victim.to_string(), plain(&program, &[]));
        let patterns = ["main.left", "main.victim", "main.main"];
        for (byte, says) in [("0xcc", "breakpoint or uprobe"), ("0xe9", "a jump")] {
            let env = [("PATCH_AT", at.as_str()), ("PATCH_BYTE", byte)];
            let (output, stream) = run(&program, &patterns, &env);
            assert!(output.status.success(), "{version}: {output:?}");
            assert_eq!(output.stdout, unhooked, "{version}");
            let header = stream.header;
            assert!(header.hooked, "{version}: {:?}", header.reason);
            let names: Vec<&str> = header.hooks.iter().map(|hook| hook.name.as_str()).collect();
            assert_eq!(names, ["main.left", "main.main"], "{version}");
            let [refusal] = header.refusals.as_slice() else {
                panic!("{version}: {:?}", header.refusals);
            };
            assert_eq!(refusal.name, "main.victim");
            assert_eq!(refusal.code, "already-patched");
            assert!(refusal.detail.contains(says), "{}", refusal.detail);
            assert_eq!(stream.end.unwrap().spans, [1, 1], "{version}");
        }
        // Nobody there: all three. Nobody else to hook: the reason is the one function's.
        let (_, stream) = run(&program, &patterns, &[]);
        assert_eq!(stream.header.hooks.len(), 3);
        let env = [("PATCH_AT", at.as_str()), ("PATCH_BYTE", "0xcc")];
        let (output, stream) = run(&program, &["main.victim"], &env);
        assert!(output.status.success(), "{version}: {output:?}");
        let reason = stream.header.reason.unwrap();
        assert_eq!(reason.code, "nothing-hookable");
        assert!(
            reason.message.contains("breakpoint or uprobe"),
            "{reason:?}"
        );
    }
}

#[test]
fn programs_with_a_call_before_each_stack_check_are_hooked() {
    let options = [
        "-d=maymorestack=runtime.mayMoreStackPreempt",
        "-d=maymorestack=runtime.mayMoreStackMove",
    ];
    for version in versions(&["1.27"], 18) {
        for option in options {
            let builder = Builder::open().unwrap();
            let program = builder.build_with(
                &toolchain(version),
                &folder("movesstack"),
                Mode::Static,
                option,
            );
            let program = program.unwrap();
            let what = format!("{version} {option}");
            let unhooked = plain(&program, &[]);
            let (output, stream) = run(&program, &["main.*"], &[]);
            assert!(output.status.success(), "{what}: {output:?}");
            assert_eq!(output.stdout, unhooked, "{what}");
            assert!(stream.header.hooked, "{what}: {:?}", stream.header.reason);
            let end = stream.end.unwrap();
            let calls = |name: &str| {
                let hook = stream.header.hooks.iter().find(|hook| hook.name == name);
                let hook = hook.unwrap_or_else(|| panic!("{what}: {name} is not hooked"));
                end.spans[hook.id as usize]
            };
            // 20 goroutines, 10 * i deep; short of room some calls run unhooked, and are counted.
            let skipped = end.skipped.no_room;
            assert!(calls("main.grow") + skipped >= 1920, "{what}: {end:?}");
            assert!(skipped < 400, "{what}: {end:?}");
            assert_eq!(calls("main.many"), 1, "{what}");
            assert_eq!(calls("main.recovered"), 10, "{what}");

            // Every hook that could be made is verified, and every window runs as it did in its place.
            let report = tempfile::tempdir().unwrap();
            let qualified = Command::new(HARNESS)
                .arg("qualify")
                .arg(&program)
                .args(["--hook", "main.*", "--hook", "fmt.*", "--out"])
                .arg(report.path())
                .output()
                .unwrap();
            assert!(qualified.status.success(), "{what}: {qualified:?}");
        }
    }
}
