//! `gondwana-harness qualify`: proves the hooks of one program harmless, and writes the report.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::executor::native::hooked::Agent;
use crate::executor::native::process::{Ready, Scenario};
use crate::qualify::{Request, qualify};
use crate::report::table;

/// Arguments of `qualify`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Five sections of checks:
  relocation  every hookable function of the program: its first instructions, in place and moved, run from equal
              states in an emulator; registers, flags, memory and exit must agree
  exit        the program runs unhooked twice and hooked once: how it ends, that it stays until it is stopped, how the
              load ends
  output      what it writes. Where unhooked runs differ, or the hooked one differs from two equal ones, more unhooked
              runs are made, three to seven in all, until one more brings nothing new. What varied is masked in its place,
              by its class: number, time, address, id, order of lines. The rest is compared; words of a crash always
  stream      what the hooks reported: counts, nesting of each goroutine's calls, order, times, losses, and that each
              --hook PATTERN fired
  memory      memory outside gondwana's own mappings: its greatest value, and in runs of a second or more its growth

A program with FIPS code (Go 1.24 and later) is also run with GODEBUG=fips140=on.

Each section must agree by itself. Qualified: all do. Not qualified: one diverges. Undecided: none diverges, and those named
could not be seen; --mask, a quieter program or longer runs help.

Examples:
  gondwana-harness qualify ./tool --args --version
  gondwana-harness qualify ./tool --hook 'main.*' --hook 'net/http.(*conn).serve' --out /tmp/report --args build .
  gondwana-harness qualify ./server --hook 're:ServeHTTP$' --ready tcp:8080 --load 'curl -s localhost:8080' --stop TERM

PATTERN: `*` matches any run of characters, all others are literal; `re:` starts a regular expression.

Exit status: 0 qualified, 1 not qualified or undecided, 2 the tool failed or its input is bad.")]
pub struct Args {
    /// The Go program to qualify
    program: PathBuf,
    /// Functions to hook in the hooked run; repeatable. Default: everything in package main (`main.*`), and then none of
    /// them must fire
    #[arg(long = "hook", value_name = "PATTERN")]
    hooks: Vec<String>,
    /// Directory for report.json, the stream and failing cases [default: PROGRAM.qualify in the current directory]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print report.json instead of the table
    #[arg(long)]
    json: bool,
    /// File that the program reads as its standard input; nothing if left out
    #[arg(long, value_name = "FILE")]
    stdin: Option<PathBuf>,
    /// For servers: wait for this text in the output, or with tcp:PORT until the port of this machine answers
    #[arg(long, value_name = "TEXT|tcp:PORT")]
    ready: Option<Ready>,
    /// For servers: shell command that uses it once it is ready
    #[arg(long, value_name = "CMD")]
    load: Option<String>,
    /// For servers: signal that ends it after the load, such as TERM
    #[arg(long, value_name = "SIGNAL")]
    stop: Option<String>,
    /// Seconds that each run may take
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout: u64,
    /// Regular expression for what is not compared in the program's output; repeatable. Lines are compared one by one.
    /// Words of a crash are seen through every mask
    #[arg(long = "mask", value_name = "RE", value_parser = mask)]
    masks: Vec<String>,
    /// Seed of the emulated states
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// The program's arguments: all that follows, hyphens included
    #[arg(long, value_name = "ARG", num_args = 0.., allow_hyphen_values = true)]
    args: Vec<String>,
}

fn mask(text: &str) -> Result<String, String> {
    let compiled = regex::Regex::new(text);
    compiled.map(|_| text.to_owned()).map_err(|error| {
        let text = error.to_string();
        text.lines().last().unwrap_or_default().to_owned()
    })
}

/// Runs it.
///
/// # Errors
/// When the tool itself fails, or its input is bad.
pub fn run(args: &Args) -> Result<ExitCode> {
    let out = args.out.clone().unwrap_or_else(|| {
        let name = args
            .program
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        PathBuf::from(format!("{name}.qualify"))
    });
    let request = Request {
        program: args.program.clone(),
        patterns: args.hooks.clone(),
        out: out.clone(),
        agent: Agent::find().context("find this program")?,
        scenario: Scenario {
            args: args.args.clone(),
            env: Vec::new(),
            stdin: args.stdin.clone(),
            ready: args.ready.clone(),
            load: args.load.clone(),
            stop: args.stop.clone(),
            timeout: args.timeout,
        },
        seed: args.seed,
        relocation: true,
        fips: true,
        masks: args.masks.clone(),
        exit: None,
        expected: Vec::new(),
    };
    let shown = std::io::stderr().is_terminal();
    let report = qualify(&request, |what| {
        if shown {
            eprint!("\r\x1b[K{what}");
        }
    });
    if shown {
        eprint!("\r\x1b[K");
    }
    let report = report?;
    let text = if args.json {
        serde_json::to_string_pretty(&report)? + "\n"
    } else {
        table::render(&report, &out.display().to_string())
    };
    // Whoever reads may have seen enough; the exit status still says it.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::from(report.verdict.exit_status()))
}
