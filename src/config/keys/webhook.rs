//! The keys of a webhook.

use super::{
    AnswerKeys, AuthenticationSetting, BodyTemplatesKey, CloudEventsKeys, Count, DiscordKeys,
    PagerdutyKeys, PlatformKey, Size, SlackKeys, Span, TemplateKey, TlsKeys,
};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The requests of a webhook.
#[derive(Debug, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub(in crate::config) struct WebhookKeys {
    /// Where it sends, `http` or `https`; required. A template in path and query, its values
    /// percent-encoded; scheme, host and port are fixed text. `${VARIABLE}` may be the whole of
    /// it.
    pub(in crate::config) url: Option<TemplateKey>,
    /// Whose webhook it is, which decides the default body, its bounds and escaping, the rate
    /// limit and what answers mean: `auto` (by the URL's host), `webhook` (nobody's in
    /// particular), or a platform. Default: `auto`.
    pub(in crate::config) platform: PlatformKey,
    /// Platform `slack`: its messages.
    pub(in crate::config) slack: Option<SlackKeys>,
    /// Platform `discord`: its messages.
    pub(in crate::config) discord: Option<DiscordKeys>,
    /// Platform `pagerduty`: its events.
    pub(in crate::config) pagerduty: Option<PagerdutyKeys>,
    /// The small line below a platform's message, a template. Default: `postrider`.
    pub(in crate::config) footer: Option<TemplateKey>,
    /// The request's method. Default: `POST`.
    pub(in crate::config) method: String,
    /// Headers by name; their values are templates. A name replaces the standard header, null
    /// leaves it out. `Host`, `Content-Length`, `Transfer-Encoding` and `Connection` are not
    /// yours to set.
    pub(in crate::config) headers: BTreeMap<String, Option<TemplateKey>>,
    /// The body, a template. Default: the platform's message, else the event as it came.
    pub(in crate::config) body_template: Option<TemplateKey>,
    /// A file with the body's template, instead of `body_template`.
    pub(in crate::config) body_template_file: Option<String>,
    /// Bodies by event kind: a kind, a glob of kinds, or `default` for all others. A whole kind goes
    /// before globs, and those in the order they are written in. What none of them takes has the
    /// body of `body_template`, or the platform's.
    pub(in crate::config) body_templates: BodyTemplatesKey,
    /// What answers mean beyond their status; the first that fits decides. They stand above
    /// `retry.retry_on` and above what is known of the platform. Default: none.
    pub(in crate::config) answers: Vec<AnswerKeys>,
    /// With a `batch`: the whole body, a template that sees `events`, a list, instead of one event.
    pub(in crate::config) batch_template: Option<TemplateKey>,
    /// With `format: cloudevents`: how a CloudEvent is sent.
    pub(in crate::config) cloudevents: CloudEventsKeys,
    /// The whole attempt: connect, TLS, head, body. Default: `10s`.
    pub(in crate::config) timeout: Span,
    /// Resolving, connecting and the TLS handshake. Default: `5s`.
    pub(in crate::config) connect_timeout: Span,
    /// Requests in flight at once. Default: 8.
    pub(in crate::config) concurrency: Count,
    /// A longer body, before it is compressed, is a dead letter `too_large`; with a `batch` its
    /// `max_bytes` holds instead. Default: `1MiB`.
    pub(in crate::config) max_body_bytes: Size,
    /// What proves to the receiver who sends: one, or a list of several that set different
    /// headers. Signatures cover the exact bytes sent, and their times are those of the attempt.
    /// Default: none.
    pub(in crate::config) authentication: AuthenticationSetting,
    /// How the body is compressed: `none`, `gzip` or `zstd`; `Content-Encoding` says so. Default:
    /// `none`.
    pub(in crate::config) compression: CompressionKey,
    /// TLS, where `url` is https.
    pub(in crate::config) tls: Option<TlsKeys>,
    /// A proxy, `http://host:port` or `http://user:password@host:port`, which is asked by `CONNECT`
    /// for a way to the receiver. Proxies of the environment are ignored.
    pub(in crate::config) proxy: Option<String>,
    /// Whether only public addresses may be dialled: a host with any other is refused, dead letter
    /// `blocked_address`. Default: `false`.
    pub(in crate::config) block_private_networks: bool,
    /// What `block_private_networks` lets through all the same: networks such as `10.1.0.0/16`, and
    /// hosts with their port such as `hooks.internal:8443`. Default: nothing.
    pub(in crate::config) allow: Vec<String>,
    /// Whether a `url` that is not https is a problem. Default: `false`.
    pub(in crate::config) require_https: bool,
}

impl Default for WebhookKeys {
    fn default() -> Self {
        WebhookKeys {
            url: None,
            platform: PlatformKey::Auto,
            slack: None,
            discord: None,
            pagerduty: None,
            footer: None,
            method: "POST".to_owned(),
            headers: BTreeMap::new(),
            body_template: None,
            body_template_file: None,
            body_templates: BodyTemplatesKey::default(),
            answers: Vec::new(),
            batch_template: None,
            cloudevents: CloudEventsKeys::default(),
            timeout: Span::seconds(10),
            connect_timeout: Span::seconds(5),
            concurrency: Count(8),
            max_body_bytes: Size(1 << 20),
            authentication: AuthenticationSetting::default(),
            compression: CompressionKey::None,
            tls: None,
            proxy: None,
            block_private_networks: false,
            allow: Vec::new(),
            require_https: false,
        }
    }
}

/// How a body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum CompressionKey {
    None,
    Gzip,
    Zstd,
}
