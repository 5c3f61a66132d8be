//! Many events in one request: which of them, the headers of the whole, and what tells requests
//! apart that cannot be one. How their bodies are joined stands in `body`, how a request is sent in
//! `attempt`.

use super::body::{Body, Joining, one_line};
use super::webhook::{Rendered, Webhook, check_json};
use crate::config::{Batch, Encoding};
use crate::delivery::Outcome;
use crate::event::json::Json;
use crate::event::{Event, ShortHash};
use crate::format::BodyFormat;
use crate::retry::Reason;
use crate::template::{BatchItem, RenderContext, Template};
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use std::sync::Arc;

const X_EVENTS: HeaderName = HeaderName::from_static("x-postrider-events");

/// What a batch's request says of itself in its headers.
#[derive(Debug)]
pub(super) struct Whole {
    events: usize,
    /// A hash of the deliveries' ids in order.
    key: ShortHash,
    /// The highest number of an attempt.
    attempt: u32,
    encoding: Encoding,
}

/// A request that carries the first of some deliveries, or their outcomes where nothing is to be
/// sent.
pub(super) struct Joined {
    /// One for each delivery that this decides about, in order; `None`: it is in the request.
    pub(super) outcomes: Vec<Option<Outcome>>,
    /// The request, where any delivery is in it.
    pub(super) request: Option<Rendered>,
}

impl Whole {
    fn of<'a>(items: impl Iterator<Item = &'a BatchItem<'a>>, batch: &Batch) -> Whole {
        let mut hash = Sha256::new();
        let (mut events, mut attempt) = (0, 0);
        for BatchItem { context, .. } in items {
            hash.update(context.delivery_id);
            // No id holds it: two lists of ids never run into the same text.
            hash.update(b"\n");
            events += 1;
            attempt = attempt.max(context.attempt);
        }
        Whole { events, key: ShortHash::of(hash), attempt, encoding: batch.encoding }
    }

    /// Puts the headers of a batch in place of those of an event.
    pub(super) fn headers(
        &self,
        event: [HeaderName; 3],
        format: BodyFormat,
        headers: &mut HeaderMap,
    ) {
        for name in event {
            headers.remove(name);
        }
        let kind = match (self.encoding, format) {
            (_, BodyFormat::Cef) => format.content_type(),
            (Encoding::Ndjson, _) => "application/x-ndjson",
            (Encoding::JsonArray, _) => format.array_content_type().unwrap_or("application/json"),
            (Encoding::Concat, _) => "application/json",
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(X_EVENTS, HeaderValue::from(self.events));
        headers.insert(super::webhook::X_ATTEMPT, HeaderValue::from(self.attempt));
        if let Ok(key) = HeaderValue::from_str(self.key.as_str()) {
            headers.insert(super::webhook::IDEMPOTENCY_KEY, key);
        }
    }
}

/// What deliveries of one request have in common where URL or headers vary: a hash of both.
pub(super) fn key(
    webhook: &Webhook,
    event: &Arc<Event>,
    context: &RenderContext<'_>,
) -> Result<[u8; 32], Outcome> {
    let failed = |error| Outcome::Unsendable { reason: Reason::Render, error };
    let mut hash = Sha256::new();
    hash.update(webhook.target(event, context).map_err(failed)?.to_string());
    for (name, value) in webhook.configured_headers(event, context).map_err(failed)? {
        // Neither a name nor a value can hold a NUL.
        for part in [name.as_str().as_bytes(), value.as_bytes()] {
            hash.update([0]);
            hash.update(part);
        }
    }
    Ok(hash.finalize().into())
}

