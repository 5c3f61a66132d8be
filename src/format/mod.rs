//! Lines that are no JSON become the JSON text of an event, in a shape of each format's own that
//! `docs/formats.md` tells; events become the default bodies of exports. Where the envelope's fields
//! stand in that JSON is the business of `schema`.

mod auditd;
mod body;
mod cef;
mod syslog;

pub use body::BodyFormat;

use crate::event::json::Json;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// What a line of a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceFormat {
    /// One JSON object.
    Json,
    /// Any text; becomes `{"message": line}`.
    Raw,
    /// The Common Event Format, with or without a syslog header.
    Cef,
    /// A syslog message, RFC 5424 or RFC 3164.
    Syslog,
    /// A record of Linux auditd.
    Auditd,
}

impl SourceFormat {
    /// The JSON text of a line's event; of JSON itself only whether it is UTF-8. `now` tells the year
    /// of times that name none, `zone` the zone.
    ///
    /// # Errors
    /// What is wrong with the line, where it is not of the format.
    pub fn event<'a>(
        self,
        line: &'a [u8],
        zone: &TimeZone,
        now: Timestamp,
    ) -> Result<Cow<'a, str>, String> {
        if self == SourceFormat::Raw {
            return Ok(Cow::Owned(wrap(line)));
        }
        // Faster than the standard library's, which tells where it is none.
        let line = simdutf8::basic::from_utf8(line)
            .or_else(|_| std::str::from_utf8(line))
            .map_err(|error| format!("not UTF-8 at byte {}", error.valid_up_to() + 1))?;
        let event = match self {
            SourceFormat::Json | SourceFormat::Raw => return Ok(Cow::Borrowed(line)),
            SourceFormat::Cef => cef::event(line, zone, now).map_err(|error| ("CEF", error)),
            SourceFormat::Syslog => {
                syslog::event(line, zone, now).map_err(|error| ("syslog", error))
            }
            SourceFormat::Auditd => auditd::event(line).map_err(|error| ("auditd", error)),
        };
        event
            .map(|event| Cow::Owned(Value::Object(event).to_string()))
            .map_err(|(name, error)| format!("not {name}: {error}"))
    }
}

/// Any text as the event `{"message": text}`; bytes that are not UTF-8 become U+FFFD.
pub fn wrap(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    format!("{{\"message\":{}}}", Value::from(text))
}

/// The text of an object with further fields at its end; `None` where it has all of them already.
pub fn with_fields(object: Json<'_>, fields: &[(String, String)]) -> Option<String> {
    let mut text = object.text().strip_suffix('}')?.to_owned();
    let mut empty = object.entries().next().is_none();
    let length = text.len();
    for (name, value) in fields.iter().filter(|(name, _)| object.get(name).is_none()) {
        if !std::mem::take(&mut empty) {
            text.push(',');
        }
        text.push_str(&format!("{}:{}", Value::from(name.as_str()), Value::from(value.as_str())));
    }
    let grown = text.len() > length;
    text.push('}');
    grown.then_some(text)
}

/// Puts a text in, where there is one.
fn put(event: &mut Map<String, Value>, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        event.insert(name.to_owned(), text.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_added_where_they_are_missing() {
        let fields = [("a".to_owned(), "x\"".to_owned()), ("b".to_owned(), "y".to_owned())];
        for (object, expected) in [
            ("{}", Some("{\"a\":\"x\\\"\",\"b\":\"y\"}")),
            ("{\"a\": null }", Some("{\"a\": null ,\"b\":\"y\"}")),
            ("{\"b\":1,\"\\u0061\":2}", None),
        ] {
            assert_eq!(with_fields(Json::check(object).unwrap(), &fields).as_deref(), expected);
        }
    }

    #[test]
    fn any_text_can_be_wrapped() {
        assert_eq!(
            wrap(b"a \"b\" \\ \0 \xff"),
            "{\"message\":\"a \\\"b\\\" \\\\ \\u0000 \u{fffd}\"}"
        );
    }
}
