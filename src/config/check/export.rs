//! Checks of exports: name, destination, and what else stands in one. What waits for it is checked
//! in `queue`.

use super::{batch, check_names, filter, queue, redact, template, webhook};
use crate::config::digest;
use crate::config::keys::{
    BodyFormatKey, CloudEventsMode, ConfigKeys, DestinationKey, ExportKeys, FileKeys, OnGoneKey,
    OrderKey, RetryKeys, StreamKey, WebhookKeys,
};
use crate::config::report::At;
use crate::config::{
    Body, BodyFormat, ConsoleStream, Destination, Digest, Encoding, Export, FileOutput, Input,
    RateLimit, Source,
};
use crate::filter::Filter;
use crate::retry::{OnGone, Policy, RetrySchedule, StatusSet};
use crate::template::Template;
use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::path::PathBuf;

/// Checks all exports; those with `enabled: false` are checked and left out.
pub(super) fn exports(keys: &ConfigKeys, sources: &[Source], at: &At<'_>) -> Vec<Export> {
    if keys.exports.is_empty() {
        let message = if at.is_present() { "an empty list" } else { "missing key" };
        at.problem(message, "add an export: without one no event goes anywhere");
    }
    let name = at.report.top().key("defaults").key("name");
    if name.is_present() {
        name.problem("`defaults` have no name: each export has its own", "leave it out");
    }
    check_names(keys.exports.iter().map(|keys| keys.name.as_deref()), at);
    let mut exports = Vec::new();
    for (index, keys) in keys.exports.iter().enumerate() {
        let export = export(keys, sources, &at.index(index));
        exports.extend(export.filter(|_| keys.enabled != Some(false)));
    }
    if !keys.exports.is_empty() && keys.exports.iter().all(|keys| keys.enabled == Some(false)) {
        at.warning("every export is switched off: no event goes anywhere", "enable one");
    }
    former_names(keys, at);
    fallbacks(keys, at);
    exports
}

/// The names of exports with `enabled: false`.
pub(super) fn off(keys: &ConfigKeys) -> Vec<String> {
    let off = keys.exports.iter().filter(|export| export.enabled == Some(false));
    off.filter_map(|export| export.name.clone()).collect()
}

/// A name belongs to one export, now or formerly.
fn former_names(keys: &ConfigKeys, at: &At<'_>) {
    let names = keys.exports.iter().filter_map(|export| export.name.as_deref());
    let mut seen: BTreeSet<&str> = names.collect();
    for (index, export) in keys.exports.iter().enumerate() {
        for (place, name) in export.former_names.iter().enumerate() {
            if !seen.insert(name) {
                let at = at.index(index).key("former_names").index(place);
                at.problem(
                    format!("`{}` is the name of an export, or its former name", at.visible(name)),
                    "a former name belongs to one export alone",
                );
            }
        }
    }
}

/// A fallback is another export that is at work.
fn fallbacks(keys: &ConfigKeys, at: &At<'_>) {
    for (index, export) in keys.exports.iter().enumerate() {
        let Some(fallback) = export.fallback.as_deref() else { continue };
        let at = at.index(index).key("fallback");
        let found = keys.exports.iter().find(|other| other.name.as_deref() == Some(fallback));
        match found {
            Some(other) if other.name == export.name => {
                at.problem("an export cannot be its own fallback", "name another export");
            }
            Some(other) if other.enabled == Some(false) => {
                at.problem("this export is switched off", "enable it, or name another export");
            }
            Some(_) => {}
            None => {
                let message = format!("there is no export `{}`", at.visible(fallback));
                at.problem(message, "name one of `exports`");
            }
        }
    }
}

