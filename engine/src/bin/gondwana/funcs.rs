//! `gondwana funcs`: a line per function, as it is decided, then the totals.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use gondwana_engine::golang::Abi;
use gondwana_engine::image::{Function, Image};
use gondwana_engine::site::{Deviation, Finder, Refusal, RefusalCode, Site};
use gondwana_engine::spec::HookSpec;
use serde::Serialize;

/// Every function of a Go program: how it would be hooked, or why it is not.
///
/// One line per function: entry, strategy (or `-`), bytes taken from the entry (or the reason code), name, and what else
/// is to be known: copies inlined elsewhere, which a hook misses; deviations. Totals follow.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gondwana funcs ./server                          every function, and totals per reason
  gondwana funcs ./server 'net/http.*'             those of one package
  gondwana funcs ./server 're:\\.ServeHTTP$' --json

PATTERN: `*` matches any run of characters, all others are literal; `re:` starts a regular expression.
With --json: one object per line; the first names the schema, the last holds the totals.

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

/// Schema of the `--json` form; changes when a field changes its meaning or goes.
const SCHEMA: &str = "gondwana.funcs/1";

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let data = std::fs::read(&args.bin).with_context(|| args.bin.display().to_string())?;
    let image = Image::parse(&data).with_context(|| args.bin.display().to_string())?;
    let selected = match &args.pattern {
        Some(pattern) => HookSpec::parse([pattern])?.select(&image)?,
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
    if json {
        let header = Header {
            schema: SCHEMA,
            go: image.version().to_string(),
            functions: selected.len(),
        };
        line(&mut out, &header)?;
    }
    for function in selected
        .iter()
        .filter_map(|&index| image.functions().get(index))
    {
        let answer = finder.find(function);
        totals.add(&answer);
        let row = Row::new(function, &answer, image, &inlined);
        if json {
            line(&mut out, &row)?;
        } else {
            row.print(&mut out)?;
        }
    }
    if json {
        line(&mut out, &Footer { totals })?;
    } else {
        totals.print(&mut out)?;
    }
    out.flush()
}

fn line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

#[derive(Serialize)]
struct Header {
    schema: &'static str,
    go: String,
    functions: usize,
}

#[derive(Serialize)]
struct Footer {
    totals: Totals,
}

/// One function.
#[derive(Serialize)]
struct Row<'a> {
    name: &'a str,
    entry: u64,
    size: u32,
    #[serde(skip_serializing_if = "is_zero")]
    inlined_copies: u32,
    #[serde(flatten)]
    answer: Answer<'a>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Answer<'a> {
    Hookable {
        strategy: &'static str,
        abi: Abi,
        args: u32,
        window: u8,
        stack_check: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        deviation: Option<Deviation>,
    },
    Refused {
        refused: &'a Refusal,
    },
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl<'a> Row<'a> {
    fn new(
        function: &Function<'a>,
        answer: &'a Result<Site<'_>, Refusal>,
        image: &Image<'_>,
        inlined: &HashMap<&str, u32>,
    ) -> Self {
        let answer = match answer {
            Ok(site) => Answer::Hookable {
                strategy: "frame",
                abi: site.abi,
                args: site.args,
                window: site.window_len,
                stack_check: site.stack_check.is_some(),
                deviation: site.deviation(image.facts()),
            },
            Err(refused) => Answer::Refused { refused },
        };
        Self {
            name: function.name,
            entry: function.entry.get(),
            size: function.size,
            inlined_copies: inlined.get(function.name).copied().unwrap_or(0),
            answer,
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        write!(out, "{:#10x}  ", self.entry)?;
        match &self.answer {
            Answer::Hookable {
                strategy,
                window,
                deviation,
                ..
            } => {
                write!(out, "{strategy:<5}  {window:<19}  {}", self.name)?;
                if let Some(deviation) = deviation {
                    write!(out, "  [deviation: {deviation}]")?;
                }
            }
            Answer::Refused { refused } => {
                write!(
                    out,
                    "-      {:<19}  {}  ({})",
                    refused.code, self.name, refused.detail
                )?;
            }
        }
        match self.inlined_copies {
            0 => writeln!(out),
            1 => writeln!(out, "  [1 inlined copy]"),
            copies => writeln!(out, "  [{copies} inlined copies]"),
        }
    }
}

/// How many functions got which answer.
#[derive(Default, Serialize)]
struct Totals {
    functions: usize,
    frame: usize,
    refused: BTreeMap<RefusalCode, usize>,
}

impl Totals {
    fn add(&mut self, answer: &Result<Site<'_>, Refusal>) {
        self.functions += 1;
        match answer {
            Ok(_) => self.frame += 1,
            Err(refusal) => *self.refused.entry(refusal.code).or_default() += 1,
        }
    }

    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let share = |count: usize| 100.0 * count as f64 / self.functions.max(1) as f64;
        writeln!(out, "\n{:>8}         functions", self.functions)?;
        writeln!(out, "{:>8} {:5.1} %  frame", self.frame, share(self.frame))?;
        for (code, &count) in &self.refused {
            writeln!(
                out,
                "{count:>8} {:5.1} %  {code:<19}  {}",
                share(count),
                code.explain()
            )?;
        }
        Ok(())
    }
}
