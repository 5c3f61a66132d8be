//! Where an event stood: the one thing that tells two equal lines apart and that a re-read line
//! keeps.

use super::ShortHash;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// A random name for a stream of lines: a file's uid, committed before its first line is sent, or
/// the start id of a stdin, socket or outbox.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StreamId([u8; 16]);

impl StreamId {
    /// A fresh random id.
    ///
    /// # Panics
    /// Where the operating system gives no random bytes; then nothing else would work either.
    pub fn random() -> Self {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the system gives random bytes");
        StreamId(bytes)
    }

    /// The id that was stored as these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        StreamId(bytes)
    }

    /// The id as bytes to store.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where an event stood: its stream, the byte offset of its line there (a counter where there are
/// no bytes to count), and its index inside the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Position {
    /// The stream.
    pub stream: StreamId,
    /// Byte offset of the line's first byte, or the line's number counted from 0.
    pub offset: u64,
    /// Which of several events of one line, counted from 0.
    pub index: u32,
}

impl Position {
    /// A stable 128-bit hash of this position and `salt`, as 32 hexadecimal digits.
    pub fn hash(&self, salt: &str) -> ShortHash {
        let mut place = [0; 28];
        place[..16].copy_from_slice(&self.stream.0);
        place[16..24].copy_from_slice(&self.offset.to_le_bytes());
        place[24..].copy_from_slice(&self.index.to_le_bytes());
        let mut hash = Sha256::new_with_prefix(place);
        hash.update(salt.as_bytes());
        ShortHash::of(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_stable_and_tells_positions_apart() {
        let at = |offset, index| Position { stream: StreamId::from_bytes([7; 16]), offset, index };
        // Fixed for good: receivers drop duplicates by what is derived from it.
        assert_eq!(at(42, 0).hash("alerts").as_str(), "f1143e1ed08ad5850e24cf269fbf110d");
        let hashes = [at(42, 0).hash("b"), at(43, 0).hash("alerts"), at(42, 1).hash("alerts")];
        for hash in hashes {
            assert_ne!(hash, at(42, 0).hash("alerts"));
            assert_eq!(hash, ShortHash::read(hash.as_str()));
        }
        assert_ne!(ShortHash::read("a"), ShortHash::read("b"));
    }
}
