//! `gondwana inspect`: a file, a process or a folder -> what it is, for people or as JSON.
//!
//! Prints; decides nothing but the exit status. `engine/docs/INSPECT.md` describes the JSON form.

mod folder;

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use gondwana_engine::input::{self, Symbols};
use gondwana_engine::inspect::{Answer, Document, Process};
use gondwana_engine::os::Pid;

/// Exit status where the answer is "not Go".
const NOT_GO: u8 = 1;
/// Exit status where the answer is "gccgo".
const GCCGO: u8 = 3;

/// Build information and layout of a Go program, of a running one, or of all those in a folder.
///
/// Nothing is executed. Each value says whether it is recorded in the file or derived, and from what.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gondwana inspect ./server
  gondwana inspect --pid 4711                      the file that the process runs, and where it lies in memory
  gondwana inspect /usr/local/bin                  one line per ELF file, below it too
  gondwana inspect --json ./server | jq .build.go_version.value
  gondwana inspect ./server >/dev/null && echo it is Go

Exit status: 0 Go, 1 not Go, 3 Go built with gccgo, 2 no answer: it cannot be read, is damaged, for another machine,
packed, or a Go file that is no main program of a known version (what its labels say is printed all the same).
For a folder: 0 there is a Go program in it, else 3 there is one of gccgo, else 1; 2 something could not be read.")]
pub(crate) struct Args {
    /// The program, or a folder.
    #[arg(required_unless_present = "pid", conflicts_with = "pid")]
    path: Option<PathBuf>,
    /// A process, by its id.
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pid: Option<i32>,
    /// Print JSON: one object, for a folder one per line.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(pid) = args.pid {
        return process(Pid(pid), args.json);
    }
    let path = args.path.as_deref().context("no file given")?;
    let shown = path.display().to_string();
    if fs::metadata(path).with_context(|| shown.clone())?.is_dir() {
        return folder::run(path, args.json);
    }
    let file = input::read(path, Symbols::Read).with_context(|| shown.clone())?;
    answer(&Document::of(&shown, &file), args.json)
}

fn process(pid: Pid, json: bool) -> anyhow::Result<ExitCode> {
    let (file, process) = Process::read(pid)?;
    answer(&Document::of_process(process, &file)?, json)
}

/// Prints the document, the error beside it, and gives the exit status.
fn answer(document: &Document<'_>, json: bool) -> anyhow::Result<ExitCode> {
    let text = if json {
        serde_json::to_string_pretty(document)? + "\n"
    } else {
        document.to_string()
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever reads has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        result => result.context("standard output")?,
    }
    if let Some(error) = &document.error {
        eprintln!("gondwana: {}: {}", document.file.path, error.message);
    }
    Ok(ExitCode::from(match document.answer {
        Answer::Go if document.error.is_none() => 0,
        Answer::NotGo => NOT_GO,
        Answer::Gccgo => GCCGO,
        Answer::Go | Answer::Unknown => crate::FAILURE,
    }))
}
