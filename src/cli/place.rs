//! What the commands on a data directory share: where it is, how long they wait for it, and how
//! they print.

use super::Global;
use super::failure::Failure;
use crate::config;
use crate::store::Reader;
use clap::{Args, ValueEnum};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// How long a command waits for another that works on the same store.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(5);

/// Where the store is.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// The data directory, where it is not that of the configuration
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Place {
    pub(super) fn data_dir(&self, global: &Global) -> Result<PathBuf, Failure> {
        match &self.data_dir {
            Some(data_dir) => Ok(data_dir.clone()),
            None => Ok(config::load_data_dir(&global.load_options())?),
        }
    }

    /// Whether the command line names it, so that a configuration may be that of another.
    pub(super) fn is_named(&self) -> bool {
        self.data_dir.is_some()
    }

    pub(super) fn reader(&self, global: &Global) -> Result<Reader, Failure> {
        Ok(Reader::open(&self.data_dir(global)?)?)
    }
}

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Table,
    Json,
    Ndjson,
}

/// Prints to standard output; whoever closed the pipe ends the command.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(Failure::new)
}
