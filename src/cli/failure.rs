//! How a command fails: what is wrong, what to do, and the exit code.

use crate::config::Problems;
use crate::pipeline::StartError;
use crate::store::StoreError;
use std::fmt;
use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The configuration is wrong: exit code 2.
    Configuration(Problems),
    /// The command line asks for something that is not there: exit code 2.
    Usage {
        /// What is wrong.
        error: String,
        /// What to do.
        fix: String,
    },
    /// The configuration is wrong, and the command has said so itself: exit code 2.
    Said,
    /// It failed while it worked: exit code 1.
    Failed(String),
}

impl Failure {
    pub(super) fn new(error: impl fmt::Display) -> Failure {
        Failure::Failed(error.to_string())
    }

    pub(super) fn usage(error: impl Into<String>, fix: impl Into<String>) -> Failure {
        Failure::Usage { error: error.into(), fix: fix.into() }
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Configuration(_) | Failure::Usage { .. } | Failure::Said => ExitCode::from(2),
            Failure::Failed(_) => ExitCode::from(1),
        }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Failure::Configuration(problems)
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Store(error) => error.into(),
            error => Failure::new(error),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match (error, text.rsplit_once(": ")) {
            // Not a fault on the way: this program must not be run with that directory.
            (StoreError::Newer { .. }, Some((error, fix))) => Failure::usage(error, fix),
            _ => Failure::new(text),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Configuration(problems) => {
                writeln!(f, "{problems}")?;
                let count = problems.problems.len();
                writeln!(
                    f,
                    "{count} problem{} in the configuration",
                    if count == 1 { "" } else { "s" }
                )
            }
            Failure::Usage { error, fix } => writeln!(f, "error: {error}\n  fix: {fix}"),
            Failure::Said => Ok(()),
            Failure::Failed(error) => writeln!(f, "error: {error}"),
        }
    }
}
