//! Times as events write them, brought to RFC 3339.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use std::borrow::Cow;

/// Brings a time to RFC 3339 where it is not: numbers by their size, times without a zone in
/// `zone`. What is not a time stays as it is.
pub(super) fn rfc_3339<'a>(text: Cow<'a, str>, zone: &TimeZone) -> Cow<'a, str> {
    if has_zone(&text) {
        return text;
    }
    let time = match text.parse::<f64>() {
        Ok(_) => from_number(&text),
        Err(_) => civil(&text).and_then(|time| zone.to_ambiguous_timestamp(time).compatible().ok()),
    };
    time.map_or(text, |time| Cow::Owned(time.to_string()))
}

/// A time without a zone: as ISO 8601 has it, or as CEF does, `Jan 02 2026 03:04:05`.
fn civil(text: &str) -> Option<DateTime> {
    text.parse().ok().or_else(|| DateTime::strptime("%b %d %Y %H:%M:%S%.f", text).ok())
}

/// Whether a text looks like an RFC 3339 time with its zone, the form that nearly all events use.
fn has_zone(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 20
        && bytes[4] == b'-'
        && bytes[13] == b':'
        && (bytes[bytes.len() - 1] == b'Z'
            || (matches!(bytes[bytes.len() - 6], b'+' | b'-') && bytes[bytes.len() - 3] == b':'))
}

/// Reads a number as s, ms, µs or ns since 1970, by its size: each unit covers the years 1973 to
/// 5138 without touching the next.
fn from_number(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i128 = whole.parse().ok()?;
    let unit = match whole.unsigned_abs() {
        0..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    let part: f64 = if fraction.is_empty() { 0.0 } else { format!("0.{fraction}").parse().ok()? };
    let nanos = whole.checked_mul(unit)? + (part * unit as f64) as i128;
    Timestamp::from_nanosecond(nanos).ok()
}
