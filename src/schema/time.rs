//! Times as events write them, brought to RFC 3339.

use jiff::civil::{DateTime, Time};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};
use std::borrow::Cow;

/// An hour east of Greenwich.
const HOUR: Offset = jiff::tz::offset(1);

/// No zone is further from UTC.
const MAX_OFFSET: SignedDuration = SignedDuration::from_hours(15);

/// Offsets of zones are whole quarters of an hour, in seconds.
const QUARTER: i64 = 900;

/// Brings a time to RFC 3339 where it is not: numbers by their size, times without a zone in
/// `zone`. What is not a time stays as it is.
pub(super) fn rfc_3339<'a>(text: Cow<'a, str>, zone: &TimeZone) -> Cow<'a, str> {
    if is_rfc_3339(&text) {
        return text;
    }
    let time = match text.parse::<f64>() {
        Ok(_) if !is_date(&text) => since_1970(&text),
        _ => iso_8601(&text, zone).or_else(|| month_first(&text, zone)),
    };
    time.map_or(text, |time| Cow::Owned(time.to_string()))
}

/// Whether digits are a date such as `20260412`, and not seconds since 1970, of which so few would
/// be a time long ago.
fn is_date(digits: &str) -> bool {
    let years = ["19", "20", "21"];
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.len() == 8 && all_digits && years.iter().any(|years| digits.starts_with(years)) && {
        let number = |range: std::ops::Range<usize>| digits[range].parse::<u8>().unwrap_or(0);
        (1..=12).contains(&number(4..6)) && (1..=31).contains(&number(6..8))
    }
}

/// Whether a text is this time in another form. A time without a zone may be that of any zone.
pub(crate) fn may_be(text: &str, time: Timestamp) -> bool {
    let read = |zone| rfc_3339(Cow::Borrowed(text), zone).parse::<Timestamp>().ok();
    let (Some(utc), Some(elsewhere)) = (read(&TimeZone::UTC), read(&TimeZone::fixed(HOUR))) else {
        return false;
    };
    let apart = time.duration_since(utc).abs();
    let offset = apart <= MAX_OFFSET && apart.subsec_nanos() == 0 && apart.as_secs() % QUARTER == 0;
    apart.is_zero() || utc != elsewhere && offset
}

/// A time as ISO 8601 has it. Its offset goes before the zone that it names in brackets, and that
/// before `zone`.
fn iso_8601(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    // Some write a blank before the offset.
    let joined = text.contains(' ').then(|| text.replace(" +", "+").replace(" -", "-"));
    let text = joined.as_deref().unwrap_or(text);
    let pieces = Pieces::parse(text).ok()?;
    let time = DateTime::from_parts(pieces.date(), pieces.time().unwrap_or(Time::midnight()));
    if let Some(offset) = pieces.to_numeric_offset() {
        return offset.to_timestamp(time).ok();
    }
    match pieces.to_time_zone().ok()? {
        Some(named) => instant(time, &named),
        None => instant(time, zone),
    }
}

/// A time as CEF has it, such as `Feb 09 2015 00:27:43.5 GMT+02:00`, with a zone or without.
fn month_first(text: &str, zone: &TimeZone) -> Option<Timestamp> {
    let (time, rest) = BrokenDownTime::parse_prefix("%b %d %Y %H:%M:%S%.f", text).ok()?;
    let time = time.to_datetime().ok()?;
    match text.get(rest..)?.trim_start() {
        "" => instant(time, zone),
        named => instant(time, &zone_of(named)?),
    }
}

/// A zone by its name or offset, or by an abbreviation that names do not cover.
fn zone_of(name: &str) -> Option<TimeZone> {
    let hours = |hours| Some(TimeZone::fixed(jiff::tz::offset(hours)));
    match name {
        "Z" | "UTC" | "GMT" => return Some(TimeZone::UTC),
        "WEST" => return hours(1),
        "CEST" => return hours(2),
        "EEST" => return hours(3),
        // As RFC 2822 has them.
        "EDT" => return hours(-4),
        "EST" | "CDT" => return hours(-5),
        "CST" | "MDT" => return hours(-6),
        "MST" | "PDT" => return hours(-7),
        "PST" => return hours(-8),
        _ => {}
    }
    let offset = name.strip_prefix("GMT").or_else(|| name.strip_prefix("UTC")).unwrap_or(name);
    let read = |form| BrokenDownTime::parse(form, offset).ok()?.offset();
    let offset = ["%:z", "%z"].into_iter().find_map(read);
    offset.map(TimeZone::fixed).or_else(|| TimeZone::get(name).ok())
}

