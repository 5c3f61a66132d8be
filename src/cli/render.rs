//! `postrider render`: the requests that events would become, or which exports take them. Sends
//! nothing.

use super::failure::Failure;
use super::place::say;
use super::table::cell;
use super::{Exit, Global, sample};
use crate::config::{self, Config, Destination, Export, Source};
use crate::delivery::DeliveryId;
use crate::event::Record;
use crate::filter::{Decision, Refusal};
use crate::sink;
use crate::sink::webhook::{Rendered, Webhook};
use crate::template::RenderContext;
use clap::Args;
use hyper::header::CONTENT_ENCODING;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Options of `postrider render`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Print the requests of this export; without it, which exports take each event
    #[arg(long, value_name = "NAME")]
    export: Option<String>,
    /// Read the events as those of this source; the first one by default
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Print tokens, URL paths and variables as they are
    #[arg(long)]
    show_secrets: bool,
    /// Events, one JSON object a line; standard input by default
    file: Option<PathBuf>,
}

/// Headers whose values are secrets, by what is in their names.
const SECRET_HEADERS: &[&str] =
    &["auth", "token", "key", "secret", "cookie", "signature", "password"];

/// The longest that is printed of a name or a reason, in characters.
const MAX_WORD: usize = 500;

pub(super) fn execute(options: &Options, global: &Global) -> Result<Exit, Failure> {
    let config = config::load(&global.load_options())?.config;
    let source = sample::source(&config, options.source.as_deref())?;
    let export = options.export.as_deref().map(|name| sample::export(&config, name)).transpose()?;
    let input = sample::read(options.file.as_deref())?;
    let mut failed = false;
    for (number, event) in sample::events(&source, &input) {
        let printed = event.and_then(|event| {
            let record = sample::record(&source, &event, number)?;
            match export {
                Some(export) => request(export, &record, options.show_secrets),
                None => Ok(takers(&config, &source, &record)),
            }
        });
        let printed = printed.unwrap_or_else(|error| {
            failed = true;
            format!("line {number}: {error}\n")
        });
        say(&printed)?;
    }
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

/// The request of one event, as it would go over the wire.
fn request(export: &Export, record: &Record<'_>, show_secrets: bool) -> Result<String, String> {
    let event = sample::event(export, record);
    let mut out = String::new();
    if let Decision::Leave(refusal) = export.filter.decide(record) {
        let why = refusal.explain(&export.filter, record).to_string();
        let _ = writeln!(out, "# not taken: {}", cell(&why, MAX_WORD));
    }
    let Destination::Webhook(config) = &export.destination else {
        let mut line = Vec::new();
        sink::line(&event, export.format, &mut line);
        out.push_str(&shown(&line));
        return Ok(out);
    };
    let id = DeliveryId::new(&export.name, &event.origin.position);
    let context = RenderContext {
        export: &export.name,
        delivery_id: id.as_str(),
        attempt: 1,
        now: jiff::Timestamp::now(),
        mask_variables: !show_secrets,
    };
    let webhook = Webhook::new(config, &export.body)?.batched(export.batch.as_ref());
    let rendered = webhook.render(&event, &context);
    // What goes over the wire may be compressed, which nobody can read.
    let plain =
        rendered.as_ref().map(|rendered| rendered.body.clone().into_bytes()).unwrap_or_default();
    let sealed = rendered
        .and_then(|rendered| webhook.seal(rendered, id.as_str(), context.now))
        .map_err(|(reason, error)| format!("{}: {error}", reason.as_str()))?;
    let Rendered { target, headers, body, .. } = sealed;
    let body = body.into_bytes();
    let proofs = config.authentication.headers();
    let url = match show_secrets {
        true => format!("{}{target}", config.url.masked().trim_end_matches("/…")),
        false => config.url.masked(),
    };
    let _ = writeln!(out, "{} {url}", config.method);
    for (name, value) in &headers {
        let named = SECRET_HEADERS.iter().any(|part| name.as_str().contains(part))
            && name != "idempotency-key";
        let secret = named || (value.is_sensitive() && proofs.contains(name));
        let value = if secret && !show_secrets { "***".into() } else { shown(value.as_bytes()) };
        let _ = writeln!(out, "{name}: {value}");
    }
    if let Some(encoding) = headers.get(CONTENT_ENCODING).filter(|_| body != plain) {
        let encoding = String::from_utf8_lossy(encoding.as_bytes());
        let _ = writeln!(out, "# sent as {} bytes of {encoding}:", body.len());
    }
    let _ = writeln!(out, "\n{}\n", shown(&plain));
    Ok(out)
}

/// What goes over the wire, as it is where a program reads it; a terminal gets no control characters
/// but ends of lines and tabs.
fn shown(bytes: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(bytes);
    let moves = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if std::io::stdout().is_terminal() && text.contains(moves) {
        return text.replace(moves, "\u{fffd}").into();
    }
    text
}

/// Which exports take an event, and why the others leave it.
fn takers(config: &Config, source: &Source, record: &Record<'_>) -> String {
    let event = record.event();
    let mut out = format!(
        "{} {} {} from {}\n",
        cell(&event.audit_id, MAX_WORD),
        cell(&event.event_kind, MAX_WORD),
        event.severity,
        source.name
    );
    let mut taken = false;
    let (last, first): (Vec<_>, Vec<_>) =
        config.exports.iter().partition(|export| export.filter.unmatched);
    for export in first.into_iter().chain(last) {
        let decision = match export.filter.decide(record) {
            Decision::Take | Decision::TakeUnevaluated if export.filter.unmatched && taken => {
                Decision::Leave(Refusal::Matched)
            }
            decision => decision,
        };
        let says = match decision {
            Decision::Take => "takes it".to_owned(),
            Decision::TakeUnevaluated => "takes it: its expr failed on this event".to_owned(),
            Decision::Leave(refusal) => {
                let why = refusal.explain(&export.filter, record).to_string();
                format!("leaves it: {}", cell(&why, MAX_WORD))
            }
        };
        taken |= !matches!(decision, Decision::Leave(_));
        let _ = writeln!(out, "  {}: {says}", export.name);
    }
    out
}
