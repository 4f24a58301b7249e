//! Stripped Go programs of other people, old and new, as the package registries have them: all their hookable functions
//! relocate, and they run hooked as they run unhooked.
//!
//! This test has a `main` of its own (`harness = false`), since what cannot be obtained is counted as ignored.

mod packages;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use gondwana_engine::image::Image;
use gondwana_engine::meta;
use gondwana_harness::executor::native::hooked::Agent;
use gondwana_harness::executor::native::process::Scenario;
use gondwana_harness::qualify::{Request, qualify};
use gondwana_harness::report::table;
use gondwana_harness::toolchain::{NEWEST_MINOR, Toolchains};
use gondwana_harness::verdict::Verdict;
use libtest_mimic::Arguments;
use packages::{Package, Source, Use, trials};

/// One program.
struct Program {
    /// A file in the working directory, which `args` may name.
    input: (&'static str, &'static str),
    args: &'static [&'static str],
    hooks: &'static [&'static str],
}

const JAVASCRIPT: &str =
    "export const f = xs => xs.map(x => x * 2); console.log(f([1, 2]), `a${1 + 1}`);\n";

fn check(file: &Path, program: &Program) {
    build_information(file);
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join(program.input.0);
    fs::write(&input, program.input.1).unwrap();
    let input = input.display().to_string();
    let request = Request {
        program: file.to_owned(),
        patterns: program.hooks.iter().map(|&hook| hook.to_owned()).collect(),
        out: dir.path().join("out"),
        agent: Agent::harness(env!("CARGO_BIN_EXE_gondwana-harness")),
        scenario: Scenario {
            args: program
                .args
                .iter()
                .map(|arg| arg.replace("INPUT", &input))
                .collect(),
            timeout: 120,
            ..Scenario::default()
        },
        seed: 1,
        relocation: true,
        fips: true,
        masks: Vec::new(),
        exit: None,
        expected: Vec::new(),
    };
    let report = qualify(&request, |_| {}).unwrap();
    let shown = table::render(&report, "");
    eprintln!("{shown}");
    assert_eq!(report.verdict, Verdict::Qualified, "{shown}");
    assert!(
        report
            .sections
            .iter()
            .all(|section| section.counts.agreed > 0),
        "{shown}"
    );
}

/// It is that of `go version -m -json`, field by field.
fn build_information(file: &Path) {
    let newest = Toolchains::open().unwrap().get_minor(NEWEST_MINOR).unwrap();
    let answer = newest.build_information_of(file).unwrap();
    let theirs = answer.expect("an answer");
    let data = fs::read(file).unwrap();
    let image = Image::parse(&data).unwrap();
    let ours = meta::go_build_info(image.build_info()).unwrap();
    assert_eq!(
        serde_json::to_value(ours).unwrap(),
        theirs,
        "{}",
        file.display()
    );
}

fn main() -> ExitCode {
    let uses = [
        Use {
            name: "esbuild_of_go_1_16",
            package: Package {
                source: Source::Npm,
                name: "esbuild-linux-64",
                version: "0.8.57",
                file: "bin/esbuild",
            },
            check: |file| {
                check(
                    file,
                    &Program {
                        input: ("in.js", JAVASCRIPT),
                        args: &["--minify", "INPUT"],
                        hooks: &["main.main", "github.com/evanw/esbuild/internal/js_lexer.*"],
                    },
                )
            },
        },
        Use {
            name: "esbuild_of_go_1_23",
            package: Package {
                source: Source::Npm,
                name: "@esbuild/linux-x64",
                version: "0.25.0",
                file: "bin/esbuild",
            },
            check: |file| {
                check(
                    file,
                    &Program {
                        input: ("in.js", JAVASCRIPT),
                        args: &["--minify", "INPUT"],
                        hooks: &["main.main", "github.com/evanw/esbuild/internal/js_parser.*"],
                    },
                )
            },
        },
        Use {
            name: "shell_formatter_with_everything_hooked",
            package: Package {
                source: Source::PyPi,
                name: "shfmt-py",
                version: "4.2.0",
                file: "scripts/shfmt",
            },
            check: |file| {
                check(
                    file,
                    &Program {
                        input: ("in.sh", "if [ x = y ]; then\necho   hi | cat\nfi\n"),
                        args: &["INPUT"],
                        hooks: &["*"],
                    },
                )
            },
        },
        Use {
            name: "git_hook_manager",
            package: Package {
                source: Source::Npm,
                name: "lefthook-linux-x64",
                version: "1.10.10",
                file: "bin/lefthook",
            },
            check: |file| {
                check(
                    file,
                    &Program {
                        input: ("unused", ""),
                        args: &["--help"],
                        hooks: &["main.main", "github.com/spf13/cobra.*"],
                    },
                )
            },
        },
    ];
    libtest_mimic::run(&Arguments::from_args(), trials(&uses)).exit_code()
}
