//! The checker: walks JSON text once and refuses what is not JSON.
//!
//! Offsets are handed on by value, from each piece to the next one, so that they stay in registers:
//! this is where most lines spend most of their time. Of the scanner itself nothing changes until
//! something is wrong.

use super::nested::nested_length;
use super::plain::first_special;
use super::{Json, JsonError, Key, Member, hex4};

/// Walks JSON text and refuses what is not JSON. Every number is taken, whatever its size: what
/// cannot be held in a float can still be passed on.
pub(super) struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    /// What is wrong, once something is.
    error: JsonError,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Scanner { text, bytes: text.as_bytes(), error: JsonError { at: 0, what: "" } }
    }

    /// The byte there; behind the end, one that no JSON has outside of strings.
    #[inline]
    pub(super) fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    pub(super) fn is_end(&self, at: usize) -> bool {
        at >= self.bytes.len()
    }

    /// Notes what is wrong there: nothing moves on from a failure.
    #[cold]
    fn fail<T>(&mut self, at: usize, what: &'static str) -> Option<T> {
        let what = if self.is_end(at) { "unexpected end" } else { what };
        self.error = JsonError { at, what };
        None
    }

    /// What was wrong.
    pub(super) fn error(&self) -> JsonError {
        self.error
    }

    /// Where the next byte is that is no white space.
    #[inline]
    pub(super) fn token(&self, mut at: usize) -> usize {
        // Nearly always nothing is to be skipped, and one look tells.
        while self.byte(at) <= b' ' && matches!(self.byte(at), b' ' | b'\t' | b'\n' | b'\r') {
            at += 1;
        }
        at
    }

    /// A value with nothing behind it.
    pub(super) fn whole(&mut self, depth: usize) -> Result<Json<'a>, JsonError> {
        let whole = self.value(0, depth).and_then(|(value, end)| self.end(end).map(|()| value));
        whole.ok_or(self.error)
    }

    /// Refuses all but white space.
    pub(super) fn end(&mut self, at: usize) -> Option<()> {
        let at = self.token(at);
        if self.is_end(at) { Some(()) } else { self.fail(at, "text after the value") }
    }

    /// The value behind white space, and where it ends.
    pub(super) fn value(&mut self, at: usize, depth: usize) -> Option<(Json<'a>, usize)> {
        let start = self.token(at);
        let (end, _) = self.skip(start, depth)?;
        Some((self.json(start, end), end))
    }

    /// [`Self::value`] in a text that was checked before.
    pub(super) fn checked(&mut self, at: usize) -> Option<(Json<'a>, usize)> {
        let start = self.token(at);
        let end = match self.byte(start) {
            b'{' | b'[' => start + nested_length(&self.bytes[start..]),
            _ => self.skip(start, 0)?.0,
        };
        Some((self.json(start, end), end))
    }

    #[inline]
    fn json(&self, start: usize, end: usize) -> Json<'a> {
        // Both ends are at ASCII bytes.
        Json(self.text.get(start..end).unwrap_or_default())
    }

    /// Where the value ends that begins there, and whether it is a string with escapes.
    #[inline]
    fn skip(&mut self, at: usize, depth: usize) -> Option<(usize, bool)> {
        let end = match self.byte(at) {
            b'"' => return self.string(at),
            b'{' => self.object(at, depth, &mut |_| ())?,
            b'[' => self.array(at, depth)?,
            b't' => self.word(at, "true")?,
            b'f' => self.word(at, "false")?,
            b'n' => self.word(at, "null")?,
            b'-' | b'0'..=b'9' => self.number(at)?,
            _ => return self.fail(at, "expected a value"),
        };
        Some((end, false))
    }

    fn word(&mut self, at: usize, word: &'static str) -> Option<usize> {
        let end = at + word.len();
        match self.bytes.get(at..end) {
            Some(found) if found == word.as_bytes() => Some(end),
            _ => self.fail(at, "expected a value"),
        }
    }

    fn number(&mut self, mut at: usize) -> Option<usize> {
        if self.byte(at) == b'-' {
            at += 1;
        }
        match self.byte(at) {
            b'0' => at += 1,
            _ => at = self.digits(at)?,
        }
        if self.byte(at) == b'.' {
            at = self.digits(at + 1)?;
        }
        if let b'e' | b'E' = self.byte(at) {
            at += 1;
            if let b'+' | b'-' = self.byte(at) {
                at += 1;
            }
            at = self.digits(at)?;
        }
        Some(at)
    }

    #[inline]
    fn digits(&mut self, start: usize) -> Option<usize> {
        let mut at = start;
        while self.byte(at).is_ascii_digit() {
            at += 1;
        }
        if at == start { self.fail(at, "invalid number") } else { Some(at) }
    }

    fn array(&mut self, at: usize, depth: usize) -> Option<usize> {
        let Some(depth) = depth.checked_sub(1) else { return self.fail(at, "nested too deep") };
        let mut at = self.token(at + 1);
        if self.byte(at) == b']' {
            return Some(at + 1);
        }
        loop {
            let (end, _) = self.skip(at, depth)?;
            at = self.token(end);
            match self.byte(at) {
                b',' => at = self.token(at + 1),
                b']' => return Some(at + 1),
                _ => return self.fail(at, "expected `,` or `]`"),
            }
        }
    }

    /// Where the object ends that begins there; each of its members is handed to `member`.
    pub(super) fn object(
        &mut self,
        at: usize,
        depth: usize,
        member: &mut impl FnMut(Member<'a>),
    ) -> Option<usize> {
        let Some(depth) = depth.checked_sub(1) else { return self.fail(at, "nested too deep") };
        let mut at = self.token(at + 1);
        if self.byte(at) == b'}' {
            return Some(at + 1);
        }
        loop {
            let (key, colon) = self.key(at)?;
            let start = self.token(colon + 1);
            let (end, escaped) = self.skip(start, depth)?;
            member(Member { key, value: self.json(start, end), escaped });
            at = self.token(end);
            match self.byte(at) {
                b',' => at = self.token(at + 1),
                b'}' => return Some(at + 1),
                _ => return self.fail(at, "expected `,` or `}`"),
            }
        }
    }

    /// The key that begins there, and where its colon is.
    #[inline(always)]
    pub(super) fn key(&mut self, at: usize) -> Option<(Key<'a>, usize)> {
        if self.byte(at) != b'"' {
            return self.fail(at, "expected a key in quotes");
        }
        let (end, escaped) = self.string(at)?;
        let raw = self.text.get(at + 1..end - 1).unwrap_or_default();
        let colon = self.token(end);
        if self.byte(colon) != b':' {
            return self.fail(colon, "expected `:`");
        }
        Some((Key { raw, escaped }, colon))
    }

    /// Where the string ends that begins with the quote there, and whether any of it is escaped.
    #[inline(always)]
    fn string(&mut self, at: usize) -> Option<(usize, bool)> {
        let at = self.plain_end(at + 1);
        // Most strings have nothing else.
        if self.byte(at) == b'"' { Some((at + 1, false)) } else { self.rest_of_string(at) }
    }

    /// Where a string ends that has something else than plain bytes there.
    fn rest_of_string(&mut self, mut at: usize) -> Option<(usize, bool)> {
        let mut escaped = false;
        loop {
            match self.byte(at) {
                b'"' => return Some((at + 1, escaped)),
                b'\\' => at = self.escape(at)?,
                _ => return self.fail(at, "control character in a string"),
            }
            escaped = true;
            at = self.plain_end(at);
        }
    }

    /// Where the next quote, backslash or control character is, or the end.
    #[inline]
    fn plain_end(&self, at: usize) -> usize {
        at + self.bytes.get(at..).map_or(0, first_special)
    }

    /// Where the escape ends that begins there.
    fn escape(&mut self, at: usize) -> Option<usize> {
        match self.byte(at + 1) {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(at + 2),
            b'u' => {
                let (unit, mut end) = self.code_unit(at + 1)?;
                let mut whole = !(0xd800..0xe000).contains(&unit);
                let is_first = (0xd800..0xdc00).contains(&unit);
                if is_first && self.byte(end) == b'\\' && self.byte(end + 1) == b'u' {
                    let second;
                    (second, end) = self.code_unit(end + 1)?;
                    whole = (0xdc00..0xe000).contains(&second);
                }
                if whole { Some(end) } else { self.fail(end, "half of a surrogate pair") }
            }
            _ => self.fail(at + 1, "invalid escape"),
        }
    }

    /// The four digits after the `u` there, and where they end.
    fn code_unit(&mut self, at: usize) -> Option<(u32, usize)> {
        match hex4(self.bytes, at + 1) {
            Some(unit) => Some((unit, at + 5)),
            None => self.fail(at, "invalid escape"),
        }
    }
}
