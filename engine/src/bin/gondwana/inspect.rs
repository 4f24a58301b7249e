//! `gondwana inspect`: [`Image`] -> what it says about itself, for people or as JSON.
//!
//! Prints; decides nothing. The JSON form is `gondwana.inspect` version [`VERSION`]: members are only added within one
//! version. Addresses are numbers, as the file states them.

use std::fmt::{self, Write as _};
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use gondwana_engine::addr::LinkAddr;
use gondwana_engine::golang::PclntabGeneration;
use gondwana_engine::image::{Image, ImageKind, Line, ModuleVersion, VersionSource};
use serde::Serialize;

/// Version of the JSON form.
const VERSION: u32 = 1;

/// Build information and layout of a Go program.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gondwana inspect ./server
  gondwana inspect --json ./server | jq .go_version

Exit status: 0 done, 2 not a Go program for linux/amd64 that can be read, or another failure.")]
pub(crate) struct Args {
    /// The program.
    bin: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let path = args.bin.display();
    let is_file = fs::metadata(&args.bin)
        .with_context(|| path.to_string())?
        .is_file();
    ensure!(is_file, "{path}: not a regular file");
    let data = fs::read(&args.bin).with_context(|| path.to_string())?;
    let image = Image::parse(&data).with_context(|| path.to_string())?;
    let report = Inspection::of(&image, data.len());
    let mut text = if args.json {
        serde_json::to_string_pretty(&report)?
    } else {
        report.to_string()
    };
    text.push('\n');
    match io::stdout().write_all(text.as_bytes()) {
        // The reader has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        result => result
            .context("standard output")
            .map(|()| ExitCode::SUCCESS),
    }
}

/// `[start, end)`.
#[derive(Serialize)]
struct Range {
    start: LinkAddr,
    end: LinkAddr,
}

/// A dependency and what replaces it.
#[derive(Serialize)]
struct Dependency<'d> {
    #[serde(flatten)]
    module: ModuleVersion<'d>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaced_by: Option<ModuleVersion<'d>>,
}

/// A build setting.
#[derive(Serialize)]
struct Setting<'d> {
    key: &'d str,
    value: std::borrow::Cow<'d, str>,
}

/// Everything that is printed. Field names are those of the JSON form.
#[derive(Serialize)]
struct Inspection<'d> {
    schema: &'static str,
    version: u32,
    file_size: usize,
    go_version: &'d str,
    go_version_source: VersionSource,
    package: Option<&'d str>,
    main_module: Option<ModuleVersion<'d>>,
    dependencies: Vec<Dependency<'d>>,
    settings: Vec<Setting<'d>>,
    kind: ImageKind,
    dynamic: bool,
    cgo: bool,
    race: bool,
    section_headers: bool,
    symbols: bool,
    dwarf: bool,
    entry: LinkAddr,
    extent: Range,
    text: Range,
    pclntab: LinkAddr,
    pclntab_generation: PclntabGeneration,
    first_moduledata: LinkAddr,
    last_moduledatap: Option<LinkAddr>,
    tls_g: Option<i32>,
    functions: usize,
    inlined_functions: usize,
    inlined_copies: u64,
}

