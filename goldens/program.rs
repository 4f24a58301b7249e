//! A Go version -> a small program of that version, as bytes of an ELF file, and plans for hooks on it.

use gondwana_engine::golang::{Abi, Facts, GoVersion};
use gondwana_engine::image::Image;
use gondwana_engine::image::testing::{Synthetic, SyntheticFunction};
use gondwana_engine::plan::{self, HookOptions, Placement, Plan, Selection};
use gondwana_engine::ring::RingGeometry;
use gondwana_engine::spec::HookSpec;
use gondwana_engine::verify;
use gondwana_harness::toolchain::LAST_PATCHES;

/// The last patch of every minor version, and the patches before a layout changed within one (GO-COMPAT §0.1).
pub(crate) fn versions() -> Vec<GoVersion> {
    let mut versions = LAST_PATCHES.to_vec();
    versions.extend([GoVersion::new(9, 2), GoVersion::new(10, 0)]);
    versions.sort_unstable();
    versions
}

/// The calling conventions of a version.
pub(crate) fn abis(version: GoVersion) -> Vec<Abi> {
    match Facts::for_version(version).unwrap().compiled_abi {
        Abi::Abi0 => vec![Abi::Abi0],
        Abi::AbiInternal => vec![Abi::Abi0, Abi::AbiInternal],
    }
}

/// A program with a function `main.abi0` and, from 1.17 on, a function `main.internal`, each of 24 bytes of arguments and
/// with the least stack check of its convention, and functions `main.leaf` and `main.main` that have none.
pub(crate) fn program(version: GoVersion) -> Vec<u8> {
    let facts = Facts::for_version(version).unwrap();
    let mut program = Synthetic::new(version);
    let with_args = |name, code: &[u8]| SyntheticFunction {
        args: 24,
        ..SyntheticFunction::new(name, code)
    };
    // `runtime.schedinit`, which every program has, goes first: it serves as the code that grows the stack.
    program.functions = vec![
        SyntheticFunction::new("runtime.schedinit", &[0xc3]),
        SyntheticFunction::new("runtime.morestack_noctxt", &[0xc3]),
    ];
    // mov G,fs:[-8]; cmp rsp,[G+0x10]; jbe to the call of morestack
    let check: &[u8] = match facts.compiled_abi {
        Abi::Abi0 => b"\x64\x48\x8b\x0c\x25\xf8\xff\xff\xff\x48\x3b\x61\x10\x76\x01",
        Abi::AbiInternal => b"\x64\x4c\x8b\x34\x25\xf8\xff\xff\xff\x49\x3b\x66\x10\x76\x01",
    };
    program
        .functions
        .push(with_args("main.abi0", &checked(check, 0x10)));
    if facts.compiled_abi == Abi::AbiInternal {
        // abi0 takes two units of 16 bytes.
        let code = checked(b"\x49\x3b\x66\x10\x76\x01", 0x30);
        program.functions.push(with_args("main.internal", &code));
    }
    // lea rax,[rsp+8]; ret
    let leaf = b"\x48\x8d\x44\x24\x08\xc3";
    program.functions.push(with_args("main.leaf", leaf));
    program
        .functions
        .push(SyntheticFunction::new("main.main", &[0xc3]));
    program.build()
}

/// `check; ret; L: call morestack; jmp entry`, of a function that lies `behind` bytes after morestack.
fn checked(check: &[u8], behind: i32) -> Vec<u8> {
    let mut code = [check, &[0xc3, 0xe8]].concat();
    let call_end = code.len() as i32 + 4;
    code.extend((-behind - call_end).to_le_bytes());
    code.extend([0xeb, (-(call_end + 2)) as u8]);
    code
}

/// The plan that hooks the functions that `pattern` names, as `gondwana plan` makes it.
pub(crate) fn plan(version: GoVersion, pattern: &str, raw: bool) -> (Facts, Plan) {
    let data = program(version);
    let image = Image::parse(&data).unwrap();
    let spec = HookSpec::parse([pattern]).unwrap();
    let selection = Selection::new(&image, &spec, HookOptions { raw }).unwrap();
    assert_eq!(selection.refused, [], "{version}");
    let hooks = selection.requests.len() as u32;
    let placement = Placement::nominal(&image, RingGeometry::for_hooks(hooks).unwrap());
    let plan = plan::build(&image, &selection.requests, placement).unwrap();
    let verified = verify::verify(&image, plan).unwrap();
    (*image.facts(), verified.plan().clone())
}

/// Groups versions, in their order, by what `render` says of them: one text for each run of versions that say the same.
pub(crate) fn ranges(
    versions: &[GoVersion],
    render: impl Fn(GoVersion) -> String,
) -> Vec<(Vec<GoVersion>, String)> {
    let mut ranges: Vec<(Vec<GoVersion>, String)> = Vec::new();
    for &version in versions {
        let text = render(version);
        match ranges.last_mut() {
            Some((members, same)) if *same == text => members.push(version),
            _ => ranges.push((vec![version], text)),
        }
    }
    ranges
}

/// The first line of a golden that holds for several versions.
pub(crate) fn heading(versions: &[GoVersion]) -> String {
    match versions {
        [one] => one.to_string(),
        [first, .., last] => format!("{first} to {last}"),
        [] => String::new(),
    }
}
