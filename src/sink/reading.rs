//! How a text reads once escapes of JSON, URLs and HTML are taken out of it, and where each byte
//! stood: whoever repeats a secret may write it in other signs, also in several layers.

use std::ops::Range;

/// Entities without a number that HTML's writers use for signs of its own.
const ENTITIES: [(&[u8], u8); 5] =
    [(b"amp;", b'&'), (b"lt;", b'<'), (b"gt;", b'>'), (b"quot;", b'"'), (b"apos;", b'\'')];

/// The longest number of an entity, `#x` and `;` included.
const LONGEST_NUMBER: usize = 9;

/// A text's bytes, each with the bytes of the original that it stands for.
#[derive(Debug)]
pub(super) struct Reading {
    bytes: Vec<u8>,
    spans: Vec<(u32, u32)>,
}

impl Reading {
    /// A text as it is written; of one longer than 4 GB the beginning.
    pub(super) fn new(text: &str) -> Self {
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let spans = (0..length).map(|at| (at, at + 1)).collect();
        Reading { bytes: text.as_bytes()[..length as usize].to_vec(), spans }
    }

    /// The same with one layer of escapes taken out; `None` where there is none.
    pub(super) fn unescaped(&self) -> Option<Reading> {
        let mut plain = Reading { bytes: Vec::new(), spans: Vec::new() };
        let mut at = 0;
        let mut changed = false;
        while let Some(byte) = self.bytes.get(at) {
            let (sign, length) = match read_escape(&self.bytes[at..]) {
                Some(read) => {
                    changed = true;
                    read
                }
                None => (Sign::Byte(*byte), 1),
            };
            let span = (self.spans[at].0, self.spans[at + length - 1].1);
            let mut buffer = [0; 4];
            let bytes = match &sign {
                Sign::Byte(byte) => std::slice::from_ref(byte),
                Sign::Char(char) => char.encode_utf8(&mut buffer).as_bytes(),
            };
            plain.bytes.extend_from_slice(bytes);
            plain.spans.extend(bytes.iter().map(|_| span));
            at += length;
        }
        changed.then_some(plain)
    }

    /// The same without backslashes: where layers are mixed, nobody knows which belong to which.
    pub(super) fn without_backslashes(&self) -> Reading {
        let kept = self.bytes.iter().zip(&self.spans).filter(|(byte, _)| **byte != b'\\');
        let (bytes, spans) = kept.map(|(byte, span)| (*byte, *span)).unzip();
        Reading { bytes, spans }
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where in the original this piece is written, each time.
    pub(super) fn find(&self, piece: &[u8]) -> impl Iterator<Item = Range<usize>> {
        let last = piece.len().saturating_sub(1);
        let found = memchr::memmem::find_iter(&self.bytes, piece);
        found.filter_map(move |at| {
            let (first, last) = (self.spans.get(at)?, self.spans.get(at + last)?);
            Some(first.0 as usize..last.1 as usize)
        })
    }
}

enum Sign {
    Byte(u8),
    Char(char),
}

/// What the escape at the beginning stands for, and its length.
fn read_escape(bytes: &[u8]) -> Option<(Sign, usize)> {
    match bytes {
        [b'%', rest @ ..] => Some((Sign::Byte(u8::try_from(hex(rest.get(..2)?)?).ok()?), 3)),
        [b'\\', b'u', ..] => unicode(bytes),
        [b'\\', b'x', rest @ ..] => Some((Sign::Char(char::from_u32(hex(rest.get(..2)?)?)?), 4)),
        [b'\\', sign @ (b'"' | b'\\' | b'/' | b'\''), ..] => Some((Sign::Byte(*sign), 2)),
        [b'&', b'#', rest @ ..] => {
            let end = rest.iter().take(LONGEST_NUMBER).position(|byte| *byte == b';')?;
            let number = match &rest[..end] {
                [b'x' | b'X', digits @ ..] => hex(digits)?,
                digits => std::str::from_utf8(digits).ok()?.parse().ok()?,
            };
            Some((Sign::Char(char::from_u32(number)?), end + 3))
        }
        [b'&', rest @ ..] => {
            let entity = ENTITIES.iter().find(|(name, _)| rest.starts_with(name));
            entity.map(|(name, sign)| (Sign::Byte(*sign), name.len() + 1))
        }
        _ => None,
    }
}

/// `\uXXXX`, or two of them that are one character.
fn unicode(bytes: &[u8]) -> Option<(Sign, usize)> {
    let unit = |at: usize| match bytes.get(at..at + 6)? {
        [b'\\', b'u', digits @ ..] => hex(digits),
        _ => None,
    };
    let first = unit(0)?;
    if let Some(char) = char::from_u32(first) {
        return Some((Sign::Char(char), 6));
    }
    let units = [first, unit(6)?].map(|unit| u16::try_from(unit).unwrap_or_default());
    let char = char::decode_utf16(units).next()?.ok()?;
    Some((Sign::Char(char), 12))
}

fn hex(digits: &[u8]) -> Option<u32> {
    let digits = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_taken_out_one_layer_at_a_time() {
        for (written, reads) in [
            ("a%20b%c3%A9", "a bé"),
            ("a%2520b", "a%20b"),
            (r#"\"\\\/\u00e9\ud83d\ude00"#, "\"\\/é😀"),
            (r"\\u00e9", r"\u00e9"),
            ("&lt;&amp;amp;&#39;&#x27;&#X1F600;", "<&amp;''😀"),
            ("é&quot;", "é\""),
        ] {
            let plain = Reading::new(written).unescaped().unwrap();
            assert_eq!(String::from_utf8_lossy(&plain.bytes), reads, "{written}");
            assert_eq!(plain.bytes.len(), plain.spans.len());
        }
        for plain in [
            "",
            "a",
            "%",
            "%2",
            "%zz",
            "%+1",
            "\\",
            "\\u12",
            "\\ud83d",
            "\\ud83dx",
            "\\n",
            "&",
            "&#;",
            "&#x;",
            "&nbsp;",
            "&#1234567890;",
        ] {
            assert!(Reading::new(plain).unescaped().is_none(), "{plain}");
        }
    }

    #[test]
    fn pieces_are_found_where_they_are_written() {
        let written = r#"é \u0061%62&#99; abc a\/b"#;
        let plain = Reading::new(written).unescaped().unwrap();
        let found: Vec<_> = plain.find(b"abc").map(|at| &written[at]).collect();
        assert_eq!(found, [r"\u0061%62&#99;", "abc"]);
        let found: Vec<_> = plain.find(b"a/b").map(|at| &written[at]).collect();
        assert_eq!(found, [r"a\/b"]);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in r#"[%\\&#;xu0-9a-fé😀"]{0,60}"#, piece in ".{1,3}") {
            let mut reading = Some(Reading::new(&text));
            while let Some(read) = reading {
                for at in read.find(piece.as_bytes()) {
                    proptest::prop_assert!(at.start < at.end && at.end <= text.len());
                }
                reading = read.unescaped();
                if let Some(plain) = &reading {
                    proptest::prop_assert!(plain.bytes.len() < read.bytes.len());
                }
            }
        }
    }
}
