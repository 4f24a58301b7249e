//! `Image::parse` against Go's own libraries, on real programs: functions against the symbol table, structure offsets
//! and inlined copies against DWARF, build information against `debug/buildinfo`, stack depths against the code.
//!
//! `GONDWANA_GO=1.5,1.21.13` chooses the versions, `GONDWANA_GO=all` takes every minor version's last patch.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

use gondwana_engine::addr::LinkAddr;
use gondwana_engine::golang::{Facts, GoVersion};
use gondwana_engine::image::{Function, Image, ImageKind, VersionSource};
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::toolchain::{NEWEST_MINOR, Toolchains, chosen};
use iced_x86::{Decoder, DecoderOptions, FlowControl};
use serde::Deserialize;

/// One version of each generation of the line table, and the newest layouts.
const EVERYDAY: [&str; 5] = ["1.9", "1.13", "1.16", "1.19", "1.27"];
/// A program of `testbins/` with a bit of everything.
const PROGRAM: &str = "generics";
/// The same for versions without generics.
const OLD_PROGRAM: &str = "methods";

/// What `oracles/image` prints.
#[derive(Deserialize)]
struct Oracle {
    go_version: String,
    modinfo: String,
    #[serde(default)]
    symbols: Option<Vec<Symbol>>,
    inlined: HashMap<String, u64>,
    structs: HashMap<String, HashMap<String, i64>>,
}

#[derive(Deserialize)]
struct Symbol {
    address: u64,
    size: u64,
    name: String,
}

/// The programs to compare, and the oracle.
struct Bench {
    toolchains: Toolchains,
    builder: Builder,
    oracle: PathBuf,
}

