//! What is compared: programs of `testbins/`, and what Go's own libraries and commands say of them.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use gondwana_engine::golang::GoVersion;
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::toolchain::{NEWEST_MINOR, Toolchains};
use serde::Deserialize;

/// One version of each generation of the line table, and the newest layouts.
pub(crate) const EVERYDAY: [&str; 5] = ["1.9", "1.13", "1.16", "1.19", "1.27"];
/// A program of `testbins/` with a bit of everything.
const PROGRAM: &str = "generics";
/// The same for versions without generics.
const OLD_PROGRAM: &str = "methods";

/// What `oracles/image` prints.
#[derive(Deserialize)]
pub(crate) struct Oracle {
    pub(crate) go_version: String,
    pub(crate) modinfo: String,
    #[serde(default)]
    pub(crate) symbols: Option<Vec<Symbol>>,
    pub(crate) inlined: HashMap<String, u64>,
    pub(crate) structs: HashMap<String, HashMap<String, i64>>,
}

#[derive(Deserialize)]
pub(crate) struct Symbol {
    pub(crate) address: u64,
    pub(crate) size: u64,
    pub(crate) name: String,
}

/// The programs to compare, and the oracle.
pub(crate) struct Bench {
    toolchains: Toolchains,
    builder: Builder,
    oracle: PathBuf,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let (toolchains, builder) = (Toolchains::open().unwrap(), Builder::open().unwrap());
        let newest = toolchains.get_minor(NEWEST_MINOR).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles/image");
        let oracle = builder.build(&newest, &source, Mode::Static).unwrap();
        Self {
            toolchains,
            builder,
            oracle,
        }
    }

    pub(crate) fn build(&self, version: GoVersion, mode: Mode) -> PathBuf {
        let name = if version.minor >= 18 {
            PROGRAM
        } else {
            OLD_PROGRAM
        };
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../testbins")
            .join(name);
        let toolchain = self.toolchains.get_version(version).unwrap();
        self.builder.build(&toolchain, &source, mode).unwrap()
    }

    pub(crate) fn ask(&self, program: &Path) -> Oracle {
        let output = Command::new(&self.oracle).arg(program).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// What `go tool nm` of the program's own toolchain says.
pub(crate) fn nm(bench: &Bench, version: GoVersion, program: &Path) -> Vec<Symbol> {
    let toolchain = bench.toolchains.get_version(version).unwrap();
    let output = toolchain
        .go_command()
        .args(["tool", "nm", "-size", "-sort", "address"])
        .arg(program)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{version}: {errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(line_of_nm).collect()
}

/// `ADDRESS SIZE TYPE NAME` of a symbol in the text (T or t); names may have spaces in them.
fn line_of_nm(line: &str) -> Option<Symbol> {
    let (address, rest) = line.trim_start().split_once(' ')?;
    let (size, rest) = rest.trim_start().split_once(' ')?;
    let (kind, name) = rest.split_once(' ')?;
    let symbol = || Symbol {
        address: u64::from_str_radix(address, 16).unwrap(),
        size: size.parse().unwrap(),
        name: name.to_owned(),
    };
    kind.eq_ignore_ascii_case("t").then(symbol)
}
