//! The keys of a webhook.

use super::{CloudEventsKeys, Count, Size, Span, TemplateKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The requests of a webhook.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct WebhookKeys {
    /// Where it sends, `http` or `https`; required. A template in path and query, its values
    /// percent-encoded; scheme, host and port are fixed text. `${VARIABLE}` may be the whole of
    /// it.
    pub(in crate::config) url: Option<TemplateKey>,
    /// Whose webhook it is: `auto` (by the URL's host) or `webhook` (nobody's in particular).
    /// Default: `auto`.
    pub(in crate::config) platform: PlatformKey,
    /// The request's method. Default: `POST`.
    pub(in crate::config) method: String,
    /// Headers by name; their values are templates. A name replaces the standard header, null
    /// leaves it out. `Host`, `Content-Length`, `Transfer-Encoding` and `Connection` are not
    /// yours to set.
    pub(in crate::config) headers: BTreeMap<String, Option<TemplateKey>>,
    /// The body, a template. Default: the event as it came.
    pub(in crate::config) body_template: Option<TemplateKey>,
    /// A file with the body's template, instead of `body_template`.
    pub(in crate::config) body_template_file: Option<String>,
    /// With `format: cloudevents`: how a CloudEvent is sent.
    pub(in crate::config) cloudevents: CloudEventsKeys,
    /// The whole attempt: connect, TLS, head, body. Default: `10s`.
    pub(in crate::config) timeout: Span,
    /// Resolving, connecting and the TLS handshake. Default: `5s`.
    pub(in crate::config) connect_timeout: Span,
    /// Requests in flight at once. Default: 8.
    pub(in crate::config) concurrency: Count,
    /// A longer body is a dead letter `too_large`. Default: `1MiB`.
    pub(in crate::config) max_body_bytes: Size,
}

impl Default for WebhookKeys {
    fn default() -> Self {
        WebhookKeys {
            url: None,
            platform: PlatformKey::Auto,
            method: "POST".to_owned(),
            headers: BTreeMap::new(),
            body_template: None,
            body_template_file: None,
            cloudevents: CloudEventsKeys::default(),
            timeout: Span::seconds(10),
            connect_timeout: Span::seconds(5),
            concurrency: Count(8),
            max_body_bytes: Size(1 << 20),
        }
    }
}

/// Whose webhook it is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum PlatformKey {
    Auto,
    Webhook,
}
