//! Signatures over bytes: HMAC, pure. Which headers carry them, and what is signed, is decided by
//! those who send and those who check.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// HMAC-SHA256 (RFC 2104) of `message` under `key`, of any length, as lower-case hexadecimal.
pub fn hmac_sha256_hex(key: &[u8], message: &[u8]) -> String {
    // HMAC takes a key of every length; the error of `new_from_slice` belongs to other MACs.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return String::new() };
    mac.update(message);
    let tag = mac.finalize().into_bytes();
    tag.iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|nibble| char::from_digit(u32::from(nibble), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors() {
        for (key, message, hex) in [
            // RFC 4231, test case 2.
            (
                "Jefe",
                "what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            // GitHub's documentation of webhook signatures.
            (
                "It's a Secret to Everybody",
                "Hello, World!",
                "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            ),
        ] {
            assert_eq!(hmac_sha256_hex(key.as_bytes(), message.as_bytes()), hex, "{message}");
        }
        let long_key = "k".repeat(200);
        assert_eq!(hmac_sha256_hex(long_key.as_bytes(), b"").len(), 64);
    }
}
