//! Syslog messages: RFC 5424 as it is written, RFC 3164 as it is met.

use super::put;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use serde_json::{Map, Value};

/// Facilities by their number.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

/// Severities by their number; 0 is the worst.
const SEVERITIES: [&str; 8] =
    ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// How far ahead of the clock a time without a year may be and still be of this year, in seconds.
const AHEAD: i64 = 2 * 24 * 3600;

/// How many years back a day is looked for that not each year has.
const YEARS_BACK: i16 = 8;

type Object = Map<String, Value>;

/// The event of a message.
pub(super) fn event(line: &str, zone: &TimeZone, now: Timestamp) -> Result<Object, String> {
    let mut event = Object::new();
    let (priority, rest) = priority(line)?;
    if let Some(priority) = priority {
        put(&mut event, "facility", Some(FACILITIES[usize::from(priority / 8)]));
        put(&mut event, "severity", Some(SEVERITIES[usize::from(priority % 8)]));
    }
    if priority.is_some()
        && let Some(rest) = rest.strip_prefix("1 ")
    {
        return new_form(event, rest);
    }
    old_form(event, rest, priority.is_some(), zone, now)
}

/// Time and host of a header that stands before another format's text.
pub(super) fn header(
    text: &str,
    zone: &TimeZone,
    now: Timestamp,
) -> (Option<String>, Option<String>) {
    let Ok((priority, rest)) = priority(text) else { return (None, None) };
    let rest = match (priority, rest.strip_prefix("1 ")) {
        (Some(_), Some(rest)) => rest,
        _ => rest,
    };
    let Some((time, rest)) = old_time(rest, zone, now) else { return (None, None) };
    let host = rest.split_whitespace().next().filter(|host| *host != "-").map(str::to_owned);
    (Some(time), host)
}

/// `<PRI>`, where it is there.
fn priority(text: &str) -> Result<(Option<u8>, &str), String> {
    let Some(inner) = text.strip_prefix('<') else { return Ok((None, text)) };
    let wrong = || "`<` is not followed by a priority from 0 to 191 and `>`".to_owned();
    let (digits, rest) = inner.split_once('>').ok_or_else(wrong)?;
    if digits.is_empty() || digits.len() > 3 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    let number = digits.parse().ok().filter(|number: &u8| *number < 192).ok_or_else(wrong)?;
    Ok((Some(number), rest))
}

/// RFC 5424, behind its version.
fn new_form(mut event: Object, text: &str) -> Result<Object, String> {
    let mut rest = text;
    let mut next = |name: &str| {
        let (word, after) = rest.split_once(' ').unwrap_or((rest, ""));
        rest = after;
        if word.is_empty() {
            return Err(format!("the field {name} is missing"));
        }
        Ok(Some(word).filter(|word| *word != "-"))
    };
    let time = next("TIMESTAMP")?;
    if time.is_some_and(|time| time.parse::<Timestamp>().is_err()) {
        return Err("the field TIMESTAMP is no time as RFC 3339 has it".to_owned());
    }
    put(&mut event, "timestamp", time);
    for (name, key) in
        [("HOSTNAME", "host"), ("APP-NAME", "app"), ("PROCID", "procid"), ("MSGID", "msgid")]
    {
        put(&mut event, key, next(name)?);
    }
    let (data, rest) = structured_data(rest)?;
    if !data.is_empty() {
        event.insert("structured_data".to_owned(), Value::Object(data));
    }
    let message = rest.strip_prefix(' ').unwrap_or(rest);
    put(&mut event, "message", Some(message.strip_prefix('\u{feff}').unwrap_or(message)));
    Ok(event)
}

/// STRUCTURED-DATA, and what follows it.
fn structured_data(text: &str) -> Result<(Object, &str), String> {
    if let Some(rest) = text.strip_prefix('-') {
        return Ok((Object::new(), rest));
    }
    let mut elements = Object::new();
    let mut rest = text;
    while let Some(inner) = rest.strip_prefix('[') {
        let (name, params, after) = element(inner)?;
        elements.insert(name.to_owned(), Value::Object(params));
        rest = after;
    }
    if elements.is_empty() || !(rest.is_empty() || rest.starts_with(' ')) {
        return Err("the field STRUCTURED-DATA is neither `-` nor elements in brackets".to_owned());
    }
    Ok((elements, rest))
}

