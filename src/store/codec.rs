//! The bytes inside the store's BLOBs: numbers of variable length, texts with their length before
//! them, optional values with a mark before them. Reading never panics, whatever the bytes are.

use crate::ack::Settled;

/// Writes values one behind the other.
#[derive(Debug, Default)]
pub(super) struct Encoder(Vec<u8>);

impl Encoder {
    /// The bytes written.
    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    /// The bytes written so far.
    pub(super) fn written(&self) -> &[u8] {
        &self.0
    }

    /// Forgets what was written and keeps the room for it.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// How many bytes were written.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// A number: seven bits a byte, lowest first, the top bit says that more follow (LEB128).
    pub(super) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    /// A signed number; small ones of either sign stay short.
    pub(super) fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)) as u64);
    }

    /// Bytes with their length before them.
    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.raw(bytes);
    }

    /// Bytes whose length the reader knows.
    pub(super) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// A value that may be missing: 0, or 1 and the value.
    pub(super) fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Self, T)) {
        self.number(u64::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }
}

/// Reads what [`Encoder`] wrote; `None` where the bytes are not what is asked for.
#[derive(Debug)]
pub(super) struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Decoder(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is left to read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*array)
    }

    pub(super) fn option<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<Option<T>> {
        match self.number()? {
            0 => Some(None),
            1 => read(self).map(Some),
            _ => None,
        }
    }
}

/// Settled ranges as bytes: of each the gap before it and its length.
pub(super) fn encode_ranges(settled: &Settled) -> Vec<u8> {
    let mut encoder = Encoder::default();
    let mut at = settled.watermark;
    for &(start, end) in &settled.ranges {
        encoder.number(start.saturating_sub(at));
        encoder.number(end.saturating_sub(start));
        at = end;
    }
    encoder.finish()
}

/// The ranges in these bytes, above `watermark`.
pub(super) fn decode_ranges(watermark: u64, bytes: &[u8]) -> Option<Vec<(u64, u64)>> {
    let mut decoder = Decoder::new(bytes);
    let mut ranges = Vec::new();
    let mut at = watermark;
    while !decoder.is_empty() {
        let start = at.checked_add(decoder.number()?)?;
        at = start.checked_add(decoder.number()?)?;
        ranges.push((start, at));
    }
    Some(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_read_back(number: u64, signed: i64, bytes: Vec<u8>, text: Option<String>) {
            let mut encoder = Encoder::default();
            encoder.number(number);
            encoder.signed(signed);
            encoder.bytes(&bytes);
            encoder.option(text.as_deref(), |encoder, text| encoder.bytes(text.as_bytes()));
            encoder.raw(&[7; 16]);
            let written = encoder.finish();
            let mut decoder = Decoder::new(&written);
            prop_assert_eq!(decoder.number(), Some(number));
            prop_assert_eq!(decoder.signed(), Some(signed));
            prop_assert_eq!(decoder.bytes(), Some(&bytes[..]));
            prop_assert_eq!(decoder.option(|decoder| decoder.text()), Some(text.as_deref()));
            prop_assert_eq!(decoder.array(), Some([7; 16]));
            prop_assert!(decoder.is_empty());
            prop_assert_eq!(decoder.number(), None);
        }

        #[test]
        fn ranges_read_back(watermark in 0..u64::MAX / 2, gaps in prop::collection::vec((1u64..1 << 40, 1u64..1 << 40), 0..50)) {
            let mut at = watermark;
            let ranges = gaps.into_iter().map(|(gap, len)| {
                let start = at + gap;
                at = start + len;
                (start, at)
            }).collect();
            let settled = Settled { watermark, ranges };
            prop_assert_eq!(decode_ranges(watermark, &encode_ranges(&settled)), Some(settled.ranges));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, watermark: u64) {
            let mut decoder = Decoder::new(&bytes);
            while decoder.number().is_some() && decoder.bytes().is_some() {}
            decode_ranges(watermark, &bytes);
        }
    }
}
