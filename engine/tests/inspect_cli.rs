//! `gondwana inspect` as its users meet it: output, one line on failure, exit status, the documented schema.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gondwana_engine::golang::{GoVersion, NEWEST, OLDEST};
use gondwana_engine::image::testing::{Synthetic, SyntheticFunction};
use serde_json::Value;

const MODINFO: &str = "path\texample.com/shop/cmd\nmod\texample.com/shop\tv1.4.0\th1:abc=\ndep\tgopkg.in/yaml.v2\tv2.4.0\n\
    =>\t./yaml\t(devel)\t\nbuild\t-ldflags=\"-s -X main.vendor=Acme\"\nbuild\tGOOS=linux\nbuild\tvcs=git\n\
    build\tvcs.revision=0123abcd\nbuild\tvcs.modified=true\n";

fn input(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../goldens/inputs/image")
        .join(name)
}

fn inspect(arguments: &[&str], path: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gondwana"))
        .arg("inspect")
        .args(arguments)
        .arg(path)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// The lines of the output as JSON, each of which the schema accepts.
fn documents(output: &Output) -> Vec<Value> {
    let documents: Vec<Value> = serde_json::Deserializer::from_slice(&output.stdout)
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for document in &documents {
        let errors: Vec<_> = validator
            .iter_errors(document)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{errors:#?} in {document:#}");
    }
    documents
}

fn schema() -> Value {
    serde_json::from_str(include_str!("../docs/inspect.schema.json")).unwrap()
}

/// Files of one folder; gone with it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

/// A program of the newest version with all that module information can hold.
fn shop() -> Synthetic {
    let mut program = Synthetic {
        modinfo: Some(MODINFO.to_owned()),
        ..Synthetic::new(GoVersion::new(NEWEST, 1))
    };
    for name in [
        "crosscall2",
        "gopkg.in/yaml%2ev2.Unmarshal",
        "example.com/shop.Sell",
        "os.Exit",
    ] {
        program
            .functions
            .push(SyntheticFunction::new(name, &[0xc3]));
    }
    program
}

/// `file` without anything that tells a line table: an ordinary ELF program.
fn without_line_table(file: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    let table = memchr::memmem::find(&file, &[0xff, 0xff, 0xff, 0, 0, 1, 8]).unwrap() - 1;
    file[table..table + 16].fill(0xee);
    let magic = memchr::memmem::find(&file, b" Go buildinf:");
    if let Some(at) = magic {
        file[at] = 0;
    }
    file
}

/// One with the name of a file of libgo in its data.
fn gccgo() -> Vec<u8> {
    // Put together at run time, or this test itself would be taken for such a program.
    let name = "/LIB/runtime/proc.c\0".replace("LIB", "libgo");
    let mut program = Synthetic::new(GoVersion::new(21, 0));
    program
        .functions
        .push(SyntheticFunction::new("main.f", name.as_bytes()));
    without_line_table(&program.build())
}

#[test]
fn people_get_a_table() {
    let folder = Folder::new();
    let shop = folder.write("shop", &shop().build());
    let cases = [
        ("go1.9", input("seed-go1.9")),
        ("go1.26-pie", input("seed-go1.26-pie")),
        ("shop", shop),
    ];
    for (name, path) in cases {
        let output = inspect(&[], &path);
        assert!(output.status.success() && output.stderr.is_empty());
        let table = text(&output.stdout).replace(&path.display().to_string(), "PATH");
        insta::assert_snapshot!(format!("inspect-{name}"), table);
    }
}

#[test]
fn programs_get_json_of_the_documented_form() {
    let folder = Folder::new();
    let path = folder.write("shop", &shop().build());
    let output = inspect(&["--json"], &path);
    let json = &documents(&output)[0];
    let head = (json["schema"].as_str(), json["version"].as_u64());
    assert_eq!(head, (Some("gondwana.inspect"), Some(2)));
    let shown = text(&output.stdout).replace(&path.display().to_string(), "PATH");
    // A member that goes or changes its type needs another version.
    insta::assert_snapshot!("inspect-shop.json", shown);
}

#[test]
fn every_version_validates_in_every_form() {
    let folder = Folder::new();
    for minor in OLDEST..=NEWEST {
        for pie in [false, true] {
            let program = Synthetic {
                pie,
                ..Synthetic::new(GoVersion::new(minor, 2))
            };
            folder.write(&format!("{minor}-{pie}"), &program.build());
        }
    }
    let output = inspect(&["--json"], folder.0.path());
    assert_eq!(output.status.code(), Some(0));
    let documents = documents(&output);
    let expected = usize::from(NEWEST - OLDEST + 1) * 2;
    assert_eq!(documents.len(), expected + 1);
    assert_eq!(documents[expected]["summary"]["go"], expected);
}

/// Each member of the schema as a path.
fn members(schema: &Value, at: &str, into: &mut BTreeSet<String>) {
    let Value::Object(object) = schema else {
        if let Value::Array(list) = schema {
            list.iter().for_each(|one| members(one, at, into));
        }
        return;
    };
    for (key, value) in object {
        let inner = match key.as_str() {
            "properties" => {
                for (name, value) in value.as_object().unwrap() {
                    let path = format!("{at}.{name}");
                    members(value, &path, into);
                    into.insert(path);
                }
                continue;
            }
            "$defs" => {
                for (name, value) in value.as_object().unwrap() {
                    members(value, name, into);
                }
                continue;
            }
            _ => at.to_owned(),
        };
        members(value, &inner, into);
    }
}

/// Within one version members are only added: `inspect_members.txt` may grow, and starts anew with a new version.
#[test]
fn members_stay() {
    let mut now = BTreeSet::new();
    members(&schema(), "", &mut now);
    let listed: BTreeSet<String> = include_str!("inspect_members.txt")
        .lines()
        .map(str::to_owned)
        .collect();
    let gone: Vec<_> = listed.difference(&now).collect();
    assert!(
        gone.is_empty(),
        "members that went without a new version: {gone:?}"
    );
    let new: Vec<_> = now.difference(&listed).collect();
    assert!(new.is_empty(), "add to inspect_members.txt: {new:?}");
}

#[test]
fn the_exit_status_says_what_it_is() {
    let folder = Folder::new();
    let seed = std::fs::read(input("seed-go1.26")).unwrap();
    let changed = |at: usize, byte: u8| {
        let mut file = seed.clone();
        file[at] = byte;
        file
    };
    let mut packed = without_line_table(&seed);
    let behind_headers = 64 + 5 * 56 + 4;
    packed[behind_headers..behind_headers + 4].copy_from_slice(b"UPX!");
    let mut obfuscated = seed.clone();
    let table = memchr::memmem::find(&seed, &[0xff, 0xff, 0xff, 0, 0, 1, 8]).unwrap() - 1;
    obfuscated[table..table + 4].copy_from_slice(b"garb");
    let cases: [(&str, &[u8], i32, &str, &str); 12] = [
        ("go", &seed, 0, "go", ""),
        ("empty", b"", 1, "not-go", "not-elf"),
        ("script", b"#!/bin/sh\n", 1, "not-go", "not-elf"),
        ("other", &without_line_table(&seed), 1, "not-go", "not-go"),
        ("gccgo", &gccgo(), 3, "gccgo", "gccgo"),
        ("packed", &packed, 2, "unknown", "packed"),
        (
            "truncated",
            &seed[..seed.len() - 1],
            2,
            "unknown",
            "truncated",
        ),
        ("arm64", &changed(18, 183), 2, "unknown", "wrong-machine"),
        ("32-bit", &changed(4, 1), 2, "unknown", "elf32-bit"),
        ("object", &changed(16, 1), 2, "unknown", "not-executable"),
        ("library", &no_entry(&seed), 2, "go", "not-main-program"),
        ("obfuscated", &obfuscated, 2, "go", "obfuscated"),
    ];
    for (name, bytes, status, answer, code) in cases {
        let path = folder.write(name, bytes);
        for arguments in [&[][..], &["--json"]] {
            let output = inspect(arguments, &path);
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(status), "{name}: {error}");
            assert_eq!(
                error.lines().count(),
                usize::from(status != 0),
                "{name}: {error}"
            );
            assert!(
                status == 0
                    || (error.contains(code) && error.contains(&path.display().to_string())),
                "{name}: {error}"
            );
            if arguments.is_empty() {
                let has_table = !output.stdout.is_empty();
                assert_eq!(has_table, answer == "go", "{name}");
                continue;
            }
            let documents = documents(&output);
            assert_eq!(documents.len(), 1, "{name}");
            assert_eq!(documents[0]["answer"], answer, "{name}");
            let found = documents[0]["error"]["code"].as_str().unwrap_or_default();
            assert_eq!(found, code, "{name}");
        }
    }
}

/// Without an entry point it is a library.
fn no_entry(file: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    file[24..32].fill(0);
    file
}

#[test]
fn what_is_recorded_is_told_of_programs_that_cannot_be_hooked() {
    let folder = Folder::new();
    let mut future = shop();
    future.version_text = "go1.99.1".into();
    let cases = [
        (
            "library",
            no_entry(&shop().build()),
            "not-main-program",
            format!("go1.{NEWEST}.1"),
        ),
        (
            "future",
            future.build(),
            "unproven-version",
            "go1.99.1".to_owned(),
        ),
    ];
    for (name, bytes, code, version) in cases {
        let output = inspect(&["--json"], &folder.write(name, &bytes));
        assert_eq!(output.status.code(), Some(2));
        let document = &documents(&output)[0];
        assert_eq!(document["error"]["code"], code);
        assert_eq!(document["build_info"]["GoVersion"], version);
        assert_eq!(document["build"]["vcs"]["value"]["revision"], "0123abcd");
        assert_eq!(document["build"]["race"], Value::Null);
        assert!(document["layout"].is_null());
    }
}

#[test]
fn what_cannot_be_read_is_one_line_and_status_2() {
    let folder = Folder::new();
    let pipe = folder.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (path, expected) in [
        (folder.path("missing"), "No such file"),
        (pipe, "not a regular file"),
    ] {
        for arguments in [&[][..], &["--json"]] {
            let output = inspect(arguments, &path);
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{error}");
            assert!(
                output.stdout.is_empty() && error.lines().count() == 1,
                "{error}"
            );
            assert!(
                error.contains(expected) && error.contains(&path.display().to_string()),
                "{error}"
            );
        }
    }
}

#[test]
fn a_folder_is_walked_without_following_links() {
    let folder = Folder::new();
    let seed = std::fs::read(input("seed-go1.26")).unwrap();
    folder.write("a/server", &seed);
    folder.write("b/deep/er/lib.so", &no_entry(&seed));
    folder.write("b/c-program", &without_line_table(&seed));
    folder.write("b/gccgo", &gccgo());
    folder.write("b/half", &seed[..100]);
    folder.write("b/README", b"text");
    folder.write("b/empty", b"");
    // A link in a circle, one to a program, one to nothing.
    for (target, name) in [
        ("..", "b/up"),
        ("../a/server", "b/again"),
        ("nowhere", "b/broken"),
    ] {
        std::os::unix::fs::symlink(target, folder.path(name)).unwrap();
    }
    let output = inspect(&[], folder.0.path());
    assert_eq!(output.status.code(), Some(0));
    let shown = text(&output.stdout).replace(&folder.0.path().display().to_string(), "DIR");
    insta::assert_snapshot!("inspect-folder", shown);
    // The same through a link to the folder.
    let link = folder.path("b/up");
    assert_eq!(inspect(&[], &link).status.code(), Some(0));

    let output = inspect(&["--json"], folder.0.path());
    let documents = documents(&output);
    let expected = serde_json::json!({
        "go": 2, "gccgo": 1, "not_go": 1, "unknown": 1, "other": 2, "symlinks": 3, "unreadable": 0,
    });
    assert_eq!(documents.last().unwrap()["summary"], expected);
    assert_eq!(documents.len(), 6);
    // One object a line.
    assert_eq!(text(&output.stdout).lines().count(), 6);
}

#[test]
fn a_folder_without_go_says_so_by_its_status() {
    let folder = Folder::new();
    folder.write("text", b"text");
    assert_eq!(inspect(&[], folder.0.path()).status.code(), Some(1));
    folder.write("gccgo", &gccgo());
    assert_eq!(inspect(&[], folder.0.path()).status.code(), Some(3));
    folder.write("go", &std::fs::read(input("seed-go1.9")).unwrap());
    assert_eq!(inspect(&[], folder.0.path()).status.code(), Some(0));
}

#[test]
fn a_process_is_told_by_its_file() {
    let run = |pid: &str| {
        Command::new(env!("CARGO_BIN_EXE_gondwana"))
            .args(["inspect", "--json", "--pid", pid])
            .output()
            .unwrap()
    };
    let me = std::process::id();
    let output = run(&me.to_string());
    // This test is no Go program.
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let document = &documents(&output)[0];
    assert_eq!(document["process"]["pid"], me);
    assert_eq!(document["process"]["placement"], Value::Null);
    let exe = std::env::current_exe().unwrap();
    assert_eq!(document["file"]["path"], exe.display().to_string());
    // Above the largest number that the kernel gives (PID_MAX_LIMIT, linux/threads.h).
    let output = run("4194305");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stderr), "gondwana: no process 4194305\n");
    for wrong in ["0", "-1", "x"] {
        assert_eq!(run(wrong).status.code(), Some(2), "{wrong}");
    }
}

