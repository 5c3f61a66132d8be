//! Checks of batches, and of what they ask of the queue in front of them.

use super::template;
use super::webhook::{content_type_varies, refuse_cef};
use crate::config::keys::{BatchKeys, EncodingKey, ExportKeys};
use crate::config::report::At;
use crate::config::{Batch, BatchBounds, Body, BodyFormat, Destination, Encoding, Queue, Webhook};
use crate::template::Template;

/// Of memory that is not bounded otherwise.
const MAX_EVENTS: u32 = 100_000;
const MAX_BYTES: usize = 100_000_000;

/// Checks an export's batch; `at` is the export.
pub(super) fn batch(
    keys: &ExportKeys,
    destination: &Destination,
    body: &Body,
    at: &At<'_>,
) -> Option<Batch> {
    let template_at = at.key("webhook").key("batch_template");
    let webhook_keys = keys.webhook.as_ref();
    let template = webhook_keys.and_then(|keys| keys.batch_template.as_ref());
    let template = template.and_then(|text| template::of_batch(&text.0, &template_at));
    let place = at.key("batch");
    let Some(keys) = &keys.batch else {
        if template_at.is_present() {
            template_at.problem("there is no `batch`", "add `batch: {}`, or use `body_template`");
        }
        return None;
    };
    let Destination::Webhook(webhook) = destination else {
        place.problem("only a webhook sends batches", "leave it out");
        return None;
    };
    if let Some(webhook_keys) = webhook_keys {
        if let Some(name) = content_type_varies(webhook_keys) {
            at.key("webhook").key("headers").key(name).problem(
                "one request has events of several content types",
                "write one that does not depend on the event, or leave `batch` out",
            );
        }
        let other = ["body_template", "body_template_file"];
        for other in other.map(|key| at.key("webhook").key(key)) {
            if webhook_keys.batch_template.is_some() && other.is_present() {
                other.problem("there is a `batch_template` beside it", "keep one of the two");
            }
        }
    }
    let max_body_bytes = at.key("webhook").key("max_body_bytes");
    if max_body_bytes.is_present() {
        let fix = "leave it out, and say `max_bytes` in the batch";
        max_body_bytes.warning("it does not hold for a batch, whose bound is `max_bytes`", fix);
    }
    let digest = if template.is_none() { digest(webhook, at) } else { None };
    if template.is_none() && digest.is_none() {
        joined(keys, webhook, body, at);
    }
    Some(Batch {
        bounds: bounds(keys, webhook, &place),
        encoding: match keys.encoding {
            // One message, whatever is said of many.
            _ if digest.is_some() => Encoding::JsonArray,
            // A whole document, unless it is said to be something else.
            _ if template.is_some() && !place.key("encoding").is_present() => Encoding::Concat,
            EncodingKey::Ndjson => Encoding::Ndjson,
            EncodingKey::JsonArray => Encoding::JsonArray,
            EncodingKey::Concat => Encoding::Concat,
        },
        template: template.or(digest),
    })
}

/// Refuses default bodies that cannot stand side by side.
fn joined(keys: &BatchKeys, webhook: &Webhook, body: &Body, at: &At<'_>) {
    let array = matches!(keys.encoding, EncodingKey::JsonArray);
    match webhook.format {
        BodyFormat::Cef if array => refuse_cef(
            body,
            &at.key("batch").key("encoding"),
            "a line of CEF is not an item of a JSON array",
            "write `encoding: ndjson`, which joins any lines",
        ),
        BodyFormat::CloudEventBinary => at.key("batch").problem(
            "in the binary mode of CloudEvents the headers are those of one event",
            "leave it out, or write `cloudevents: {mode: structured}`",
        ),
        _ => {}
    }
}

/// Whether the user has a body of their own for the events of this export.
fn has_bodies(at: &At<'_>) -> bool {
    let own = ["body_template", "body_template_file", "body_templates"];
    own.iter().any(|key| at.key("webhook").key(key).is_present())
}

/// What the platform says of many events in one message, where the user has no bodies for it;
/// objects where it would not take what goes out instead.
fn digest(webhook: &Webhook, at: &At<'_>) -> Option<Template> {
    let preset = webhook.platform.preset.filter(|preset| preset.has_bodies())?;
    let place = at.key("batch");
    match preset.digest() {
        Ok(None) => {
            let message = format!("`{}` takes one event a request", preset.name());
            place.problem(message, "leave it out");
            None
        }
        Ok(_) if has_bodies(at) => {
            place.warning(
                format!("`{}` takes one message a request, not your bodies joined", preset.name()),
                "write a `batch_template`, leave your bodies out for the platform's digest, or \
                 leave `batch` out",
            );
            None
        }
        Ok(digest) => digest,
        Err(error) => {
            place.problem(error, "a defect in postrider, please report it");
            None
        }
    }
}

fn bounds(keys: &BatchKeys, webhook: &Webhook, at: &At<'_>) -> BatchBounds {
    for (key, other) in [("max_events", "max_size"), ("max_wait", "max_wait_seconds")] {
        if at.key(key).is_present() && at.key(other).is_present() {
            let message = format!("it is another name of `{key}`, which stands beside it");
            at.key(other).problem(message, "keep one of the two");
        }
    }
    let (events, key) = match keys.max_size {
        Some(events) => (events, "max_size"),
        None => (keys.max_events, "max_events"),
    };
    if events.0 > MAX_EVENTS {
        at.key(key).problem(format!("more than {MAX_EVENTS} events at once"), "lower it");
    }
    if !(1..=MAX_BYTES).contains(&keys.max_bytes.0) {
        let message = "a batch has at least a byte and at most 100MB";
        at.key("max_bytes").problem(message, "write a size such as `1MB`");
    }
    let varies = |template: &Template| template.as_fixed().is_none();
    let headers = webhook.headers.iter().filter_map(|(_, value)| value.as_ref());
    BatchBounds {
        max_events: events.0 as usize,
        max_bytes: keys.max_bytes.0,
        max_wait: keys.max_wait_seconds.unwrap_or(keys.max_wait).0,
        sorted: varies(&webhook.url.template) || headers.into_iter().any(varies),
    }
}

/// Gives a queue that nobody has bounded room for a batch under way, one that waits to go and one
/// that fills; warns of one that was given less than a batch.
pub(super) fn widen(queue: &mut Queue, batch: &BatchBounds, at: &At<'_>) {
    // Sources have nine tenths of it.
    let three = |bound: usize| bound.saturating_mul(30).div_ceil(9) + 1;
    for (key, bound, held) in [
        ("memory_events", batch.max_events, &mut queue.memory_events),
        ("memory_bytes", batch.max_bytes, &mut queue.memory_bytes),
    ] {
        let at = at.key(key);
        if !at.is_present() {
            *held = (*held).max(three(bound));
        } else if *held < bound {
            let fix = format!("raise it to {} or more, or leave it out", three(bound));
            at.warning("less than one batch: batches go before they are full", fix);
        }
    }
}
