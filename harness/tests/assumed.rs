//! Programs of a Go version that is not known: real programs whose version is rewritten, and damaged ones of those.

use std::fs;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use gondwana_engine::addr::LinkAddr;
use gondwana_engine::export::ndjson::Stream;
use gondwana_engine::golang::GoVersion;
use gondwana_engine::image::{Image, ImageErrorCode};
use gondwana_engine::site::Finder;
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::executor::native::hooked::{Agent, wait_for_end};
use gondwana_harness::executor::native::process::Scenario;
use gondwana_harness::qualify::{Request, qualify};
use gondwana_harness::report::table;
use gondwana_harness::testbins;
use gondwana_harness::toolchain::{CHOICE, Toolchains, last_patch};
use gondwana_harness::verdict::Verdict;

const NEWEST: u16 = gondwana_engine::golang::NEWEST;

fn build(name: &str, mode: Mode) -> PathBuf {
    let toolchain = Toolchains::open().unwrap().get_minor(NEWEST).unwrap();
    let case = testbins::case(name).unwrap();
    Builder::open()
        .unwrap()
        .build(&toolchain, &case.dir, mode)
        .unwrap()
}

/// The program with every mention of its version made one minor version newer.
fn renamed(name: &str, mode: Mode) -> Vec<u8> {
    let mut file = fs::read(build(name, mode)).unwrap();
    let old = last_patch(NEWEST).unwrap().to_string().into_bytes();
    let new = old
        .clone()
        .into_iter()
        .map(|b| if b == b'7' { b'8' } else { b })
        .collect::<Vec<u8>>();
    assert_eq!(
        NEWEST % 10,
        7,
        "the last digit of the minor version is changed here"
    );
    let mut found = 0;
    let mut at = 0;
    while let Some(next) = file[at..].windows(old.len()).position(|bytes| bytes == old) {
        file[at + next..][..old.len()].copy_from_slice(&new);
        at += next + old.len();
        found += 1;
    }
    assert!(found > 0);
    file
}

#[test]
fn a_newer_version_that_is_built_like_the_newest_known_one_is_hooked() {
    let mut modes = vec![Mode::Static, Mode::Stripped];
    if std::env::var(CHOICE).is_ok_and(|all| all == "all") {
        modes.extend([
            Mode::StripAll,
            Mode::Pie,
            Mode::PieExternal,
            Mode::Cgo,
            Mode::CgoTls,
            Mode::Debug,
            Mode::Race,
            Mode::Amd64V3,
        ]);
    }
    for mode in modes {
        let file = renamed("httpserve", mode);
        let image = Image::parse(&file).unwrap_or_else(|error| panic!("{mode}: {error}"));
        assert_eq!(
            image.assumed_like(),
            Some(GoVersion::new(NEWEST, 0)),
            "{mode}"
        );
        let original = fs::read(build("httpserve", mode)).unwrap();
        let known = Image::parse(&original).unwrap();
        assert_eq!(known.assumed_like(), None);
        // Nothing else is decided otherwise.
        let decided = |image: &Image<'_>| {
            let finder = Finder::new(image);
            let decide = |function| {
                finder
                    .find(function)
                    .map(|_| ())
                    .map_err(|refusal| refusal.code)
            };
            image.functions().iter().map(decide).collect::<Vec<_>>()
        };
        assert_eq!(decided(&image), decided(&known), "{mode}");
    }
}

#[test]
fn it_qualifies_and_every_output_says_what_is_assumed() {
    const MARK: &str = " (assumed like go1.27)";
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("fib");
    // Copied for its permissions.
    fs::copy(build("fib", Mode::Static), &program).unwrap();
    fs::write(&program, renamed("fib", Mode::Static)).unwrap();
    let agent = env!("CARGO_BIN_EXE_gondwana-harness");
    let request = Request {
        program: program.clone(),
        patterns: vec!["main.*".to_owned()],
        out: dir.path().join("out"),
        agent: Agent::harness(agent),
        scenario: Scenario {
            timeout: 120,
            ..Scenario::default()
        },
        seed: 1,
        relocation: true,
        fips: true,
        masks: Vec::new(),
        exit: Some(0),
        expected: Vec::new(),
    };
    let report = qualify(&request, |_| {}).unwrap();
    let shown = table::render(&report, "");
    assert_eq!(report.verdict, Verdict::Qualified, "{shown}");
    assert!(shown.contains(MARK), "{shown}");

    let stream = dir.path().join("stream");
    let status = Command::new(agent)
        .args(["__run", "--require-hooks", "--hook", "main.*", "--out"])
        .arg(&stream)
        .arg(&program)
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    assert!(wait_for_end(&stream, Duration::from_secs(60)));
    let file = BufReader::new(fs::File::open(&stream).unwrap());
    let header = Stream::read(file).unwrap().header;
    assert!(header.hooked);
    let go = header.program.unwrap().go;
    assert!(go.ends_with(MARK), "{go}");
    // Who reads the version out of it finds it.
    assert_eq!(go.parse::<GoVersion>().unwrap().minor, NEWEST + 1);
}

