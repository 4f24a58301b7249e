//! Programs built from modules, with dependencies, replacements, `-X` and a version control system: what is read from the
//! file is what the program reads about itself (`runtime/debug.ReadBuildInfo`), and what `go version -m -json` prints.
//!
//! Before modules: packages are told by the names of functions, vendored ones too.
//!
//! `GONDWANA_GO=1.5,1.21..` chooses the versions, `GONDWANA_GO=all` takes every minor version's last patch.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use gondwana_engine::golang::GoVersion;
use gondwana_engine::image::Image;
use gondwana_engine::meta::{self, Mark, Meta};
use gondwana_harness::cache;
use gondwana_harness::toolchain::{NEWEST_MINOR, Toolchains, chosen};
use serde_json::Value;

/// Module information in the variable's text, behind pointers, and in the file's own blob.
const EVERYDAY: [&str; 3] = ["1.12", "1.17", "1.27"];
/// One with vendor folders and without modules.
const EVERYDAY_OLD: [&str; 1] = ["1.9"];

const MAIN: &str = r#"package main

import (
	"encoding/json"
	"os"
	"runtime/debug"

	"example.com/lib"
	"example.com/local"
)

var version, vendor string

func main() {
	info, ok := debug.ReadBuildInfo()
	if !ok || lib.Name()+local.Name() != "lib 1local" || version != "1.2.3" || vendor != "Acme Inc" {
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(info)
}
"#;
/// Go 1.11 has module information, but no function that gives it.
const MAIN_1_11: &str = r#"package main

import (
	_ "runtime/debug"

	"example.com/lib"
	"example.com/local"
)

var version, vendor string

func main() { println(lib.Name(), local.Name(), version, vendor) }
"#;
const LIB: &str = "package lib\n\n//go:noinline\nfunc Name() string { return \"lib 1\" }\n";
const LOCAL: &str = "package local\n\n//go:noinline\nfunc Name() string { return \"local\" }\n";
const GO_MOD: &str = "module example.com/shop\n\nrequire (\n\texample.com/lib v1.0.0\n\texample.com/local v0.3.0\n)\n\n\
    replace example.com/local => ./local\n";
const SET: &str = "-X main.version=1.2.3 -X 'main.vendor=Acme Inc'";

/// A module with its surroundings: sources, a module proxy of files, a module cache.
struct Module {
    dir: tempfile::TempDir,
    version: GoVersion,
    toolchains: Toolchains,
}

impl Drop for Module {
    fn drop(&mut self) {
        // The go command leaves folders that cannot be written to.
        let _ = cache::remove_tree(&self.dir.path().join("gopath"));
    }
}

impl Module {
    fn new(toolchains: &Toolchains, version: GoVersion) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write(
            "shop/cmd/main.go",
            if version.minor == 11 { MAIN_1_11 } else { MAIN },
        );
        write("shop/go.mod", GO_MOD);
        write("shop/local/go.mod", "module example.com/local\n");
        write("shop/local/local.go", LOCAL);
        // `go help goproxy`: a proxy may be a folder.
        let lib_mod = "module example.com/lib\n";
        write(
            "proxy/example.com/lib/@v/v1.0.0.info",
            "{\"Version\":\"v1.0.0\"}",
        );
        write("proxy/example.com/lib/@v/v1.0.0.mod", lib_mod);
        let mut zip = zip::ZipWriter::new(
            fs::File::create(dir.path().join("proxy/example.com/lib/@v/v1.0.0.zip")).unwrap(),
        );
        for (name, text) in [("go.mod", lib_mod), ("lib.go", LIB)] {
            let stored = zip::write::SimpleFileOptions::default()
                .compression_method(zip::CompressionMethod::Stored);
            zip.start_file(format!("example.com/lib@v1.0.0/{name}"), stored)
                .unwrap();
            zip.write_all(text.as_bytes()).unwrap();
        }
        zip.finish().unwrap();
        Self {
            dir,
            version,
            toolchains: toolchains.clone(),
        }
    }

    /// Makes the sources one commit; its hash.
    fn commit(&self) -> String {
        let shop = self.dir.path().join("shop");
        let git = |arguments: &[&str]| {
            let user = [
                "-c",
                "user.name=test",
                "-c",
                "user.email=test@example.com",
                "-c",
                "commit.gpgsign=false",
            ];
            let output = Command::new("git")
                .args(user)
                .args(arguments)
                .current_dir(&shop)
                .output()
                .expect("this test needs `git`");
            assert!(output.status.success(), "git {arguments:?}: {output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        git(&["init", "-q"]);
        git(&["add", "."]);
        git(&["commit", "-q", "-m", "all"]);
        git(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    fn build(&self, name: &str, flags: &[&str]) -> PathBuf {
        let program = self.dir.path().join(name);
        let proxy = format!("file://{}", self.dir.path().join("proxy").display());
        let toolchain = self.toolchains.get_version(self.version).unwrap();
        let mut go = toolchain.go_command();
        go.args(["build", "-o"])
            .arg(&program)
            .args(flags)
            .arg("./cmd");
        go.env("GO111MODULE", "on")
            .env("GOPROXY", proxy)
            .env("GOSUMDB", "off");
        // From 1.16 on the go command adds no sums without being told.
        let modules = if self.version.minor >= 16 {
            "-mod=mod"
        } else {
            ""
        };
        go.env("GOFLAGS", modules)
            .env("GOPATH", self.dir.path().join("gopath"));
        run(go.current_dir(self.dir.path().join("shop")));
        program
    }
}

fn run(command: &mut Command) -> Vec<u8> {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

/// Without members that are empty: Go versions differ in whether they leave them out.
fn without_empty(value: &Value) -> Value {
    let is_empty = |value: &Value| match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(_, value)| !is_empty(value));
            kept.map(|(name, value)| (name.clone(), without_empty(value)))
                .collect()
        }
        Value::Array(list) => list.iter().map(without_empty).collect(),
        other => other.clone(),
    }
}

fn go_version(toolchains: &Toolchains, program: &Path) -> Value {
    let newest = toolchains.get_minor(NEWEST_MINOR).unwrap();
    let answer = newest.build_information_of(program).unwrap();
    answer.expect("an answer")
}

#[test]
fn a_program_of_modules_is_told_as_it_tells_itself() {
    let toolchains = Toolchains::open().unwrap();
    for version in chosen(&EVERYDAY)
        .unwrap()
        .into_iter()
        .filter(|version| version.minor >= 11)
    {
        let module = Module::new(&toolchains, version);
        let commit = module.commit();
        let program = module.build("shop-program", &["-ldflags", SET]);
        let data = fs::read(&program).unwrap();
        let image = Image::parse(&data).unwrap();
        let ours = serde_json::to_value(meta::go_build_info(image.build_info()).unwrap()).unwrap();
        if version.minor >= 12 {
            let mut itself: Value =
                serde_json::from_slice(&run(&mut Command::new(&program))).unwrap();
            // Since 1.18 it gives the version of Go, too.
            itself["GoVersion"] = version.to_string().into();
            assert_eq!(without_empty(&ours), without_empty(&itself), "{version}");
        }
        if version.minor >= 13 {
            assert_eq!(ours, go_version(&toolchains, &program), "{version}");
        }
        told(&image, &commit);
        // Nothing of the flags is recorded, and no symbol is left.
        if version.minor >= 13 {
            let program = module.build("bare", &["-trimpath", "-ldflags", &format!("-s -w {SET}")]);
            let data = fs::read(&program).unwrap();
            let meta = Meta::of(&Image::parse(&data).unwrap());
            let recorded = meta
                .flags
                .as_ref()
                .filter(|flags| flags.value.contains_key("-ldflags"));
            assert_eq!(recorded, None, "{version}");
            assert_eq!(meta.strings, None, "{version}");
        }
    }
}

/// Paths, versions, sums, replacements, strings, the commit.
fn told(image: &Image<'_>, commit: &str) {
    let (version, meta) = (image.version(), Meta::of(image));
    assert_eq!(
        meta.package.unwrap().value,
        "example.com/shop/cmd",
        "{version}"
    );
    assert_eq!(
        meta.module.unwrap().value.path,
        "example.com/shop",
        "{version}"
    );
    let dependencies = meta.dependencies.unwrap().value;
    let [lib, local] = &dependencies[..] else {
        panic!("{version}: {dependencies:?}");
    };
    assert_eq!(
        (lib.path, lib.version),
        ("example.com/lib", "v1.0.0"),
        "{version}"
    );
    assert!(lib.sum.starts_with("h1:"), "{version}: {lib:?}");
    let replacement = local.replaced_by.as_deref().map(|other| other.path);
    assert_eq!(
        (local.path, replacement),
        ("example.com/local", Some("./local")),
        "{version}"
    );

    let strings = meta.strings.unwrap();
    let mark = if version.minor >= 18 {
        Mark::Recorded
    } else {
        Mark::Derived
    };
    assert_eq!(strings.mark, mark, "{version}");
    let mut pairs: Vec<_> = strings
        .value
        .iter()
        .map(|one| (one.name.as_str(), one.value.as_str()))
        .collect();
    pairs.sort_unstable();
    assert_eq!(
        pairs,
        [("main.vendor", "Acme Inc"), ("main.version", "1.2.3")],
        "{version}"
    );
    let application = meta.application;
    assert_eq!(
        application.version.map(|told| told.value).as_deref(),
        Some("1.2.3"),
        "{version}"
    );
    assert_eq!(
        application.vendor.map(|told| told.value).as_deref(),
        Some("Acme Inc"),
        "{version}"
    );

    let packages = meta.packages.unwrap().value;
    let third_party: Vec<_> = packages.third_party.iter().collect();
    assert_eq!(
        third_party,
        ["example.com/lib", "example.com/local"],
        "{version}"
    );
    if version.minor >= 18 {
        let vcs = meta.vcs.unwrap().value;
        assert_eq!(
            (vcs.system, vcs.revision),
            ("git", Some(commit)),
            "{version}"
        );
    }
}

#[test]
fn packages_are_told_without_modules() {
    let toolchains = Toolchains::open().unwrap();
    let files = [
        (
            "src/example.com/shop/main.go",
            "package main\n\nimport (\n\t\"example.com/shop/store\"\n\t\"github.com/acme/tool.v2\"\n)\n\nvar version string\n\n\
             func main() { println(store.Open(), tool.Use(), version) }\n",
        ),
        (
            "src/example.com/shop/store/store.go",
            "package store\n\n//go:noinline\nfunc Open() int { return len(name) }\n\nvar name = \"store\"\n",
        ),
        (
            "src/example.com/shop/vendor/github.com/acme/tool.v2/tool.go",
            "package tool\n\n//go:noinline\nfunc Use() int { return len(name) }\n\nvar name = \"tool\"\n",
        ),
    ];
    for version in chosen(&EVERYDAY_OLD)
        .unwrap()
        .into_iter()
        .filter(|version| version.minor <= 10)
    {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let program = dir.path().join("shop");
        let toolchain = toolchains.get_version(version).unwrap();
        let mut go = toolchain.go_command();
        // Go 1.5 does not know go:noinline.
        let gcflags: &[&str] = if version.minor == 5 {
            &["-gcflags", "-l"]
        } else {
            &[]
        };
        go.args(["build", "-ldflags", "-X main.version=7"])
            .args(gcflags);
        go.arg("-o").arg(&program).arg("example.com/shop");
        // In 1.5 vendor folders were an experiment.
        go.env("GOPATH", dir.path())
            .env("GO15VENDOREXPERIMENT", "1");
        run(&mut go);
        let data = fs::read(&program).unwrap();
        let meta = Meta::of(&Image::parse(&data).unwrap());
        assert_eq!(
            (meta.package, meta.module, meta.dependencies),
            (None, None, None),
            "{version}"
        );
        let packages = meta.packages.unwrap();
        assert_eq!(packages.mark, Mark::Derived);
        assert_eq!(
            packages.value.own.iter().collect::<Vec<_>>(),
            ["example.com/shop/store", "main"],
            "{version}"
        );
        let third_party: Vec<_> = packages.value.third_party.iter().collect();
        assert_eq!(third_party, ["github.com/acme/tool.v2"], "{version}");
        let strings = meta.strings.unwrap();
        assert_eq!(
            (strings.mark, strings.value.len()),
            (Mark::Derived, 1),
            "{version}"
        );
        assert_eq!(
            (&*strings.value[0].name, &*strings.value[0].value),
            ("main.version", "7"),
            "{version}"
        );
    }
}
