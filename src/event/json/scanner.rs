//! The checker: walks JSON text once and refuses what is not JSON.

use super::{Json, JsonError, Key, hex4};

/// Walks JSON text and refuses what is not JSON. Every number is taken, whatever its size: what
/// cannot be held in a float can still be passed on.
pub(super) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    pub(super) at: usize,
    /// What is wrong, once something is.
    what: &'static str,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Scanner { text, bytes: text.as_bytes(), at: 0, what: "" }
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Notes what is wrong here: nothing moves on from a failure.
    #[cold]
    fn fail<T>(&mut self, what: &'static str) -> Option<T> {
        self.what = if self.at >= self.bytes.len() { "unexpected end" } else { what };
        None
    }

    /// What was wrong.
    pub(super) fn error(&self) -> JsonError {
        JsonError { at: self.at, what: self.what }
    }

    #[inline]
    pub(super) fn skip_space(&mut self) -> usize {
        while let Some(byte) = self.peek() {
            // Nearly always nothing is to be skipped, and one look tells.
            if byte > b' ' || !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                break;
            }
            self.at += 1;
        }
        self.at
    }

    /// A value with nothing behind it.
    pub(super) fn whole(&mut self, depth: usize) -> Result<Json<'a>, JsonError> {
        let value = self.value(depth).filter(|_| self.end().is_some());
        value.ok_or_else(|| self.error())
    }

    pub(super) fn end(&mut self) -> Option<()> {
        self.skip_space();
        match self.peek() {
            None => Some(()),
            Some(_) => self.fail("text after the value"),
        }
    }

    pub(super) fn value(&mut self, depth: usize) -> Option<Json<'a>> {
        let start = self.skip_space();
        self.skip(depth)?;
        Some(Json(&self.text[start..self.at]))
    }

    /// Moves behind a value that begins here.
    fn skip(&mut self, depth: usize) -> Option<()> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'{') => self.members(depth),
            Some(b'[') => self.array(depth),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.fail("expected a value"),
        }
    }

    fn word(&mut self, word: &'static str) -> Option<()> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Some(())
        } else {
            self.fail("expected a value")
        }
    }

    fn number(&mut self) -> Option<()> {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return self.fail("invalid number"),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        Some(())
    }

    fn digits(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { self.fail("invalid number") } else { Some(()) }
    }

    fn array(&mut self, depth: usize) -> Option<()> {
        let depth = self.deeper(depth)?;
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Some(());
        }
        loop {
            self.skip_space();
            self.skip(depth)?;
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Some(());
                }
                _ => return self.fail("expected `,` or `]`"),
            }
        }
    }

    /// An object, each of its fields handed to `field`.
    pub(super) fn object(
        &mut self,
        depth: usize,
        field: &mut impl FnMut(Key<'a>, Json<'a>),
    ) -> Option<()> {
        let depth = self.deeper(depth)?;
        let mut first = true;
        while !self.is_closed(first)? {
            first = false;
            let key = self.key()?;
            let value = self.value(depth)?;
            field(key, value);
        }
        Some(())
    }

    /// An object that nobody looks into.
    fn members(&mut self, depth: usize) -> Option<()> {
        let depth = self.deeper(depth)?;
        let mut first = true;
        while !self.is_closed(first)? {
            first = false;
            self.skip_key()?;
            self.skip_space();
            self.skip(depth)?;
        }
        Some(())
    }

    /// Moves behind what stands before the next member of an object, or behind its end.
    #[inline]
    fn is_closed(&mut self, first: bool) -> Option<bool> {
        self.skip_space();
        match self.peek() {
            Some(b'}') => self.at += 1,
            _ if first => return Some(false),
            Some(b',') => {
                self.at += 1;
                return Some(false);
            }
            _ => return self.fail("expected `,` or `}`"),
        }
        Some(true)
    }

    fn deeper(&mut self, depth: usize) -> Option<usize> {
        match depth.checked_sub(1) {
            Some(depth) => {
                self.at += 1;
                Some(depth)
            }
            None => self.fail("nested too deep"),
        }
    }

    /// A key and its colon.
    #[inline]
    pub(super) fn key(&mut self) -> Option<Key<'a>> {
        self.skip_space();
        let start = self.at + 1;
        let (end, escaped) = self.skip_key()?;
        Some(Key { raw: &self.text[start..end], escaped })
    }

    /// Moves behind a key and its colon; returns where the key ends, and whether any of it is
    /// escaped.
    #[inline]
    fn skip_key(&mut self) -> Option<(usize, bool)> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return self.fail("expected a key in quotes");
        }
        let escaped = self.string()?;
        let end = self.at - 1;
        self.skip_space();
        if self.peek() != Some(b':') {
            return self.fail("expected `:`");
        }
        self.at += 1;
        Some((end, escaped))
    }

    /// A string; returns whether any of it is escaped.
    #[inline]
    fn string(&mut self) -> Option<bool> {
        self.at += 1;
        let mut escaped = false;
        loop {
            match self.skip_plain() {
                Some(b'"') => {
                    self.at += 1;
                    return Some(escaped);
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return self.fail("control character in a string"),
                None => return self.fail("unexpected end"),
            }
        }
    }

    /// Moves to the next quote, backslash or control character, eight bytes at a time; returns it.
    #[inline]
    fn skip_plain(&mut self) -> Option<u8> {
        let mut rest = self.bytes.get(self.at..)?;
        while let Some((chunk, more)) = rest.split_first_chunk::<8>() {
            let word = u64::from_le_bytes(*chunk);
            let found = specials(word);
            if found != 0 {
                let bits = found.trailing_zeros() & !7;
                self.at = self.bytes.len() - rest.len() + bits as usize / 8;
                return Some((word >> bits) as u8);
            }
            rest = more;
        }
        let special = |byte: &u8| matches!(*byte, b'"' | b'\\' | 0..0x20);
        let plain = rest.iter().position(special).unwrap_or(rest.len());
        self.at = self.bytes.len() - rest.len() + plain;
        rest.get(plain).copied()
    }

    fn escape(&mut self) -> Option<()> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                let high = self.code_unit()?;
                if (0xd800..0xdc00).contains(&high) {
                    let low = if self.bytes[self.at..].starts_with(b"\\u") {
                        self.at += 1;
                        self.code_unit()?
                    } else {
                        0
                    };
                    if !(0xdc00..0xe000).contains(&low) {
                        return self.fail("half of a surrogate pair");
                    }
                } else if (0xdc00..0xe000).contains(&high) {
                    return self.fail("half of a surrogate pair");
                }
            }
            _ => return self.fail("invalid escape"),
        }
        Some(())
    }

    /// The four digits after a `u`.
    fn code_unit(&mut self) -> Option<u32> {
        match hex4(self.bytes, self.at + 1) {
            Some(unit) => {
                self.at += 5;
                Some(unit)
            }
            None => self.fail("invalid escape"),
        }
    }
}

/// The high bits of the quotes, backslashes and control characters among eight bytes. A borrow can
/// mark bytes above a real one, never below the lowest.
#[inline]
fn specials(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // With this bit turned over, quotes and control characters are the bytes below `!`.
    let turned = word ^ (ONES * 0x02);
    let below = turned.wrapping_sub(ONES * 0x21) & !turned;
    let differs = word ^ (ONES * b'\\' as u64);
    let backslash = differs.wrapping_sub(ONES) & !differs;
    (below | backslash) & (ONES << 7)
}