/// Joins as many of these as one request can carry.
pub(super) fn join(webhook: &Webhook, batch: &Batch, items: &[BatchItem<'_>]) -> Joined {
    match &batch.template {
        Some(template) => whole(webhook, batch, template, items),
        None => one_by_one(webhook, batch, items),
    }
}

fn one_by_one(webhook: &Webhook, batch: &Batch, items: &[BatchItem<'_>]) -> Joined {
    let max_bytes = batch.bounds.max_bytes;
    let encoding = match batch.encoding {
        // Where lines are announced each value gets one.
        Encoding::Concat if webhook.config.lines => Encoding::Ndjson,
        encoding => encoding,
    };
    let mut body = Joining::new(encoding, max_bytes, items.len());
    let mut outcomes = Vec::with_capacity(items.len());
    for item in items {
        let added = if webhook.is_untouched(item.event) {
            Ok(body.add_text(item.event))
        } else {
            webhook.body(item.event, &item.context).map(|part| {
                // Its values stand on lines already.
                let lines = webhook.config.lines && webhook.body.for_event(item.event).is_some();
                let encoding = if lines { Encoding::Concat } else { encoding };
                body.add(encoding, &part)
            })
        };
        let outcome = match added {
            Err((reason, error)) => Some(Outcome::Unsendable { reason, error }),
            Ok(Ok(())) => None,
            // The next request begins with it.
            Ok(Err(_)) if !body.is_empty() => break,
            Ok(Err(bytes)) => Some(too_large(bytes, max_bytes)),
        };
        outcomes.push(outcome);
    }
    finish(webhook, batch, items, outcomes, body.end())
}

/// Renders all events at once, or as many as that succeeds with.
fn whole(webhook: &Webhook, batch: &Batch, template: &Template, items: &[BatchItem<'_>]) -> Joined {
    let mut count = items.len();
    loop {
        let part = items.get(..count).unwrap_or_default();
        match render_whole(webhook, batch, template, part) {
            Ok(body) => {
                let body = Body::Whole(Bytes::from(body));
                return finish(webhook, batch, items, vec![None; count], body);
            }
            // Which event is to blame nobody knows before it stands alone.
            Err(_) if count > 1 => count /= 2,
            Err(outcome) => return Joined { outcomes: vec![Some(outcome)], request: None },
        }
    }
}

fn render_whole(
    webhook: &Webhook,
    batch: &Batch,
    template: &Template,
    items: &[BatchItem<'_>],
) -> Result<Vec<u8>, Outcome> {
    let failed = |error| Outcome::Unsendable { reason: Reason::Render, error };
    let escape = webhook.escape();
    let mut body = Vec::with_capacity(4096);
    template
        .render_batch(items, escape, &mut body)
        .map_err(|error| failed(format!("batch_template: {error}")))?;
    if webhook.is_json() {
        let text = check(batch.encoding, &body).map_err(failed)?;
        let limited = webhook.limited(text);
        let limited = limited.map_err(|(reason, error)| Outcome::Unsendable { reason, error })?;
        body = limited.map_or(body, String::into_bytes);
    }
    let max_bytes = batch.bounds.max_bytes;
    if body.len() > max_bytes { Err(too_large(body.len(), max_bytes)) } else { Ok(body) }
}

/// Checks a body that is JSON: one value, or where lines may stand, several.
fn check(encoding: Encoding, body: &[u8]) -> Result<&str, String> {
    if encoding == Encoding::JsonArray {
        return check_json(body);
    }
    let text = std::str::from_utf8(body).map_err(|_| "body: not UTF-8".to_owned())?;
    let checked = Json::check_rendered_many(text, |_| ());
    checked.map(|()| text).map_err(|error| format!("body: not JSON, {error}"))
}

/// The body of one event that may be several values: each on a line of its own.
pub(super) fn lines(body: &[u8]) -> Result<Vec<u8>, String> {
    let text = std::str::from_utf8(body).map_err(|_| "body: not UTF-8".to_owned())?;
    let mut lines = Vec::with_capacity(body.len() + 1);
    let checked = Json::check_rendered_many(text, |value| {
        lines.extend_from_slice(&one_line(value.text().as_bytes()));
        lines.push(b'\n');
    });
    checked.map(|()| lines).map_err(|error| format!("body: not JSON, {error}"))
}

/// Puts a body and the headers of what is in it together.
fn finish(
    webhook: &Webhook,
    batch: &Batch,
    items: &[BatchItem<'_>],
    mut outcomes: Vec<Option<Outcome>>,
    body: Body,
) -> Joined {
    let sent =
        || items.iter().zip(&outcomes).filter(|(_, known)| known.is_none()).map(|(item, _)| item);
    let Some(first) = sent().next() else { return Joined { outcomes, request: None } };
    let whole = Whole::of(sent(), batch);
    let head = webhook.target(first.event, &first.context).and_then(|target| {
        Ok((target, webhook.headers(first.event, &first.context, Some(&whole))?))
    });
    match head {
        Ok((target, headers)) => {
            let batch = Some(whole.key.as_str().into());
            let request = Some(Rendered { target, headers, body, batch });
            Joined { outcomes, request }
        }
        // All of them render the same, or were not told apart because nothing varies.
        Err(error) => {
            let failed = Outcome::Unsendable { reason: Reason::Render, error };
            for outcome in outcomes.iter_mut().filter(|outcome| outcome.is_none()) {
                *outcome = Some(failed.clone());
            }
            Joined { outcomes, request: None }
        }
    }
}

fn too_large(bytes: usize, max_bytes: usize) -> Outcome {
    let error = format!("the body has {bytes} bytes, more than batch.max_bytes {max_bytes}");
    Outcome::Unsendable { reason: Reason::TooLarge, error }
}
