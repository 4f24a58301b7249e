//! Instruction lengths by iced-x86, on which everything rests, against a second decoder that shares nothing with it.
//!
//! Two sources: every instruction of whole programs, and every offset of the small functions in `goldens/inputs`, where most
//! bytes are the middle of an instruction and what stands there is nothing that a compiler wrote. The decoders agree if both
//! find an instruction of the same length, or none. Where they do not there must be a reason in [`KNOWN`].
//!
//! `GONDWANA_GO=1.5,1.21.13` chooses the versions, `GONDWANA_GO=all` takes every minor version's last patch.

use std::collections::BTreeMap;
use std::path::Path;

use gondwana_engine::image::Image;
use gondwana_harness::build::{Builder, Mode};
use gondwana_harness::matrix::program;
use gondwana_harness::testbins::{self, Case};
use gondwana_harness::toolchain::{Toolchains, chosen};
use iced_x86::{Code, Decoder, DecoderOptions};
use yaxpeax_arch::{Decoder as _, LengthedInstruction, U8Reader};
use yaxpeax_x86::long_mode::InstDecoder;

/// One without vector code, one with AVX2, one with AVX-512.
const EVERYDAY: [&str; 3] = ["1.5", "1.17", "1.27"];

/// How iced-x86 and yaxpeax-x86 see an instruction on which they disagree, and who is right. A `*` at the end stands for
/// any rest.
const KNOWN: [(&str, &str, &str); 3] = [
    (
        "VEX_Kmov*",
        "InvalidOpcode",
        "yaxpeax-x86 lacks the moves of mask registers (Intel SDM vol. 2, KMOVW/KMOVB/KMOVQ/KMOVD)",
    ),
    (
        "INVALID",
        "XABORT",
        "yaxpeax-x86 takes C6 with any register operand for XABORT, which is C6 F8 (Intel SDM vol. 2, XABORT)",
    ),
    (
        "INVALID",
        "XBEGIN",
        "yaxpeax-x86 takes C7 with any register operand for XBEGIN, which is C7 F8 (Intel SDM vol. 2, XBEGIN)",
    ),
];

/// Two decoders, and how often they disagreed in which way.
#[derive(Default)]
struct Decoders {
    second: InstDecoder,
    agreed: u64,
    /// What each says of an instruction, with the first of its kind.
    disagreed: BTreeMap<(String, String), (u64, String)>,
}

impl Decoders {
    /// Compares what both say of the start of `bytes`; the length by the first.
    fn compare(&mut self, bytes: &[u8]) -> usize {
        let first = Decoder::new(64, bytes, DecoderOptions::NONE).decode();
        let second = self.second.decode(&mut U8Reader::new(bytes));
        let ours = (first.code() != Code::INVALID).then(|| first.len() as u64);
        let theirs = second.as_ref().ok().map(|one| one.len().to_const());
        if ours == theirs {
            self.agreed += 1;
        } else {
            let (code, other) = (
                format!("{:?}", first.code()),
                match &second {
                    Ok(one) => format!("{:?}", one.opcode()),
                    Err(error) => format!("{error:?}"),
                },
            );
            let hex = bytes.iter().take(15).map(|byte| format!("{byte:02x}"));
            let (count, _) = self
                .disagreed
                .entry((code, other))
                .or_insert_with(|| (0, hex.collect()));
            *count += 1;
        }
        first.len().max(1)
    }

    /// The disagreements, a line each, with their reasons.
    fn report(&self) -> String {
        let mut lines = vec![format!("{} agree", self.agreed)];
        for ((first, second), (count, example)) in &self.disagreed {
            let says = |pattern: &str, text: &str| match pattern.strip_suffix('*') {
                Some(start) => text.starts_with(start),
                None => text == pattern,
            };
            let reason = KNOWN
                .iter()
                .find(|(a, b, _)| says(a, first) && says(b, second))
                .map_or("NO REASON", |(.., reason)| reason);
            lines.push(format!(
                "{count} × iced-x86 {first}, yaxpeax-x86 {second}: {example}: {reason}"
            ));
        }
        lines.join("\n")
    }
}

#[test]
fn whole_programs_have_the_same_instructions() {
    let toolchains = Toolchains::open().unwrap();
    let builder = Builder::open().unwrap();
    let cases = testbins::all().unwrap();
    for version in chosen(&EVERYDAY).unwrap() {
        let toolchain = toolchains.get_version(version).unwrap();
        // That of the matrix: it holds the most of the standard library, and with it the most assembly.
        let built: Vec<Case> = cases
            .iter()
            .filter(|c| c.supports(version))
            .cloned()
            .collect();
        let source = program::merged(&built).unwrap();
        let program = builder
            .build_source(&toolchain, &source, Mode::Static)
            .unwrap();
        let data = std::fs::read(program).unwrap();
        let image = Image::parse(&data).unwrap();
        let mut decoders = Decoders::default();
        for function in image.functions() {
            let mut code = image.bytes(function.entry, function.size as usize).unwrap();
            while !code.is_empty() {
                let len = decoders.compare(code);
                code = code.get(len..).unwrap_or_default();
            }
        }
        let report = decoders.report();
        println!("{version}: {report}");
        assert!(decoders.agreed > 100_000, "{version}: {report}");
        assert!(!report.contains("NO REASON"), "{version}: {report}");
    }
}

#[test]
fn the_middles_of_instructions_are_the_same() {
    let inputs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../goldens/inputs");
    let mut paths: Vec<_> = std::fs::read_dir(inputs)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "function"))
        .collect();
    paths.sort();
    let mut decoders = Decoders::default();
    for path in paths {
        let text = std::fs::read_to_string(path).unwrap();
        let hex: String = text
            .lines()
            .filter_map(|line| line.strip_prefix("code "))
            .collect();
        let code: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect();
        for at in 0..code.len() {
            decoders.compare(&code[at..]);
        }
    }
    let report = decoders.report();
    assert!(!report.contains("NO REASON"), "{report}");
    // The number of those that agree grows with every input.
    let (agreed, disagreed) = report.split_once('\n').unwrap();
    assert!(decoders.agreed > 5_000, "{agreed}");
    insta::assert_snapshot!(disagreed);
}