impl Bench {
    fn new() -> Self {
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

    fn build(&self, version: GoVersion, mode: Mode) -> PathBuf {
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

    fn ask(&self, program: &Path) -> Oracle {
        let output = Command::new(&self.oracle).arg(program).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// The name that the line table has for a function's symbol: without the ABI and, in 1.18 to 1.20, without type
/// arguments (`cmd/link/internal/ld/pcln.go`, `nameParts`; later only tracebacks leave them out).
fn line_table_name(version: GoVersion, symbol: &str) -> String {
    let name = symbol.strip_suffix(".abi0").unwrap_or(symbol);
    match (name.find('['), name.rfind(']')) {
        (Some(open), Some(close)) if open < close && (18..=20).contains(&version.minor) => {
            format!("{}...{}", &name[..=open], &name[close..])
        }
        _ => name.to_owned(),
    }
}

#[test]
fn every_version_agrees_with_symbols_dwarf_and_code() {
    let bench = Bench::new();
    for version in chosen(&EVERYDAY).unwrap() {
        let program = bench.build(version, Mode::Static);
        let oracle = bench.ask(&program);
        let data = std::fs::read(&program).unwrap();
        let image = Image::parse(&data).unwrap();
        assert_eq!(
            (image.version(), image.kind()),
            (version, ImageKind::Executable)
        );
        assert_eq!(image.tls_g(), Some(-8), "{version}");
        assert!(image.last_moduledatap().is_some(), "{version}");
        functions(&image, &oracle);
        structures(&image, &oracle);
        build_information(&image, &oracle);
        inlined_copies(&image, &oracle);
        stack_depths(&image);
    }
}

/// Every function has its symbol and every symbol its function, at the same place, with the same name and extent.
fn functions(image: &Image<'_>, oracle: &Oracle) {
    let version = image.version();
    let (start, end) = image.text();
    let symbols = oracle.symbols.as_deref().unwrap_or_default();
    // Marks such as runtime.text have no size; C code lies outside.
    let inside = symbols
        .iter()
        .filter(|one| one.size > 0 && (start.get()..end.get()).contains(&one.address));
    let mut by_address: BTreeMap<u64, &Symbol> = inside.map(|one| (one.address, one)).collect();
    assert!(
        by_address.len() > 1000,
        "{version}: {} symbols",
        by_address.len()
    );
    for function in image.functions() {
        let symbol = by_address.remove(&function.entry.get());
        let symbol = symbol.unwrap_or_else(|| panic!("{version}: no symbol for {function:?}"));
        // The ELF symbol table has no middle dots (`cmd/link/internal/ld/symtab.go`, `putelfsym`).
        let name = function.name.replace('·', ".");
        assert_eq!(name, line_table_name(version, &symbol.name), "{version}");
        let padding = u64::from(function.size).checked_sub(symbol.size);
        assert!(
            padding.is_some_and(|padding| padding < 64),
            "{version}: {} bytes in {function:?}",
            symbol.size
        );
    }
    let left: Vec<_> = by_address.values().map(|symbol| &symbol.name).collect();
    assert!(
        left.is_empty(),
        "{version}: symbols without a function: {left:?}"
    );
}

/// A field's name and offset; the name of the size is empty.
type Field<'f> = (&'f str, Option<u32>);

/// The layouts of [`Facts`] are those of DWARF.
fn structures(image: &Image<'_>, oracle: &Oracle) {
    let facts: &Facts = image.facts();
    let (module, func, runtime) = (facts.module, facts.func, facts.runtime);
    let fields: [(&str, &[Field<'_>]); 5] = [
        (
            "runtime.g",
            &[
                ("stack", Some(runtime.g_stack_lo)),
                ("_panic", Some(runtime.g_panic)),
                ("m", Some(runtime.g_m)),
                ("goid", Some(runtime.g_goid)),
            ],
        ),
        (
            "runtime.m",
            &[
                ("g0", Some(runtime.m_g0)),
                ("gsignal", Some(runtime.m_gsignal)),
                ("procid", Some(runtime.m_procid)),
                ("id", Some(runtime.m_id)),
            ],
        ),
        ("runtime._panic", &[("argp", facts.panic_argp)]),
        (
            "runtime.moduledata",
            &[
                ("", Some(module.size)),
                ("pcHeader", module.pc_header),
                ("funcnametab", module.funcnametab),
                ("cutab", module.cutab),
                ("filetab", Some(module.filetab)),
                ("pctab", module.pctab),
                ("pclntable", Some(module.pclntable)),
                ("ftab", Some(module.ftab)),
                ("findfunctab", Some(module.findfunctab)),
                ("minpc", Some(module.minpc)),
                ("maxpc", Some(module.maxpc)),
                ("text", Some(module.text)),
                ("etext", Some(module.etext)),
                ("noptrdata", Some(module.noptrdata)),
                ("data", Some(module.data)),
                ("bss", Some(module.bss)),
                ("noptrbss", Some(module.noptrbss)),
                ("end", Some(module.end)),
                ("rodata", module.rodata),
                ("gofunc", module.gofunc),
                ("epclntab", module.epclntab),
                ("textsectmap", module.textsectmap),
                ("modulename", Some(module.modulename)),
                ("hasmain", module.hasmain),
                ("bad", module.bad),
                ("gcdatamask", Some(module.gcdatamask)),
                ("gcbssmask", Some(module.gcbssmask)),
                ("next", Some(module.next)),
            ],
        ),
        (
            "runtime._func",
            &[
                // nameOff in some versions.
                ("nameoff", Some(func.name)),
                ("args", Some(func.args)),
                ("deferreturn", func.deferreturn),
                ("pcsp", Some(func.pcsp)),
                ("npcdata", Some(func.npcdata)),
                ("cuOffset", func.cu_offset),
                ("startLine", func.start_line),
                ("funcID", func.func_id),
                ("flag", func.flag),
                ("nfuncdata", Some(func.nfuncdata)),
            ],
        ),
    ];
    for (name, expected) in fields {
        let found = oracle
            .structs
            .get(name)
            .unwrap_or_else(|| panic!("{}: no {name}", image.version()));
        for (field, offset) in expected {
            let same = |other: &&String| other.eq_ignore_ascii_case(field);
            let at = found
                .keys()
                .find(same)
                .and_then(|key| found.get(key))
                .copied();
            assert_eq!(
                at,
                offset.map(i64::from),
                "{}: {name}.{field}",
                image.version()
            );
        }
    }
}

fn build_information(image: &Image<'_>, oracle: &Oracle) {
    let build = image.build_info();
    if oracle.go_version.is_empty() {
        assert_eq!(build.source, VersionSource::Variable, "{}", image.version());
        return;
    }
    assert_eq!(build.source, VersionSource::BuildInfo);
    assert_eq!(
        (build.version_text, build.modinfo.as_str()),
        (&*oracle.go_version, &*oracle.modinfo)
    );
}

/// The compiler writes one DWARF entry per inlined call; up to 1.20 some wrappers have no DWARF at all.
fn inlined_copies(image: &Image<'_>, oracle: &Oracle) {
    let version = image.version();
    if version.minor < 12 {
        return;
    }
    let found = image.inlined_copies();
    let (ours, theirs): (u64, u64) = (
        found.values().map(|&copies| u64::from(copies)).sum(),
        oracle.inlined.values().sum(),
    );
    assert!(theirs > 500, "{version}: {theirs} inlined calls");
    let without_dwarf = if version.minor < 21 { 8 } else { 0 };
    assert!(
        (theirs..=theirs + without_dwarf).contains(&ours),
        "{version}: {ours}, DWARF has {theirs}"
    );
    // DWARF names instances of generic functions apart.
    let mut by_name: HashMap<String, u64> = HashMap::new();
    for (name, copies) in &oracle.inlined {
        *by_name.entry(line_table_name(version, name)).or_default() += copies;
    }
    for (name, theirs) in by_name {
        let ours = found.get(name.as_str()).copied().map_or(0, u64::from);
        assert!(
            (theirs..=theirs + without_dwarf).contains(&ours),
            "{version}: {ours} of {name}, DWARF has {theirs}"
        );
    }
}

/// At the entry and at each return the stack is as the caller left it.
fn stack_depths(image: &Image<'_>) {
    let version = image.version();
    let (mut returns, mut wrong) = (0, Vec::new());
    for function in image.functions() {
        // Assembly that switches stacks says what it likes.
        if !function.has_locals_map || image.pcsp(function).next().is_none() {
            continue;
        }
        assert_eq!(
            depth_at(image, function, function.entry),
            Some(0),
            "{version}: {function:?}"
        );
        let code = image.bytes(function.entry, function.size as usize).unwrap();
        for instruction in
            Decoder::with_ip(64, code, function.entry.get(), DecoderOptions::NONE).iter()
        {
            if instruction.flow_control() == FlowControl::Return {
                returns += 1;
                if depth_at(image, function, LinkAddr::new(instruction.ip())) != Some(0) {
                    wrong.push((function.name, instruction.ip()));
                }
            }
        }
    }
    assert!(returns > 1000, "{version}: {returns} returns");
    assert!(
        wrong.is_empty(),
        "{version}: {} of {returns} returns: {:x?}",
        wrong.len(),
        &wrong[..wrong.len().min(9)]
    );
}

fn depth_at(image: &Image<'_>, function: &Function<'_>, pc: LinkAddr) -> Option<i32> {
    image
        .pcsp(function)
        .find(|&(end, _)| pc < end)
        .map(|(_, depth)| depth)
}

#[test]
fn other_forms_of_the_same_program_say_the_same() {
    let bench = Bench::new();
    for version in chosen(&EVERYDAY).unwrap() {
        let data = std::fs::read(bench.build(version, Mode::Static)).unwrap();
        let image = Image::parse(&data).unwrap();
        let functions = |image: &Image<'_>| -> Vec<_> {
            image
                .functions()
                .iter()
                .map(|function| (function.name.to_owned(), function.size))
                .collect()
        };
        let expected = functions(&image);
        // Without section headers nothing is missing.
        let mut headless = data.clone();
        headless[0x28..0x30].fill(0);
        headless[0x3c..0x40].fill(0);
        let other = Image::parse(&headless).unwrap();
        assert_eq!(
            functions(&other),
            expected,
            "{version} without section headers"
        );
        assert!(!other.sections().headers && image.sections().symbols);
        assert_eq!(other.inlined_copies(), image.inlined_copies());

        let stripped = std::fs::read(bench.build(version, Mode::Stripped)).unwrap();
        let other = Image::parse(&stripped).unwrap();
        assert_eq!(functions(&other), expected, "{version} stripped");
        assert!(!other.sections().symbols && !other.sections().dwarf);
        if version.minor < 8 {
            continue;
        }
        let pie = std::fs::read(bench.build(version, Mode::Pie)).unwrap();
        let other = Image::parse(&pie).unwrap();
        assert_eq!(other.kind(), ImageKind::Pie, "{version}");
        assert_eq!(other.tls_g(), Some(-8), "{version}");
        assert_eq!(
            other.build_info().version_text,
            image.build_info().version_text
        );
        // Up to 1.14 it is linked with runtime/cgo, and calls of the dynamic linker may come and go; nearly all is equal.
        let names: std::collections::HashSet<_> = other
            .functions()
            .iter()
            .map(|function| function.name)
            .collect();
        let missing: Vec<_> = image
            .functions()
            .iter()
            .map(|one| one.name)
            .filter(|one| !names.contains(one))
            .collect();
        assert!(missing.len() < 16, "{version}: {missing:?}");
    }
}
