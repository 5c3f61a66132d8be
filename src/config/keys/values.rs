//! The values that users write as one word or number: durations, sizes, modes. Each reads any
//! scalar by its text and says what it expects.

use serde::Deserialize;
use serde::de::{Deserializer, Unexpected, Visitor};
use std::fmt;
use std::time::Duration;

/// Reads a scalar by its text.
fn scalar<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &'static str,
    read: fn(&str) -> Option<T>,
) -> Result<T, D::Error> {
    struct Scalar<T>(&'static str, fn(&str) -> Option<T>);

    impl<T> Visitor<'_> for Scalar<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
            (self.1)(text.trim()).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self.0))
        }
    }

    deserializer.deserialize_str(Scalar(expected, read))
}

/// Longer times are slips of the keyboard, and clocks cannot add them.
const MAX_SPAN: Duration = Duration::from_secs(3650 * 86_400);

/// A length of time: `500ms`, `5s`, `1m`, `1h`, `30d`, or seconds as a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::config) struct Span(pub(in crate::config) Duration);

impl Span {
    pub(in crate::config) const fn seconds(seconds: u64) -> Span {
        Span(Duration::from_secs(seconds))
    }

    fn read(text: &str) -> Option<Span> {
        let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        // Rust reads `inf` and `1e5`; neither begins with what is left of the unit here.
        let number: f64 = number.trim_end().parse().ok()?;
        let seconds = match unit {
            "ms" => 0.001,
            "s" | "" => 1.0,
            "m" | "min" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        let span = Duration::try_from_secs_f64(number * seconds).ok()?;
        (span <= MAX_SPAN).then_some(Span(span))
    }
}

const SPAN: &str = "a time: write `500ms`, `5s`, `1m`, `1h` or `30d`, at most `3650d`";

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        scalar(deserializer, SPAN, Span::read)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        match ms {
            0 => f.write_str("0s"),
            _ if ms.is_multiple_of(3_600_000) => write!(f, "{}h", ms / 3_600_000),
            _ if ms.is_multiple_of(60_000) => write!(f, "{}m", ms / 60_000),
            _ if ms.is_multiple_of(1000) => write!(f, "{}s", ms / 1000),
            _ => write!(f, "{ms}ms"),
        }
    }
}

/// A length of time, or `none`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::config) struct SpanOrNone(pub(in crate::config) Option<Duration>);

impl<'de> Deserialize<'de> for SpanOrNone {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| match text {
            "none" => Some(SpanOrNone(None)),
            _ => Span::read(text).map(|span| SpanOrNone(Some(span.0))),
        };
        scalar(deserializer, "`none` or a time: write `30s`, `24h` or `none`", read)
    }
}

impl fmt::Display for SpanOrNone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            None => f.write_str("none"),
            Some(span) => Span(span).fmt(f),
        }
    }
}

/// A number of bytes: `64KB`, `1MB`, `1GB` (powers of 1000), `1MiB` (powers of 1024), or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct Size(pub(in crate::config) usize);

impl Size {
    fn read(text: &str) -> Option<Size> {
        let unit_at = text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let unit: u64 = match unit.to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" => 1000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "kib" => 1 << 10,
            "mib" => 1 << 20,
            "gib" => 1 << 30,
            _ => return None,
        };
        let number = number.trim_end();
        let bytes = match number.parse::<u64>() {
            Ok(number) => number.checked_mul(unit)?,
            Err(_) => {
                let bytes = number.parse::<f64>().ok()? * unit as f64;
                if !(0.0..1e15).contains(&bytes) {
                    return None;
                }
                bytes as u64
            }
        };
        // More than a pebibyte is a slip; it also keeps sums of sizes from overflowing.
        (bytes <= 1 << 50).then(|| usize::try_from(bytes).ok().map(Size)).flatten()
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        scalar(deserializer, "a size: write `64KB`, `1MB`, `1GiB` or a number of bytes", Size::read)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1 << 30, "GiB"), (1_000_000_000, "GB"), (1 << 20, "MiB")];
        let more = [(1_000_000, "MB"), (1 << 10, "KiB"), (1000, "KB")];
        let unit = units
            .into_iter()
            .chain(more)
            .find(|(unit, _)| self.0 > 0 && self.0.is_multiple_of(*unit));
        match unit {
            Some((unit, name)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

const COUNT: &str = "a whole number from 1: write `1` or more, at most `4294967295`";

/// A whole number from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct Count(pub(in crate::config) u32);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| text.parse().ok().filter(|count| *count > 0).map(Count);
        scalar(deserializer, COUNT, read)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A share from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::config) struct Share(pub(in crate::config) f64);

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read =
            |text: &str| text.parse().ok().filter(|share| (0.0..=1.0).contains(share)).map(Share);
        scalar(deserializer, "a share: write a number from 0 to 1", read)
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Permissions of a file in octal: `0640`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) struct FileMode(pub(in crate::config) u32);

