//! The checker: walks JSON text once and refuses what is not JSON.

use super::{Json, JsonError, Key, hex4};
use std::ops::Range;

/// Walks JSON text and refuses what is not JSON. Every number is taken, whatever its size: what
/// cannot be held in a float can still be passed on.
pub(super) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Scanner { text, bytes: text.as_bytes(), at: 0 }
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn fail<T>(&self, what: &'static str) -> Result<T, JsonError> {
        let what = if self.at >= self.bytes.len() { "unexpected end" } else { what };
        Err(JsonError { at: self.at, what })
    }

    #[inline]
    pub(super) fn skip_space(&mut self) -> usize {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
        self.at
    }

    pub(super) fn end(&mut self) -> Result<(), JsonError> {
        self.skip_space();
        match self.peek() {
            None => Ok(()),
            Some(_) => self.fail("text after the value"),
        }
    }

    pub(super) fn value(&mut self, depth: usize) -> Result<Json<'a>, JsonError> {
        let start = self.skip_space();
        self.skip(depth)?;
        Ok(Json(&self.text[start..self.at]))
    }

    /// Moves behind a value that begins here.
    fn skip(&mut self, depth: usize) -> Result<(), JsonError> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(b'{') => self.members(depth),
            Some(b'[') => self.array(depth),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.fail("expected a value"),
        }
    }

    fn word(&mut self, word: &'static str) -> Result<(), JsonError> {
        if self.bytes[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else {
            self.fail("expected a value")
        }
    }

    fn number(&mut self) -> Result<(), JsonError> {
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
        Ok(())
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start { self.fail("invalid number") } else { Ok(()) }
    }

    fn array(&mut self, depth: usize) -> Result<(), JsonError> {
        let depth = self.deeper(depth)?;
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.skip_space();
            self.skip(depth)?;
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(());
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
    ) -> Result<(), JsonError> {
        let depth = self.deeper(depth)?;
        let mut first = true;
        while !self.is_closed(first)? {
            first = false;
            let key = self.key()?;
            let value = self.value(depth)?;
            field(key, value);
        }
        Ok(())
    }

    /// An object that nobody looks into.
    fn members(&mut self, depth: usize) -> Result<(), JsonError> {
        let depth = self.deeper(depth)?;
        let mut first = true;
        while !self.is_closed(first)? {
            first = false;
            self.key_range()?;
            self.skip_space();
            self.skip(depth)?;
        }
        Ok(())
    }

    /// Moves behind what stands before the next member of an object, or behind its end.
    #[inline]
    fn is_closed(&mut self, first: bool) -> Result<bool, JsonError> {
        self.skip_space();
        match self.peek() {
            Some(b'}') => self.at += 1,
            _ if first => return Ok(false),
            Some(b',') => {
                self.at += 1;
                return Ok(false);
            }
            _ => return self.fail("expected `,` or `}`"),
        }
        Ok(true)
    }

    fn deeper(&mut self, depth: usize) -> Result<usize, JsonError> {
        match depth.checked_sub(1) {
            Some(depth) => {
                self.at += 1;
                Ok(depth)
            }
            None => self.fail("nested too deep"),
        }
    }

    /// A key and its colon.
    #[inline]
    pub(super) fn key(&mut self) -> Result<Key<'a>, JsonError> {
        let (range, escaped) = self.key_range()?;
        Ok(Key { raw: &self.text[range], escaped })
    }

    #[inline]
    fn key_range(&mut self) -> Result<(Range<usize>, bool), JsonError> {
        self.skip_space();
        if self.peek() != Some(b'"') {
            return self.fail("expected a key in quotes");
        }
        let key = self.string()?;
        self.skip_space();
        if self.peek() != Some(b':') {
            return self.fail("expected `:`");
        }
        self.at += 1;
        Ok(key)
    }

    /// A string; returns what stands between its quotes, and whether any of it is escaped.
    #[inline]
    fn string(&mut self) -> Result<(Range<usize>, bool), JsonError> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.skip_plain();
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok((start..self.at - 1, escaped));
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

    /// Moves to the next quote, backslash or control character, eight bytes at a time.
    #[inline]
    fn skip_plain(&mut self) {
        const ONES: u64 = u64::from_ne_bytes([1; 8]);
        const HIGHS: u64 = ONES << 7;
        while let Some(chunk) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<8>()) {
            let word = u64::from_le_bytes(*chunk);
            let is = |byte: u8| {
                let differs = word ^ (ONES * u64::from(byte));
                differs.wrapping_sub(ONES) & !differs
            };
            let control = word.wrapping_sub(ONES * 0x20) & !word;
            let found = (is(b'"') | is(b'\\') | control) & HIGHS;
            if found != 0 {
                // A borrow can mark bytes above a real hit, never below the lowest one.
                self.at += found.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
        while let Some(byte) = self.peek() {
            if byte == b'"' || byte == b'\\' || byte < 0x20 {
                return;
            }
            self.at += 1;
        }
    }

    fn escape(&mut self) -> Result<(), JsonError> {
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
        Ok(())
    }

    /// The four digits after a `u`.
    fn code_unit(&mut self) -> Result<u32, JsonError> {
        match hex4(self.bytes, self.at + 1) {
            Some(unit) => {
                self.at += 5;
                Ok(unit)
            }
            None => self.fail("invalid escape"),
        }
    }
}
