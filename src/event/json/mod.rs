//! JSON read in place: a checker that hands out the fields of an object as it goes, and [`Json`],
//! a value that is still the text it was written as.
//!
//! Nothing here builds a tree, copies a value or changes a byte: a number keeps its digits and an
//! object its order and its repeated keys. Writing JSON does not live here.

mod cursor;
mod nested;
mod plain;
mod scanner;
#[cfg(test)]
mod tests;

pub use cursor::Cursor;
pub(crate) use nested::nested_length;
pub(crate) use plain::{first_special, quotes};
use scanner::Scanner;
use std::borrow::Cow;
use std::fmt;

/// How deep arrays and objects may nest in what comes from outside.
pub const MAX_DEPTH: usize = 128;

/// Why a text is not JSON, and at which byte of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} at column {}", at + 1)]
pub struct JsonError {
    /// Offset of the offending byte, from 0.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// What a JSON value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// a number of any size
    Number,
    /// a string
    String,
    /// an array
    Array,
    /// an object
    Object,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Null => "null",
            Kind::Bool => "a boolean",
            Kind::Number => "a number",
            Kind::String => "a string",
            Kind::Array => "an array",
            Kind::Object => "an object",
        })
    }
}

/// One JSON value as it stands in checked text, without the white space around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    /// Checks that `text` is one JSON value and nothing else.
    pub fn check(text: &'a str) -> Result<Json<'a>, JsonError> {
        let mut scanner = Scanner::new(text);
        scanner.whole(MAX_DEPTH)
    }

    /// [`Self::check`] for a text that a template made around an event: it may nest as deep again.
    pub fn check_rendered(text: &'a str) -> Result<Json<'a>, JsonError> {
        let mut scanner = Scanner::new(text);
        scanner.whole(2 * MAX_DEPTH)
    }

    /// [`Self::check_rendered`] for values one behind the other, such as lines of JSON: each is
    /// handed to `value`.
    pub fn check_rendered_many(
        text: &'a str,
        mut value: impl FnMut(Json<'a>),
    ) -> Result<(), JsonError> {
        let mut scanner = Scanner::new(text);
        let mut at = 0;
        loop {
            let found = scanner.value(at, 2 * MAX_DEPTH).ok_or_else(|| scanner.error())?;
            value(found.0);
            at = scanner.token(found.1);
            if scanner.is_end(at) {
                return Ok(());
            }
        }
    }

    /// Checks that `text` is one JSON object and hands each member to `member` in the order of the
    /// text.
    pub fn check_object(
        text: &'a str,
        mut member: impl FnMut(Member<'a>),
    ) -> Result<Json<'a>, JsonError> {
        let mut scanner = Scanner::new(text);
        let start = scanner.token(0);
        if scanner.byte(start) != b'{' {
            let value = scanner.whole(MAX_DEPTH)?;
            return Err(JsonError { at: start, what: not_an_object(value.kind()) });
        }
        let end = scanner.object(start, MAX_DEPTH, &mut member);
        let end = end.filter(|end| scanner.end(*end).is_some());
        end.map(|end| Json(&text[start..end])).ok_or_else(|| scanner.error())
    }

    /// The value in a text that was checked before and has nothing around it.
    pub(crate) fn of_checked(text: &'a str) -> Json<'a> {
        Json(text)
    }

    /// The value as it is written.
    pub fn text(self) -> &'a str {
        self.0
    }

    /// What the value is.
    pub fn kind(self) -> Kind {
        match self.0.as_bytes().first() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b't' | b'f') => Kind::Bool,
            Some(b'n') | None => Kind::Null,
            Some(_) => Kind::Number,
        }
    }

    /// The text of a string, its escapes resolved; `None` for anything else.
    pub fn as_str(self) -> Option<Cow<'a, str>> {
        let inner = self.0.strip_prefix('"')?.strip_suffix('"')?;
        Some(unescape(inner))
    }

    /// The text of a string, or the JSON text of a number or boolean; `None` for null, arrays and
    /// objects.
    pub fn as_scalar(self) -> Option<Cow<'a, str>> {
        match self.kind() {
            Kind::String => self.as_str(),
            Kind::Number | Kind::Bool => Some(Cow::Borrowed(self.0)),
            Kind::Null | Kind::Array | Kind::Object => None,
        }
    }

    /// The value of a key of an object; the last one where the key is repeated.
    pub fn get(self, key: &str) -> Option<Json<'a>> {
        self.members().filter(|(known, _)| known.is(key)).last().map(|(_, value)| value)
    }

    /// The element of an array.
    pub fn index(self, index: usize) -> Option<Json<'a>> {
        self.items().nth(index)
    }

    /// The fields of an object in the order of the text, repeated keys included; nothing for
    /// another kind.
    pub fn entries(self) -> impl Iterator<Item = (Cow<'a, str>, Json<'a>)> {
        self.members().map(|(key, value)| (unescape(key.raw), value))
    }

    /// [`Self::entries`] with the keys as they are written.
    pub fn members(self) -> impl Iterator<Item = (Key<'a>, Json<'a>)> {
        Members::new(self, Kind::Object)
    }

    /// The elements of an array; nothing for another kind.
    pub fn items(self) -> impl Iterator<Item = Json<'a>> {
        Members::new(self, Kind::Array).map(|(_, value)| value)
    }
}

