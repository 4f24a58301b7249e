//! `gondwana-harness disturb`: a hooked call, disturbed at every instruction.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use gondwana_engine::inject::prepare::Wanted;
use gondwana_engine::plan::HookOptions;

use crate::disturb::kind::Kind;
use crate::disturb::session::Session;
use crate::machine::Setup;

/// Records per ring: one call makes one.
const SLOTS: u32 = 64;

/// Arguments of `disturb`.
#[derive(clap::Args, Debug)]
#[command(
    after_help = "The program runs in the emulated process. The first call of a hooked function is stepped through, and before each
instruction of jump, trampoline, displaced prologue and thunk the program is disturbed in every way, each time in a copy
that runs to its end. It must end as the undisturbed program does without hooks.

Examples:
  gondwana-harness disturb ./disturbed --hook main.small --args small
  gondwana-harness disturb ./tool --hook main.run --only sigurg --only gc
  gondwana-harness disturb ./tool --hook main.run --only grow --at 17

Exit status: 0 no cell diverged, 1 some did or could not be decided, 2 the tool failed or its input is bad."
)]
pub struct Args {
    /// The Go program to disturb
    program: PathBuf,
    /// The function to hook; of several, the first call of any is disturbed
    #[arg(long = "hook", value_name = "PATTERN", required = true)]
    hooks: Vec<String>,
    /// Only this kind of disturbance; repeatable
    #[arg(long, value_name = "KIND")]
    only: Vec<Kind>,
    /// Only before this instruction, by its number in the table
    #[arg(long, value_name = "N")]
    at: Option<usize>,
    /// Let the call find as little stack as there can be; only for a program with a board (testbins/disturbed)
    #[arg(long)]
    tight: bool,
    /// Everything that could differ between two runs follows from it
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// A variable of the program's environment; repeatable
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Directory for failing cases [default: PROGRAM.disturb in the current directory]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print the matrix as JSON instead of the table
    #[arg(long)]
    json: bool,
    /// The program's arguments: all that follows, hyphens included
    #[arg(long, value_name = "ARG", num_args = 0.., allow_hyphen_values = true)]
    args: Vec<String>,
}

/// Runs it.
///
/// # Errors
/// When the tool itself fails, or its input is bad.
pub fn run(args: &Args) -> Result<ExitCode> {
    let file =
        std::fs::read(&args.program).with_context(|| format!("read {}", args.program.display()))?;
    let mut session = Session {
        file: &file,
        setup: setup(&args.program, &args.args, &args.env, args.seed),
        wanted: Wanted::new(args.hooks.clone(), HookOptions::default(), Some(SLOTS)),
        depth: 0,
        only: args.only.clone(),
        at: args.at,
    };
    if args.tight {
        session.make_tight()?;
    }
    let shown = std::io::stderr().is_terminal();
    let matrix = session.run(
        |what| {
            if shown {
                eprint!("\r\x1b[K{what}");
            }
        },
        |_, _, _| {},
    );
    if shown {
        eprint!("\r\x1b[K");
    }
    let matrix = matrix?;
    let text = if args.json {
        serde_json::to_string_pretty(&matrix)? + "\n"
    } else {
        matrix.render()
    };
    // Whoever reads may have seen enough; the exit status still says it.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::from(matrix.exit_status()))
}

/// How the program is started in the machine.
fn setup(program: &Path, args: &[String], env: &[String], seed: u64) -> Setup {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    let mut setup = Setup::new(&name).args(args);
    setup.env = env.iter().map(|text| text.as_bytes().to_vec()).collect();
    setup.seed = seed;
    setup
}
