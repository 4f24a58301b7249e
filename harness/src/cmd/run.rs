//! `gondwana-harness __run`: what `gondwana run` does, for the hooked runs of `qualify`; it needs no second program.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use gondwana_engine::agent::{Destination, Launch, launch};
use gondwana_engine::inject::budget::Memory;
use gondwana_engine::inject::fail_at::FailAt;
use gondwana_engine::inject::prepare::Wanted;
use gondwana_engine::plan::HookOptions;

use crate::executor::native::hooked;

/// Arguments of `__run`; those of `gondwana run` that `qualify` uses.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Functions to hook
    #[arg(long = "hook", value_name = "PATTERN", required = true)]
    hooks: Vec<String>,
    /// Where the stream goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Memory that records and counters may take, in bytes
    #[arg(long, value_name = "N")]
    memory: Option<u64>,
    /// Records per thread that may wait for the agent, whatever limits there are
    #[arg(long, value_name = "N", conflicts_with = "memory")]
    slots: Option<u32>,
    /// Do not run the program unhooked
    #[arg(long)]
    require_hooks: bool,
    /// Fails at a step, for tests
    #[arg(long, value_name = "STEP")]
    fail_at: Option<FailAt>,
    /// The program
    program: OsString,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Becomes the program.
///
/// # Errors
/// A pattern that is none: nothing is started.
pub fn run(args: Args) -> anyhow::Result<ExitCode> {
    Ok(ExitCode::from(launch(Launch {
        program: args.program,
        arguments: args.args,
        wanted: Wanted::new(
            args.hooks,
            HookOptions::default(),
            match (args.slots, args.memory) {
                (Some(slots), _) => Memory::Rings {
                    rings: hooked::RINGS,
                    slots,
                },
                (None, Some(bytes)) => Memory::AtMost(bytes),
                (None, None) => Memory::Default,
            },
        )?,
        destination: Destination::File(args.out),
        require: args.require_hooks,
        fail_at: args.fail_at.unwrap_or(FailAt::NEVER),
    })))
}
