//! The forms in which signatures travel: which headers carry them, and what they cover. One form
//! signs what is sent and checks what is received.

use super::pattern::{Pattern, Token, Values};
use super::{Algorithm, Key, StandardSecret, standard};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use jiff::Timestamp;

/// How far a signed time may be from ours, in seconds: that of the Standard Webhooks libraries.
const TOLERANCE: u64 = 300;

/// Headers of Standard Webhooks.
const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// Carries the id of a delivery, or of a batch of them.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A form of signatures, with its secrets.
#[derive(Debug, Clone)]
pub enum Form {
    /// A signature in a header of any form. Several secrets sign side by side: one header line
    /// each, in their order, so that a receiver that reads one value finds that of the first.
    Hmac {
        /// The hash function.
        algorithm: Algorithm,
        /// The secrets; a received signature of any of them is accepted.
        keys: Vec<Key>,
        /// The header that carries the signature.
        header: HeaderName,
        /// The header's value.
        format: Pattern,
        /// What is signed.
        content: Pattern,
        /// The header that carries the time, where `format` does not.
        timestamp_header: Option<HeaderName>,
    },
    /// Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    Standard(Vec<StandardSecret>),
}

/// Why what was received is not taken for genuine. For the log of who receives; a sender is told
/// nothing but that it is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// A header is missing or empty.
    #[error("no header `{0}`")]
    Missing(HeaderName),
    /// No signature in it has the form that is expected.
    #[error("header `{0}` has another form")]
    Malformed(HeaderName),
    /// The signed time is too far from ours.
    #[error("its time is {0} seconds from ours, more than 300")]
    Stale(u64),
    /// No signature is that of a secret.
    #[error("no signature fits the body and a secret")]
    Wrong,
}

impl Form {
    /// Rampart's form: `X-Rampart-Signature`, bare hexadecimal digits of HMAC-SHA256.
    pub fn rampart(keys: Vec<Key>) -> Form {
        Form::of_body(HeaderName::from_static("x-rampart-signature"), "", keys)
    }

    /// RuleForge's form: `X-RuleForge-Signature: sha256=…`.
    pub fn ruleforge(keys: Vec<Key>) -> Form {
        Form::of_body(HeaderName::from_static("x-ruleforge-signature"), "sha256=", keys)
    }

    /// GitHub's form: `X-Hub-Signature-256: sha256=…`.
    pub fn github(keys: Vec<Key>) -> Form {
        Form::of_body(HeaderName::from_static("x-hub-signature-256"), "sha256=", keys)
    }

    /// What `hmac` is unless told otherwise: `X-Signature: sha256=…`.
    pub fn hmac(keys: Vec<Key>) -> Form {
        Form::of_body(HeaderName::from_static("x-signature"), "sha256=", keys)
    }

    /// A signature of nothing but the body, under keys of SHA-256.
    fn of_body(header: HeaderName, prefix: &str, keys: Vec<Key>) -> Form {
        Form::Hmac {
            algorithm: Algorithm::Sha256,
            keys,
            header,
            format: Pattern::before(prefix, Token::Hex),
            content: Pattern::before("", Token::Body),
            timestamp_header: None,
        }
    }

    /// The headers that it sets.
    pub fn headers(&self) -> Vec<HeaderName> {
        match self {
            Form::Hmac { header, timestamp_header, .. } => {
                [header].into_iter().chain(timestamp_header).cloned().collect()
            }
            Form::Standard(_) => vec![WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE],
        }
    }

