//! Times in templates: reading what events call a time, writing it in a format and zone. Pure; the
//! present is no business of this file.

use crate::schema;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned, civil};
use minijinja::value::Value;

/// The format where none is asked for: RFC 3339 with the zone's offset.
const DEFAULT_FORMAT: &str = "%Y-%m-%dT%H:%M:%S%:z";

/// Reads RFC 3339, the same with the name of a zone in brackets in place of an offset or with
/// neither (then UTC), or a number since 1970 in seconds, milli-, micro- or nanoseconds by its size.
pub(super) fn read(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    schema::since_1970(text).or_else(|| text.parse().ok()).or_else(|| {
        let zoned = match text.parse::<Zoned>() {
            Ok(zoned) => zoned,
            // A zone that nobody knows is not UTC.
            Err(_) if text.contains('[') => return None,
            Err(_) => text.parse::<civil::DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?,
        };
        Some(zoned.timestamp())
    })
}

/// Writes a time; the error says which argument is wrong.
pub(super) fn format(
    instant: Timestamp,
    format: Option<&Value>,
    zone: Option<&Value>,
) -> Result<String, String> {
    let format = match format.filter(|format| !format.is_none()) {
        Some(format) => format.as_str().ok_or("filter `time` needs its format as a string")?,
        None => DEFAULT_FORMAT,
    };
    let zone = match zone.filter(|zone| !zone.is_none()).map(|zone| zone.as_str()) {
        Some(Some("UTC")) | None => TimeZone::UTC,
        Some(name) => name
            .and_then(|name| TimeZone::get(name).ok())
            .ok_or("filter `time` needs a zone such as `Europe/Berlin`")?,
    };
    strtime::format(format, &instant.to_zoned(zone))
        .map_err(|_| "filter `time` has a format that is not strftime's".to_owned())
}

/// What is wrong with a constant format or zone.
pub(super) fn check(format: Option<&Value>, zone: Option<&Value>) -> Result<(), String> {
    self::format(Timestamp::UNIX_EPOCH, format, zone).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        for (text, nanoseconds) in [
            ("1970-01-01T00:00:01Z", Some(1_000_000_000)),
            ("1970-01-01T02:00:01.5+02:00", Some(1_500_000_000)),
            ("1970-01-01T00:00:01", Some(1_000_000_000)),
            ("1970-01-01 00:00:01", Some(1_000_000_000)),
            ("1970-01-01T01:00:01[Europe/Berlin]", Some(1_000_000_000)),
            ("1970-01-01T01:00:01[Europe/Nowhere]", None),
            ("1763670000", Some(1_763_670_000_000_000_000)),
            ("1763670000.25", Some(1_763_670_000_250_000_000)),
            ("1763670000123", Some(1_763_670_000_123_000_000)),
            ("1763670000123456", Some(1_763_670_000_123_456_000)),
            ("1763670000123456789", Some(1_763_670_000_123_456_789)),
            ("-1", Some(-1_000_000_000)),
            ("1e400", None),
            ("99999999999999999999999999", None),
            ("yesterday", None),
            ("", None),
        ] {
            assert_eq!(read(text).map(Timestamp::as_nanosecond), nanoseconds, "{text}");
        }
    }
}
