//! postrider's own filters, beside Jinja's. An input that a filter cannot make sense of comes back
//! as it is or as null; only a wrong argument is an error, and where that argument stands in the
//! template it is found when the configuration is read.

use super::cut::cut;
use super::failure;
use super::jinja::{Filter, argument, first};
use super::markup::{Markup, code_span, link};
use super::output::{json_of, text_in, text_of};
use super::percent::percent_encode;
use super::time;
use super::value::{Scalar, ScalarKind, is_null};
use crate::event::{Severity, SeverityScale};
use crate::signature::hmac_sha256_hex;
use bytes::Bytes;
use minijinja::Error;
use minijinja::value::Value;

/// The filters, by name.
pub(super) const FILTERS: &[(&str, Filter)] = &[
    ("clip", |_, args| clip(args)),
    ("code", |_, args| rewritten(args, code_span)),
    ("discord", |_, args| marked(args, Markup::Discord)),
    ("epoch", |_, args| epoch(args)),
    ("hmac_sha256", |_, args| hmac_sha256(args)),
    ("json", |_, args| Ok(Value::from_safe_string(json_of(&first(args))?))),
    ("link", |_, args| safe_link(args)),
    ("markdown", |_, args| marked(args, Markup::Markdown)),
    ("mask", |_, args| rewritten(args, mask)),
    ("one_line", |_, args| one_line(args)),
    ("raw", |_, args| Ok(raw(&first(args)))),
    ("severity_color", |_, args| severity_color(args)),
    ("severity_name", |_, args| severity_name(args)),
    ("slack", |_, args| marked(args, Markup::Slack)),
    ("time", |_, args| format_time(args)),
    ("truncate_bytes", |_, args| truncate_bytes(args)),
    ("urlencode", |_, args| urlencode(args)),
];

/// The systems whose severities `severity_name` knows.
const SYSTEMS: &[&str] = &["opsgenie", "pagerduty", "syslog"];

/// The styles of colour that `severity_color` knows.
const STYLES: &[&str] = &["decimal", "hex", "slack", "teams"];

/// What is wrong with a filter's constant arguments, found before any event comes. `known` gives
/// an argument by its place and name where it is a constant.
pub(super) fn misused(
    filter: &str,
    known: &dyn Fn(usize, &str) -> Option<Value>,
) -> Result<(), String> {
    let one_of = |value: &Value, choices: &[&str]| match value.as_str() {
        Some(text) if choices.contains(&text) => Ok(()),
        _ => Err(format!("filter `{filter}` takes one of {}", choices.join(", "))),
    };
    match filter {
        "severity_name" => known(0, "system").map_or(Ok(()), |value| one_of(&value, SYSTEMS)),
        "severity_color" => known(0, "style").map_or(Ok(()), |value| one_of(&value, STYLES)),
        "time" => time::check(known(0, "format").as_ref(), known(1, "zone").as_ref()),
        "epoch" => known(0, "digits").map_or(Ok(()), |value| match value.as_i64() {
            Some(0..=9) => Ok(()),
            _ => Err("filter `epoch` takes 0 to 9 digits".to_owned()),
        }),
        _ => Ok(()),
    }
}

/// Rewrites a value's text; null stays null.
fn rewritten(args: &[Value], rewrite: fn(&str) -> String) -> Result<Value, Error> {
    let value = first(args);
    if is_null(&value) {
        return Ok(Value::UNDEFINED);
    }
    Ok(Value::from(rewrite(&text_of(&value)?)))
}

/// Escapes a value's text for a platform, which is not to do it again; null stays null.
fn marked(args: &[Value], markup: Markup) -> Result<Value, Error> {
    let value = first(args);
    if is_null(&value) {
        return Ok(Value::UNDEFINED);
    }
    Ok(raw_text(markup.escaped(&text_of(&value)?)))
}

fn raw_text(text: String) -> Value {
    Scalar::value(ScalarKind::Raw, Bytes::from(text))
}

/// Whether no platform's escaping is to touch the text.
fn is_raw(value: &Value) -> bool {
    value.downcast_object_ref::<Scalar>().is_some_and(|scalar| scalar.kind == ScalarKind::Raw)
}

