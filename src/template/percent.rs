//! Percent-encoding of values on their way into a URL.

use std::fmt::{self, Write as _};

/// Percent-encodes what is written, except the characters that need it nowhere in a URL.
pub(super) struct Percent<'a> {
    pub(super) out: &'a mut dyn fmt::Write,
    /// The text calls itself encoded: its `%` stay, and nothing else is taken on its word.
    pub(super) encoded: bool,
}

impl fmt::Write for Percent<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut start = 0;
        for (at, byte) in text.bytes().enumerate() {
            if is_unreserved(byte) || (self.encoded && byte == b'%') {
                continue;
            }
            // Between the bytes of one character there is nothing, and no place to cut.
            if start < at {
                self.out.write_str(&text[start..at])?;
            }
            start = at + 1;
            write!(self.out, "%{byte:02X}")?;
        }
        self.out.write_str(&text[start..])
    }
}

/// RFC 3986's unreserved characters.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// The text percent-encoded.
pub(super) fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    // Writing into a string cannot fail.
    let _ = Percent { out: &mut encoded, encoded: false }.write_str(text);
    encoded
}
