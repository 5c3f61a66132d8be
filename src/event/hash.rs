//! Hashes that are names: of positions and deliveries, of endpoints, of batches.

use sha2::{Digest, Sha256};
use std::fmt;

/// Digits of a [`ShortHash`].
const DIGITS: usize = 32;

/// Half of a SHA-256 as 32 hexadecimal digits, without memory of their own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShortHash([u8; DIGITS]);

impl ShortHash {
    /// The hash that was written as this text; a text of another form has one of its own.
    pub fn read(text: &str) -> Self {
        match text.as_bytes().try_into() {
            Ok(digits) if text.is_ascii() => ShortHash(digits),
            _ => ShortHash::of(Sha256::new_with_prefix(text)),
        }
    }

    /// The first half of what this comes to.
    pub fn of(hash: Sha256) -> Self {
        let mut digits = [0; DIGITS];
        for (pair, byte) in digits.as_chunks_mut().0.iter_mut().zip(hash.finalize()) {
            *pair = HEX[usize::from(byte)];
        }
        ShortHash(digits)
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        // They are ASCII; the check costs a few ns and spares an `unsafe`.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for ShortHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ShortHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The two digits of each byte.
const HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < pairs.len() {
        pairs[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    pairs
};