/// A text of at most so many characters, as platforms count them, that says what was cut.
fn clip(args: &[Value]) -> Result<Value, Error> {
    let value = first(args);
    let Some(most) = argument(args, 0, "n").and_then(|most| most.as_usize()) else {
        return Err(failure("filter `clip` needs a number of characters"));
    };
    if is_null(&value) || value.as_str().is_some_and(|text| text.len() <= most) {
        return Ok(value);
    }
    let short = cut(&text_in(&value)?, most);
    Ok(match short {
        Some(text) if is_raw(&value) => raw_text(text),
        Some(text) => Value::from(text),
        None => value,
    })
}

/// The longest URL that is a link, unless told otherwise, in bytes.
const MAX_LINK: usize = 2000;

/// A URL that may stand in a link; nothing for what is none.
fn safe_link(args: &[Value]) -> Result<Value, Error> {
    let most = argument(args, 0, "n").map_or(Some(MAX_LINK), |most| most.as_usize());
    let Some(most) = most else {
        return Err(failure("filter `link` needs a number of bytes"));
    };
    Ok(link(&text_in(&first(args))?, most).map_or(Value::UNDEFINED, Value::from))
}

/// A text with a blank for each of its line breaks and other control characters.
fn one_line(args: &[Value]) -> Result<Value, Error> {
    let value = first(args);
    if is_null(&value) {
        return Ok(Value::UNDEFINED);
    }
    let text = text_in(&value)?;
    // What breaks a line is a control character or begins with one of these bytes.
    let text = if text.bytes().any(|byte| byte < b' ' || matches!(byte, 0x7f | 0xc2 | 0xe2)) {
        let breaks = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        text.replace("\r\n", " ").replace(breaks, " ").into()
    } else {
        text
    };
    let text = text.trim();
    Ok(if is_raw(&value) { raw_text(text.to_owned()) } else { Value::from(text) })
}

/// Keeps the last four characters of what is long enough to stay unknown.
fn mask(text: &str) -> String {
    let count = text.chars().count();
    let shown = if count > 8 { 4 } else { 0 };
    "***".chars().chain(text.chars().skip(count - shown)).collect()
}

fn urlencode(args: &[Value]) -> Result<Value, Error> {
    let value = first(args);
    if is_null(&value) {
        return Ok(Value::UNDEFINED);
    }
    let encoded = percent_encode(&text_of(&value)?);
    Ok(Scalar::value(ScalarKind::Encoded, Bytes::from(encoded)))
}

/// A text that no platform's escaping touches; what JSON and URLs need is still done to it.
fn raw(value: &Value) -> Value {
    match value.as_str() {
        Some(text) => Scalar::value(ScalarKind::Raw, Bytes::copy_from_slice(text.as_bytes())),
        None => value.clone(),
    }
}

fn hmac_sha256(args: &[Value]) -> Result<Value, Error> {
    let Some(key) = argument(args, 0, "key").filter(|key| !is_null(key)) else {
        return Err(failure("filter `hmac_sha256` needs a key"));
    };
    let text = text_of(&first(args))?;
    Ok(Value::from(hmac_sha256_hex(text_of(&key)?.as_bytes(), text.as_bytes())))
}

fn truncate_bytes(args: &[Value]) -> Result<Value, Error> {
    const ELLIPSIS: &str = "…";
    let value = first(args);
    let Some(most) = argument(args, 0, "n").and_then(|most| most.as_usize()) else {
        return Err(failure("filter `truncate_bytes` needs a number of bytes"));
    };
    if is_null(&value) {
        return Ok(Value::UNDEFINED);
    }
    let text = text_in(&value)?;
    if text.len() <= most {
        return Ok(value.clone());
    }
    let (room, tail) = match most.checked_sub(ELLIPSIS.len()) {
        Some(room) => (room, ELLIPSIS),
        None => (most, ""),
    };
    let cut = format!("{}{tail}", &text[..text.floor_char_boundary(room)]);
    Ok(if is_raw(&value) { raw_text(cut) } else { Value::from(cut) })
}

/// The time a value means, and the value itself.
fn instant(args: &[Value]) -> Result<(Option<jiff::Timestamp>, Value), Error> {
    let value = first(args);
    let instant = if is_null(&value) { None } else { time::read(&text_in(&value)?) };
    Ok((instant, value))
}

