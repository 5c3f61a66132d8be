//! The Common Event Format: seven header fields parted by `|`, and an extension of `key=value`
//! whose values may hold blanks.

use super::{put, syslog};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

/// The header's fields behind the version.
const HEADER: [&str; 6] = [
    "device_vendor",
    "device_product",
    "device_version",
    "device_event_class_id",
    "name",
    "severity",
];

/// The event of a line.
pub(super) fn event(
    line: &str,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<Map<String, Value>, String> {
    let start = start(line).ok_or("there is no `CEF:` with a version behind it")?;
    let (before, text) = line.split_at(start);
    let mut event = Map::new();
    let (time, host) = syslog::header(before, zone, now);
    put(&mut event, "timestamp", time.as_deref());
    put(&mut event, "host", host.as_deref());
    put(&mut event, "message", Some(line));
    let (version, mut rest) = text.split_once('|').ok_or("the version is not followed by `|`")?;
    let mut cef = Map::new();
    put(&mut cef, "version", version.get(4..));
    for (index, name) in HEADER.into_iter().enumerate() {
        let (value, after) = field(rest);
        if after.is_none() && index + 1 < HEADER.len() {
            return Err(format!("the header ends in the field {name}: it has seven"));
        }
        put(&mut cef, name, Some(&value));
        rest = after.unwrap_or("");
    }
    cef.insert("extension".to_owned(), Value::Object(extension(rest)));
    event.insert("cef".to_owned(), Value::Object(cef));
    Ok(event)
}

/// Where `CEF:` and its version begin: at the line's start, or behind a syslog header.
fn start(line: &str) -> Option<usize> {
    let begins = |at: &usize| {
        let before = line[..*at].chars().next_back();
        before.is_none_or(|c| c.is_whitespace() || c == ':' || c == '\u{feff}')
            && line.as_bytes().get(at + 4).is_some_and(u8::is_ascii_digit)
    };
    line.match_indices("CEF:").map(|(at, _)| at).find(begins)
}

/// A header field up to its `|`, and what follows; `None` where nothing does.
fn field(text: &str) -> (String, Option<&str>) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '|' => return (value, Some(&text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, escaped @ ('|' | '\\'))) => value.push(escaped),
                Some((_, other)) => value.extend(['\\', other]),
                None => value.push('\\'),
            },
            c => value.push(c),
        }
    }
    (value.trim_end().to_owned(), None)
}

/// The pairs of an extension. A key is a word before a `=`; a value ends where the blanks before
/// the next key begin.
fn extension(text: &str) -> Map<String, Value> {
    let mut pairs = Map::new();
    let mut open: Option<(&str, usize)> = None;
    // Where the word that is being read begins, while it can be a key.
    let mut word = Some(0);
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if escaped {
            (escaped, word) = (false, None);
            continue;
        }
        match c {
            '\\' => (escaped, word) = (true, None),
            '=' => {
                if let Some(start) = word.take().filter(|start| *start < at) {
                    if let Some((key, from)) = open.take() {
                        pairs.insert(key.to_owned(), unescape(text[from..start].trim_end()).into());
                    }
                    open = Some((&text[start..at], at + 1));
                }
            }
            c if c.is_whitespace() => word = Some(at + c.len_utf8()),
            c if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']') => {}
            _ => word = None,
        }
    }
    if let Some((key, from)) = open {
        pairs.insert(key.to_owned(), unescape(text[from..].trim_end()).into());
    }
    pairs
}

fn unescape(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            value.push(c);
            continue;
        }
        match chars.next() {
            Some('n') => value.push('\n'),
            Some('r') => value.push('\r'),
            Some(escaped @ ('=' | '\\' | '|')) => value.push(escaped),
            Some(other) => value.extend(['\\', other]),
            None => value.push('\\'),
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(line: &str) -> Result<Value, String> {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        event(line, &TimeZone::UTC, now).map(Value::Object)
    }

    #[test]
    fn header_and_extension_are_read() {
        let line = "CEF:0|Acme \\| Co|Fire\\\\wall|2|7|Login failed|Very-High|\
            src=10.0.0.1 msg=no \\= way, a\\nb  request=http://h/?a=b c=d  e f suser=bob smith ";
        let event = read(line).unwrap();
        assert_eq!(event["message"], line);
        assert_eq!(
            event["cef"],
            json!({
                "version": "0", "device_vendor": "Acme | Co", "device_product": "Fire\\wall",
                "device_version": "2", "device_event_class_id": "7", "name": "Login failed",
                "severity": "Very-High",
                "extension": {"src": "10.0.0.1", "msg": "no = way, a\nb",
                    "request": "http://h/?a=b", "c": "d  e f", "suser": "bob smith"},
            })
        );
    }

    #[test]
    fn a_syslog_header_tells_time_and_host() {
        let event = read("<134>Jan  1 10:00:00 fw-1 CEF:0|a|b|c|d|e|3|").unwrap();
        assert_eq!(event["timestamp"], "2026-01-01T10:00:00Z");
        assert_eq!((&event["host"], &event["cef"]["severity"]), (&json!("fw-1"), &json!("3")));
        let event = read("<134>1 2026-01-01T10:00:00Z fw-2 app - - - CEF:1|a|b|c|d|e|low").unwrap();
        assert_eq!(event["timestamp"], "2026-01-01T10:00:00Z");
        assert_eq!((&event["host"], &event["cef"]["extension"]), (&json!("fw-2"), &json!({})));
    }

    #[test]
    fn what_is_not_cef_is_refused() {
        for line in
            ["", "CEF:", "CEF:0", "CEF:x|a|b|c|d|e|3|", "CEF:0|a|b|c|d", "xCEF:0|a|b|c|d|e|1|"]
        {
            assert!(read(line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(line in "CEF:0\\|([a-z =|\\\\é]){0,80}") {
            let _ = read(&line);
        }
    }
}
