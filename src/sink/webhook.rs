//! The webhook sink: renders a request from an event, sends it over its slot's connection and
//! tells what came of it.

use super::client::{Answer, Client, ClientError, Tls};
use super::{Sink, echo};
use crate::config;
use crate::delivery::{Delivery, Failure, MAX_EXCERPT, Outcome};
use crate::event::Event;
use crate::event::json::Json;
use crate::format::BodyFormat;
use crate::retry::{self, Reason, Reply};
use crate::template::{Escape, RenderContext, Template};
use crate::trouble::Trouble;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, DATE, HOST, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{HeaderMap, Request, Uri};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::sync::Arc;
use tokio::time::Instant;

/// The longest value of a standard header that is taken from an event, in bytes.
const MAX_EVENT_HEADER: usize = 256;

/// What is escaped in such a value: it must fit into a header whatever the event holds.
const HEADER_ESCAPES: &AsciiSet = &CONTROLS.add(b'%');

const X_EVENT: HeaderName = HeaderName::from_static("x-postrider-event");
const X_EVENT_ID: HeaderName = HeaderName::from_static("x-postrider-event-id");
const X_DELIVERY: HeaderName = HeaderName::from_static("x-postrider-delivery");
const X_ATTEMPT: HeaderName = HeaderName::from_static("x-postrider-attempt");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const AGENT: &str = concat!("postrider/", env!("CARGO_PKG_VERSION"));

/// A webhook, ready to render requests.
#[derive(Debug)]
pub struct Webhook {
    config: config::Webhook,
    body: Option<Template>,
    /// The request target, where the URL is fixed.
    target: Option<Uri>,
    host: HeaderValue,
}

/// A request as it would be sent.
#[derive(Debug)]
pub struct Rendered {
    /// Path and query.
    pub target: Uri,
    /// Every header.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// Why a request cannot be made from an event.
type Unsendable = (Reason, String);

impl Webhook {
    /// A webhook of the configuration.
    ///
    /// # Errors
    /// When the fixed URL is none that HTTP can carry.
    pub fn new(config: &config::Webhook, body: Option<&Template>) -> Result<Self, String> {
        let target = config.url.template.as_fixed().map(request_target).transpose()?;
        let default_port = if config.url.https { 443 } else { 80 };
        let host = match config.url.port {
            port if port == default_port => config.url.host.to_string(),
            port => format!("{}:{port}", config.url.host),
        };
        let host = HeaderValue::try_from(host)
            .map_err(|_| "the URL's host does not fit into a header".to_owned())?;
        Ok(Webhook { config: config.clone(), body: body.cloned(), target, host })
    }

    /// Path and query for this event.
    ///
    /// # Errors
    /// When the template fails on this event, or gives no valid URL.
    pub fn target(&self, event: &Event, context: &RenderContext<'_>) -> Result<Uri, String> {
        if let Some(target) = &self.target {
            return Ok(target.clone());
        }
        let url = render(&self.config.url.template, event, context, Escape::Url, "url")?;
        request_target(&String::from_utf8_lossy(&url))
    }

    /// The request for this event.
    ///
    /// # Errors
    /// A reason for the dead letter, and what is wrong.
    pub fn render(
        &self,
        event: &Event,
        context: &RenderContext<'_>,
    ) -> Result<Rendered, Unsendable> {
        let unrenderable = |error| (Reason::Render, error);
        let target = self.target(event, context).map_err(unrenderable)?;
        let headers = self.headers(event, context).map_err(unrenderable)?;
        let body = match &self.body {
            None => self.config.format.body(event),
            Some(template) => {
                let escape = if self.config.json { Escape::Json } else { Escape::None };
                let body =
                    render(template, event, context, escape, "body").map_err(unrenderable)?;
                if self.config.json {
                    check_json(&body).map_err(unrenderable)?;
                }
                Bytes::from(body)
            }
        };
        if body.len() > self.config.max_body_bytes {
            let error = format!(
                "the body has {} bytes, more than max_body_bytes {}",
                body.len(),
                self.config.max_body_bytes
            );
            return Err((Reason::TooLarge, error));
        }
        Ok(Rendered { target, headers, body })
    }

