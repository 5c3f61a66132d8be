//! Texts of another system as postrider writes them, so that they mean what they meant there.

use std::time::Duration;

/// A glob that begins with a literal `!`: here that would refuse.
pub(super) fn glob(glob: String) -> String {
    if glob.starts_with('!') { format!("\\{glob}") } else { glob }
}

/// A URL without templates, which the other system does not know.
///
/// # Errors
/// Where it is none; says what it should be, not what it is.
pub(super) fn url(url: &str) -> Result<String, String> {
    let escaped = [("{{", "%7B%7B"), ("{%", "%7B%25"), ("{#", "%7B%23")];
    let url = escaped.iter().fold(url.to_owned(), |url, (from, to)| url.replace(from, to));
    if url.contains("${") {
        return Ok(url);
    }
    let known = url::Url::parse(&url)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if known { Ok(url) } else { Err("not a URL that begins with http:// or https://".to_owned()) }
}

/// A duration as Go writes it, such as `1m30s`, as postrider does.
///
/// # Errors
/// Where it is none, or not longer than nothing.
pub(super) fn duration(text: &str) -> Result<String, String> {
    let wrong = || format!("`{text}` is not a duration such as `5s`, `1m30s` or `500ms`");
    let duration = go_duration(text).ok_or_else(wrong)?;
    let ms = duration.as_millis().max(1);
    match duration {
        Duration::ZERO => Err(format!("`{text}` leaves no time for an answer")),
        _ if ms.is_multiple_of(1_000) => Ok(format!("{}s", ms / 1_000)),
        _ => Ok(format!("{ms}ms")),
    }
}

fn go_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Duration::ZERO);
    }
    let mut total = None;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(end);
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let seconds = match unit {
            "h" => 3_600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        let part = Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()?;
        total = Some(total.unwrap_or(Duration::ZERO).checked_add(part)?);
        rest = after;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go() {
        for (text, expected) in [
            ("5s", Some("5s")),
            ("1m30s", Some("90s")),
            ("1h2m3.5s", Some("3723500ms")),
            (".5s", Some("500ms")),
            ("1.s", Some("1s")),
            ("1500ms", Some("1500ms")),
            ("2000000us", Some("2s")),
            ("2000000\u{b5}s", Some("2s")),
            ("2000000\u{3bc}s", Some("2s")),
            ("1ns", Some("1ms")),
            ("+5s", Some("5s")),
            ("0", None),
            ("0s", None),
            ("-5s", None),
            ("10", None),
            ("5d", None),
            ("banana", None),
            ("s", None),
            ("1e3s", None),
            ("1.2.3s", None),
            ("5 s", None),
            ("", None),
            ("99999999999999999999h", None),
        ] {
            assert_eq!(duration(text).ok().as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_literal_there_is_literal_here() {
        assert_eq!(glob("!x".to_owned()), r"\!x");
        assert_eq!(glob("x!*".to_owned()), "x!*");
        let globs = crate::event::Globs::new(vec![glob("!x*".to_owned())]).unwrap();
        assert!(globs.matches("!xy") && !globs.matches("y") && !globs.matches("xy"));
        for (given, expected) in [
            ("https://a.example/{{x}}?{%y#z", Some("https://a.example/%7B%7Bx}}?%7B%25y#z")),
            ("https://a.example/{#x", Some("https://a.example/%7B%23x")),
            ("${HOOK}", Some("${HOOK}")),
            ("http://a.example/{x}", Some("http://a.example/{x}")),
            ("5", None),
            ("ftp://a.example/", None),
            ("https://", None),
            ("", None),
        ] {
            assert_eq!(url(given).ok().as_deref(), expected, "{given}");
        }
    }
}
