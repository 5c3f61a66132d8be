//! The webhook sink: renders a request from an event, or from many. How it is sent stands in
//! `attempt`.

use super::batch::{self, Joined, Whole};
use super::body::Body;
use super::dial::Dialer;
use super::seal::Seal;
use crate::config;
use crate::delivery::Outcome;
use crate::event::Event;
use crate::event::json::Json;
use crate::format::BodyFormat;
use crate::redact::Redaction;
use crate::retry::Reason;
use crate::template::{BatchItem, Escape, RenderContext, Template};
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT};
use hyper::{HeaderMap, Uri};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::borrow::Cow;
use std::sync::Arc;

/// The longest value of a standard header that is taken from an event, in bytes.
const MAX_EVENT_HEADER: usize = 256;

/// What is escaped in such a value: it must fit into a header whatever the event holds.
const HEADER_ESCAPES: &AsciiSet = &CONTROLS.add(b'%');

const X_EVENT: HeaderName = HeaderName::from_static("x-postrider-event");
const X_EVENT_ID: HeaderName = HeaderName::from_static("x-postrider-event-id");
const X_DELIVERY: HeaderName = HeaderName::from_static("x-postrider-delivery");
pub(super) const X_ATTEMPT: HeaderName = HeaderName::from_static("x-postrider-attempt");
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const AGENT: &str = concat!("postrider/", env!("CARGO_PKG_VERSION"));

pub use super::attempt::{WebhookSlot, probe};

/// A webhook, ready to render requests.
#[derive(Debug)]
pub struct Webhook {
    pub(super) config: config::Webhook,
    pub(super) body: config::Body,
    /// What of answers and errors must not be kept.
    redaction: Option<Arc<Redaction>>,
    /// The request target, where the URL is fixed.
    pub(super) target: Option<Uri>,
    host: HeaderValue,
    pub(super) dialer: Arc<Dialer>,
    /// Compresses and signs what is rendered.
    pub(super) seal: Seal,
    /// How many events go in one request; `None`: one.
    pub(super) batch: Option<config::Batch>,
}

/// A request as it was rendered; sealed, as it is sent.
#[derive(Debug)]
pub struct Rendered {
    /// Path and query.
    pub target: Uri,
    /// Every header.
    pub headers: HeaderMap,
    /// The body.
    pub body: Body,
    /// The id of a batch; `None`: it is that of the delivery.
    pub batch: Option<Box<str>>,
}

/// Why a request cannot be made from an event.
pub(super) type Unsendable = (Reason, String);

impl Webhook {
    /// A webhook of the configuration.
    ///
    /// # Errors
    /// When the fixed URL is none that HTTP can carry.
    pub fn new(config: &config::Webhook, body: &config::Body) -> Result<Self, String> {
        let fixed = config.url.template.as_fixed();
        let target = fixed.map(|url| request_target(url, &config.platform)).transpose()?;
        let default_port = if config.url.https { 443 } else { 80 };
        let host = match config.url.port {
            port if port == default_port => config.url.host.to_string(),
            port => format!("{}:{port}", config.url.host),
        };
        let host = HeaderValue::try_from(host)
            .map_err(|_| "the URL's host does not fit into a header".to_owned())?;
        let dialer = Arc::new(Dialer::new(config));
        let seal = Seal::new(config);
        let (config, body) = (config.clone(), body.clone());
        Ok(Webhook { config, body, redaction: None, target, host, dialer, seal, batch: None })
    }

    /// Redacts what receivers answer, and errors.
    pub fn redacting(self, redaction: Option<&Arc<Redaction>>) -> Self {
        Webhook { redaction: redaction.cloned(), ..self }
    }

    pub(super) fn redacted(&self, text: String) -> String {
        match &self.redaction {
            Some(redaction) => redaction.plain(&text).into_owned(),
            None => text,
        }
    }

    /// The same, with many events in one request.
    #[must_use]
    pub fn batched(self, batch: Option<&config::Batch>) -> Self {
        Webhook { batch: batch.cloned(), ..self }
    }

