//! `postrider test`: one event through one export, as configured, in one attempt.

use super::failure::Failure;
use super::table::cell;
use super::{Exit, Global, block_on, sample};
use crate::ack::{AckTracker, Settled, TakenLine};
use crate::config::{self, Destination, Export};
use crate::delivery::{Delivery, Failure as AttemptFailure, Outcome};
use crate::event::{Record, Severity, SeverityScale};
use crate::filter::Decision;
use crate::sink::console::Console;
use crate::sink::file::FileSink;
use crate::sink::webhook::{Webhook, WebhookSlot};
use crate::sink::{Sink, Tls};
use crate::trouble::Trouble;
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// The longest that is printed of what the event or the receiver says, in characters.
const MAX_SHOWN: usize = 4096;

/// Options of `postrider test`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// The export to send through
    #[arg(long, value_name = "NAME")]
    export: String,
    /// Send the first event of this file instead of a synthetic one; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["severity", "kind"])]
    event: Option<PathBuf>,
    /// Severity of the synthetic event; by default one that the export's filters take
    #[arg(long, value_parser = severity)]
    severity: Option<Severity>,
    /// Kind of the synthetic event; by default one that the export's filters take
    #[arg(long)]
    kind: Option<String>,
    /// Make the event one of this source; by default of the first one that the export's filters take
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
}

fn severity(word: &str) -> Result<Severity, String> {
    match Severity::read(word, SeverityScale::Syslog) {
        Severity::Unknown => {
            Err("write debug, info, notice, warn, error, critical, alert or emergency".to_owned())
        }
        severity => Ok(severity),
    }
}

pub(super) fn execute(options: &Options, global: &Global) -> Result<Exit, Failure> {
    let config = config::load(&global.load_options())?.config;
    let export = sample::export(&config, &options.export)?;
    let source = match &options.source {
        Some(name) => sample::source(&config, Some(name))?,
        None => sample::source_of(&config, export)?,
    };
    let text;
    let record = match &options.event {
        Some(file) => {
            let whole = sample::read(Some(file))?;
            let failure = |error| Failure::new(format!("{}: {error}", file.display()));
            let first = sample::events(&source, &whole).into_iter().next();
            let none = || Err("there is no event in it".to_owned());
            text = first.map_or_else(none, |(_, text)| text).map_err(failure)?;
            sample::record(&source, &text, 0).map_err(failure)?
        }
        None => {
            let (made, severity) =
                sample::synthetic(export, &source, options.severity, options.kind.as_deref())?;
            text = made;
            sample::synthetic_record(&source, &text, severity)?
        }
    };
    println!("export   {} → {}", export.name, address(export));
    let kind = cell(&record.envelope.event_kind, MAX_SHOWN);
    println!("event    {kind} {}", record.envelope.severity);
    println!("filters  {}", cell(&verdict(export, &record), MAX_SHOWN));
    let event = sample::event(export, &record);
    let ack = AckTracker::new(&Settled::default(), Arc::default())
        .enter(0, 1, &[TakenLine { start: 0, end: 1, takers: 1 }])
        .ack(0);
    let delivery = Delivery::new(&export.name, event, ack, false);
    let (outcome, took) = block_on(attempt(export, delivery))?;
    Ok(report(&outcome, took))
}

fn address(export: &Export) -> String {
    match &export.destination {
        Destination::Webhook(webhook) => webhook.url.masked(),
        Destination::Console(_) => "console".to_owned(),
        Destination::File(_) => "file".to_owned(),
    }
}

fn verdict(export: &Export, record: &Record<'_>) -> String {
    match export.filter.decide(record) {
        Decision::Take => "would take it".to_owned(),
        Decision::TakeUnevaluated => "would take it: the expr fails on it".to_owned(),
        Decision::Leave(refusal) => {
            format!("would leave it: {}", refusal.explain(&export.filter, record))
        }
    }
}

async fn attempt(export: &Export, delivery: Delivery) -> Result<(Outcome, Duration), Failure> {
    let name = Arc::clone(&export.name);
    let deliveries = [delivery];
    let mut outcomes = Vec::new();
    let started = Instant::now();
    match &export.destination {
        Destination::Webhook(config) => {
            let webhook = Webhook::new(config, &export.body).map_err(Failure::new)?;
            let webhook = Arc::new(
                webhook.redacting(export.redaction.as_ref()).batched(export.batch.as_ref()),
            );
            WebhookSlot::new(webhook, name, Tls::default()).send(&deliveries, &mut outcomes).await;
        }
        Destination::Console(stream) => {
            Console::new(*stream, export.format).send(&deliveries, &mut outcomes).await
        }
        Destination::File(output) => {
            FileSink::new(output.clone(), name, export.format)
                .send(&deliveries, &mut outcomes)
                .await
        }
    }
    let outcome = outcomes.pop().ok_or_else(|| Failure::new("the attempt had no outcome"))?;
    Ok((outcome, started.elapsed()))
}

fn report(outcome: &Outcome, took: Duration) -> Exit {
    let ms = took.as_secs_f64() * 1e3;
    match outcome {
        Outcome::Delivered(Some(status)) => println!("attempt  {status} in {ms:.1} ms"),
        Outcome::Delivered(None) => println!("attempt  written in {ms:.1} ms"),
        Outcome::Unsendable { reason, error } => {
            println!("attempt  not sent ({}): {}", reason.as_str(), cell(error, MAX_SHOWN));
            if let Some(why) = Trouble::of_reason(*reason).map(Trouble::explain) {
                println!("cause    {}\nfix      {}", why.cause, why.fix);
            }
        }
        Outcome::Failed(failed) => {
            let AttemptFailure { trouble, error, response, .. } = &**failed;
            println!("attempt  {} in {ms:.1} ms", cell(error, MAX_SHOWN));
            if let Some(response) = response {
                let lines = response.lines().map(|line| cell(line, MAX_SHOWN));
                println!("answer   {}", lines.collect::<Vec<_>>().join("\n         "));
            }
            let why = trouble.explain();
            println!("cause    {}\nfix      {}", why.cause, why.fix);
        }
    }
    if matches!(outcome, Outcome::Delivered(_)) { Exit::Done } else { Exit::Failed }
}
