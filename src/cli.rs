//! The command line: what a person or a script types, what comes back, and with which exit code.
//!
//! ```text
//! words typed --clap--> arguments --convert--> commands --> exit code
//!               (as typed)         (as needed)    ├─> standard output: what was asked for
//!                                                 └─> standard error: progress, summary, faults
//! ```
//!
//! Nothing else in the program prints. Standard output carries only what a command was asked for, so that it can be piped:
//! the plan, the JSON line, the rows of a `stdout` sink. Everything for people goes to standard error.

mod arguments;
mod check;
mod control;
mod convert;
mod epochs;
mod explain;
mod generate;
mod launch;
mod life;
mod load;
mod numbers;
mod panic;
mod port;
mod print;
mod progress;
mod quarantine;
mod run;
mod signals;
mod status;
mod stop;
mod summary;
mod verdicts;
mod verify;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::arguments::{Arguments, Typed};
use self::stop::Stop;

/// Runs the program on the process's own arguments.
///
/// A panic anywhere, worker threads included, ends with 101; every other way to end is in the table of exit codes that
/// `caudal --help` prints.
pub fn main() -> ExitCode {
    panic::install();
    let code =
        std::panic::catch_unwind(|| command_line(std::env::args_os())).unwrap_or(panic::EXIT_CODE);
    // A worker may have panicked though its join was survived.
    ExitCode::from(if panic::happened() {
        panic::EXIT_CODE
    } else {
        code
    })
}

/// Runs one command line; gives the exit code.
fn command_line(words: impl IntoIterator<Item = OsString>) -> u8 {
    match Arguments::try_parse_from(words) {
        Ok(arguments) => match dispatch(arguments.command) {
            Ok(code) => code,
            Err(stop) => {
                print::failure(&stop.to_string());
                stop.exit_code()
            }
        },
        Err(error) => usage(&error),
    }
}

/// Help, version, or what was wrong with the words.
fn usage(error: &clap::Error) -> u8 {
    // A closed pipe is no reason to say more.
    let told = error.print();
    drop(told);
    u8::try_from(error.exit_code()).unwrap_or(stop::WRONG_WORDS)
}

fn dispatch(typed: Typed) -> Result<u8, Stop> {
    match typed {
        Typed::Run(typed) => run::run(&typed.convert()?),
        Typed::Launch(typed) => launch::launch(&typed),
        Typed::Check { job, .. } => check::check(&job),
        Typed::Explain {
            job, mermaid, json, ..
        } => explain::explain(&job, explain::Style::of(mermaid, json)),
        Typed::Status { job, json, .. } => status::status(&job, json),
        Typed::Stop { job, .. } => control::stop(&job),
        Typed::Rescale {
            job,
            processes,
            workers,
            ..
        } => control::rescale(&job, processes, workers),
        Typed::Epochs {
            job, sink, json, ..
        } => match sink {
            Some(sink) => epochs::of_sink(&job, &sink, json),
            None => epochs::epochs(&job, json),
        },
        Typed::Verify {
            job, epochs, json, ..
        } => verify::verify(&job, epochs, json),
        Typed::Verdicts(typed) => verdicts::verdicts(&typed),
        Typed::Quarantine(typed) => quarantine::quarantine(&typed),
        Typed::Generate {
            set: arguments::DataSet::Ventas(typed),
            ..
        } => generate::ventas(&typed),
        Typed::Completions { shell, .. } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "caudal", &mut script);
            print::to_output(&script)?;
            Ok(stop::FINE)
        }
    }
}