    /// The request for as many of these as fit into one.
    pub(super) fn join(&self, items: &[BatchItem<'_>]) -> Joined {
        match &self.batch {
            Some(batch) => batch::join(self, batch, items),
            None => Joined { outcomes: Vec::new(), request: None },
        }
    }

    /// How values are written into its bodies.
    pub(super) fn escape(&self) -> Escape {
        if self.config.json { self.config.platform.escape() } else { Escape::None }
    }

    pub(super) fn is_json(&self) -> bool {
        self.config.json
    }

    /// Path and query for this event.
    ///
    /// # Errors
    /// When the template fails on this event, or gives no valid URL.
    pub fn target(&self, event: &Arc<Event>, context: &RenderContext<'_>) -> Result<Uri, String> {
        if let Some(target) = &self.target {
            return Ok(target.clone());
        }
        let url = render(&self.config.url.template, event, context, Escape::Url, "url")?;
        let url = String::from_utf8_lossy(&url);
        if self.config.url.is_left_by(&url) {
            return Err("url: a value makes a path segment `.` or `..`".to_owned());
        }
        request_target(&url, &self.config.platform)
    }

    /// The request for this event, before it is sealed.
    ///
    /// # Errors
    /// A reason for the dead letter, and what is wrong.
    pub fn render(
        &self,
        event: &Arc<Event>,
        context: &RenderContext<'_>,
    ) -> Result<Rendered, Unsendable> {
        if self.batch.is_some() {
            let joined = self.join(&[BatchItem { event, context: *context }]);
            let why = match joined.outcomes.into_iter().flatten().next() {
                Some(Outcome::Unsendable { reason, error }) => (reason, error),
                _ => (Reason::Render, "nothing is left of it".to_owned()),
            };
            return joined.request.ok_or(why);
        }
        let unrenderable = |error| (Reason::Render, error);
        let target = self.target(event, context).map_err(unrenderable)?;
        let headers = self.headers(event, context, None).map_err(unrenderable)?;
        let body = self.body(event, context)?;
        if !self.config.json && says_json(&headers) {
            // Only this event's header says so.
            check_json(&body).map_err(unrenderable)?;
        }
        if body.len() > self.config.max_body_bytes {
            let error = format!(
                "the body has {} bytes, more than max_body_bytes {}",
                body.len(),
                self.config.max_body_bytes
            );
            return Err((Reason::TooLarge, error));
        }
        Ok(Rendered { target, headers, body: Body::Whole(body), batch: None })
    }

    /// The request as it is sent at this time: compressed and signed. `id` is that of the
    /// delivery; a batch has its own.
    ///
    /// # Errors
    /// A reason for the dead letter, and what is wrong.
    pub fn seal(
        &self,
        mut rendered: Rendered,
        id: &str,
        now: Timestamp,
    ) -> Result<Rendered, Unsendable> {
        let id = rendered.batch.as_deref().unwrap_or(id);
        let sealed = self.seal.apply(&mut rendered.headers, rendered.body, id, now);
        let body = sealed.map_err(|error| (Reason::Render, error))?;
        Ok(Rendered { body, ..rendered })
    }

    /// Whether the body of an event is its text.
    pub(super) fn is_untouched(&self, event: &Event) -> bool {
        self.config.format == BodyFormat::Json && self.body.for_event(event).is_none()
    }

    /// The body of one event.
    pub(super) fn body(
        &self,
        event: &Arc<Event>,
        context: &RenderContext<'_>,
    ) -> Result<Bytes, Unsendable> {
        let Some(template) = self.body.for_event(event) else {
            return Ok(self.config.format.body(event));
        };
        let unrenderable = |error| (Reason::Render, error);
        // The same at each attempt.
        let context = &RenderContext { attempt: 1, ..*context };
        let body = render(template, event, context, self.escape(), "body").map_err(unrenderable)?;
        if !self.config.json {
            return Ok(Bytes::from(body));
        }
        if self.config.lines {
            return batch::lines(&body).map(Bytes::from).map_err(unrenderable);
        }
        let text = check_json(&body).map_err(unrenderable)?;
        match self.limited(text)? {
            None => Ok(Bytes::from(body)),
            Some(text) => Ok(Bytes::from(text)),
        }
    }

    /// A body within the platform's bounds, where it was not; it must be checked JSON.
    pub(super) fn limited(&self, body: &str) -> Result<Option<String>, Unsendable> {
        let Some(limits) = self.config.platform.limits() else { return Ok(None) };
        match limits.apply(body).map_err(|error| (Reason::TooLarge, error))? {
            Cow::Borrowed(_) => Ok(None),
            Cow::Owned(text) => Ok(Some(text)),
        }
    }

    /// The headers of this event's request, or of the batch that begins with it.
    pub(super) fn headers(
        &self,
        event: &Arc<Event>,
        context: &RenderContext<'_>,
        whole: Option<&Whole>,
    ) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::with_capacity(8 + self.config.headers.len());
        headers.insert(HOST, self.host.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let format = match self.config.format {
            // What a template makes is JSON too: nobody needs to know which it is.
            BodyFormat::Json => BodyFormat::Json,
            _ if self.body.for_event(event).is_some() => BodyFormat::Json,
            format => format,
        };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
        for (name, value) in format.headers(event) {
            let value = HeaderValue::try_from(value).map_err(|error| format!("{name}: {error}"))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        headers.insert(X_EVENT, event_header(&event.event_kind));
        headers.insert(X_EVENT_ID, event_header(&event.audit_id));
        let delivery = event_header(context.delivery_id);
        headers.insert(X_DELIVERY, delivery.clone());
        let first = context.attempt == 1;
        let attempt = if first { HeaderValue::from_static("1") } else { context.attempt.into() };
        headers.insert(X_ATTEMPT, attempt);
        headers.insert(IDEMPOTENCY_KEY, delivery);
        if let Some(whole) = whole {
            whole.headers([X_EVENT, X_EVENT_ID, X_DELIVERY], format, &mut headers);
        }
        for (name, _) in self.config.headers.iter().filter(|(_, value)| value.is_none()) {
            headers.remove(name);
        }
        for (name, value) in self.configured_headers(event, context)? {
            headers.insert(name, value);
        }
        Ok(headers)
    }

    /// The headers of the configuration.
    pub(super) fn configured_headers(
        &self,
        event: &Arc<Event>,
        context: &RenderContext<'_>,
    ) -> Result<Vec<(&HeaderName, HeaderValue)>, String> {
        let mut headers = Vec::with_capacity(self.config.headers.len());
        for (name, template) in &self.config.headers {
            let Some(template) = template else { continue };
            let value = render(template, event, context, Escape::None, name.as_str())?;
            let mut value = HeaderValue::try_from(value).map_err(|_| {
                format!("header `{name}`: the value has a line break or another control character")
            })?;
            value.set_sensitive(true);
            headers.push((name, value));
        }
        Ok(headers)
    }
}

/// Whether the content type is that of one JSON text.
fn says_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(config::is_json_type)
}

pub(super) fn render(
    template: &Template,
    event: &Arc<Event>,
    context: &RenderContext<'_>,
    escape: Escape,
    what: &str,
) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(256);
    template
        .render(event, context, escape, &mut out)
        .map_err(|error| format!("{what}: {error}"))?;
    Ok(out)
}