fn instant(time: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    zone.to_ambiguous_timestamp(time).compatible().ok()
}

/// Whether a text has the form of an RFC 3339 time, as nearly all events write theirs. Which days
/// and hours there are is not looked at.
pub(crate) fn is_rfc_3339(text: &str) -> bool {
    let Some((head, rest)) = text.as_bytes().split_first_chunk::<19>() else { return false };
    let [date, hours, time] =
        const { [Form::of(b"0000-00-"), Form::of(b"00T00:00"), Form::of(b"00:00:00")] };
    // The last two overlap.
    let parts = [(date, &head[..8]), (hours, &head[8..16]), (time, &head[11..])];
    if !parts.iter().all(|(form, bytes)| form.fits(bytes)) {
        return false;
    }
    let zone = match rest {
        [b'.', rest @ ..] => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            &rest[digits..]
        }
        _ => rest,
    };
    match zone {
        b"Z" => true,
        [b'+' | b'-', hours @ .., b':', tens, ones] => {
            [*tens, *ones].iter().chain(hours).all(u8::is_ascii_digit)
                && hours.len() == 2
                && *hours < b"24"[..]
                && *tens < b'6'
        }
        _ => false,
    }
}

/// What eight bytes are to look like: a digit where it has a `0`, and elsewhere what it has.
#[derive(Clone, Copy)]
struct Form {
    wanted: u64,
    /// Added to what a byte may be at most apart from the wanted one, this leaves its high bit
    /// clear.
    limits: u64,
}

impl Form {
    const fn of(form: &[u8; 8]) -> Form {
        let mut limits = [0x7f; 8];
        let mut at = 0;
        while at < form.len() {
            if form[at] == b'0' {
                limits[at] = 0x7f - 9;
            }
            at += 1;
        }
        Form { wanted: u64::from_le_bytes(*form), limits: u64::from_le_bytes(limits) }
    }

    /// Looks at all of them at once, since nearly always all of them fit.
    fn fits(self, bytes: &[u8]) -> bool {
        let Ok(bytes) = bytes.try_into() else { return false };
        let apart = u64::from_le_bytes(bytes) ^ self.wanted;
        (apart | apart.wrapping_add(self.limits)) & 0x8080_8080_8080_8080 == 0
    }
}