    fn headers(&self, event: &Event, context: &RenderContext<'_>) -> Result<HeaderMap, String> {
        let mut headers = HeaderMap::with_capacity(8 + self.config.headers.len());
        headers.insert(HOST, self.host.clone());
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        let format = if self.body.is_some() { BodyFormat::Json } else { self.config.format };
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.content_type()));
        for (name, value) in format.headers(event) {
            let value = HeaderValue::try_from(value).map_err(|error| format!("{name}: {error}"))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        headers.insert(X_EVENT, event_header(&event.event_kind));
        headers.insert(X_EVENT_ID, event_header(&event.audit_id));
        headers.insert(X_DELIVERY, event_header(context.delivery_id));
        headers.insert(X_ATTEMPT, HeaderValue::from(context.attempt));
        headers.insert(IDEMPOTENCY_KEY, event_header(context.delivery_id));
        for (name, template) in &self.config.headers {
            let Some(template) = template else {
                headers.remove(name);
                continue;
            };
            let value = render(template, event, context, Escape::None, name.as_str())?;
            let mut value = HeaderValue::try_from(value).map_err(|_| {
                format!("header `{name}`: the value has a line break or another control character")
            })?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(headers)
    }
}

fn render(
    template: &Template,
    event: &Event,
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

fn check_json(body: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(body).map_err(|_| "body: not UTF-8".to_owned())?;
    Json::check_rendered(text).map(|_| ()).map_err(|error| format!("body: not JSON, {error}"))
}

/// Path and query of a URL whose scheme, host and port are known.
fn request_target(url: &str) -> Result<Uri, String> {
    let parsed = url::Url::parse(url).map_err(|error| format!("url: {error}"))?;
    let target = &parsed[url::Position::BeforePath..url::Position::AfterQuery];
    target.parse().map_err(|error| format!("url: {error}"))
}

/// A value from an event that fits into a header: as it is where it can, else percent-encoded.
fn event_header(text: &str) -> HeaderValue {
    let plain =
        text.len() <= MAX_EVENT_HEADER && text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if plain && let Ok(value) = HeaderValue::from_str(text) {
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

/// Resolves a webhook's host, connects, and does the TLS handshake; sends nothing.
///
/// # Errors
/// What kind of trouble there is, and what went wrong.
pub async fn probe(config: &config::Webhook) -> Result<(), (Trouble, String)> {
    let mut client = Client::new(&config.url, config.connect_timeout, Tls::default());
    let deadline = Instant::now() + config.timeout;
    client.probe(deadline).await.map_err(|ClientError { trouble, text }| (trouble, text))
}

/// One slot of a webhook.
#[derive(Debug)]
pub struct WebhookSlot {
    webhook: Arc<Webhook>,
    export: Arc<str>,
    client: Client,
}

impl WebhookSlot {
    /// A slot with no connection yet.
    pub fn new(webhook: Arc<Webhook>, export: Arc<str>, tls: Tls) -> Self {
        let client = Client::new(&webhook.config.url, webhook.config.connect_timeout, tls);
        WebhookSlot { webhook, export, client }
    }

    fn context<'a>(&'a self, delivery: &'a Delivery) -> RenderContext<'a> {
        RenderContext {
            export: &self.export,
            delivery_id: delivery.id.as_str(),
            attempt: delivery.tries.sent + 1,
            // A body is the same at each attempt, so its time is that of the first.
            now: delivery.tries.first_at.map_or_else(Timestamp::now, |first| first.wall),
            mask_variables: false,
        }
    }

    /// The beginning of an answer, without what it repeats of the request.
    fn excerpt(&self, answer: &Answer, delivery: &Delivery) -> Option<String> {
        let body = String::from_utf8_lossy(&answer.body);
        if body.is_empty() {
            return None;
        }
        // Rendered once more, and only here: a copy for each attempt would cost all of them.
        let context = self.context(delivery);
        let target = self.webhook.target(&delivery.event, &context).unwrap_or_default();
        let headers = self.webhook.headers(&delivery.event, &context).unwrap_or_default();
        // Masked first: the cut could leave half a secret.
        let variables = self.webhook.body.iter().flat_map(Template::variables);
        let body = echo::mask(&body, &target, &headers, variables);
        Some(body[..body.floor_char_boundary(MAX_EXCERPT)].to_owned())
    }

    async fn attempt(&mut self, delivery: &Delivery) -> Outcome {
        let deadline = Instant::now() + self.webhook.config.timeout;
        let rendered = match self.webhook.render(&delivery.event, &self.context(delivery)) {
            Ok(rendered) => rendered,
            Err((reason, error)) => return Outcome::Unsendable { reason, error },
        };
        let mut request = Request::new(Full::new(rendered.body));
        *request.method_mut() = self.webhook.config.method.clone();
        *request.uri_mut() = rendered.target;
        *request.headers_mut() = rendered.headers;
        match self.client.send(request, deadline).await {
            Ok(answer) if answer.status.is_success() => {
                Outcome::Delivered(Some(answer.status.as_u16()))
            }
            Ok(answer) => {
                let mut failure = refused(&answer);
                failure.response = self.excerpt(&answer, delivery);
                Outcome::Failed(failure)
            }
            Err(ClientError { trouble, text }) => Outcome::Failed(Failure {
                reply: Reply::None,
                trouble,
                error: text,
                response: None,
            }),
        }
    }
}

impl Sink for WebhookSlot {
    fn endpoint(&self, delivery: &Delivery) -> Result<Option<Box<str>>, Outcome> {
        if self.webhook.target.is_some() {
            return Ok(None);
        }
        match self.webhook.target(&delivery.event, &self.context(delivery)) {
            Ok(target) => Ok(Some(target.path().into())),
            Err(error) => Err(Outcome::Unsendable { reason: Reason::Render, error }),
        }
    }

    async fn send(&mut self, deliveries: &[Delivery], outcomes: &mut Vec<Outcome>) {
        for delivery in deliveries {
            outcomes.push(self.attempt(delivery).await);
        }
    }
}

/// An answer other than 2xx, without its excerpt.
fn refused(answer: &Answer) -> Failure {
    let code = answer.status.as_u16();
    let header =
        |name| answer.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let body = String::from_utf8_lossy(&answer.body);
    let asked = header(RETRY_AFTER)
        .and_then(|value| retry::retry_after(value, header(DATE), Timestamp::now()));
    let retry_after = asked.or_else(|| retry::retry_after_in_body(&body));
    Failure {
        reply: Reply::Status { code, retry_after },
        trouble: Trouble::of_status(code),
        error: format!("HTTP {code}"),
        response: None,
    }
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
            assert_eq!(request_target(url).unwrap().to_string(), target, "{url}");
        }
        assert!(request_target("nonsense").is_err());
    }
}
