//! `postrider schema`: the references of configuration, events, metrics and errors.

use super::Exit;
use super::failure::Failure;
use crate::config::reference;
use crate::event;
use crate::metrics::table;
use crate::trouble;
use clap::{Args, ValueEnum};
use std::io::Write;

/// Options of `postrider schema`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Which reference
    subject: Subject,
    /// JSON (for editors and programs) or markdown (for people)
    #[arg(long, default_value = "json")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Subject {
    /// Every key of the configuration
    Config,
    /// The envelope of an event and postrider's own events
    Event,
    /// Every metric
    Metrics,
    /// Errors of deliveries, with cause and fix
    Errors,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Json,
    Markdown,
}

pub(super) fn execute(options: &Options) -> Result<Exit, Failure> {
    let page = match (options.subject, options.format) {
        (Subject::Config, Format::Json) => reference::JSON_SCHEMA.to_owned(),
        (Subject::Config, Format::Markdown) => reference::MARKDOWN.to_owned(),
        (Subject::Metrics, Format::Json) => table::json(),
        (Subject::Metrics, Format::Markdown) => table::markdown(),
        (Subject::Errors, Format::Json) => trouble::json(),
        (Subject::Errors, Format::Markdown) => trouble::markdown(),
        (Subject::Event, Format::Json) => event::reference::json_schema(),
        (Subject::Event, Format::Markdown) => event::reference::markdown(),
    };
    std::io::stdout().write_all(page.as_bytes()).map_err(Failure::new)?;
    Ok(Exit::Done)
}
