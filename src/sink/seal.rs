//! The last step before a request is sent: its body is compressed and what proves who sends it is
//! put on, over the very bytes that go over the wire and with the time of this attempt. One event
//! and a batch of them take the same way.

use super::body::Body;
use super::compress::Compressor;
use crate::config;
use hyper::HeaderMap;
use hyper::header::CONTENT_ENCODING;
use jiff::Timestamp;

/// What closes the requests of one webhook.
#[derive(Debug)]
pub(super) struct Seal {
    authentication: config::Authentication,
    compressor: Compressor,
}

impl Seal {
    /// As the configuration says.
    pub(super) fn new(config: &config::Webhook) -> Self {
        Seal {
            authentication: config.authentication.clone(),
            compressor: Compressor::new(config.compression),
        }
    }

    /// Closes a request: returns the body to send, and adds to the headers. `id` is that of the
    /// delivery, of a batch its `Idempotency-Key`; `now` is the time of this attempt.
    ///
    /// # Errors
    /// What cannot be made of it.
    pub(super) fn apply(
        &self,
        headers: &mut HeaderMap,
        body: Body,
        id: &str,
        now: Timestamp,
    ) -> Result<Body, String> {
        let encoding = self.compressor.encoding();
        if encoding.is_none() && !self.authentication.signs() {
            // Nobody needs all of it at once.
            self.authentication.apply(headers, &[], id, now)?;
            return Ok(body);
        }
        let body = self.compressor.compress(body.into_bytes())?;
        if let Some(encoding) = encoding {
            headers.insert(CONTENT_ENCODING, encoding);
        }
        self.authentication.apply(headers, &body, id, now)?;
        Ok(Body::Whole(body))
    }

    /// Adds what a request of this body carried at this time: for masking what an answer repeats.
    pub(super) fn authenticate(
        &self,
        headers: &mut HeaderMap,
        sent: &[u8],
        id: &str,
        now: Timestamp,
    ) {
        // What could not be made was not sent either.
        let _ = self.authentication.apply(headers, sent, id, now);
    }

    /// Every secret as it is written.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        self.authentication.secrets()
    }
}