impl<'de> Deserialize<'de> for FileMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| {
            let digits = text.strip_prefix("0o").unwrap_or(text);
            let octal = digits.bytes().all(|digit| digit.is_ascii_digit());
            let mode = u32::from_str_radix(digits, 8).ok().filter(|_| octal)?;
            (mode <= 0o777).then_some(FileMode(mode))
        };
        scalar(deserializer, "a file mode: write it in octal digits, such as `0640`", read)
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

/// A status, a class or a range of them: `429`, `5xx`, `500-504`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) struct Statuses(pub(in crate::config) String);

impl<'de> Deserialize<'de> for Statuses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = |text: &str| {
            crate::retry::StatusSet::parse([text]).ok().map(|_| Statuses(text.to_owned()))
        };
        scalar(deserializer, "an HTTP status: write `429`, `5xx` or `500-504`", read)
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::IntoDeserializer;
    use serde::de::value::{Error, StrDeserializer};

    /// What a text is read as and shown as again, or `None`.
    fn read<'de, T: Deserialize<'de> + fmt::Display>(text: &'de str) -> Option<String> {
        let text: StrDeserializer<'de, Error> = text.into_deserializer();
        T::deserialize(text).ok().map(|value| value.to_string())
    }

    #[test]
    fn values_are_read_and_shown() {
        type Reader = fn(&'static str) -> Option<String>;
        type Row = (&'static str, Option<&'static str>);
        let span: Reader = read::<Span>;
        let rows: [(Reader, &[Row]); 6] = [
            (
                span,
                &[
                    ("500ms", Some("500ms")),
                    ("5s", Some("5s")),
                    ("90", Some("90s")),
                    ("0.25", Some("250ms")),
                    ("1.5h", Some("90m")),
                    ("30d", Some("720h")),
                    (" 2 m ", Some("2m")),
                    ("0", Some("0s")),
                    ("3650d", Some("87600h")),
                    ("3651d", None),
                    ("-1s", None),
                    ("1e3", None),
                    ("inf", None),
                    ("5w", None),
                    ("none", None),
                    ("", None),
                    ("NaN", None),
                    ("s", None),
                ],
            ),
            (read::<SpanOrNone>, &[("none", Some("none")), ("24h", Some("24h")), ("never", None)]),
            (
                read::<Size>,
                &[
                    ("64KB", Some("64KB")),
                    ("1MiB", Some("1MiB")),
                    ("1048576", Some("1MiB")),
                    ("0.5 gb", Some("500MB")),
                    ("10b", Some("10")),
                    ("0", Some("0")),
                    ("-1", None),
                    ("1XB", None),
                    ("99999999999GB", None),
                    ("1e9", None),
                ],
            ),
            (
                read::<FileMode>,
                &[
                    ("0640", Some("0640")),
                    ("640", Some("0640")),
                    ("0o600", Some("0600")),
                    ("1777", None),
                    ("689", None),
                    ("+640", None),
                    ("", None),
                ],
            ),
            (
                read::<Count>,
                &[("1", Some("1")), ("0", None), ("-1", None), ("1.5", None), ("4294967296", None)],
            ),
            (
                read::<Share>,
                &[("0.1", Some("0.1")), ("1", Some("1")), ("1.1", None), ("NaN", None)],
            ),
        ];
        for (reader, texts) in rows {
            for (text, shown) in texts {
                assert_eq!(reader(text).as_deref(), *shown, "{text:?}");
            }
        }
    }
}