/// One element, behind its bracket.
fn element(text: &str) -> Result<(&str, Object, &str), String> {
    let wrong = || "an element of STRUCTURED-DATA does not end as it should".to_owned();
    let end = text.find([' ', ']', '=', '"']).filter(|end| *end > 0).ok_or_else(wrong)?;
    let (name, mut rest) = text.split_at(end);
    let mut params = Object::new();
    loop {
        if let Some(after) = rest.strip_prefix(']') {
            return Ok((name, params, after));
        }
        let param = rest.strip_prefix(' ').ok_or_else(wrong)?.trim_start_matches(' ');
        if param.starts_with(']') {
            rest = param;
            continue;
        }
        let (key, quoted) = param.split_once("=\"").ok_or_else(wrong)?;
        if key.is_empty() || key.contains([' ', ']', '"', '=']) {
            return Err(wrong());
        }
        let (value, after) = quoted_value(quoted).ok_or_else(wrong)?;
        add(&mut params, key, value);
        rest = after;
    }
}

/// A name may stand in an element more than once: then its values are a list.
fn add(params: &mut Object, key: &str, value: String) {
    match params.get_mut(key) {
        None => drop(params.insert(key.to_owned(), value.into())),
        Some(Value::Array(values)) => values.push(value.into()),
        Some(first) => *first = Value::Array(vec![first.take(), value.into()]),
    }
}

/// A value up to its closing quote, and what follows.
fn quoted_value(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => match chars.next()?.1 {
                escaped @ ('"' | '\\' | ']') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            c => value.push(c),
        }
    }
    None
}

/// RFC 3164: time, host, tag and text, of which much may be missing.
fn old_form(
    mut event: Object,
    text: &str,
    has_priority: bool,
    zone: &TimeZone,
    now: Timestamp,
) -> Result<Object, String> {
    let Some((time, rest)) = old_time(text, zone, now) else {
        if !has_priority {
            return Err("it begins with neither `<priority>` nor a time".to_owned());
        }
        put(&mut event, "message", Some(text));
        return Ok(event);
    };
    put(&mut event, "timestamp", Some(&time));
    let rest = rest.trim_start_matches(' ');
    // Of a message that never left its machine the host is not named.
    let (first, after) = rest.split_once(' ').unwrap_or((rest, ""));
    let rest = if first.ends_with(':') || first.contains('[') {
        rest
    } else {
        put(&mut event, "host", Some(first).filter(|host| !host.is_empty()));
        after
    };
    let message = match tag(rest) {
        Some((app, procid, message)) => {
            put(&mut event, "app", Some(app));
            put(&mut event, "procid", procid);
            message
        }
        None => rest,
    };
    put(&mut event, "message", Some(message.strip_prefix('\u{feff}').unwrap_or(message)));
    Ok(event)
}

/// `app[pid]: message` or `app: message`.
fn tag(text: &str) -> Option<(&str, Option<&str>, &str)> {
    let end = text.find(|c: char| c.is_whitespace() || c == ':' || c == '[')?;
    let (app, rest) = text.split_at(end);
    if app.is_empty() {
        return None;
    }
    let (procid, rest) = match rest.strip_prefix('[') {
        Some(inner) => {
            let (procid, rest) = inner.split_once(']')?;
            (Some(procid), rest)
        }
        None => (None, rest),
    };
    let message = rest.strip_prefix(':')?;
    Some((app, procid, message.strip_prefix(' ').unwrap_or(message)))
}

/// A time at the beginning: `Oct 11 22:14:15`, with a year before or behind its time or fractions
/// too, or ISO 8601 with an offset. Returns it, and what follows.
fn old_time<'a>(text: &'a str, zone: &TimeZone, now: Timestamp) -> Option<(String, &'a str)> {
    if text.as_bytes().first()?.is_ascii_digit() {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        word.parse::<Timestamp>().ok()?;
        return Some((word.to_owned(), rest));
    }
    let month = MONTHS.iter().position(|month| text.get(..3) == Some(month))? as i8 + 1;
    let mut words = Words(text.get(3..)?);
    let day: i8 = words.next()?.parse().ok()?;
    let mut word = words.next()?;
    let year: Option<i16> = if word.len() == 4 { word.parse().ok() } else { None };
    if year.is_some() {
        word = words.next()?;
    }
    let time: Time = word.trim_end_matches(':').parse().ok()?;
    let at = |year: i16| {
        let time = DateTime::from_parts(Date::new(year, month, day).ok()?, time);
        zone.to_ambiguous_timestamp(time).compatible().ok()
    };
    let behind = match year {
        None => year_at(words.0).and_then(|(year, rest)| Some((at(year)?, rest))),
        Some(_) => None,
    };
    if let Some((time, rest)) = behind {
        return Some((time.to_string(), rest));
    }
    let time = match year {
        Some(year) => at(year)?,
        None => {
            let this = zone.to_datetime(now).year();
            let years = (this - YEARS_BACK..=this + 1).rev();
            let past = |time: &Timestamp| time.as_second() <= now.as_second() + AHEAD;
            years.filter_map(at).find(past)?
        }
    };
    Some((time.to_string(), words.0))
}

