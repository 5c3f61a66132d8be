//! Attempts of a webhook: a request goes over its slot's connection, and what came of it is told
//! without what an answer repeats of our secrets.

use super::batch::{self, Joined};
use super::body::Body;
use super::client::{Answer, Client};
use super::dial::Dialer;
use super::error::ClientError;
use super::tls::Tls;
use super::webhook::{Rendered, Unsendable, Webhook};
use super::{Key, Sink, echo, verdict};
use crate::config;
use crate::delivery::{Delivery, Failure, MAX_EXCERPT, Outcome};
use crate::event::ShortHash;
use crate::retry::{Reason, Reply};
use crate::template::{BatchItem, RenderContext, Template};
use crate::trouble::Trouble;
use bytes::Bytes;
use hyper::Request;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Resolves a webhook's host, connects, and does the TLS handshake; sends nothing.
///
/// # Errors
/// What kind of trouble there is, and what went wrong.
pub async fn probe(config: &config::Webhook) -> Result<(), (Trouble, String)> {
    let mut client = Client::new(Arc::new(Dialer::new(config)), Tls::default());
    let deadline = Instant::now() + config.timeout;
    client.probe(deadline).await.map_err(|ClientError { trouble, text }| (trouble, text))
}

/// A request as it went over the wire.
#[derive(Clone, Copy)]
struct Sent<'a> {
    /// Empty where it was joined while it was sent: no header depends on it then.
    body: &'a [u8],
    /// What it is known by: the delivery's id, or that of its batch.
    id: &'a str,
    now: Timestamp,
}

/// One slot of a webhook.
#[derive(Debug)]
pub struct WebhookSlot {
    webhook: Arc<Webhook>,
    export: Arc<str>,
    client: Client,
    rest: Option<Duration>,
}

