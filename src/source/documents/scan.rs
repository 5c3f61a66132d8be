//! Where a JSON value ends: by its brackets and strings alone, whatever else stands in it.

/// What is wrong where lines are documents.
pub(super) const CUT: &str = "the line ends inside a document";

/// Inside which kind of value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scan {
    /// Before its first byte.
    Start,
    /// Brackets that are open.
    Nested { depth: u64 },
    /// A string inside so many brackets.
    String { depth: u64, escaped: bool },
    /// A number or a word.
    Plain,
}

impl Scan {
    /// Goes on over these bytes; returns how many were passed, and whether the value ended there.
    pub(super) fn advance(
        &mut self,
        bytes: &[u8],
        lines: bool,
    ) -> (usize, Result<bool, &'static str>) {
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            match *self {
                Scan::Start => {
                    *self = match byte {
                        b'{' | b'[' => Scan::Nested { depth: 1 },
                        b'"' => Scan::String { depth: 0, escaped: false },
                        _ => Scan::Plain,
                    };
                    at += 1;
                }
                Scan::String { depth, escaped: true } if byte != b'\n' => {
                    *self = Scan::String { depth, escaped: false };
                    at += 1;
                }
                Scan::String { depth, .. } => {
                    let rest = &bytes[at..];
                    let Some(plain) = memchr::memchr3(b'"', b'\\', b'\n', rest) else {
                        return (bytes.len(), Ok(false));
                    };
                    at += plain;
                    *self = match rest[plain] {
                        b'\\' => Scan::String { depth, escaped: true },
                        b'"' if depth == 0 => return (at + 1, Ok(true)),
                        b'"' => Scan::Nested { depth },
                        _ => return (at, Err("a line ends inside a string")),
                    };
                    at += 1;
                }
                Scan::Nested { depth } => {
                    match byte {
                        b'{' | b'[' => *self = Scan::Nested { depth: depth + 1 },
                        b'}' | b']' if depth == 1 => return (at + 1, Ok(true)),
                        b'}' | b']' => *self = Scan::Nested { depth: depth - 1 },
                        b'"' => *self = Scan::String { depth, escaped: false },
                        b'\n' if lines => return (at, Err(CUT)),
                        _ => {}
                    }
                    at += 1;
                }
                Scan::Plain if byte.is_ascii_alphanumeric() || b"+-.".contains(&byte) => at += 1,
                Scan::Plain => return (at, Ok(true)),
            }
        }
        (at, Ok(false))
    }
}

/// Whether a value can begin so.
pub(super) fn begins_value(byte: u8) -> bool {
    matches!(byte, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n')
}
