//! JSON read in place: a checker that hands out the fields of an object as it goes, and [`Json`],
//! a value that is still the text it was written as.
//!
//! Nothing here builds a tree, copies a value or changes a byte: a number keeps its digits and an
//! object its order and its repeated keys. Writing JSON does not live here.

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
        let value = scanner.value(MAX_DEPTH)?;
        scanner.end()?;
        Ok(value)
    }

    /// Checks that `text` is one JSON object and hands each field to `field` in the order of the
    /// text: the key as it is written between its quotes (see [`key_is`]) and the value.
    pub fn check_object(
        text: &'a str,
        mut field: impl FnMut(&'a str, Json<'a>),
    ) -> Result<Json<'a>, JsonError> {
        let mut scanner = Scanner::new(text);
        let start = scanner.skip_space();
        if scanner.peek() != Some(b'{') {
            let value = scanner.value(MAX_DEPTH)?;
            scanner.end()?;
            return Err(JsonError { at: start, what: not_an_object(value.kind()) });
        }
        scanner.object(MAX_DEPTH, &mut field)?;
        let object = Json(&text[start..scanner.at]);
        scanner.end()?;
        Ok(object)
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
        self.raw_entries().filter(|(raw, _)| key_is(raw, key)).last().map(|(_, value)| value)
    }

    /// The element of an array.
    pub fn index(self, index: usize) -> Option<Json<'a>> {
        self.items().nth(index)
    }

    /// The fields of an object in the order of the text, repeated keys included; nothing for
    /// another kind.
    pub fn entries(self) -> impl Iterator<Item = (Cow<'a, str>, Json<'a>)> {
        self.raw_entries().map(|(raw, value)| (unescape(raw), value))
    }

    fn raw_entries(self) -> Members<'a> {
        Members::new(self, Kind::Object)
    }

    /// The elements of an array; nothing for another kind.
    pub fn items(self) -> impl Iterator<Item = Json<'a>> {
        Members::new(self, Kind::Array).map(|(_, value)| value)
    }
}

/// Whether a key, as it is written between its quotes, is this name.
pub fn key_is(raw: &str, name: &str) -> bool {
    raw == name || (raw.as_bytes().contains(&b'\\') && unescape(raw) == name)
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
    keyed: bool,
}

impl<'a> Members<'a> {
    fn new(value: Json<'a>, kind: Kind) -> Self {
        let mut scanner = Scanner::new(value.0);
        scanner.at = if value.kind() == kind { 1 } else { value.0.len() };
        Members { scanner, keyed: kind == Kind::Object }
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, Json<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let scanner = &mut self.scanner;
        scanner.skip_space();
        if scanner.peek() == Some(b',') {
            scanner.at += 1;
        }
        // The text was checked once, so an error here can only be the closing bracket.
        let key = if self.keyed { scanner.key().ok()? } else { "" };
        let value = scanner.value(MAX_DEPTH).ok()?;
        Some((key, value))
    }
}

/// Resolves the escapes of a checked string.
fn unescape(inner: &str) -> Cow<'_, str> {
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