fn export(keys: &ExportKeys, sources: &[Source], at: &At<'_>) -> Option<Export> {
    if keys.name.is_none() {
        at.key("name").problem("missing key", "add `name:`");
    }
    let filter = filter::filter(&keys.filters, sources, &at.key("filters"));
    let retry = retry(&keys.retry, keys.on_gone, &at.key("retry"));
    let rate_limit = keys.rate_limit.and_then(|limit| {
        if limit.per.0.is_zero() {
            at.key("rate_limit").key("per").problem("it is no time at all", "write `60s`");
        }
        let requests = NonZeroU32::new(limit.requests.0)?;
        Some(RateLimit { requests, per: limit.per.0 })
    });
    let redaction = redact::redaction(keys, at);
    let (mut destination, body) = destination(keys, at)?;
    if let Destination::File(output) = &destination {
        check_no_source_reads(output, &filter, sources, &at.key("file").key("path"));
    }
    let rate_limit = rate_limit.or_else(|| match &destination {
        Destination::Webhook(webhook) => {
            let (requests, per) = webhook.platform.preset?.rate_limit()?;
            Some(RateLimit { requests, per })
        }
        _ => None,
    });
    let batch = batch::batch(keys, &destination, &body, at);
    let mut queue = queue::queue(&keys.queue, &at.key("queue"));
    if let Some(batch) = &batch {
        if let (Destination::Webhook(webhook), Some(keys)) = (&mut destination, &keys.webhook) {
            let lines = webhook::sends_lines(keys);
            webhook.json |= lines;
            webhook.lines = lines && batch.encoding != Encoding::JsonArray;
        }
        batch::widen(&mut queue, &batch.bounds, &at.key("queue"));
    }
    let mut digests = vec![body.digest().0];
    if let Destination::Webhook(webhook) = &destination {
        digests.extend(webhook.tls.as_ref().map(|tls| tls.digest.0));
    }
    Some(Export {
        name: keys.name.as_deref().unwrap_or_default().into(),
        digest: digest::of_part(at.node(), &digests),
        target: target(&destination, at),
        destination,
        body,
        batch,
        format: format(keys),
        filter,
        redaction,
        retry: retry?,
        rate_limit,
        queue,
        strict: matches!(keys.order, OrderKey::Strict),
        breaker: keys
            .breaker
            .as_ref()
            .and_then(|breaker| queue::breaker(breaker, &at.key("breaker"))),
        fallback: keys.fallback.as_deref().map(Into::into),
        former_names: keys.former_names.iter().map(|name| name.as_str().into()).collect(),
    })
}

/// What a receiver that said no might say yes to once it has changed.
fn target(destination: &Destination, at: &At<'_>) -> Digest {
    let mut templates = Vec::new();
    if let Destination::Webhook(webhook) = destination {
        templates.push(webhook.url.template.digest());
        templates.extend(webhook.headers.iter().flat_map(|(_, value)| value).map(Template::digest));
        templates.extend(webhook.tls.as_ref().map(|tls| tls.digest.0));
    }
    let at = at.key("webhook");
    // The key of an incident's service stands in the body, and is a credential all the same.
    templates.push(digest::of_part(at.key("pagerduty").node(), &[]).0);
    digest::of_part(at.key("authentication").node(), &templates)
}

fn destination(keys: &ExportKeys, at: &At<'_>) -> Option<(Destination, Body)> {
    let Some(kind) = keys.destination else {
        at.key("destination").problem("missing key", "one of `webhook`, `console`, `file`");
        return None;
    };
    let all = [DestinationKey::Webhook, DestinationKey::Console, DestinationKey::File];
    for other in all.into_iter().filter(|other| *other != kind) {
        let place = at.key(word(other));
        if place.is_present() {
            place.problem(
                format!("an export to `{}` has no `{}`", word(kind), word(other)),
                format!("leave it out, or write `destination: {}`", word(other)),
            );
        }
    }
    match kind {
        DestinationKey::Webhook => {
            let (mut webhook, body) = webhook::webhook(keys.webhook.as_ref(), &at.key("webhook"))?;
            webhook.format = format(keys);
            if let (BodyFormat::Cef, Some(keys)) = (webhook.format, &keys.webhook) {
                webhook::cef(keys, &body, &at.key("webhook"));
            }
            Some((Destination::Webhook(Box::new(webhook)), body))
        }
        DestinationKey::Console => Some((
            Destination::Console(match keys.console.stream {
                StreamKey::Stdout => ConsoleStream::Stdout,
                StreamKey::Stderr => ConsoleStream::Stderr,
            }),
            Body::default(),
        )),
        DestinationKey::File => {
            let output = file(keys.file.as_ref(), &at.key("file"))?;
            Some((Destination::File(output), Body::default()))
        }
    }
}

