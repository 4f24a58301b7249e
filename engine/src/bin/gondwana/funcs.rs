//! `gondwana funcs`: a line per function, as it is decided, then the totals.

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use gondwana_engine::image::Image;
use gondwana_engine::input::{self, Symbols};
use gondwana_engine::site::table::{Footer, Header, Noticed, Row, SCHEMA, Totals};
use gondwana_engine::site::{self, Finder};
use gondwana_engine::spec::HookSpec;
use serde::Serialize;

/// Every function of a Go program: how it would be hooked, or why it is not.
///
/// One line per function: entry, strategy (or `-`), bytes taken from the entry (or the reason code), name, and copies
/// inlined elsewhere, which a hook misses. Totals follow, and what the program can notice of hooks, whichever they are.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gondwana funcs ./server                          every function, and totals per reason
  gondwana funcs ./server 'net/http.*'             those of one package
  gondwana funcs ./server 're:\\.ServeHTTP$' --json

PATTERN: `*` matches any run of characters, all others are literal; `re:` starts a regular expression.
With --json: one object per line; the first names the schema and what the program can notice of hooks (`deviations`),
the last holds the totals.

Exit status: 0 done, 2 bad input or a pattern that matches nothing.")]
pub(crate) struct Args {
    /// The program.
    bin: PathBuf,
    /// Which functions; all if left out.
    pattern: Option<String>,
    /// One JSON object per line.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let file =
        input::read(&args.bin, Symbols::Skip).with_context(|| args.bin.display().to_string())?;
    let image = Image::parse(&file).with_context(|| args.bin.display().to_string())?;
    site::admit(&image).with_context(|| args.bin.display().to_string())?;
    let selected = match &args.pattern {
        Some(pattern) => HookSpec::parse([pattern])?.select(&image)?.functions,
        None => (0..image.functions().len()).collect(),
    };
    let out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    match list(&image, &selected, args.json, out) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
        result => result
            .map(|()| ExitCode::SUCCESS)
            .context("standard output"),
    }
}

fn list(image: &Image<'_>, selected: &[usize], json: bool, mut out: impl Write) -> io::Result<()> {
    let inlined = image.inlined_copies();
    let finder = Finder::new(image);
    let mut totals = Totals::default();
    if !json && image.assumed_like().is_some() {
        writeln!(out, "{}", image.marked(image.version()))?;
    }
    if json {
        let header = Header {
            schema: SCHEMA,
            go: image.marked(image.version()),
            functions: selected.len(),
            deviations: image.deviations(),
        };
        line(&mut out, &header)?;
    }
    for function in selected
        .iter()
        .filter_map(|&index| image.functions().get(index))
    {
        let answer = finder.find(function);
        totals.add(&answer);
        let copies = inlined.get(function.name).copied().unwrap_or(0);
        let row = Row::new(function, &answer, copies);
        if json {
            line(&mut out, &row)?;
        } else {
            writeln!(out, "{row}")?;
        }
    }
    if json {
        line(&mut out, &Footer { totals })?;
    } else {
        write!(out, "\n{totals}\n{}", Noticed(image.deviations()))?;
    }
    out.flush()
}

fn line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}
