//! One function of a real Go program each -> its site and the moved window, or its refusal, as text.
//!
//! Inputs: `goldens/inputs/NAME.function`, written by `cargo run -p gondwana-engine --example golden_input BIN FUNCTION`;
//! lines that start with `#` say where they come from. Snapshots: `goldens/sites/NAME.site.snap`.

use std::fmt::Write as _;
use std::path::Path;

use gondwana_engine::addr::{LinkAddr, RunAddr, Slide};
use gondwana_engine::golang::{Abi, Facts, GoVersion};
use gondwana_engine::image::Function;
use gondwana_engine::listing::listing;
use gondwana_engine::relocate;
use gondwana_engine::site::{Body, Site, decide};

/// One input file.
#[derive(Debug, Default)]
struct Input {
    version: String,
    name: String,
    entry: u64,
    args: Option<u32>,
    flags: u8,
    maps: String,
    abi0: bool,
    pcsp: Vec<(LinkAddr, i32)>,
    callees: Vec<(LinkAddr, u64, String)>,
    code: Vec<u8>,
}

impl Input {
    fn read(text: &str) -> Self {
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
                _ => panic!("unknown line `{line}`"),
            }
        }
        input
    }

    fn function(&self) -> Function<'_> {
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

fn hex(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).unwrap()
}

/// What the engine says about one input.
fn render(input: &Input) -> String {
    let version: GoVersion = input.version.parse().unwrap();
    let facts = Facts::for_version(version).unwrap();
    let body = Body {
        function: input.function(),
        code: &input.code,
        version,
        compiled_abi: if input.abi0 {
            Abi::Abi0
        } else {
            facts.compiled_abi
        },
        called_by_assembly: false,
        function_at: &|at| input.function_at(at),
        pcsp: &|| input.pcsp.clone(),
    };
    let mut out = format!("{} of {version}\n", input.name);
    match decide(&body) {
        Ok(site) => render_site(&mut out, &site, &facts),
        Err(refusal) => {
            writeln!(out, "\nrefused: {refusal}\n({})", refusal.code.explain()).unwrap()
        }
    }
    out
}

fn render_site(out: &mut String, site: &Site<'_>, facts: &Facts) {
    let entry = Slide::ZERO.run(site.function.entry);
    let count = site.displaced.len();
    writeln!(
        out,
        "\nwindow: {} bytes, {count} displaced",
        site.window_len
    )
    .unwrap();
    out.push_str(&listing(site.window, entry, |_| None));
    writeln!(out, "abi: {:?}, args: {} bytes", site.abi, site.args).unwrap();
    match site.stack_check {
        Some(check) => writeln!(
            out,
            "stack check: up to {}, else to {}",
            check.end, check.morestack
        )
        .unwrap(),
        None => writeln!(out, "stack check: none").unwrap(),
    }
    writeln!(out, "callee stack: {:?}", site.callee_stack).unwrap();
    if let Some(deviation) = site.deviation(facts) {
        writeln!(out, "deviation: {deviation}").unwrap();
    }

    let at = RunAddr::new((entry.get() & !0xfff) + 0x100_0000);
    let relocated = relocate::relocate(site, at, Slide::ZERO).unwrap();
    let end = site
        .function
        .entry
        .checked_add(u64::from(site.window_len))
        .unwrap();
    relocate::check::check(&site.displaced, end, &relocated, at, Slide::ZERO).unwrap();
    let label = |at: RunAddr| {
        let (old, _) = relocated.moved.iter().find(|(_, new)| *new == at)?;
        Some(format!("{old}"))
    };
    writeln!(out, "\nmoved: {} bytes", relocated.bytes.len()).unwrap();
    out.push_str(&listing(&relocated.bytes, at, label));
}

#[test]
fn every_input_gives_its_site() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(root.join("sites"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let mut inputs: Vec<_> = std::fs::read_dir(root.join("inputs"))
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "function")
        })
        .collect();
    inputs.sort();
    assert!(!inputs.is_empty());
    for path in inputs {
        let text = std::fs::read_to_string(&path).unwrap();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let from: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .collect();
        settings.set_description(from.join(" "));
        settings
            .bind(|| insta::assert_snapshot!(format!("{name}.site"), render(&Input::read(&text))));
    }
}