/// Walks JSON text and refuses what is not JSON. Every number is taken, whatever its size: what
/// cannot be held in a float can still be passed on.
struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Scanner { text, bytes: text.as_bytes(), at: 0 }
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn fail<T>(&self, what: &'static str) -> Result<T, JsonError> {
        let what = if self.at >= self.bytes.len() { "unexpected end" } else { what };
        Err(JsonError { at: self.at, what })
    }

    #[inline]
    fn skip_space(&mut self) -> usize {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
        self.at
    }

    fn end(&mut self) -> Result<(), JsonError> {
        self.skip_space();
        match self.peek() {
            None => Ok(()),
            Some(_) => self.fail("text after the value"),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Json<'a>, JsonError> {
        let start = self.skip_space();
        match self.peek() {
            Some(b'"') => {
                self.string()?;
            }
            Some(b'{') => self.object(depth, &mut |_, _| ())?,
            Some(b'[') => self.array(depth)?,
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => self.word("null")?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => return self.fail("expected a value"),
        }
        Ok(Json(&self.text[start..self.at]))
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
            self.value(depth)?;
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

    fn object(
        &mut self,
        depth: usize,
        field: &mut impl FnMut(&'a str, Json<'a>),
    ) -> Result<(), JsonError> {
        let depth = self.deeper(depth)?;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let key = self.key()?;
            let value = self.value(depth)?;
            field(key, value);
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(());
                }
                _ => return self.fail("expected `,` or `}`"),
            }
        }
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
    fn key(&mut self) -> Result<&'a str, JsonError> {
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

    /// A string; returns what stands between its quotes.
    #[inline]
    fn string(&mut self) -> Result<&'a str, JsonError> {
        self.at += 1;
        let start = self.at;
        loop {
            self.skip_plain();
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(&self.text[start..self.at - 1]);
                }
                Some(b'\\') => self.escape()?,
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_that_are_and_are_not_json() {
        let deep = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        for (text, good) in [
            ("{}", true),
            (" {\"a\" : [1, 2.5e-3, -0, true, null, \"x\"] }\r", true),
            ("1e400", true),
            ("18446744073709551616", true),
            (r#""é😀""#, true),
            (r#""\ud83d""#, false),
            (r#""\ude00""#, false),
            (r#""\ud83d\u0041""#, false),
            ("\"\\u00g0\"", false),
            ("\"a\nb\"", false),
            ("\"a\u{0}b\"", false),
            ("{\"a\":1,}", false),
            ("{a:1}", false),
            ("[1 2]", false),
            ("01", false),
            ("1.", false),
            ("-", false),
            ("nul", false),
            ("", false),
            ("{} {}", false),
            ("{\"a\":1", false),
            (&deep(128), true),
            (&deep(129), false),
        ] {
            assert_eq!(Json::check(text).is_ok(), good, "{text}");
        }
    }

    #[test]
    fn what_is_not_an_object_is_named() {
        let error = |text| Json::check_object(text, |_, _| ()).unwrap_err().to_string();
        assert_eq!(error("[1]"), "an array where an object is due at column 1");
        assert_eq!(error("{\"a\":}"), "expected a value at column 6");
        assert_eq!(error("{\"a\""), "unexpected end at column 5");
    }

    #[test]
    fn values_are_found_and_keep_their_text() {
        let text = r#"{"a": {"b": [10, 1e400, {"c":"x\ty"}]}, "a\u002fb": true, "r":1, "r":2}"#;
        let root = Json::check(text).unwrap();
        let b = root.get("a").and_then(|a| a.get("b")).unwrap();
        assert_eq!(b.text(), r#"[10, 1e400, {"c":"x\ty"}]"#);
        assert_eq!(b.index(1).unwrap().text(), "1e400");
        assert_eq!(b.index(2).unwrap().get("c").unwrap().as_str().unwrap(), "x\ty");
        assert_eq!(b.index(3), None);
        assert_eq!(root.get("a/b").unwrap().kind(), Kind::Bool);
        assert_eq!(root.get("r").unwrap().text(), "2", "the last of repeated keys");
        assert_eq!(root.get("none"), None);
        assert_eq!(root.entries().count(), 4);
    }

    /// Text that is nearly JSON: what differs between two readers hides there.
    fn nearly_json() -> impl Strategy<Value = String> {
        let piece = prop::sample::select(vec![
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"a\"",
            "\"",
            "\\",
            "\\u",
            "00",
            "d83d",
            "\\ud83d\\ude00",
            "1",
            "-",
            ".",
            "e",
            "E+",
            "true",
            "null",
            " ",
            "\n",
            "\u{1}",
            "é",
            "0",
            "x",
            "\"long enough for a word\"",
        ]);
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    fn any_json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            any::<f64>().prop_map(Into::into),
            any::<String>().prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// Rebuilds a tree from what [`Json`] finds, to compare with serde_json's own.
    fn tree(json: Json<'_>) -> serde_json::Value {
        match json.kind() {
            Kind::Array => json.items().map(tree).collect(),
            Kind::Object => {
                json.entries().map(|(key, value)| (key.into_owned(), tree(value))).collect()
            }
            Kind::String => json.as_str().unwrap().into(),
            _ => serde_json::from_str(json.text()).unwrap(),
        }
    }

    proptest! {
        #[test]
        fn gives_the_verdict_of_serde_json(text in nearly_json()) {
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            let too_large = theirs.as_ref().is_err_and(|e| e.to_string().contains("out of range"));
            prop_assert_eq!(Json::check(&text).is_ok(), theirs.is_ok() || too_large, "{}", text);
        }

        #[test]
        fn finds_what_serde_json_finds(value in any_json(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            prop_assert_eq!(tree(Json::check(&text).unwrap()), serde_json::from_str::<serde_json::Value>(&text).unwrap());
        }
    }
}
