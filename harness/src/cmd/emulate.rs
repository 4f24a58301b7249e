//! `gondwana-harness emulate`: runs a Go program in the emulated process.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;
use gondwana_engine::inject::prepare::{Description, Wanted};
use gondwana_engine::plan::HookOptions;

use crate::machine::{Ending, MEMORY, Machine, Pause, Setup, Stream, Traced, Trouble, Until};

const HELP: &str = "\
The whole program, runtime and all, runs in an emulated processor on an emulated Linux process. Everything that could
differ between two runs follows from the seed: the same seed gives the same run, instruction for instruction. The program
sees files read only, below --root; what it writes stays in memory, sockets connect to itself only, and its environment is
empty but for --env.

Examples:
  gondwana-harness emulate ./server --help
  gondwana-harness emulate --seed 7 --chaos --hook 'main.*' --out spans.ndjson -- ./worker -n 3
  gondwana-harness emulate --trace calls -- ./hello

Exit status: the program's; 128 + n if it ended by signal n; 2 if the tool failed. Standard error says which.";

/// Work between two looks at output and progress.
const TURN: u64 = 200_000_000;
/// A program that runs longer than this shows its progress.
const QUIET: Duration = Duration::from_secs(2);

/// Arguments of `emulate`.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct Args {
    /// What everything follows from that could differ between two runs
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Schedule threads as unfairly as can be
    #[arg(long)]
    chaos: bool,
    /// Functions to hook; may be repeated
    #[arg(long = "hook", value_name = "PATTERN")]
    hooks: Vec<String>,
    /// Where the stream of the hooks goes
    #[arg(long, value_name = "FILE", requires = "hooks")]
    out: Option<PathBuf>,
    /// Print events to standard error; may be repeated
    #[arg(long, value_name = "WHAT")]
    trace: Vec<Trace>,
    /// The directory that the program sees as `/`
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Its working directory, below --root; the current one, or `/` if --root is given
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// A variable of its environment, NAME=VALUE; may be repeated
    #[arg(long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// What it reads from standard input: a file, or `-` for that of this command
    #[arg(long, value_name = "FILE")]
    stdin: Option<PathBuf>,
    /// How many processors it is told of
    #[arg(long, value_name = "N", default_value_t = 2)]
    processors: u32,
    /// The program
    #[arg(value_name = "BIN")]
    program: PathBuf,
    /// Its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<std::ffi::OsString>,
}

/// What `--trace` prints.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Trace {
    /// System calls
    Calls,
    /// Which thread runs
    Schedule,
    /// Signals
    Signals,
}

/// Runs it.
///
/// # Errors
/// When the program cannot be read, loaded or hooked, or does what the machine does not emulate.
pub fn run(args: Args) -> Result<ExitCode> {
    let file =
        std::fs::read(&args.program).with_context(|| format!("read {}", args.program.display()))?;
    let setup = setup(&args)?;
    let mut machine = Machine::start(&file, setup)?;
    let has = |what| args.trace.contains(&what);
    machine.trace(Traced {
        calls: has(Trace::Calls),
        schedule: has(Trace::Schedule),
        signals: has(Trace::Signals),
    });
    let mut stream = None;
    if !args.hooks.is_empty() {
        let mut known = Description::default();
        let wanted = Wanted::new(&args.hooks, HookOptions::default(), MEMORY)?;
        explain(&mut machine, |machine| machine.hook(&wanted, &mut known))?;
        for unmatched in &known.unmatched {
            eprintln!("pattern `{}` matches no function", unmatched.pattern);
        }
        stream = match &args.out {
            Some(path) => {
                let out =
                    File::create(path).with_context(|| format!("write {}", path.display()))?;
                Some(Stream::new(out, &machine, known)?)
            }
            None => None,
        };
    }
    let mut shown = Shown::default();
    let ending = loop {
        let until = Until::more(&machine, TURN);
        let result = explain(&mut machine, |machine| machine.run(until));
        shown.show(&mut machine)?;
        if let Some(stream) = &mut stream {
            stream.take(&mut machine)?;
        }
        if let Pause::Ended(ending) = result? {
            break ending;
        }
    };
    shown.clear();
    if let Some(stream) = stream {
        stream.end(&mut machine)?;
    }
    Ok(ExitCode::from(status(&machine, ending)))
}