fn format_time(args: &[Value]) -> Result<Value, Error> {
    let (instant, value) = instant(args)?;
    let Some(instant) = instant else { return Ok(value) };
    let (format, zone) = (argument(args, 0, "format"), argument(args, 1, "zone"));
    time::format(instant, format.as_ref(), zone.as_ref()).map(Value::from).map_err(failure)
}

fn epoch(args: &[Value]) -> Result<Value, Error> {
    let digits = argument(args, 0, "digits").map_or(Some(0), |digits| digits.as_i64());
    let Some(digits) = digits.and_then(|digits| u32::try_from(digits).ok()).filter(|&n| n <= 9)
    else {
        return Err(failure("filter `epoch` takes 0 to 9 digits"));
    };
    let (instant, _) = instant(args)?;
    let Some(instant) = instant else { return Ok(Value::UNDEFINED) };
    let count = instant.as_nanosecond().div_euclid(10_i128.pow(9 - digits));
    Ok(i64::try_from(count).map_or_else(|_| Value::from(count), Value::from))
}

/// The severity a value means; a word that no table knows counts as unknown.
fn severity(args: &[Value]) -> Result<Option<Severity>, Error> {
    let value = first(args);
    if is_null(&value) {
        return Ok(None);
    }
    Ok(Some(Severity::read(&text_in(&value)?, SeverityScale::Syslog)))
}

/// The receiver's word for a severity. An unknown one becomes a warning everywhere, so that the
/// receiver takes the event and somebody looks.
fn severity_name(args: &[Value]) -> Result<Value, Error> {
    use Severity::{Alert, Critical, Debug, Emergency, Error, Info, Notice, Unknown, Warn};
    let system = argument(args, 0, "system").unwrap_or_default();
    let system = text_in(&system)?;
    let Some(severity) = severity(args)? else { return Ok(Value::UNDEFINED) };
    Ok(Value::from(match (&*system, severity) {
        ("pagerduty", Critical | Alert | Emergency) => "critical",
        ("pagerduty", Error) => "error",
        ("pagerduty", Warn | Unknown) => "warning",
        ("pagerduty", Debug | Info | Notice) => "info",
        ("opsgenie", Critical | Alert | Emergency) => "P1",
        ("opsgenie", Error) => "P2",
        ("opsgenie", Warn | Unknown) => "P3",
        ("opsgenie", Notice) => "P4",
        ("opsgenie", Debug | Info) => "P5",
        ("syslog", Debug) => "debug",
        ("syslog", Info) => "info",
        ("syslog", Notice) => "notice",
        ("syslog", Warn | Unknown) => "warning",
        ("syslog", Error) => "err",
        ("syslog", Critical) => "crit",
        ("syslog", Alert) => "alert",
        ("syslog", Emergency) => "emerg",
        _ => {
            return Err(failure(format!(
                "filter `severity_name` takes one of {}",
                SYSTEMS.join(", ")
            )));
        }
    }))
}

fn severity_color(args: &[Value]) -> Result<Value, Error> {
    let style = argument(args, 0, "style").unwrap_or_default();
    let style = text_in(&style)?;
    let Some(severity) = severity(args)? else { return Ok(Value::UNDEFINED) };
    let (rgb, slack, teams) = match severity {
        Severity::Debug => (0x95a5a6, "good", "good"),
        Severity::Info | Severity::Notice => (0x3498db, "good", "good"),
        Severity::Warn | Severity::Unknown => (0xf1c40f, "warning", "warning"),
        Severity::Error => (0xe74c3c, "danger", "attention"),
        Severity::Critical | Severity::Alert | Severity::Emergency => {
            (0x992d22, "danger", "attention")
        }
    };
    match &*style {
        "hex" => Ok(Value::from(format!("#{rgb:06x}"))),
        "decimal" => Ok(Value::from(rgb)),
        "slack" => Ok(Value::from(slack)),
        "teams" => Ok(Value::from(teams)),
        _ => Err(failure(format!("filter `severity_color` takes one of {}", STYLES.join(", ")))),
    }
}