/// What an event goes out as where no template says so.
fn format(keys: &ExportKeys) -> BodyFormat {
    let binary =
        |webhook: &WebhookKeys| matches!(webhook.cloudevents.mode, CloudEventsMode::Binary);
    match keys.format {
        BodyFormatKey::Json => BodyFormat::Json,
        BodyFormatKey::Cef => BodyFormat::Cef,
        BodyFormatKey::CloudEvents if keys.webhook.as_ref().is_some_and(binary) => {
            BodyFormat::CloudEventBinary
        }
        BodyFormatKey::CloudEvents => BodyFormat::CloudEvent,
    }
}

fn word(kind: DestinationKey) -> &'static str {
    match kind {
        DestinationKey::Webhook => "webhook",
        DestinationKey::Console => "console",
        DestinationKey::File => "file",
    }
}

fn file(keys: Option<&FileKeys>, at: &At<'_>) -> Option<FileOutput> {
    let path = at.key("path");
    let Some((keys, text)) = keys.and_then(|keys| Some((keys, keys.path.as_ref()?))) else {
        path.problem("missing key", "add the file to append to");
        return None;
    };
    if text.0.text.trim().is_empty() {
        path.problem("it is empty", "name the file to append to");
        return None;
    }
    let compiled = template::template(&text.0, &path)?;
    let whole = template::substituted(&text.0);
    let climbs = whole.split('/').any(|part| part.trim() == "..");
    if climbs && compiled.as_constant().is_none() {
        // Where a path is not fixed, nothing may lead out of its folder.
        let what = "`..` in a path that has fields or variables";
        path.problem(what, "write the whole path of the folder");
        return None;
    }
    Some(FileOutput {
        path: compiled,
        base: path.base().to_owned(),
        fsync: keys.fsync,
        mode: keys.mode.0,
    })
}

/// What a source reads must not be what an export makes of its events.
fn check_no_source_reads(output: &FileOutput, filter: &Filter, sources: &[Source], at: &At<'_>) {
    let Some(path) = output.path.as_constant() else { return };
    let path: PathBuf = output.base.join(path).components().collect();
    let taken =
        |source: &&Source| filter.sources.as_ref().is_none_or(|globs| globs.matches(&source.name));
    let reads = |source: &&Source| match &source.input {
        Input::File(input) => input.takes(&path),
        _ => false,
    };
    if let Some(source) = sources.iter().filter(taken).find(reads) {
        at.problem(
            format!(
                "the source `{}` reads this file: its events would come back without end",
                source.name
            ),
            "write elsewhere, or leave the file out by `exclude` of the source, or the source by \
             `filters.sources`",
        );
    }
}

fn retry(keys: &RetryKeys, on_gone: OnGoneKey, at: &At<'_>) -> Option<Policy> {
    let waits: Vec<_> = keys.backoff_seconds.iter().map(|wait| wait.0).collect();
    let schedule = RetrySchedule::new(waits, keys.jitter.0);
    if schedule.is_err() {
        // The jitter is a share already, so this is the other rule.
        at.key("backoff_seconds").problem("an empty list", "name at least one wait");
    }
    Some(Policy {
        max_attempts: NonZeroU32::new(keys.max_attempts.0)?,
        schedule: schedule.ok()?,
        retry_on: StatusSet::parse(keys.retry_on.iter().map(|status| status.0.as_str())).ok()?,
        max_retry_after: keys.max_retry_after.0,
        max_elapsed: keys.max_elapsed.0,
        on_gone: match on_gone {
            OnGoneKey::Pause => OnGone::Pause,
            OnGoneKey::DeadLetter => OnGone::DeadLetter,
            OnGoneKey::Retry => OnGone::Retry,
        },
    })
}
