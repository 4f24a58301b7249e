//! `gondwana run`: a program, hooked from its start.

use std::ffi::OsString;
use std::process::ExitCode;

use gondwana_engine::agent::{Destination, Launch, launch};
use gondwana_engine::inject::fail_at::FailAt;
use gondwana_engine::inject::prepare::Wanted;
use gondwana_engine::plan::HookOptions;

use super::size;

/// Run a program hooked.
///
/// The program takes the place of this command: it has its process id, parent, terminal, descriptors, signals and exit
/// status. The agent that hooks it and writes the stream is a process of its own, which ends with it, and a child of it only
/// if the program is PID 1 of its namespace, which inherits orphans; it is called `gondwana-agent PID`, and killing it leaves the
/// program healthy. If the program cannot be hooked it runs unhooked, after one line on standard error.
///
/// A function that the compiler inlined into its callers is not seen there: `gondwana funcs`, and the stream's header,
/// count the copies.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  gondwana run --hook net/http.serverHandler.ServeHTTP -- ./server -listen :8080
  gondwana run --hook 'main.*' --out spans.ndjson -- ./job
  gondwana run --hook 're:^main\\.(\\(\\*Store\\)\\.)?Get$' --raw --out fd:3 -- ./job 3>&1 >/dev/null | jq .

PATTERN: `*` matches any run of characters, all others are literal; `re:` starts a regular expression.
Where some patterns match no function, the others are hooked, and one line on standard error names those.
The stream is described in engine/docs/STREAM.md. It is complete when its last line, the end, is written: shortly after the
program has ended.

Exit status: the program's own; 125 not hooked with --require-hooks, 126 the program cannot be executed, 127 it is not found;
2 wrong arguments: nothing was started.")]
pub(crate) struct Args {
    /// Functions to hook; may be repeated.
    #[arg(long = "hook", value_name = "PATTERN", required = true)]
    hooks: Vec<String>,
    /// Where the stream goes: a file, `-` for standard output, `fd:N` for an open descriptor. By default a new file
    /// PROGRAM.PID.ndjson, readable by its owner only.
    #[arg(long, value_name = "FILE|-|fd:N", value_parser = destination)]
    out: Option<Destination>,
    /// Record raw argument and result words.
    #[arg(long)]
    raw: bool,
    /// Do not run the program unless each PATTERN has at least one hook: exit with 125 instead.
    #[arg(long)]
    require_hooks: bool,
    /// Memory of the program that records and counters may take, in bytes (KiB, MiB and GiB may follow), whatever the
    /// number of threads and hooks: 64MiB by default, 8MiB in a program that can lock its memory with mlockall. Where a
    /// limit (ulimit -v or -f, a control group) leaves less than 16 times that, a sixteenth of what it leaves. Records
    /// that find no room are lost, and counted. What the hooks themselves cost, `gondwana plan` and the header say.
    #[arg(long, value_name = "N", value_parser = size::bytes)]
    memory: Option<u64>,
    /// Fails at a step, for tests.
    #[arg(long, hide = true, default_value = "", value_parser = fail_at)]
    fail_at: FailAt,
    /// The program, and its arguments.
    #[arg(
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "BIN ARGS"
    )]
    command: Vec<OsString>,
}

fn destination(text: &str) -> Result<Destination, String> {
    Ok(match (text, text.strip_prefix("fd:")) {
        ("-", _) => Destination::Descriptor(1),
        (_, Some(number)) => match number.parse() {
            Ok(fd) if fd >= 0 => Destination::Descriptor(fd),
            _ => return Err("fd: takes the number of a descriptor".to_owned()),
        },
        ("", None) => return Err("no file".to_owned()),
        (path, None) => Destination::File(path.into()),
    })
}

fn fail_at(text: &str) -> Result<FailAt, String> {
    if text.is_empty() {
        return Ok(FailAt::NEVER);
    }
    text.parse()
}

pub(crate) fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut command = args.command.into_iter();
    let program = command
        .next()
        .ok_or_else(|| anyhow::anyhow!("no program given"))?;
    // A mistyped option is taken for the program's name.
    if program.as_encoded_bytes().starts_with(b"-") {
        let name = program.display();
        anyhow::bail!(
            "unexpected option `{name}`; if it is a program, it is started as `./{name}`"
        );
    }
    // Before anything is started: a mistyped pattern is not a reason to run unhooked.
    let wanted = Wanted::new(
        args.hooks,
        HookOptions { raw: args.raw },
        size::memory(args.memory),
    )?;
    let status = launch(Launch {
        program,
        arguments: command.collect(),
        wanted,
        destination: args.out.unwrap_or(Destination::Default),
        require: args.require_hooks,
        fail_at: args.fail_at,
    });
    Ok(ExitCode::from(status))
}
