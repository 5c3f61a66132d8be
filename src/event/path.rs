//! The way to a field inside an event, as configuration keys write it.

use super::json::{Json, Kind};
use std::fmt;
use std::str::FromStr;

/// A path to a field: `a.b`, or beginning with `/` a JSON pointer (RFC 6901), the only way to name
/// a key that holds a dot. A segment of digits also selects the element of an array.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldPath {
    text: Box<str>,
    segments: Box<[Box<str>]>,
}

/// Why a text is not a field path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a field path: write `a.b` or, beginning with `/`, a JSON pointer")]
pub struct FieldPathError(String);

impl FieldPath {
    /// The names along the way, outermost first; never empty.
    pub fn segments(&self) -> impl ExactSizeIterator<Item = &str> {
        self.segments.iter().map(|segment| &**segment)
    }

    /// Whether an object with this text may have the path's first key, by a look that is cheaper than
    /// [`Self::find`] and may say yes in vain.
    pub fn may_be_in(&self, object: &str) -> bool {
        let (text, key) = (object.as_bytes(), self.segments[0].as_bytes());
        // Without a backslash a key stands there as it is.
        memchr::memmem::find(text, key).is_some() || memchr::memchr(b'\\', text).is_some()
    }

    /// The value at this path; `None` where a step is missing.
    pub fn find<'a>(&self, root: Json<'a>) -> Option<Json<'a>> {
        self.find_from(root, 0)
    }

    /// The value at the rest of this path, its first `done` segments already taken.
    pub fn find_from<'a>(&self, from: Json<'a>, done: usize) -> Option<Json<'a>> {
        self.segments[done.min(self.segments.len())..].iter().try_fold(from, |value, segment| {
            match value.kind() {
                Kind::Object => value.get(segment),
                Kind::Array => value.index(segment.parse().ok()?),
                _ => None,
            }
        })
    }
}

impl FromStr for FieldPath {
    type Err = FieldPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let segments: Vec<Box<str>> = match text.strip_prefix('/') {
            Some(pointer) => pointer
                .split('/')
                .map(|segment| segment.replace("~1", "/").replace("~0", "~").into())
                .collect(),
            None => text.split('.').map(Into::into).collect(),
        };
        if segments.iter().any(|segment| segment.is_empty()) {
            return Err(FieldPathError(text.to_owned()));
        }
        Ok(FieldPath { text: text.into(), segments: segments.into() })
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_find_fields() {
        let root = Json::check(r#"{"a":{"b":[1,{"c.d":2}]},"x/y":3,"~":4}"#).unwrap();
        for (path, found) in [
            ("a.b", Some(r#"[1,{"c.d":2}]"#)),
            ("/a/b/0", Some("1")),
            ("a.b.0", Some("1")),
            ("/a/b/1/c.d", Some("2")),
            ("/x~1y", Some("3")),
            ("/~0", Some("4")),
            ("a.c", None),
            ("a.b.c", None),
            ("a.b.0.c", None),
        ] {
            let path: FieldPath = path.parse().unwrap();
            assert_eq!(path.find(root).map(Json::text), found, "{path}");
        }
    }

    #[test]
    fn a_key_that_is_nowhere_in_the_text_is_told() {
        for (path, text, may) in [
            ("a.b", r#"{"a":1}"#, true),
            ("ab", r#"{"a":1}"#, false),
            ("ab", r#"{"a\u0062":1}"#, true),
            ("/a~1b", r#"{"a/b":1}"#, true),
        ] {
            assert_eq!(path.parse::<FieldPath>().unwrap().may_be_in(text), may, "{path} {text}");
        }
    }

    #[test]
    fn empty_segments_are_refused() {
        for text in ["", "/", "a..b", ".a", "a.", "//a"] {
            assert!(text.parse::<FieldPath>().is_err(), "{text:?}");
        }
    }
}
