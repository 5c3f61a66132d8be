//! The keys of an export.

use super::{
    BatchKeys, Count, FileMode, RedactKeys, Share, Size, Span, SpanOrNone, Statuses, TemplateKey,
    WebhookKeys,
};
use crate::event::Severity;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// A named route out.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct ExportKeys {
    /// Its unique name, the label of its metrics: letters, digits, `_`, `-` and `.`. Required.
    pub(in crate::config) name: Option<String>,
    /// Where it leads: `webhook`, `console` or `file`. Required.
    pub(in crate::config) destination: Option<DestinationKey>,
    /// The default body: `json` is the event as it came, `cef` a line of the Common Event Format,
    /// `cloudevents` a CloudEvent 1.0 with the event as its data. Default: `json`.
    pub(in crate::config) format: BodyFormatKey,
    /// `false` leaves the export out of a run; its keys are checked all the same. Default: `true`.
    pub(in crate::config) enabled: Option<bool>,
    /// Destination `webhook`: the requests it sends.
    pub(in crate::config) webhook: Option<WebhookKeys>,
    /// Destination `console`: one line an event.
    pub(in crate::config) console: ConsoleKeys,
    /// Destination `file`: one line an event, appended.
    pub(in crate::config) file: Option<FileKeys>,
    /// What it takes: every key that is present must hold. In globs `*` matches any text, `/` and
    /// `.` too, `?` one character, `[a-z]` one of a class and `[!a-z]` one outside of it, `{a,b}`
    /// either, `\*` the star itself; case counts; a leading `!` excludes; numbers and booleans
    /// match by their JSON text, a list if an element does. Default: everything.
    pub(in crate::config) filters: FilterKeys,
    /// What of an event it must not carry. Default: nothing.
    pub(in crate::config) redact: Option<RedactKeys>,
    /// Paths of fields, each with the most bytes that its JSON may have after redaction: a longer
    /// one becomes `{"truncated":true,"bytes":n}`. Default: no limits.
    pub(in crate::config) limit_fields: Option<BTreeMap<String, Size>>,
    /// When it tries again.
    pub(in crate::config) retry: RetryKeys,
    /// At most so many requests in any such time, retries and replays included. Default: no limit.
    pub(in crate::config) rate_limit: Option<RateLimitKeys>,
    /// Destination `webhook`: many events in one request. Default: one event a request.
    pub(in crate::config) batch: Option<BatchKeys>,
    /// What waits for it: how much, where, and what becomes of the rest.
    pub(in crate::config) queue: QueueKeys,
    /// `strict` sends one request at a time, in order of acceptance; a retry holds the line.
    /// Replays and dead letters stand outside. Default: `none`.
    pub(in crate::config) order: OrderKey,
    /// Holds first attempts back while the receiver fails. Default: none.
    pub(in crate::config) breaker: Option<BreakerKeys>,
    /// What a receiver that is gone for good does: a 410, or the tenth 301–308, 401, 403 or 404 in
    /// a row without a 2xx. `pause` leaves it alone and probes it, `dead_letter` buries the event
    /// with the reason `endpoint_gone`, `retry` follows the schedule. Default: `pause`.
    pub(in crate::config) on_gone: OnGoneKey,
    /// Another export, which gets the event of a dead letter once.
    pub(in crate::config) fallback: Option<String>,
    /// Names it had before: what waits for it and its dead letters are carried over.
    pub(in crate::config) former_names: Vec<String>,
}

/// Where an export leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum DestinationKey {
    Webhook,
    Console,
    File,
}

/// A default body.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum BodyFormatKey {
    #[default]
    Json,
    Cef,
    CloudEvents,
}

/// Lines on the console.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct ConsoleKeys {
    /// `stdout` or `stderr`. Default: `stdout`.
    pub(in crate::config) stream: StreamKey,
}

/// A stream of the console.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum StreamKey {
    #[default]
    Stdout,
    Stderr,
}

/// Lines in a file.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct FileKeys {
    /// The file to append to, a template; required. Not one that a source reads of which it takes
    /// events.
    pub(in crate::config) path: Option<TemplateKey>,
    /// Whether a line is on disk before it counts as delivered. Default: `true`.
    pub(in crate::config) fsync: bool,
    /// Permissions of a file that is created, in octal. Default: `0640`.
    pub(in crate::config) mode: FileMode,
}

impl Default for FileKeys {
    fn default() -> Self {
        FileKeys { path: None, fsync: true, mode: FileMode(0o640) }
    }
}

/// What an export takes.
#[derive(Debug, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct FilterKeys {
    /// Globs of source names.
    pub(in crate::config) sources: Option<Vec<String>>,
    /// The least severity: `debug` < `info` < `notice` < `warn` < `error` < `critical` < `alert` <
    /// `emergency`; one that no table knows passes.
    pub(in crate::config) min_severity: Option<Severity>,
    /// Globs of event kinds to take.
    pub(in crate::config) event_kinds: Option<Vec<String>>,
    /// Globs of event kinds to leave.
    pub(in crate::config) exclude_event_kinds: Option<Vec<String>>,
    /// Paths of fields, each with globs of which one must match; an absent field matches nothing.
    pub(in crate::config) when: Option<BTreeMap<String, Vec<String>>>,
    /// A template expression that must be true, such as `cost.usd > 0.5`. An event on which it
    /// fails is taken and counted.
    pub(in crate::config) expr: Option<TemplateKey>,
    /// Take only what no other export took. Default: `false`.
    pub(in crate::config) unmatched: bool,
}