impl<'d> Inspection<'d> {
    fn of(image: &Image<'d>, file_size: usize) -> Self {
        let build = image.build_info();
        let (mut main_module, mut dependencies, mut settings) =
            (None, Vec::<Dependency<'d>>::new(), Vec::new());
        for line in build.modinfo.lines() {
            match line {
                Line::Main(module) => main_module = Some(module),
                Line::Dependency(module) => dependencies.push(Dependency {
                    module,
                    replaced_by: None,
                }),
                Line::Replacement(module) => {
                    if let Some(last) = dependencies.last_mut() {
                        last.replaced_by = Some(module);
                    }
                }
                Line::Setting(key, value) => settings.push(Setting { key, value }),
                Line::Path(_) | Line::Other(_) => {}
            }
        }
        let sections = image.sections();
        let range = |(start, end)| Range { start, end };
        let inlined = image.inlined_copies();
        Self {
            schema: "gondwana.inspect",
            version: VERSION,
            file_size,
            go_version: build.version_text,
            go_version_source: build.source,
            package: build.modinfo.path(),
            main_module,
            dependencies,
            settings,
            kind: image.kind(),
            dynamic: image.has_interpreter(),
            cgo: image.is_cgo(),
            race: image.is_race(),
            section_headers: sections.headers,
            symbols: sections.symbols,
            dwarf: sections.dwarf,
            entry: image.entry(),
            extent: range(image.extent()),
            text: range(image.text()),
            pclntab: image.pclntab(),
            pclntab_generation: image.facts().pclntab,
            first_moduledata: image.first_moduledata(),
            last_moduledatap: image.last_moduledatap(),
            tls_g: image.tls_g(),
            functions: image.functions().len(),
            inlined_functions: inlined.len(),
            inlined_copies: inlined.values().map(|&copies| u64::from(copies)).sum(),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.start, self.end)
    }
}

/// Path, version, sum with single spaces; empty parts left out.
fn module_text(module: &ModuleVersion<'_>) -> String {
    let parts = [module.path, module.version, module.sum];
    parts
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

impl fmt::Display for Inspection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows: Vec<(&str, String)> = Vec::new();
        let mut row = |name, value: String| rows.push((name, value));
        let optional = |value: Option<String>| value.unwrap_or_else(|| "not found".into());
        let source = match self.go_version_source {
            VersionSource::BuildInfo => "build information",
            VersionSource::Variable => "runtime.buildVersion",
        };
        row("Go version", format!("{} (from {source})", self.go_version));
        row(
            "package",
            self.package
                .unwrap_or("unknown (no module information)")
                .into(),
        );
        if let Some(module) = &self.main_module {
            row("main module", module_text(module));
        }
        for dependency in &self.dependencies {
            let mut text = module_text(&dependency.module);
            if let Some(module) = &dependency.replaced_by {
                write!(text, " => {}", module_text(module))?;
            }
            row("dependency", text);
        }
        for setting in &self.settings {
            row("setting", format!("{}={}", setting.key, setting.value));
        }
        let kind = match self.kind {
            ImageKind::Executable => "executable at a fixed address",
            ImageKind::Pie => "position-independent executable",
        };
        let word = |yes, text: &'static str, other: &'static str| if yes { text } else { other };
        let linked = word(self.dynamic, "dynamically linked", "statically linked");
        let cgo = word(self.cgo, "with cgo", "without cgo");
        row(
            "file",
            format!(
                "{kind}, {linked}, {cgo}{}",
                word(self.race, ", race detector", "")
            ),
        );
        let sections = match (self.section_headers, self.symbols, self.dwarf) {
            (false, ..) => "no section headers",
            (_, true, true) => "symbols and DWARF",
            (_, true, false) => "symbols",
            (_, false, true) => "DWARF, no symbols",
            _ => "stripped",
        };
        row("debugging", sections.into());
        row("entry", self.entry.to_string());
        row("loaded", self.extent.to_string());
        row("Go code", self.text.to_string());
        row(
            "line table",
            format!("{}, {:?}", self.pclntab, self.pclntab_generation),
        );
        row(
            "moduledata",
            format!("{}, last at {}", self.first_moduledata, {
                optional(self.last_moduledatap.map(|at| at.to_string()))
            }),
        );
        row(
            "g",
            optional(self.tls_g.map(|offset| format!("fs:{offset}"))),
        );
        row("functions", self.functions.to_string());
        row(
            "inlined",
            format!(
                "{} functions, {} copies",
                self.inlined_functions, self.inlined_copies
            ),
        );
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (index, (name, value)) in rows.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{name:width$}  {value}")?;
        }
        Ok(())
    }
}
