//! Signatures over bytes, pure: HMAC with a prepared key ([`Key`]), and the forms in which
//! signatures travel in headers ([`Form`]): they sign what is sent and check what is received.
//! Which form an export uses is the business of `config`.

mod form;
mod pattern;
mod standard;

#[cfg(test)]
mod tests;

pub use form::{Form, Unverified};
pub use pattern::{Part, Pattern, PatternError, Token};
pub use standard::{SecretError, StandardSecret};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Sha256, Sha512};
use std::fmt;

/// The longest tag, that of SHA-512, in bytes.
const MAX_TAG: usize = 64;

/// A hash function under HMAC (RFC 2104).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// SHA-1, for receivers that know nothing newer; under HMAC it is not broken.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// Its name as headers carry it, such as `sha256`.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha1 => "sha1",
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }
}

/// A secret, prepared for signing: its key schedule is computed once.
#[derive(Clone)]
pub struct Key(Prepared);

#[derive(Clone)]
enum Prepared {
    Sha1(Hmac<Sha1>),
    Sha256(Hmac<Sha256>),
    Sha512(Hmac<Sha512>),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Key {
    /// Prepares a secret of any length; `None` for an empty one, which everybody knows.
    pub fn new(algorithm: Algorithm, secret: &[u8]) -> Option<Key> {
        if secret.is_empty() {
            return None;
        }
        // HMAC takes a key of every length: the errors belong to other MACs.
        Some(Key(match algorithm {
            Algorithm::Sha1 => Prepared::Sha1(Hmac::new_from_slice(secret).ok()?),
            Algorithm::Sha256 => Prepared::Sha256(Hmac::new_from_slice(secret).ok()?),
            Algorithm::Sha512 => Prepared::Sha512(Hmac::new_from_slice(secret).ok()?),
        }))
    }

    /// The tag of a message that is given in parts.
    pub fn sign<'a>(&self, message: impl IntoIterator<Item = &'a [u8]>) -> Tag {
        match &self.0 {
            Prepared::Sha1(mac) => Tag::new(&over(mac, message).finalize().into_bytes()),
            Prepared::Sha256(mac) => Tag::new(&over(mac, message).finalize().into_bytes()),
            Prepared::Sha512(mac) => Tag::new(&over(mac, message).finalize().into_bytes()),
        }
    }

    /// Whether a tag is that of this message; takes as long for a wrong one as for the right one.
    pub fn verify<'a>(&self, message: impl IntoIterator<Item = &'a [u8]>, tag: &[u8]) -> bool {
        match &self.0 {
            Prepared::Sha1(mac) => over(mac, message).verify_slice(tag).is_ok(),
            Prepared::Sha256(mac) => over(mac, message).verify_slice(tag).is_ok(),
            Prepared::Sha512(mac) => over(mac, message).verify_slice(tag).is_ok(),
        }
    }
}

fn over<'a, M: Mac + Clone>(mac: &M, message: impl IntoIterator<Item = &'a [u8]>) -> M {
    let mut mac = mac.clone();
    message.into_iter().for_each(|part| mac.update(part));
    mac
}

/// What HMAC makes of a message.
#[derive(Clone, Copy)]
pub struct Tag {
    bytes: [u8; MAX_TAG],
    length: usize,
}

impl Tag {
    fn new(tag: &[u8]) -> Tag {
        let mut bytes = [0; MAX_TAG];
        let length = tag.len().min(MAX_TAG);
        bytes[..length].copy_from_slice(&tag[..length]);
        Tag { bytes, length }
    }

    /// Its bytes: 20, 32 or 64.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// In lower-case hexadecimal digits.
    pub fn hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(2 * self.length);
        for byte in self.as_bytes() {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        text
    }

    /// In standard base64, padded.
    pub fn base64(&self) -> String {
        STANDARD.encode(self.as_bytes())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The bytes that hexadecimal digits of either case stand for.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let nibble = |digit: &u8| char::from(*digit).to_digit(16);
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| match pair {
            [high, low] => u8::try_from(nibble(high)? << 4 | nibble(low)?).ok(),
            _ => None,
        })
        .collect()
}

/// Whether two secrets are equal; how long it takes tells nothing of where they differ.
pub fn equal_secrets(one: &[u8], other: &[u8]) -> bool {
    // Compared by their tags under a key of no meaning: those have one length whatever the
    // secrets', and no guess can come nearer step by step.
    let key = Key::new(Algorithm::Sha256, b"postrider compares");
    key.is_some_and(|key| key.verify([one], key.sign([other]).as_bytes()))
}

/// HMAC-SHA256 of `message` under `key`, of any length, as lower-case hexadecimal.
pub fn hmac_sha256_hex(key: &[u8], message: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(key).ok();
    mac.map(|mac| Tag::new(&over(&mac, [message]).finalize().into_bytes()).hex())
        .unwrap_or_default()
}