/// Reads a number as s, ms, µs or ns since 1970, by its size: each unit covers the years 1973 to
/// 5138 without touching the next.
pub(crate) fn since_1970(text: &str) -> Option<Timestamp> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, fraction) = match whole.parse::<i128>() {
        // Taken apart: a float has too few bits for nanoseconds since 1970.
        Ok(whole) if digits => (whole, format!("0.{fraction}0").parse().ok()?),
        _ => {
            let number: f64 = text.parse().ok()?;
            let number = Some(number).filter(|number| number.is_finite())?;
            (number.trunc() as i128, number.fract().abs())
        }
    };
    let unit = match whole.unsigned_abs() {
        0..100_000_000_000 => 1_000_000_000,
        100_000_000_000..100_000_000_000_000 => 1_000_000,
        100_000_000_000_000..100_000_000_000_000_000 => 1_000,
        _ => 1,
    };
    let part = (fraction * unit as f64).round() as i128;
    let part = if text.starts_with('-') { -part } else { part };
    Timestamp::from_nanosecond(whole.checked_mul(unit)?.checked_add(part)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> String {
        rfc_3339(text.into(), &TimeZone::get("Asia/Tokyo").unwrap()).into_owned()
    }

    #[test]
    fn a_time_is_known_again_in_another_form() {
        let time: Timestamp = "2018-12-13T14:51:00.3Z".parse().unwrap();
        for (text, same) in [
            ("1544712660300", true),
            ("1544712660300000000", true),
            ("2018-12-13T15:51:00.3+01:00", true),
            ("20181213T145100.3Z", true),
            ("2018-12-13 20:36:00.3", true),
            ("Dec 13 2018 14:51:00.300", true),
            ("2018-12-13 14:51:00", false),
            ("2018-12-13T15:51:00.3Z", false),
            ("1544712660", false),
            ("2018-12-15 14:51:00.3", false),
            ("bot", false),
            ("", false),
        ] {
            assert_eq!(may_be(text, time), same, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_read_by_their_size() {
        for (text, nanoseconds) in [
            ("1763670000", Some(1_763_670_000_000_000_000)),
            ("1763670000.123456789", Some(1_763_670_000_123_456_789)),
            ("1763670000123.5", Some(1_763_670_000_123_500_000)),
            ("1.76367e9", Some(1_763_670_000_000_000_000)),
            ("-1.5", Some(-1_500_000_000)),
            ("-0.5", Some(-500_000_000)),
            ("0.", Some(0)),
            ("1e400", None),
            ("inf", None),
            ("-nan", None),
            ("1.5.5", None),
            (".", None),
        ] {
            assert_eq!(since_1970(text).map(Timestamp::as_nanosecond), nanoseconds, "{text}");
        }
    }

    #[test]
    fn an_offset_is_honoured_however_it_is_written() {
        for (text, expected) in [
            ("2026-11-21T10:00:00+0200", "2026-11-21T08:00:00Z"),
            ("2026-11-21T10:00:00+02", "2026-11-21T08:00:00Z"),
            ("2026-11-21T10:00:00-0700", "2026-11-21T17:00:00Z"),
            ("2026-11-21 10:00:00+0200", "2026-11-21T08:00:00Z"),
            ("2026-11-21 10:00:00 +0200", "2026-11-21T08:00:00Z"),
            ("2026-11-21 10:00:00 -07:00", "2026-11-21T17:00:00Z"),
            ("2026-11-21 10:00:00+02:00", "2026-11-21T08:00:00Z"),
            ("2026-11-21T10:00+0200", "2026-11-21T08:00:00Z"),
            ("2026-11-21T10:00:00.5+0530", "2026-11-21T04:30:00.5Z"),
            ("2026-11-21T10:00:00,003Z", "2026-11-21T10:00:00.003Z"),
            ("2026-11-21T10:00:00,003+02:00", "2026-11-21T08:00:00.003Z"),
            ("2026-11-21T10Z", "2026-11-21T10:00:00Z"),
            ("20031011T221415Z", "2003-10-11T22:14:15Z"),
            ("20031011T221415+0200", "2003-10-11T20:14:15Z"),
            ("2026-11-21t10:00:00z", "2026-11-21T10:00:00Z"),
            ("2026-11-21 10:00:00Z", "2026-11-21T10:00:00Z"),
            ("2026-11-21T10:00:00Z[Europe/Berlin]", "2026-11-21T10:00:00Z"),
            ("2026-11-21T10:00:00+02:00[Europe/Berlin]", "2026-11-21T08:00:00Z"),
            ("2026-11-21T10:00:00+02:00[No/Where]", "2026-11-21T08:00:00Z"),
            ("2026-11-21T10:00:00[Europe/Berlin]", "2026-11-21T09:00:00Z"),
            // Without any: Tokyo's, as configured.
            ("2026-11-21T10:00:00", "2026-11-21T01:00:00Z"),
            ("2026-11-21T10:00:00,5", "2026-11-21T01:00:00.5Z"),
            ("2026-11-21", "2026-11-20T15:00:00Z"),
            // As they are: the form is right, or nothing can be told.
            ("2026-11-21T10:00:00+02:00", "2026-11-21T10:00:00+02:00"),
            ("2026-11-21T10:00:00.003Z", "2026-11-21T10:00:00.003Z"),
            ("2016-12-31T23:59:60Z", "2016-12-31T23:59:60Z"),
            ("2026-11-21T10:00:00+99", "2026-11-21T10:00:00+99"),
            ("2026-11-21T10:00:00[No/Where]", "2026-11-21T10:00:00[No/Where]"),
            ("9999-12-31T23:59:59-2359", "9999-12-31T23:59:59-2359"),
            ("last Tuesday", "last Tuesday"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn a_zone_is_honoured_behind_a_time_that_begins_with_its_month() {
        for (text, expected) in [
            ("Feb 09 2015 00:27:43", "2015-02-08T15:27:43Z"),
            ("Feb 09 2015 00:27:43 UTC", "2015-02-09T00:27:43Z"),
            ("Feb 9 2015 00:27:43.123 GMT+02:00", "2015-02-08T22:27:43.123Z"),
            ("Feb 09 2015 00:27:43 -0500", "2015-02-09T05:27:43Z"),
            ("Jul 09 2015 00:27:43 CEST", "2015-07-08T22:27:43Z"),
            ("Jul 09 2015 00:27:43 PDT", "2015-07-09T07:27:43Z"),
            ("Feb 09 2015 00:27:43.5 America/New_York", "2015-02-09T05:27:43.5Z"),
            ("Jul 09 2015 00:27:43 America/New_York", "2015-07-09T04:27:43Z"),
            ("Feb 09 2015 00:27:43 No/Where", "Feb 09 2015 00:27:43 No/Where"),
            ("Feb 09 2015 00:27:43 GMT+02:00x", "Feb 09 2015 00:27:43 GMT+02:00x"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn the_form_of_rfc_3339_and_what_is_near_it() {
        for (text, is) in [
            ("2026-11-21T10:00:00Z", true),
            ("2026-11-21T10:00:00.1+23:59", true),
            ("2026-11-21T10:00:00.Z", false),
            ("2026-11-21T10:00:00,1Z", false),
            ("2026-11-21T10:00:00+24:00", false),
            ("2026-11-21T10:00:00+02:60", false),
            ("2026-11-21T10:00:00+0200", false),
            ("2026-11-21 10:00:00Z", false),
            ("2026-11-21T10:00:00", false),
            ("2026-11-21T10:00:00Zé", false),
            ("-02026-11-21T10:00:00Z", false),
            ("", false),
        ] {
            assert_eq!(is_rfc_3339(text), is, "{text}");
        }
    }

    proptest! {
        /// Eight bytes at once are judged as one by one.
        #[test]
        fn a_form_is_a_form_byte_by_byte(
            bytes in prop::array::uniform8(prop_oneof![any::<u8>(), b'0'..=b'9', Just(b'-')]),
        ) {
            let form = b"0000-00-";
            let fits = |(byte, wanted): (&u8, &u8)| match wanted {
                b'0' => byte.is_ascii_digit(),
                _ => byte == wanted,
            };
            for bytes in [bytes, *b"2026-11-", *b"2026-1:-", *b"2026-11\xad"] {
                prop_assert_eq!(Form::of(form).fits(&bytes), bytes.iter().zip(form).all(fits));
            }
        }

        /// Whatever the spelling, it is the same instant.
        #[test]
        fn one_instant_in_every_spelling(
            seconds in -2_000_000_000_i64..10_000_000_000,
            minutes in -14 * 60..=14 * 60_i32,
            part in 0..1_000_u32,
        ) {
            let expected = Timestamp::new(seconds, 0).unwrap();
            let offset = Offset::from_seconds(minutes * 60).unwrap();
            let there = offset.to_datetime(expected);
            let (sign, size) = (if minutes < 0 { '-' } else { '+' }, minutes.abs());
            let (hours, rest) = (size / 60, size % 60);
            let mut zones = vec![
                format!("{sign}{hours:02}:{rest:02}"),
                format!("{sign}{hours:02}{rest:02}"),
                format!(" {sign}{hours:02}{rest:02}"),
                format!("{sign}{hours:02}:{rest:02}[Europe/Berlin]"),
            ];
            if rest == 0 {
                zones.push(format!("{sign}{hours:02}"));
            }
            for form in ["%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y%m%dT%H%M%S"] {
                for zone in &zones {
                    for point in [".", ","] {
                        let text = format!("{}{point}{part:03}{zone}", there.strftime(form));
                        let found: Timestamp = read(&text).parse().unwrap();
                        let nanos = i128::from(part) * 1_000_000;
                        prop_assert_eq!(
                            found.as_nanosecond() - expected.as_nanosecond(), nanos, "{}", text
                        );
                    }
                }
            }
        }

        #[test]
        fn no_text_breaks_it(text in "[0-9TZ:+.,\\[\\]a-z é-]{0,40}") {
            read(&text);
        }
    }
}
