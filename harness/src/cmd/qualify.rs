//! `gondwana-harness qualify`: proves the hooks of one program harmless, and writes the report.

use std::process::ExitCode;

use anyhow::{Context, Result};
use gondwana_engine::image::Image;
use gondwana_engine::site::Finder;

/// Arguments of `qualify`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The Go program to qualify.
    program: std::path::PathBuf,
}

/// Runs it.
///
/// # Errors
/// When the tool itself fails, or its input is bad.
pub fn run(args: &Args) -> Result<ExitCode> {
    let data = std::fs::read(&args.program)?;
    let image = Image::parse(&data).context("parse")?;
    let finder = Finder::new(&image);
    let t = std::time::Instant::now();
    let sites: Vec<_> = image
        .functions()
        .iter()
        .filter_map(|f| finder.find(f).ok())
        .collect();
    println!(
        "{} functions {} sites {:?}",
        image.functions().len(),
        sites.len(),
        t.elapsed()
    );
    let t = std::time::Instant::now();
    let c = crate::executor::unicorn::program::check(&image, &sites, 1, |_| {})?;
    println!(
        "{:?} {} fn/s {:?} f={} ok={} div={} inc={} unproven={} norel={:?}",
        image.version(),
        c.rate(),
        t.elapsed(),
        c.functions,
        c.agreed,
        c.diverged,
        c.inconclusive,
        c.unproven.len(),
        c.not_relocated.len()
    );
    for (case, a) in c.failures.iter().take(8) {
        println!(
            "  {} {a} {:02x?} | {:02x?} | {:02x?} co {:?}",
            case.function,
            case.window,
            case.follow,
            case.relocated,
            case.company()
        );
    }
    for n in c.not_relocated.iter().take(5) {
        println!("{n:?}");
    }
    Ok(ExitCode::SUCCESS)
}
