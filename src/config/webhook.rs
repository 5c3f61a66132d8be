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
    /// How many segments `.` or `..` its own path has, values left aside.
    pub dots: usize,
}

/// How many segments of a URL's path mean the folder itself or the one above, in any spelling: a
/// client takes them away, and what stands before `..` with it.
pub(super) fn dot_segments(url: &str) -> usize {
    let path = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = path.split(['?', '#']).next().unwrap_or_default();
    // The parser of URLs leaves tabs and line breaks out, and white space at the ends.
    let path: String = path.trim().chars().filter(|c| !matches!(c, '\t' | '\n' | '\r')).collect();
    let is_dots = |segment: &str| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    };
    path.split(['/', '\\']).skip(1).filter(|segment| is_dots(segment)).count()
}

impl WebhookUrl {
    /// Whether values of an event would lead a rendered URL to another path than the one they stand
    /// in.
    pub fn is_left_by(&self, rendered: &str) -> bool {
        dot_segments(rendered) > self.dots
    }

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

/// Whether a content type, with its parameters or without, is that of one JSON text.
pub fn is_json_type(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().as_bytes();
    let ending = kind.last_chunk::<5>();
    ending.is_some_and(|ending| {
        ending.eq_ignore_ascii_case(b"/json") || ending.eq_ignore_ascii_case(b"+json")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_segments_are_seen_in_any_spelling() {
        for (url, count) in [
            ("https://h/a/b", 0),
            ("https://h", 0),
            ("https://../a", 0),
            ("https://h/a/../b/./c", 2),
            ("https://h/a/%2E%2e/%2e./.%2E/%2e", 4),
            ("https://h/a\\..\\b", 1),
            ("https://h/a/.\t.\n", 1),
            ("https://h/a/.. ", 1),
            ("https://h/...//a../..a/%252e%252e/x", 0),
            ("https://h/a?b=/../c#/../d", 0),
        ] {
            assert_eq!(dot_segments(url), count, "{url}");
        }
    }
}