/// A member of an object, as the checker came by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member<'a> {
    /// Its key.
    pub key: Key<'a>,
    /// Its value.
    pub value: Json<'a>,
    /// Whether the value is a string and any of it is escaped.
    pub escaped: bool,
}

impl<'a> Member<'a> {
    /// [`Json::as_scalar`] of the value, without another look for escapes.
    pub fn as_scalar(self) -> Option<Cow<'a, str>> {
        match self.value.0.as_bytes() {
            [b'"', inner @ .., b'"'] if !self.escaped => {
                self.value.0.get(1..=inner.len()).map(Cow::Borrowed)
            }
            _ => self.value.as_scalar(),
        }
    }
}

/// A key of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    /// As it is written between its quotes.
    pub raw: &'a str,
    /// Whether any of it is escaped.
    pub escaped: bool,
}

impl Key<'_> {
    /// Whether it is this name.
    #[inline]
    pub fn is(self, name: &str) -> bool {
        self.raw == name || self.escaped && unescape(self.raw) == name
    }
}

/// Whether a key, as it is written between its quotes, is this name.
#[inline]
pub fn key_is(raw: &str, name: &str) -> bool {
    // Escaped, it is longer than what it stands for.
    raw == name
        || (raw.len() > name.len() && raw.as_bytes().contains(&b'\\') && unescape(raw) == name)
}

fn not_an_object(kind: Kind) -> &'static str {
    match kind {
        Kind::Null => "null where an object is due",
        Kind::Bool => "a boolean where an object is due",
        Kind::Number => "a number where an object is due",
        Kind::String => "a string where an object is due",
        Kind::Array => "an array where an object is due",
        Kind::Object => "an object",
    }
}

/// The members of a checked array or object; what is not one has none.
struct Members<'a> {
    scanner: Scanner<'a>,
    at: usize,
    keyed: bool,
}

impl<'a> Members<'a> {
    fn new(value: Json<'a>, kind: Kind) -> Self {
        let at = if value.kind() == kind { 1 } else { value.0.len() };
        Members { scanner: Scanner::new(value.0), at, keyed: kind == Kind::Object }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (Key<'a>, Json<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let scanner = &mut self.scanner;
        let mut at = scanner.token(self.at);
        if scanner.byte(at) == b',' {
            at = scanner.token(at + 1);
        }
        // The text was checked once, so an error here can only be the closing bracket.
        let mut key = Key { raw: "", escaped: false };
        if self.keyed {
            let colon;
            (key, colon) = scanner.key(at)?;
            at = colon + 1;
        }
        let (value, end) = scanner.checked(at)?;
        self.at = end;
        Some((key, value))
    }
}

/// Resolves the escapes of a checked string, given without its quotes.
pub fn unescape(inner: &str) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'\\', inner.as_bytes()) else {
        return Cow::Borrowed(inner);
    };
    let mut text = String::with_capacity(inner.len());
    text.push_str(&inner[..first]);
    let mut rest = &inner[first..];
    while let Some(escape) = rest.strip_prefix('\\') {
        let mut length = 1;
        match escape.as_bytes().first() {
            Some(b'b') => text.push('\u{8}'),
            Some(b'f') => text.push('\u{c}'),
            Some(b'n') => text.push('\n'),
            Some(b'r') => text.push('\r'),
            Some(b't') => text.push('\t'),
            Some(b'u') => {
                let high = hex4(escape.as_bytes(), 1).unwrap_or(0xfffd);
                length = 5;
                let code = match hex4(escape.as_bytes(), 7) {
                    Some(low) if (0xd800..0xdc00).contains(&high) => {
                        length = 11;
                        0x10000 + ((high - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff)
                    }
                    _ => high,
                };
                text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(&other) => text.push(char::from(other)),
            None => break,
        }
        let after = escape.get(length..).unwrap_or("");
        let next = memchr::memchr(b'\\', after.as_bytes()).unwrap_or(after.len());
        text.push_str(&after[..next]);
        rest = &after[next..];
    }
    Cow::Owned(text)
}

fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..at + 4)?
        .iter()
        .try_fold(0, |code, &digit| Some(code << 4 | char::from(digit).to_digit(16)?))
}
