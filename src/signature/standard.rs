//! Standard Webhooks 1.0.0, symmetric (`v1`): its secrets, and the list of signatures that one
//! header carries. Asymmetric signatures (`v1a`) are not made, and ignored where they arrive.

use super::{Algorithm, Key};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;

/// How many bytes a secret has.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What stands before each signature.
const VERSION: &str = "v1,";

/// A secret `whsec_…`, ready for signing.
#[derive(Debug, Clone)]
pub struct StandardSecret(Key);

/// Why a text is no secret; never shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// It begins otherwise.
    #[error("it does not begin with `whsec_`")]
    Prefix,
    /// It is a private key for signatures `v1a`.
    #[error("a key `whsk_` is for asymmetric signatures, which are not available")]
    Asymmetric,
    /// What follows is no base64.
    #[error("what follows `whsec_` is not base64")]
    NotBase64,
    /// It has fewer than 24 or more than 64 bytes.
    #[error("it stands for {0} bytes, not for 24 to 64")]
    Length(usize),
}

impl StandardSecret {
    /// Reads `whsec_` and the base64 of 24 to 64 bytes.
    ///
    /// # Errors
    /// Says what is wrong with the text.
    pub fn parse(text: &str) -> Result<StandardSecret, SecretError> {
        if text.starts_with("whsk_") {
            return Err(SecretError::Asymmetric);
        }
        let encoded = text.strip_prefix("whsec_").ok_or(SecretError::Prefix)?;
        let secret = STANDARD.decode(encoded).map_err(|_| SecretError::NotBase64)?;
        if !SECRET_BYTES.contains(&secret.len()) {
            return Err(SecretError::Length(secret.len()));
        }
        let key = Key::new(Algorithm::Sha256, &secret).ok_or(SecretError::Length(0))?;
        Ok(StandardSecret(key))
    }
}

/// What is signed: the id, the time of the attempt in Unix seconds, and the body's bytes.
fn message<'a>(id: &'a str, timestamp: &'a str, body: &'a [u8]) -> [&'a [u8]; 5] {
    [id.as_bytes(), b".", timestamp.as_bytes(), b".", body]
}

/// The value of `webhook-signature`: one signature for each secret, separated by spaces.
pub(super) fn sign(secrets: &[StandardSecret], id: &str, timestamp: &str, body: &[u8]) -> String {
    let mut list = String::with_capacity(48 * secrets.len());
    for StandardSecret(key) in secrets {
        let space = if list.is_empty() { "" } else { " " };
        let tag = key.sign(message(id, timestamp, body));
        // Writing to a string cannot fail.
        let _ = write!(list, "{space}{VERSION}{}", tag.base64());
    }
    list
}

/// Whether one signature of the list is that of one of the secrets; other versions are ignored.
pub(super) fn verify(
    secrets: &[StandardSecret],
    id: &str,
    timestamp: &str,
    body: &[u8],
    list: &str,
) -> bool {
    let tags = list.split(' ').filter_map(|entry| entry.strip_prefix(VERSION));
    tags.filter_map(|tag| STANDARD.decode(tag).ok()).any(|tag| {
        secrets.iter().any(|StandardSecret(key)| key.verify(message(id, timestamp, body), &tag))
    })
}
