//! Webhooks: where they send and how.

use super::{Authentication, Platform, Proxy, TlsSettings};
use crate::address::Guard;
use crate::format::BodyFormat;
use crate::template::Template;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

/// A webhook.
#[derive(Debug, Clone)]
pub struct Webhook {
    /// Where it sends.
    pub url: WebhookUrl,
    /// Whose webhook it is.
    pub platform: Platform,
    /// The request's method, such as `POST`.
    pub method: hyper::Method,
    /// Headers of the configuration, names in lower case; `None` leaves a standard header out.
    pub headers: Vec<(hyper::header::HeaderName, Option<Template>)>,
    /// What an event goes out as where no template says so.
    pub format: BodyFormat,
    /// Whether the body is JSON: its content type says so.
    pub json: bool,
    /// Whether the body of one event may be several values, one behind the other: its content type
    /// says that it is lines of JSON, and a batch takes them.
    pub lines: bool,
    /// The whole attempt: connect, TLS, head, body.
    pub timeout: Duration,
    /// Resolving, connecting and the TLS handshake.
    pub connect_timeout: Duration,
    /// Requests in flight at once.
    pub concurrency: NonZeroUsize,
    /// A longer body is a dead letter `too_large`.
    pub max_body_bytes: usize,
    /// What it may dial; `None` lets it dial everything.
    pub guard: Option<Guard>,
    /// The proxy that it goes through.
    pub proxy: Option<Proxy>,
    /// TLS, where it differs from the usual.
    pub tls: Option<Arc<TlsSettings>>,
    /// What proves who sends.
    pub authentication: Authentication,
    /// How the body is compressed.
    pub compression: Compression,
}

/// How a request's body is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// `Content-Encoding: gzip` (RFC 1952).
    Gzip,
    /// `Content-Encoding: zstd` (RFC 8878).
    Zstd,
}

/// A webhook's URL: scheme, host and port are fixed, path and query may be a template.
#[derive(Debug, Clone)]
pub struct WebhookUrl {
    /// Whether it is https.
    pub https: bool,
    /// The host, normalised.
    pub host: url::Host<String>,
    /// The port, the scheme's own where none is written.
    pub port: u16,
    /// The whole URL.
    pub template: Template,
}

impl WebhookUrl {
    /// The URL as logs may show it: the host, and that there is more.
    pub fn masked(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        let default = if self.https { 443 } else { 80 };
        if self.port == default {
            format!("{scheme}://{}/…", self.host)
        } else {
            format!("{scheme}://{}:{}/…", self.host, self.port)
        }
    }
}
