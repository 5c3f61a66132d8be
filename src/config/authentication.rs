//! What proves to a receiver who sends, ready to be put on a request; and in reverse, checked on
//! one that arrives.

use super::Secret;
use crate::signature::{Form, Unverified, equal_secrets};
use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use jiff::Timestamp;

/// Everything that a request carries to prove who sends it; empty without `authentication`.
#[derive(Debug, Clone, Default)]
pub struct Authentication {
    /// In the order of the configuration; no two set the same header.
    credentials: Vec<Credential>,
    /// Every secret as it is written, to be masked where somebody repeats it.
    secrets: Vec<Secret>,
}

/// One proof.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A header that is the same on every request; marked sensitive.
    Fixed(HeaderName, HeaderValue),
    /// Headers that sign the body and the time.
    Signed(Form),
}

impl Credential {
    /// The headers that it sets.
    pub fn headers(&self) -> Vec<HeaderName> {
        match self {
            Credential::Fixed(name, _) => vec![name.clone()],
            Credential::Signed(form) => form.headers(),
        }
    }
}

impl Authentication {
    /// Adds a proof, and the secrets that it holds.
    pub fn add(&mut self, credential: Credential, secrets: impl IntoIterator<Item = Secret>) {
        self.credentials.push(credential);
        self.secrets.extend(secrets);
    }

    /// Every header that it sets.
    pub fn headers(&self) -> Vec<HeaderName> {
        self.credentials.iter().flat_map(Credential::headers).collect()
    }

    /// Every secret as it is written: a receiver that repeats one is not to be quoted.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().map(Secret::expose)
    }

    /// Whether a header depends on the body.
    pub fn signs(&self) -> bool {
        self.credentials.iter().any(|credential| matches!(credential, Credential::Signed(_)))
    }

    /// Puts its headers on a request. `body` is what goes over the wire, `id` that of the delivery
    /// or the batch, `now` the time of this attempt.
    ///
    /// # Errors
    /// When the id does not fit into a header.
    pub fn apply(
        &self,
        headers: &mut HeaderMap,
        body: &[u8],
        id: &str,
        now: Timestamp,
    ) -> Result<(), String> {
        for credential in &self.credentials {
            match credential {
                Credential::Fixed(name, value) => drop(headers.insert(name, value.clone())),
                Credential::Signed(form) => form.sign(headers, body, id, now)?,
            }
        }
        Ok(())
    }

    /// Checks a request that arrived: every proof must hold.
    ///
    /// # Errors
    /// Why it is not genuine.
    pub fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(), Unverified> {
        self.credentials.iter().try_for_each(|credential| match credential {
            Credential::Signed(form) => form.verify(headers, body, now),
            Credential::Fixed(name, expected) => {
                let given = headers.get(name).ok_or_else(|| Unverified::Missing(name.clone()))?;
                let equal = equal_secrets(given.as_bytes(), expected.as_bytes());
                equal.then_some(()).ok_or(Unverified::Wrong)
            }
        })
    }
}