/// When an export tries again.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct RetryKeys {
    /// All attempts, the first included. Default: 12.
    pub(in crate::config) max_attempts: Count,
    /// The wait after attempt n is the n-th value, in seconds or as a time; the last one repeats.
    /// Default: `[1, 2, 4, 8, 16, 30, 60, 120, 300, 600, 900]`.
    pub(in crate::config) backoff_seconds: Vec<Span>,
    /// The share of a wait, from 0 to 1, by which it is lengthened or shortened at random; never
    /// earlier than a Retry-After. Default: 0.1.
    pub(in crate::config) jitter: Share,
    /// The statuses to try again on: `429`, `5xx`, `500-504`. Connection errors and timeouts are
    /// always tried again. Default: `[408, 425, 429, 5xx]`.
    pub(in crate::config) retry_on: Vec<Statuses>,
    /// A longer Retry-After counts as this. Default: `1h`.
    pub(in crate::config) max_retry_after: Span,
    /// No attempt starts later than this after the first; or `none`. Default: `none`.
    pub(in crate::config) max_elapsed: SpanOrNone,
}

impl Default for RetryKeys {
    fn default() -> Self {
        let waits = [1, 2, 4, 8, 16, 30, 60, 120, 300, 600, 900];
        let statuses = ["408", "425", "429", "5xx"];
        RetryKeys {
            max_attempts: Count(12),
            backoff_seconds: waits.map(Span::seconds).to_vec(),
            jitter: Share(0.1),
            retry_on: statuses.map(|status| Statuses(status.to_owned())).to_vec(),
            max_retry_after: Span(Duration::from_secs(3600)),
            max_elapsed: SpanOrNone(None),
        }
    }
}

/// At most so many requests in any such time.
#[derive(Debug, Clone, Copy, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RateLimitKeys {
    /// How many requests.
    pub(in crate::config) requests: Count,
    /// Within which time.
    pub(in crate::config) per: Span,
}

/// What waits for an export. In memory stand queued, waiting and in-flight events together; what
/// has no room there goes to the store.
#[derive(Debug, Clone, Copy, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct QueueKeys {
    /// `memory`: a full queue holds its sources back, and only what waits for a later attempt, and
    /// would keep others out, goes to disk. `overflow` writes to disk what a full memory would keep
    /// from other exports, or what a source cannot wait with. `disk` writes every event to disk
    /// before it counts as received. Default: `overflow`.
    pub(in crate::config) mode: QueueModeKey,
    /// Number of events in memory; left out, at least what three batches take. Default: 1000.
    pub(in crate::config) memory_events: Count,
    /// Bytes of their texts; left out, at least what three batches take. Default: `8MB`.
    pub(in crate::config) memory_bytes: Size,
    /// Bytes on disk. Default: `1GB`.
    pub(in crate::config) disk_bytes: Size,
    /// What becomes of an event that finds no room on disk: `dead_letter`, `block` (every source
    /// that feeds the export waits) or `drop_newest` (it is lost and counted). Default:
    /// `dead_letter`.
    pub(in crate::config) when_full: QueueFullKey,
    /// An event that waited longer is a dead letter `expired`; or `none`. Default: `none`.
    pub(in crate::config) max_age: SpanOrNone,
}

impl Default for QueueKeys {
    fn default() -> Self {
        QueueKeys {
            mode: QueueModeKey::Overflow,
            memory_events: Count(1000),
            memory_bytes: Size(8_000_000),
            disk_bytes: Size(1_000_000_000),
            when_full: QueueFullKey::DeadLetter,
            max_age: SpanOrNone(None),
        }
    }
}

/// Where a queue stands.
#[derive(Debug, Clone, Copy, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum QueueModeKey {
    Memory,
    Overflow,
    Disk,
}

/// What becomes of an event that finds no room.
#[derive(Debug, Clone, Copy, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum QueueFullKey {
    DeadLetter,
    Block,
    DropNewest,
}

/// An order of sending.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum OrderKey {
    #[default]
    None,
    Strict,
}

/// What a receiver that is gone does.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum OnGoneKey {
    #[default]
    Pause,
    DeadLetter,
    Retry,
}

/// When first attempts are held back. An event that was tried once follows its own schedule to
/// the end.
#[derive(Debug, Clone, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct BreakerKeys {
    /// After so many failed attempts in a row. Default: 10.
    pub(in crate::config) failures: Count,
    /// How long until one event is let through to see: the n-th value before the n-th time, the
    /// last one repeats. Default: `[30s, 60s, 300s]`.
    pub(in crate::config) probe_after: Vec<Span>,
}

impl Default for BreakerKeys {
    fn default() -> Self {
        BreakerKeys { failures: Count(10), probe_after: [30, 60, 300].map(Span::seconds).to_vec() }
    }
}