/// Every command that reads a program, with `limit` bytes of memory.
fn within(limit: u64, arguments: &[&str], path: &Path) -> Output {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(format!("ulimit -v {} && exec \"$0\" \"$@\"", limit >> 10))
        .arg(env!("CARGO_BIN_EXE_gondwana"))
        .args(arguments)
        .arg(path);
    command.output().unwrap()
}

#[test]
fn what_lies_behind_a_program_is_not_read() {
    let folder = Folder::new();
    let program = Synthetic::new(GoVersion::new(13, 2));
    let path = folder.write("tail", &program.build());
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let size = 6 << 30;
    file.set_len(size).unwrap();
    drop(file);
    let limit = 512 << 20;
    let started = std::time::Instant::now();
    let output = within(limit, &["inspect", "--json"], &path);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(documents(&output)[0]["file"]["size"], size);
    for arguments in [&["funcs"][..], &["plan", "--hook", "main.f"]] {
        let output = within(limit, arguments, &path);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains("main.f"));
    }
    // A second would be a gigabyte of zeros; six are waited for, a busy machine included.
    assert!(started.elapsed().as_secs() < 6, "{:?}", started.elapsed());
}

#[test]
fn a_program_of_which_too_much_is_loaded_is_not_read() {
    let folder = Folder::new();
    let mut bytes = shop().build();
    // The first segment's size in the file and in memory.
    for at in [64 + 32, 64 + 40] {
        bytes[at..at + 8].copy_from_slice(&(5u64 << 30).to_le_bytes());
    }
    let path = folder.write("huge", &bytes);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(6 << 30).unwrap();
    let output = within(512 << 20, &["inspect"], &path);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("bytes are loaded of it"),
        "{}",
        text(&output.stderr)
    );
}
