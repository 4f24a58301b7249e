//! `gondwana-harness replay`: runs one failing case of a report again.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::disturb::case::Disturbed;
use crate::executor::native::hooked::Agent;
use crate::executor::unicorn::{program, relocation::STACKS};
use crate::oracle::{Answer, Finding};
use crate::qualify::replay_native;
use crate::report::case::{self, Case};

/// Arguments of `replay`.
#[derive(clap::Args, Debug)]
#[command(after_help = "Prints each check of the case with its answer.

Exit status: 0 all agree, 1 something diverged or was inconclusive, 2 the tool failed or there is no such case.")]
pub struct Args {
    /// The directory of the case, as the report names it
    case: PathBuf,
}

/// Runs it.
///
/// # Errors
/// When the tool itself fails, or its input is bad.
pub fn run(args: &Args) -> Result<ExitCode> {
    let findings = match case::read(&args.case)? {
        Case::Relocation(case) => {
            let answers = program::replay(&case)?;
            let states = (0u64..).zip(STACKS);
            states
                .zip(answers)
                .map(|((index, stack), answer)| Finding {
                    what: format!(
                        "{} with stack {stack:?}, seed {}",
                        case.function,
                        case.seed + index
                    ),
                    answer,
                })
                .collect()
        }
        Case::Native(native) => {
            replay_native(&native, &Agent::find().context("find this program")?)?
        }
        Case::Disturbed(case) => return disturbed(&case),
    };
    for finding in &findings {
        println!("{}: {}", finding.what, finding.answer);
    }
    let status = u8::from(
        !findings
            .iter()
            .all(|finding| finding.answer == Answer::Agree),
    );
    Ok(ExitCode::from(status))
}

/// One cell of a matrix, with all that a divergence leaves.
fn disturbed(case: &Disturbed) -> Result<ExitCode> {
    let matrix = case.replay(|step, cell| {
        println!("before {:x} {}", step.at.get(), step.text);
        if let Some(remains) = &cell.remains {
            print!(
                "standard output:\n{}standard error:\n{}{}",
                String::from_utf8_lossy(&remains.stdout),
                String::from_utf8_lossy(&remains.stderr),
                remains.backtrace
            );
        }
    })?;
    print!("{}", matrix.render());
    Ok(ExitCode::from(matrix.exit_status()))
}
