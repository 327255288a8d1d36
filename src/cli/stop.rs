//! Why a command ends before its end, and with which exit code.

use std::error::Error;
use std::fmt;

use crate::cluster::{HostsError, RunError};
use crate::job::document::JobError;
use crate::job::problems::Problems;
use crate::observe::http::ServeError;
use crate::sinks::kafka::schemas::SchemaError;
use crate::sources::generate::GenerateError;

/// Exit code of a command that did what it was asked.
pub(super) const FINE: u8 = 0;
/// Exit code of a run that failed by its own checks.
pub(super) const FAILED: u8 = 1;
/// Exit code of a wrong job file or command line.
pub(super) const WRONG_WORDS: u8 = 2;
/// Exit code where the world failed.
pub(super) const WORLD: u8 = 3;
/// Exit code of a run that was interrupted.
pub(super) const INTERRUPTED: u8 = 130;

/// Why a command ended early. `Display` is all that a person is told: the whole chain of causes.
#[derive(Debug)]
pub(super) enum Stop {
    /// The command line is wrong.
    Words(String),
    /// The job file is wrong, or can't be read.
    Job(JobError),
    /// The host file is wrong.
    Hosts(HostsError),
    /// The run did not end.
    Run(RunError),
    /// A life of a continuous job did not end in good order.
    Life(RunError),
    /// A schema registry does not know what a sink writes.
    Schema(SchemaError),
    /// Processes could not be started or watched.
    Launch(std::io::Error),
    /// Nothing was generated.
    Generate(GenerateError),
    /// The status can't be served.
    Serve(ServeError),
    /// No run could be asked how it stands.
    NoRun(String),
    /// What was kept of refused rows can't be read, or exported.
    Kept(String),
    /// Standard output is full or gone.
    Output(std::io::Error),
    /// Signals can't be heard.
    Signals(std::io::Error),
}

/// What holds of a continuous job, however a life of it ends.
const COMMITTED_STAYS: &str = "what was committed before stays visible";

impl Stop {
    /// The exit code.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Self::Words(_) | Self::Job(_) | Self::Hosts(_) => WRONG_WORDS,
            Self::Run(error) | Self::Life(error) => error.exit_code(),
            Self::Generate(_)
            | Self::Schema(_)
            | Self::Launch(_)
            | Self::Serve(_)
            | Self::NoRun(_)
            | Self::Kept(_)
            | Self::Output(_)
            | Self::Signals(_) => WORLD,
        }
    }
}

impl From<JobError> for Stop {
    fn from(error: JobError) -> Self {
        Self::Job(error)
    }
}

impl From<Problems> for Stop {
    fn from(problems: Problems) -> Self {
        Self::Job(problems.into())
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Words(message) | Self::NoRun(message) | Self::Kept(message) => {
                f.write_str(message)
            }
            // A bounded run is all or nothing, and its errors say so; here commits were made before.
            Self::Life(error) => f.write_str(
                &chain(error)
                    .replace("nothing of it is visible", COMMITTED_STAYS)
                    .replace("nothing of this run is visible", COMMITTED_STAYS),
            ),
            Self::Serve(error) => f.write_str(&chain(error)),
            Self::Schema(error) => write!(f, "{error}"),
            Self::Job(error) => f.write_str(&chain(error)),
            Self::Hosts(error) => f.write_str(&chain(error)),
            Self::Run(error) => f.write_str(&chain(error)),
            Self::Generate(error) => f.write_str(&chain(error)),
            Self::Launch(error) => write!(f, "the processes could not be started: {error}"),
            Self::Output(error) => write!(f, "standard output: writing failed: {error}"),
            Self::Signals(error) => write!(
                f,
                "the signals that interrupt a run can't be heard: {error}"
            ),
        }
    }
}

/// An error and its causes. The causes join the first line (`first: cause: cause`), since what follows it (`expected`,
/// `now`, `hint`) is about the whole; a cause that its error already told is left out.
fn chain(error: &dyn Error) -> String {
    let text = error.to_string();
    let (first, rest) = text
        .split_once('\n')
        .map_or((text.as_str(), None), |(first, rest)| (first, Some(rest)));
    let mut told = first.to_owned();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        if !told.contains(&words) {
            told.push_str(": ");
            told.push_str(&words);
        }
        cause = error.source();
    }
    if let Some(rest) = rest {
        told.push('\n');
        told.push_str(rest);
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("a.csv can't be read\n  now: nothing was started")]
    struct Outer(#[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("opening failed")]
    struct Inner(#[source] std::io::Error);

    #[test]
    fn causes_join_the_first_line_and_are_told_once() {
        let error = Outer(Inner(std::io::Error::other("disk on fire")));
        assert_eq!(
            chain(&error),
            "a.csv can't be read: opening failed: disk on fire\n  now: nothing was started"
        );
        #[derive(Debug, thiserror::Error)]
        #[error("it failed: {0}")]
        struct Told(#[source] std::io::Error);
        assert_eq!(
            chain(&Told(std::io::Error::other("gone"))),
            "it failed: gone"
        );
    }

    #[test]
    fn a_failure_of_the_world_is_no_fault_of_the_words() {
        assert_eq!(Stop::Words(String::new()).exit_code(), 2);
        assert_eq!(Stop::Output(std::io::Error::other("x")).exit_code(), 3);
        assert_eq!(Stop::Run(RunError::Interrupted).exit_code(), 130);
        assert_eq!(
            Stop::Run(RunError::Start {
                message: String::new()
            })
            .exit_code(),
            3
        );
    }
}
