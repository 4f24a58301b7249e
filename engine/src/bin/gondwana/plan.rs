//! `gondwana plan`: what would be written to hook functions, without running anything.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use gondwana_engine::image::Image;
use gondwana_engine::inject::budget;
use gondwana_engine::input::{self, Symbols};
use gondwana_engine::plan::{self, Document, HookOptions, Placement, Selection};
use gondwana_engine::site;
use gondwana_engine::site::table::Noticed;
use gondwana_engine::spec::{HookSpec, unmatched_line};
use gondwana_engine::verify;

use super::size;

/// What would be written to hook functions: each entry before and after, trampolines, module; what memory it takes; and what
/// the program can notice of it.
///
/// Addresses are those of a nominal placement near the text; in a live process only they differ. The plan is verified,
/// as `run` would, before it is shown.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gondwana plan ./server --hook net/http.serverHandler.ServeHTTP
  gondwana plan ./server --hook main.main --module
  gondwana plan ./server --hook 'main.*' --json | jq '.plan.hooks[].name'

PATTERN: `*` matches any run of characters, all others are literal; `re:` starts a regular expression.

Exit status: 0 at least one function can be hooked, 1 none can, 2 bad input or patterns that match nothing at all.")]
pub(crate) struct Args {
    /// The program.
    bin: PathBuf,
    /// Functions to hook; may be repeated.
    #[arg(long = "hook", value_name = "PATTERN", required = true)]
    hooks: Vec<String>,
    /// Record raw argument and result words.
    #[arg(long)]
    raw: bool,
    /// Memory that records and counters may take, as for `run`; limits of this shell are not looked at.
    #[arg(long, value_name = "N", value_parser = size::bytes)]
    memory: Option<u64>,
    /// List the synthetic module as well: every field and table.
    #[arg(long, conflicts_with = "json")]
    module: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let name = || args.bin.display().to_string();
    let file = input::read(&args.bin, Symbols::Skip).with_context(name)?;
    let image = Image::parse(&file).with_context(name)?;
    site::admit(&image).with_context(name)?;
    let spec = HookSpec::parse(&args.hooks)?;
    let selection = Selection::new(&image, &spec, HookOptions { raw: args.raw })?;
    if !selection.unmatched.is_empty() {
        eprintln!("gondwana: {}", unmatched_line(&selection.unmatched));
    }
    let hooks = u32::try_from(selection.requests.len()).context("too many hooks")?;
    let memory = size::memory(args.memory);
    let geometry = budget::geometry(memory, budget::default_for(&image), hooks, &[])?;
    let placement = Placement::nominal(&image, geometry);
    let mut plan = plan::build(&image, &selection.requests, placement)?;
    plan.refused.extend(selection.refused);
    let verified = verify::verify(&image, plan).map_err(|rejections| {
        let first = rejections
            .first()
            .map(ToString::to_string)
            .unwrap_or_default();
        anyhow::anyhow!(
            "the plan was rejected ({} reasons): {first}",
            rejections.len()
        )
    })?;
    let plan = verified.plan();
    if args.json {
        let document = Document::new(image.marked(image.version()), image.deviations(), plan);
        println!("{}", serde_json::to_string(&document)?);
    } else {
        if image.assumed_like().is_some() {
            println!("{}", image.marked(image.version()));
        }
        print!("{}", plan::render(plan));
        if args.module {
            print!("\n{}", plan::render_module(plan, image.facts()));
        }
        if !plan.hooks.is_empty() {
            print!("\n{}", Noticed(image.deviations()));
        }
    }
    Ok(if plan.hooks.is_empty() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}