/// A year as the first word, and what follows it. No host has such a name.
fn year_at(text: &str) -> Option<(i16, &str)> {
    let mut words = Words(text);
    let word = words.next().filter(|word| word.len() == 4)?;
    let year = word.parse().ok().filter(|year| (1970..2100).contains(year))?;
    Some((year, words.0))
}

/// Words of a text, one after another.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let text = self.0.trim_start_matches(' ');
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        self.0 = rest;
        (!word.is_empty()).then_some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn read(line: &str) -> Result<Value, String> {
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        event(line, &zone, now).map(Value::Object)
    }

    #[test]
    fn the_new_form_is_read_whole() {
        let line = "<165>1 2024-05-06T07:08:09.003Z web-1 login 77 ID9 \
            [a@1 x=\"1\" x=\"2\" y=\"q \\\" \\\\ \\] \\n\"][b@1] \u{feff}told {\"a\":1}";
        assert_eq!(
            read(line).unwrap(),
            json!({
                "facility": "local4", "severity": "notice", "timestamp": "2024-05-06T07:08:09.003Z",
                "host": "web-1", "app": "login", "procid": "77", "msgid": "ID9",
                "structured_data": {"a@1": {"x": ["1", "2"], "y": "q \" \\ ] \\n"}, "b@1": {}},
                "message": "told {\"a\":1}",
            })
        );
        assert_eq!(
            read("<0>1 - - - - - -").unwrap(),
            json!({"facility": "kern", "severity": "emerg", "message": ""})
        );
    }

    #[test]
    fn the_old_form_is_read_as_far_as_it_goes() {
        for (line, expected) in [
            (
                "<38>Jan  2 03:04:05 db-1 sshd[42]: Failed password: x",
                json!({"facility": "auth", "severity": "info", "timestamp": "2026-01-02T02:04:05Z",
                    "host": "db-1", "app": "sshd", "procid": "42", "message": "Failed password: x"}),
            ),
            (
                "Dec 31 23:00:00 db-1 cron: done",
                json!({"timestamp": "2025-12-31T22:00:00Z", "host": "db-1", "app": "cron",
                    "message": "done"}),
            ),
            (
                "<13>Feb 29 00:00:00 su[1]: a leap day",
                json!({"facility": "user", "severity": "notice",
                    "timestamp": "2024-02-28T23:00:00Z", "app": "su", "procid": "1",
                    "message": "a leap day"}),
            ),
            (
                "<13>May 06 2023 07:08:09.5: host just text",
                json!({"facility": "user", "severity": "notice",
                    "timestamp": "2023-05-06T06:08:09.5Z", "host": "host", "message": "just text"}),
            ),
            (
                "<34>Oct 11 22:14:15 2023 m su: hi",
                json!({"facility": "auth", "severity": "crit", "timestamp": "2023-10-11T21:14:15Z",
                    "host": "m", "app": "su", "message": "hi"}),
            ),
            (
                "<34>Feb 29 22:14:15 2023 su: hi",
                json!({"facility": "auth", "severity": "crit", "timestamp": "2024-02-29T21:14:15Z",
                    "host": "2023", "app": "su", "message": "hi"}),
            ),
            (
                "<34>2024-10-11T22:14:15+0200 m su: hi",
                json!({"facility": "auth", "severity": "crit",
                    "timestamp": "2024-10-11T22:14:15+0200", "host": "m", "app": "su",
                    "message": "hi"}),
            ),
            (
                "2024-05-06T07:08:09+02:00 host app: x",
                json!({"timestamp": "2024-05-06T07:08:09+02:00", "host": "host", "app": "app",
                    "message": "x"}),
            ),
            (
                "<191>nothing but text",
                json!({"facility": "local7", "severity": "debug", "message": "nothing but text"}),
            ),
        ] {
            assert_eq!(read(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for line in [
            "nothing but text",
            "<192>x",
            "<x>y",
            "<>y",
            "<13",
            "<13>1 yesterday - - - - -",
            "<13>1 - - - - -",
            "<13>1 - - - - - [a x=1]",
            "<13>1 - - - - - [a x=\"1\"",
            "<13>1 - - - - - [a]x",
            "<13>1 - - - - - x",
            "Foo 12 00:00:00 x",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_it(line in "(<[0-9]{1,3}>)?(1 )?([A-Za-z0-9 :\\[\\]\"=\\\\.-]|é|\u{feff}){0,60}") {
            let _ = read(&line);
        }
    }
}