fn setup(args: &Args) -> Result<Setup> {
    let program = args.program.canonicalize()?;
    let mut argv = vec![args.program.as_os_str().as_bytes().to_vec()];
    argv.extend(args.args.iter().map(|arg| arg.as_bytes().to_vec()));
    let stdin = match args.stdin.as_deref() {
        None => Vec::new(),
        Some(path) if path == Path::new("-") => {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes)?;
            bytes
        }
        Some(path) => std::fs::read(path).with_context(|| format!("read {}", path.display()))?,
    };
    let directory = match &args.dir {
        Some(dir) => Path::new("/").join(dir),
        None if args.root == Path::new("/") => std::env::current_dir()?,
        None => PathBuf::from("/"),
    };
    Ok(Setup {
        argv,
        env: args.env.iter().map(|env| env.as_bytes().to_vec()).collect(),
        stdin,
        seed: args.seed,
        chaos: args.chaos,
        processors: args.processors,
        root: args.root.clone(),
        directory: directory.into_os_string().into_vec(),
        path: program.into_os_string().into_vec(),
    })
}

/// Where every thread was when the machine could not go on.
fn explain<'p, R>(
    machine: &mut Machine<'p>,
    f: impl FnOnce(&mut Machine<'p>) -> Result<R, Trouble>,
) -> Result<R> {
    f(machine).map_err(|trouble| {
        backtraces(machine);
        trouble.into()
    })
}

fn backtraces(machine: &Machine<'_>) {
    for thread in machine.threads() {
        let current = if thread.tid == machine.current() {
            ", which ran last"
        } else {
            ""
        };
        eprintln!("thread {}{current}:", thread.tid);
        for frame in machine.backtrace(thread.tid) {
            eprintln!("    {} {}", frame.pc, frame.name);
        }
    }
}

/// Says how the program ended, if that was not with status 0; the exit status.
fn status(machine: &Machine<'_>, ending: Ending) -> u8 {
    match ending {
        Ending::Status(0) => 0,
        Ending::Status(status) => {
            eprintln!("gondwana-harness: the program ended with exit status {status}");
            status as u8
        }
        Ending::Signal(signal) => {
            eprintln!("gondwana-harness: the program was ended by signal {signal}");
            backtraces(machine);
            128u8.wrapping_add(signal as u8)
        }
    }
}

/// Output and progress as far as they were shown.
#[derive(Default)]
struct Shown {
    stdout: usize,
    stderr: usize,
    begun: Option<Instant>,
    line: bool,
}

impl Shown {
    /// Shows what is new.
    fn show(&mut self, machine: &mut Machine<'_>) -> Result<()> {
        let events = machine.take_events();
        let (out, err) = machine.output();
        let (new_out, new_err) = (
            out.get(self.stdout..).unwrap_or_default(),
            err.get(self.stderr..).unwrap_or_default(),
        );
        if !new_out.is_empty() || !new_err.is_empty() || !events.is_empty() {
            self.clear();
        }
        std::io::stdout().write_all(new_out)?;
        std::io::stdout().flush()?;
        std::io::stderr().write_all(new_err)?;
        for event in events {
            eprintln!("{event}");
        }
        (self.stdout, self.stderr) = (out.len(), err.len());
        let begun = *self.begun.get_or_insert_with(Instant::now);
        let terminal = std::io::stderr().is_terminal();
        if terminal && begun.elapsed() > QUIET && machine.ending().is_none() {
            let millions = machine.work() / 4_000_000;
            eprint!(
                "\r{millions} million instructions, {:.1} s of the program's time",
                machine.now() as f64 / 1e9
            );
            self.line = true;
        }
        Ok(())
    }

    /// Takes the line of progress away.
    fn clear(&mut self) {
        if std::mem::take(&mut self.line) {
            eprint!("\r\x1b[K");
        }
    }
}