    /// Adds the headers that sign a body of this id at this time.
    ///
    /// # Errors
    /// When the id does not fit into a header.
    pub fn sign(
        &self,
        headers: &mut HeaderMap,
        body: &[u8],
        id: &str,
        now: Timestamp,
    ) -> Result<(), String> {
        let unix = now.as_second();
        let timestamp = &*unix.to_string();
        match self {
            Form::Hmac { algorithm, keys, header, format, content, timestamp_header } => {
                let values = Values { algorithm: *algorithm, timestamp, id };
                for key in keys {
                    let tag = key.sign(content.message(body, values));
                    headers.append(header, sensitive(header, format.write(&tag, values))?);
                }
                if let Some(header) = timestamp_header {
                    headers.insert(header, HeaderValue::from(unix));
                }
            }
            Form::Standard(secrets) => {
                let list = standard::sign(secrets, id, timestamp, body);
                headers.insert(WEBHOOK_SIGNATURE, sensitive(&WEBHOOK_SIGNATURE, list)?);
                headers.insert(WEBHOOK_TIMESTAMP, HeaderValue::from(unix));
                headers.insert(WEBHOOK_ID, value(&WEBHOOK_ID, id.to_owned())?);
            }
        }
        Ok(())
    }

    /// Checks a received body by its headers.
    ///
    /// # Errors
    /// Why it is not genuine.
    pub fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), Unverified> {
        match self {
            Form::Hmac { header, .. } => {
                // One of several lines is enough: that is how secrets are rotated. Of their faults
                // the last one is told.
                let mut result = Err(Unverified::Missing(header.clone()));
                for line in headers.get_all(header).iter().filter(|line| !line.is_empty()) {
                    result = self.verify_line(headers, line, body, now);
                    if result.is_ok() {
                        break;
                    }
                }
                result
            }
            Form::Standard(secrets) => {
                let id = one(headers, &WEBHOOK_ID)?;
                let timestamp = one(headers, &WEBHOOK_TIMESTAMP)?;
                let list = one(headers, &WEBHOOK_SIGNATURE)?;
                check_time(timestamp, &WEBHOOK_TIMESTAMP, now)?;
                let genuine = standard::verify(secrets, id, timestamp, body, list);
                genuine.then_some(()).ok_or(Unverified::Wrong)
            }
        }
    }

    fn verify_line(
        &self,
        headers: &HeaderMap,
        line: &HeaderValue,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), Unverified> {
        let Form::Hmac { algorithm, keys, header, format, content, timestamp_header } = self else {
            return Err(Unverified::Wrong);
        };
        let line = line.to_str().ok();
        let found = line
            .and_then(|line| format.find(line, *algorithm))
            .ok_or_else(|| Unverified::Malformed(header.clone()))?;
        let timestamp = match (found.timestamp, timestamp_header) {
            (Some(timestamp), _) => {
                check_time(timestamp, header, now)?;
                timestamp
            }
            (None, Some(carrier)) => {
                let timestamp = one(headers, carrier)?;
                check_time(timestamp, carrier, now)?;
                timestamp
            }
            (None, None) => "",
        };
        let id = match found.id {
            Some(id) => id,
            None if content.has(Token::Id) => one(headers, &IDEMPOTENCY_KEY)?,
            None => "",
        };
        let values = Values { algorithm: *algorithm, timestamp, id };
        let genuine = keys.iter().any(|key| key.verify(content.message(body, values), &found.tag));
        genuine.then_some(()).ok_or(Unverified::Wrong)
    }
}

/// The value of a header that must be there.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<&'a str, Unverified> {
    let value = headers.get(name).filter(|value| !value.is_empty());
    let value = value.ok_or_else(|| Unverified::Missing(name.clone()))?;
    value.to_str().map_err(|_| Unverified::Malformed(name.clone()))
}

/// Whether a signed time is near enough that nobody sends it again later.
fn check_time(text: &str, header: &HeaderName, now: Timestamp) -> Result<(), Unverified> {
    let then: i64 = text.parse().map_err(|_| Unverified::Malformed(header.clone()))?;
    let apart = now.as_second().abs_diff(then);
    if apart > TOLERANCE {
        return Err(Unverified::Stale(apart));
    }
    Ok(())
}

fn value(name: &HeaderName, text: String) -> Result<HeaderValue, String> {
    HeaderValue::try_from(text).map_err(|_| format!("header `{name}`: the id does not fit into it"))
}

fn sensitive(name: &HeaderName, text: String) -> Result<HeaderValue, String> {
    let mut value = value(name, text)?;
    value.set_sensitive(true);
    Ok(value)
}
