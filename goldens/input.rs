//! `goldens/inputs/NAME.function` -> one function of a Go program, and what the engine must know of its neighbours.
//!
//! Written by `cargo run --example golden_input BIN FUNCTION`, or by hand where no compiler makes such a function. Lines
//! that start with `#` say where it comes from; then lines `key value`:
//!
//! | key | value |
//! |---|---|
//! | `version`, `name`, `entry` | of the program; of the function |
//! | `args`, `flags`, `maps` | `_func.args` (left out: unknown), `_func.flag`, which pointer maps it has |
//! | `abi0` | compiled functions of this program follow ABI0, though the version's do not |
//! | `hashed` | the program hashes its code |
//! | `new` | it is of the runtime, and no known version has it |
//! | `pcsp END DEPTH` | a step of its stack depth |
//! | `callee ENTRY SIZE NAME` | a function that it calls or jumps to |
//! | `code HEX` | its bytes |
//! | `fill HEX SIZE` | this byte up to a size |

use gondwana_engine::addr::LinkAddr;
use gondwana_engine::golang::{Abi, Facts, GoVersion};
use gondwana_engine::image::Function;
use gondwana_engine::site::{Body, Refusal, Site, decide};

/// One input file.
#[derive(Debug, Default)]
pub(crate) struct Input {
    version: String,
    name: String,
    entry: u64,
    args: Option<u32>,
    flags: u8,
    maps: String,
    abi0: bool,
    pcsp: Vec<(LinkAddr, i32)>,
    callees: Vec<(LinkAddr, u64, String)>,
    hashed: bool,
    new: bool,
    code: Vec<u8>,
}

impl Input {
    pub(crate) fn read(text: &str) -> Self {
        let mut input = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            match key {
                "version" => input.version = value.to_owned(),
                "name" => input.name = value.to_owned(),
                "entry" => input.entry = hex(value),
                "args" => input.args = value.parse().ok(),
                "flags" => input.flags = value.parse().unwrap(),
                "maps" => input.maps = value.to_owned(),
                "abi0" => input.abi0 = true,
                "hashed" => input.hashed = true,
                "new" => input.new = true,
                "pcsp" => {
                    let (end, depth) = value.split_once(' ').unwrap();
                    input
                        .pcsp
                        .push((LinkAddr::new(hex(end)), depth.parse().unwrap()));
                }
                "callee" => {
                    let mut words = value.splitn(3, ' ');
                    let entry = LinkAddr::new(hex(words.next().unwrap()));
                    let size = words.next().unwrap().parse().unwrap();
                    input
                        .callees
                        .push((entry, size, words.next().unwrap().to_owned()));
                }
                "code" => {
                    let bytes = value
                        .as_bytes()
                        .chunks(2)
                        .map(|pair| std::str::from_utf8(pair).unwrap());
                    input
                        .code
                        .extend(bytes.map(|pair| u8::from_str_radix(pair, 16).unwrap()));
                }
                "fill" => {
                    let (byte, size) = value.split_once(' ').unwrap();
                    let byte = u8::from_str_radix(byte, 16).unwrap();
                    input.code.resize(size.parse().unwrap(), byte);
                }
                _ => panic!("unknown line `{line}`"),
            }
        }
        input
    }

    pub(crate) fn function(&self) -> Function<'_> {
        Function {
            name: &self.name,
            entry: LinkAddr::new(self.entry),
            size: self.code.len() as u32,
            args: self.args,
            func_id: 0,
            flags: self.flags,
            deferreturn: 0,
            has_args_map: self.maps.contains("args"),
            has_locals_map: self.maps.contains("locals"),
            record: LinkAddr::new(0),
        }
    }

    fn function_at(&self, at: LinkAddr) -> Option<(&str, LinkAddr)> {
        let own = (
            LinkAddr::new(self.entry),
            self.code.len() as u64,
            &self.name,
        );
        let all = self
            .callees
            .iter()
            .map(|(entry, size, name)| (*entry, *size, name))
            .chain([own]);
        let mut holds = all
            .filter(|(entry, size, _)| at.offset_from(*entry).is_some_and(|offset| offset < *size));
        holds.next().map(|(entry, _, name)| (name.as_str(), entry))
    }
}

impl Input {
    /// What is known about its Go version.
    pub(crate) fn facts(&self) -> Facts {
        Facts::for_version(self.version()).unwrap()
    }

    pub(crate) fn version(&self) -> GoVersion {
        self.version.parse().unwrap()
    }

    /// What the engine decides.
    pub(crate) fn decide(&self) -> Result<Site<'_>, Refusal> {
        let compiled_abi = match self.abi0 {
            true => Abi::Abi0,
            false => self.facts().compiled_abi,
        };
        decide(&Body {
            function: self.function(),
            code: &self.code,
            version: self.version(),
            compiled_abi,
            assembly_branch: &|_| None,
            hashed: self.hashed,
            new: self.new,
            function_at: &|at| self.function_at(at),
            pcsp: &|| self.pcsp.clone(),
        })
    }
}

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}
