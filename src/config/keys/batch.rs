//! The keys of a batch.

use super::{Count, Size, Span};
use serde::Deserialize;
use std::time::Duration;

/// Many events in one request. It goes when the first bound is reached: `max_events`, `max_bytes`
/// or `max_wait`. Verdicts, attempts and dead letters stay per event.
#[derive(Debug, Clone, Copy, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct BatchKeys {
    /// The most events of a request. Default: 500.
    pub(in crate::config) max_events: Count,
    /// The longest body, and in place of `webhook.max_body_bytes`; an event whose own is longer is
    /// a dead letter `too_large`. Default: `1MB`.
    pub(in crate::config) max_bytes: Size,
    /// How long an event waits for others, from when it was accepted. Default: `5s`.
    pub(in crate::config) max_wait: Span,
    /// How the events' bodies are joined: `ndjson` (a line each), `json_array` or `concat` (one
    /// behind the other, with nothing between them). Default: `ndjson`.
    pub(in crate::config) encoding: EncodingKey,
    /// Another name of `max_events`.
    pub(in crate::config) max_size: Option<Count>,
    /// Another name of `max_wait`.
    pub(in crate::config) max_wait_seconds: Option<Span>,
}

impl Default for BatchKeys {
    fn default() -> Self {
        BatchKeys {
            max_events: Count(500),
            max_bytes: Size(1_000_000),
            max_wait: Span(Duration::from_secs(5)),
            encoding: EncodingKey::Ndjson,
            max_size: None,
            max_wait_seconds: None,
        }
    }
}

/// How bodies are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "snake_case")]
pub(in crate::config) enum EncodingKey {
    Ndjson,
    JsonArray,
    Concat,
}