pub(super) fn check_json(body: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(body).map_err(|_| "body: not UTF-8".to_owned())?;
    Json::check_rendered(text).map(|_| text).map_err(|error| format!("body: not JSON, {error}"))
}

/// Path and query of a URL whose scheme, host and port are known.
fn request_target(url: &str, platform: &config::Platform) -> Result<Uri, String> {
    let mut parsed = url::Url::parse(url).map_err(|error| format!("url: {error}"))?;
    platform.readdress(&mut parsed);
    let target = &parsed[url::Position::BeforePath..url::Position::AfterQuery];
    target.parse().map_err(|error| format!("url: {error}"))
}

/// A value from an event that fits into a header: as it is where it can, else percent-encoded.
fn event_header(text: &str) -> HeaderValue {
    // Of ASCII that is not printable, a header could hold tabs alone.
    if text.len() <= MAX_EVENT_HEADER
        && text.is_ascii()
        && memchr::memchr(b'\t', text.as_bytes()).is_none()
        && let Ok(value) = HeaderValue::from_str(text)
    {
        return value;
    }
    let mut value = String::with_capacity(text.len().min(MAX_EVENT_HEADER));
    for piece in utf8_percent_encode(text, HEADER_ESCAPES) {
        if value.len() + piece.len() > MAX_EVENT_HEADER {
            value.push_str(
                piece.get(..MAX_EVENT_HEADER.saturating_sub(value.len())).unwrap_or_default(),
            );
            break;
        }
        value.push_str(piece);
    }
    HeaderValue::try_from(value).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_from_events_fit_into_headers() {
        for (text, header) in [
            ("policy_block", "policy_block"),
            ("a b", "a b"),
            ("a\r\nX-Evil: 1", "a%0D%0AX-Evil: 1"),
            ("50%", "50%"),
            ("a\tb", "a%09b"),
            ("a\u{7f}", "a%7F"),
            ("50% é", "50%25 %C3%A9"),
            ("é", "%C3%A9"),
        ] {
            assert_eq!(event_header(text), header, "{text:?}");
        }
        assert_eq!(event_header(&"x".repeat(5000)).len(), MAX_EVENT_HEADER);
        assert!(event_header(&"é".repeat(5000)).len() <= MAX_EVENT_HEADER);
    }

    #[test]
    fn targets_are_path_and_query() {
        for (url, target) in [
            ("https://x.example", "/"),
            ("https://x.example/a/b?c=d", "/a/b?c=d"),
            ("http://x.example:81/a?", "/a?"),
            ("http://x.example/a#frag", "/a"),
        ] {
            let platform = config::Platform::default();
            assert_eq!(request_target(url, &platform).unwrap().to_string(), target, "{url}");
        }
        assert!(request_target("nonsense", &config::Platform::default()).is_err());
    }
}