/// One damage for each thing that is proved: what is changed, and what the error must speak of.
#[test]
fn one_whose_tables_or_instructions_differ_is_refused_with_what_differs() {
    let file = renamed("httpserve", Mode::Static);
    let image = Image::parse(&file).unwrap();
    let offset_of = |at: LinkAddr, len: usize| {
        image.bytes(at, len).unwrap().as_ptr() as usize - file.as_ptr() as usize
    };
    let md = image.first_moduledata();
    let word = |offset: u32| offset_of(md.checked_add(u64::from(offset)).unwrap(), 8);
    let layout = image.facts().module;
    let record = |name: &str, offset: u32| {
        let function = image.functions_named(name).next().unwrap();
        offset_of(function.record.checked_add(u64::from(offset)).unwrap(), 1)
    };
    let func = image.facts().func;
    // The displacement byte of the first instruction with these bytes in a function.
    let code = |name: &str, bytes: &[u8]| {
        let found = image.functions_named(name).find_map(|function| {
            let all = image.bytes(function.entry, function.size as usize)?;
            let at = all
                .windows(bytes.len())
                .position(|window| window == bytes)?;
            Some(offset_of(function.entry, function.size as usize) + at)
        });
        found.unwrap_or_else(|| panic!("{name}: no {bytes:02x?}"))
    };
    let descriptor = |name: &str| {
        let [found] = image.types().structs([name]);
        offset_of(found.unwrap_or_else(|| panic!("no {name}")).at, 8)
    };
    let offsets = image.facts().runtime;
    let procid = u8::try_from(offsets.m_procid).unwrap();
    let id = offsets.m_id.to_le_bytes();
    let goid = offsets.g_goid.to_le_bytes();
    let damages: Vec<(usize, &str)> = vec![
        (word(layout.gcdatamask), "moduledata.gcdatamask"),
        (word(layout.modulename) + 8, "moduledata.modulename"),
        (word(layout.bad.unwrap()), "moduledata.bad"),
        (word(layout.cutab.unwrap()) + 16, "moduledata.cutab"),
        (word(layout.noptrbss) + 7, "moduledata.noptrbss"),
        (word(layout.gofunc.unwrap()) + 6, "moduledata.gofunc"),
        (
            offset_of(image.pclntab().checked_add(32).unwrap(), 8),
            "pcHeader.funcnameOffset",
        ),
        (
            offset_of(
                LinkAddr::new(image.moduledata_word(layout.findfunctab).unwrap()),
                20,
            ) + 2,
            "findfunctab",
        ),
        (
            record("runtime.goexit", func.func_id.unwrap()),
            "runtime.goexit with funcID",
        ),
        (record("runtime.goexit", func.flag.unwrap()), "flags"),
        (
            record("runtime.deferreturn", func.func_id.unwrap()),
            "runtime.deferreturn",
        ),
        (
            record("runtime.mallocgc", func.deferreturn.unwrap() + 3),
            "runtime.mallocgc with deferreturn",
        ),
        (record("runtime.mallocgc", func.nfuncdata), "funcdata"),
        // cmp [rax+8],rsp
        (
            code("runtime.stackcheck", &[0x48, 0x39, 0x60, 0x08]) + 3,
            "g.stack",
        ),
        // mov rbx,[rax+30]
        (
            code("runtime.systemstack", &[0x48, 0x8b, 0x58, 0x30]) + 3,
            "g.m, m.gsignal, m.g0",
        ),
        // mov [rax+procid],rcx
        (
            code("runtime.minit", &[0x48, 0x89, 0x48, procid]) + 3,
            "m.procid",
        ),
        (
            code("runtime.mcommoninit", &[0x48, 0x89, 0x81, id[0], id[1]]) + 3,
            "m.id",
        ),
        (
            code("runtime.newproc1", &[0x48, 0x89, 0x90, goid[0], goid[1]]) + 3,
            "g.goid",
        ),
        // add rax,StackGuard
        (
            code("runtime.rt0_go", &[0x48, 0x05, 0xa0, 0x03]) + 2,
            "a stack guard",
        ),
        // A type that is no structure has no fields.
        (
            descriptor("runtime.g") + image.facts().types.kind as usize,
            "no type descriptor of runtime.g",
        ),
        (
            descriptor("runtime.moduledata"),
            "no type descriptor of runtime.moduledata",
        ),
    ];
    for (at, what) in damages {
        let mut damaged = file.clone();
        damaged[at] ^= 0x18;
        let error = match Image::parse(&damaged) {
            Ok(_) => panic!("{what}: not noticed"),
            Err(error) => error,
        };
        assert_eq!(
            error.code(),
            ImageErrorCode::UnprovenVersion,
            "{what}: {error}"
        );
        assert!(error.to_string().contains(what), "{what}: {error}");
        assert_eq!(error.to_string().lines().count(), 1);
    }
}
