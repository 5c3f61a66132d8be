//! The spellings of a text: as it is, and with its escapes undone, again while there are any. JSON
//! and JavaScript, HTML and URLs write the same characters in other ways; which of them a text
//! follows cannot be told, so all are undone.

use std::ops::Range;

/// How many times escapes are undone: JSON in JSON in HTML.
const DEPTH: usize = 3;

/// The longest HTML escape that is looked at, without its `&`.
const ENTITY: usize = 10;

/// One spelling, and where in the text each byte of it stands.
pub(super) struct Spelling {
    pub(super) bytes: Vec<u8>,
    places: Vec<Range<usize>>,
}

/// The spellings of a text, at most `DEPTH + 1`.
pub(super) fn spellings(text: &str) -> Vec<Spelling> {
    let places = (0..text.len()).map(|at| at..at + 1).collect();
    let mut spellings = vec![Spelling { bytes: text.as_bytes().to_vec(), places }];
    for depth in 0..DEPTH {
        let next = spellings[depth].plain();
        if next.bytes == spellings[depth].bytes {
            break;
        }
        spellings.push(next);
    }
    spellings
}

impl Spelling {
    /// Where in the text these bytes stand in this spelling.
    pub(super) fn find(&self, bytes: &[u8]) -> impl Iterator<Item = Range<usize>> {
        memchr::memmem::find_iter(&self.bytes, bytes)
            .map(|at| self.places[at].start..self.places[at + bytes.len() - 1].end)
    }

    /// With its escapes undone once.
    fn plain(&self) -> Spelling {
        let mut plain = Spelling { bytes: Vec::new(), places: Vec::new() };
        let mut at = 0;
        while let Some(byte) = self.bytes.get(at) {
            let taken = match unescape(&self.bytes[at..]) {
                Some((taken, character)) => {
                    plain.bytes.extend(character.bytes());
                    taken
                }
                None => {
                    plain.bytes.push(*byte);
                    1
                }
            };
            let place = self.places[at].start..self.places[at + taken - 1].end;
            plain.places.resize(plain.bytes.len(), place);
            at += taken;
        }
        plain
    }
}

/// What an escape stands for.
enum Escaped {
    Byte(u8),
    Char(char),
}

impl Escaped {
    fn bytes(self) -> Vec<u8> {
        match self {
            Escaped::Byte(byte) => vec![byte],
            Escaped::Char(c) => c.to_string().into_bytes(),
        }
    }
}

/// The escape that begins these bytes: how long it is, and what it stands for.
fn unescape(bytes: &[u8]) -> Option<(usize, Escaped)> {
    match bytes {
        [b'%', ..] => Some((3, Escaped::Byte(number(bytes.get(1..3)?, 16)? as u8))),
        [b'\\', b'x', ..] => Some((4, Escaped::Byte(number(bytes.get(2..4)?, 16)? as u8))),
        [b'\\', b'u', ..] => utf_16(bytes),
        [b'\\', byte, ..] => {
            let byte = match byte {
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'b' => 8,
                b'f' => 12,
                b'"' | b'\'' | b'\\' | b'/' => *byte,
                _ => return None,
            };
            Some((2, Escaped::Byte(byte)))
        }
        [b'&', rest @ ..] => {
            let length = rest.iter().take(ENTITY).position(|byte| *byte == b';')?;
            let c = match &rest[..length] {
                b"amp" => '&',
                b"lt" => '<',
                b"gt" => '>',
                b"quot" => '"',
                b"apos" => '\'',
                [b'#', b'x' | b'X', digits @ ..] => char::from_u32(number(digits, 16)?)?,
                [b'#', digits @ ..] => char::from_u32(number(digits, 10)?)?,
                _ => return None,
            };
            Some((length + 2, Escaped::Char(c)))
        }
        _ => None,
    }
}

/// `\uXXXX`, or two of them that are one character.
fn utf_16(bytes: &[u8]) -> Option<(usize, Escaped)> {
    let unit = |at: usize| number(bytes.get(at..at + 4)?, 16);
    let first = unit(2)?;
    if let Some(c) = char::from_u32(first) {
        return Some((6, Escaped::Char(c)));
    }
    let second = bytes.get(6..8).filter(|two| two == b"\\u").and_then(|_| unit(8))?;
    let c = char::decode_utf16([first as u16, second as u16]).next()?.ok()?;
    Some((12, Escaped::Char(c)))
}

/// The number that these digits are; `None` where one of them is something else.
fn number(digits: &[u8], radix: u32) -> Option<u32> {
    if !digits.iter().all(u8::is_ascii_alphanumeric) {
        return None;
    }
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}