impl WebhookSlot {
    /// A slot with no connection yet.
    pub fn new(webhook: Arc<Webhook>, export: Arc<str>, tls: Tls) -> Self {
        let client = Client::new(Arc::clone(&webhook.dialer), tls);
        WebhookSlot { webhook, export, client, rest: None }
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
    fn excerpt(&self, answer: &Answer, delivery: &Delivery, sent: Sent<'_>) -> Option<String> {
        let body = String::from_utf8_lossy(&answer.body);
        if body.is_empty() {
            return None;
        }
        // Rendered once more, and only here: a copy for each attempt would cost all of them.
        let context = self.context(delivery);
        let target = self.webhook.target(&delivery.event, &context).unwrap_or_default();
        let mut headers = self.webhook.headers(&delivery.event, &context, None).unwrap_or_default();
        self.webhook.seal.authenticate(&mut headers, sent.body, sent.id, sent.now);
        // Masked first: the cut could leave half a secret.
        let variables = self.webhook.body.templates().flat_map(Template::variables);
        let proxy = self.webhook.config.proxy.as_ref();
        let credentials = proxy.and_then(|proxy| proxy.credentials.as_ref());
        let credentials = credentials.iter().flat_map(|known| known.secrets());
        let secrets = self.webhook.seal.secrets().chain(credentials);
        let body = echo::mask(&body, &target, &headers, variables, secrets);
        let body = self.webhook.redacted(body);
        Some(body[..body.floor_char_boundary(MAX_EXCERPT)].to_owned())
    }

    async fn attempt(&mut self, delivery: &Delivery) -> Outcome {
        match self.webhook.render(&delivery.event, &self.context(delivery)) {
            Ok(rendered) => self.exchange(rendered, delivery).await,
            Err(why) => self.unsendable(why),
        }
    }

    /// Sends a request that carries this delivery, alone or first of all, and tells what came of
    /// it.
    async fn exchange(&mut self, rendered: Rendered, delivery: &Delivery) -> Outcome {
        let now = Timestamp::now();
        let batch = rendered.batch.clone();
        let rendered = match self.webhook.seal(rendered, delivery.id.as_str(), now) {
            Ok(rendered) => rendered,
            Err(why) => return self.unsendable(why),
        };
        let body = match &rendered.body {
            Body::Whole(bytes) => bytes.clone(),
            Body::Texts(_) => Bytes::new(),
        };
        let mut request = Request::new(rendered.body);
        *request.method_mut() = self.webhook.config.method.clone();
        *request.uri_mut() = rendered.target;
        *request.headers_mut() = rendered.headers;
        let answers = &self.webhook.config.platform.answers;
        let needs_body = |status: u16| answers.need_body(status);
        // From here on it is the receiver's time.
        let deadline = Instant::now() + self.webhook.config.timeout;
        match self.client.send(request, deadline, &needs_body).await {
            Ok(answer) => {
                let id = batch.as_deref().unwrap_or(delivery.id.as_str());
                self.judge(&answer, delivery, Sent { body: &body, id, now })
            }
            Err(ClientError { trouble: Trouble::Blocked, text }) => {
                Outcome::Unsendable { reason: Reason::BlockedAddress, error: text }
            }
            Err(ClientError { trouble, text }) => Outcome::Failed(Box::new(Failure {
                reply: Reply::None,
                trouble,
                error: self.webhook.redacted(text),
                response: None,
                took: None,
            })),
        }
    }

    fn unsendable(&self, (reason, error): Unsendable) -> Outcome {
        Outcome::Unsendable { reason, error: self.webhook.redacted(error) }
    }

    /// What an answer means.
    fn judge(&mut self, answer: &Answer, delivery: &Delivery, sent: Sent<'_>) -> Outcome {
        let verdict = verdict::of(answer, &self.webhook.config.platform);
        self.rest = verdict.rest;
        match verdict.failure {
            None => Outcome::Delivered(Some(answer.status.as_u16())),
            Some(mut failure) => {
                failure.response = self.excerpt(answer, delivery, sent);
                Outcome::Failed(Box::new(failure))
            }
        }
    }
}

impl WebhookSlot {
    /// One attempt with as many of these as one request can carry.
    async fn attempt_batch(&mut self, deliveries: &[Delivery], outcomes: &mut Vec<Outcome>) {
        let items: Vec<_> = deliveries
            .iter()
            .map(|delivery| BatchItem { event: &delivery.event, context: self.context(delivery) })
            .collect();
        let Joined { outcomes: known, request } = self.webhook.join(&items);
        let first = deliveries.iter().zip(&known).find(|(_, known)| known.is_none());
        let answer = match (request, first) {
            (Some(request), Some((first, _))) => Some(self.exchange(request, first).await),
            _ => None,
        };
        outcomes.extend(known.into_iter().filter_map(|known| match known {
            Some(Outcome::Unsendable { reason, error }) => Some(self.unsendable((reason, error))),
            known => known.or_else(|| answer.clone()),
        }));
    }
}

/// An endpoint by a hash of its path: the store keeps the name, and a path can be a secret.
fn endpoint_name(path: &str) -> Box<str> {
    ShortHash::of(Sha256::new_with_prefix(path)).as_str().into()
}

impl Sink for WebhookSlot {
    fn endpoint(&self, delivery: &Delivery) -> Result<Option<Box<str>>, Outcome> {
        if self.webhook.target.is_some() {
            return Ok(None);
        }
        match self.webhook.target(&delivery.event, &self.context(delivery)) {
            Ok(target) => Ok(Some(endpoint_name(target.path()))),
            Err(error) => {
                let error = self.webhook.redacted(error);
                Err(Outcome::Unsendable { reason: Reason::Render, error })
            }
        }
    }

    fn rest(&mut self) -> Option<Duration> {
        self.rest.take()
    }

    fn key(&self, delivery: &Delivery) -> Result<Option<Key>, Outcome> {
        let sorted = self.webhook.batch.as_ref().is_some_and(|batch| batch.bounds.sorted);
        sorted
            .then(|| batch::key(&self.webhook, &delivery.event, &self.context(delivery)))
            .transpose()
    }

    fn is_batch(&self) -> bool {
        self.webhook.batch.is_some()
    }

    async fn send(&mut self, deliveries: &[Delivery], outcomes: &mut Vec<Outcome>) {
        if self.is_batch() {
            return self.attempt_batch(deliveries, outcomes).await;
        }
        for delivery in deliveries {
            outcomes.push(self.attempt(delivery).await);
        }
    }
}
