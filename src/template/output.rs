//! Writing values into the output: as JSON, inside a JSON string, as text, percent-encoded. The
//! writer follows which of these is due by reading along what the template itself writes. What the
//! values are lives in `value`, where they come from in `scope`.

use super::percent::Percent;
use super::scope::Scope;
use super::value::{Item, Node, Scalar, ScalarKind, is_null};
use super::{Escape, Markup, failure};
use crate::event::json::{Json, first_special, quotes};
use minijinja::value::{Value, ValueKind};
use minijinja::{Error, Output, State};
use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering::Relaxed};

/// How many bytes a template may write beside twice those of its events, and how many a filter may
/// make.
pub const MAX_OUTPUT: usize = 4 << 20;

/// How deep lists and maps that a template builds may nest.
const MAX_DEPTH: usize = 64;

/// What the rendering is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Text(Escape),
    /// Nothing is written; whether the value is true is noted.
    Verdict,
}

/// Where in a JSON text the writer stands.
const OUTSIDE: u8 = 0;
const IN_STRING: u8 = 1;
const AFTER_BACKSLASH: u8 = 2;

/// What the writer and the formatter tell each other. They run on one thread and meet only through
/// the engine, which wants both `Sync`: hence atomics that never contend.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) purpose: Purpose,
    /// How many bytes may be written.
    most: usize,
    /// The writer's place in the JSON text.
    place: AtomicU8,
    /// What comes is a whole value or escaped already: it does not change the place.
    settled: AtomicBool,
    /// A write of nothing came through: nobody captures the output.
    reached: AtomicBool,
    /// The output found no room.
    pub(super) full: AtomicBool,
    /// Bytes written into captures so far.
    captured: AtomicUsize,
    /// Whether the last value was true.
    pub(super) verdict: AtomicBool,
}

impl Progress {
    /// `events`: the bytes of what is rendered.
    pub(super) fn new(purpose: Purpose, events: usize) -> Progress {
        Progress {
            purpose,
            most: MAX_OUTPUT.saturating_add(events.saturating_mul(2)),
            place: AtomicU8::new(OUTSIDE),
            settled: AtomicBool::new(false),
            reached: AtomicBool::new(false),
            full: AtomicBool::new(false),
            captured: AtomicUsize::new(0),
            verdict: AtomicBool::new(false),
        }
    }
}

/// Takes what the engine writes, within its bound.
pub(super) struct Writer<'a> {
    scope: Arc<Scope>,
    out: &'a mut Vec<u8>,
    start: usize,
    json: bool,
}

impl<'a> Writer<'a> {
    pub(super) fn new(scope: Arc<Scope>, out: &'a mut Vec<u8>) -> Self {
        let json =
            matches!(scope.progress.purpose, Purpose::Text(Escape::Json | Escape::Message(_)));
        Writer { scope, start: out.len(), out, json }
    }
}

impl io::Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let progress = &self.scope.progress;
        if bytes.is_empty() {
            progress.reached.store(true, Relaxed);
            return Ok(());
        }
        if self.out.len() - self.start + bytes.len() > progress.most {
            progress.full.store(true, Relaxed);
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if self.json && !progress.settled.load(Relaxed) {
            progress.place.store(follow(progress.place.load(Relaxed), bytes), Relaxed);
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The place in a JSON text after these bytes.
fn follow(mut place: u8, bytes: &[u8]) -> u8 {
    // Nearly always no quote is escaped: each begins a string or ends one.
    if place != AFTER_BACKSLASH
        && let Some(quotes) = quotes(bytes)
    {
        return if (place == IN_STRING) == quotes.is_multiple_of(2) { IN_STRING } else { OUTSIDE };
    }
    let mut rest = bytes;
    loop {
        let at = match place {
            OUTSIDE => rest.iter().position(|byte| *byte == b'"').unwrap_or(rest.len()),
            IN_STRING => first_special(rest),
            _ => 0,
        };
        let Some(byte) = rest.get(at) else { return place };
        place = match (place, byte) {
            (OUTSIDE, _) | (AFTER_BACKSLASH, _) => IN_STRING,
            (_, b'"') => OUTSIDE,
            (_, b'\\') => AFTER_BACKSLASH,
            _ => place,
        };
        rest = &rest[at + 1..];
    }
}

/// Writes a value that a template prints; the engine calls it for every expression.
pub(super) fn format(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    let scope = Scope::of(state)?;
    let progress = &scope.progress;
    let Purpose::Text(escape) = progress.purpose else {
        progress.verdict.store(value.is_true(), Relaxed);
        return Ok(());
    };
    // What is captured is a text on its way to become a value: it is escaped where that is printed.
    progress.reached.store(false, Relaxed);
    out.write_str("")?;
    if !progress.reached.load(Relaxed) {
        return write_text(value, &mut Captured { out, progress });
    }
    let scalar = value.downcast_object_ref::<Scalar>().map(|scalar| (scalar.kind, scalar));
    match escape {
        Escape::None => write_text(value, out),
        Escape::Url => match scalar {
            Some((ScalarKind::Variable | ScalarKind::Encoded, scalar)) => {
                Ok(out.write_str(scalar.text())?)
            }
            _ => write_text(value, &mut Percent { out, encoded: value.is_safe() }),
        },
        Escape::Json | Escape::Message(_) => {
            let raw = matches!(scalar, Some((ScalarKind::Raw, _)));
            let markup = match escape {
                Escape::Message(markup) if !raw => Some(markup),
                _ => None,
            };
            let place = progress.place.load(Relaxed);
            if place == AFTER_BACKSLASH {
                // The template leaves an escape open, as in `"C:\{{file}}"`: what was meant is the
                // backslash itself, and the value must not become the rest of the escape.
                out.write_str("\\")?;
            }
            let outside = place == OUTSIDE;
            if outside && value.is_safe() {
                let text = value.as_str().unwrap_or_default();
                // The filter `json` knows nothing of markup: a string it wrote is written anew.
                let string = markup.and_then(|markup| {
                    let string = Json::check(text).ok()?.as_str()?;
                    Some(markup.escaped(&string))
                });
                return match string {
                    Some(string) => quote(&string, out),
                    None => Ok(out.write_str(text)?),
                };
            }
            progress.settled.store(true, Relaxed);
            let written = match (outside, markup) {
                (false, None) => write_text(value, &mut InString(out)),
                (false, Some(markup)) => {
                    write_text(value, &mut Marked { markup, out: &mut InString(out) })
                }
                (true, Some(markup)) if value.as_str().is_some() => {
                    quote(&markup.escaped(value.as_str().unwrap_or_default()), out)
                }
                (true, _) => write_json(value, out, MAX_DEPTH),
            };
            progress.settled.store(false, Relaxed);
            written
        }
    }
}

/// The value as text: a string as it is, null as nothing, anything else as JSON.
pub(super) fn text_of(value: &Value) -> Result<String, Error> {
    let mut text = Bounded(String::new());
    write_text(value, &mut text)?;
    Ok(text.0)
}

/// The same, without a copy where the text is there already: for what makes no more of it.
pub(super) fn text_in(value: &Value) -> Result<Cow<'_, str>, Error> {
    if let Some(text) = value.as_str() {
        return Ok(Cow::Borrowed(text));
    }
    if let Some(scalar) = value.downcast_object_ref::<Scalar>() {
        return Ok(Cow::Borrowed(scalar.text()));
    }
    if let Some(node) = value.downcast_object_ref::<Node>() {
        return Ok(Cow::Borrowed(node.text()));
    }
    text_of(value).map(Cow::Owned)
}

/// The value as JSON.
pub(super) fn json_of(value: &Value) -> Result<String, Error> {
    let mut text = Bounded(String::new());
    write_json(value, &mut text, MAX_DEPTH)?;
    Ok(text.0)
}

fn write_text(value: &Value, out: &mut dyn fmt::Write) -> Result<(), Error> {
    if let Some(text) = value.as_str() {
        return Ok(out.write_str(text)?);
    }
    if let Some(scalar) = value.downcast_object_ref::<Scalar>() {
        return Ok(out.write_str(scalar.text())?);
    }
    let not_a_number =
        value.is_number() && f64::try_from(value.clone()).is_ok_and(|n| !n.is_finite());
    if is_null(value) || value.kind() == ValueKind::Plain || not_a_number {
        return Ok(());
    }
    write_json(value, out, MAX_DEPTH)
}

fn write_json(value: &Value, out: &mut dyn fmt::Write, depth: usize) -> Result<(), Error> {
    if let Some(node) = value.downcast_object_ref::<Node>() {
        return Ok(out.write_str(node.text())?);
    }
    if let Some(item) = value.downcast_object_ref::<Item>() {
        return Ok(out.write_str(item.text())?);
    }
    if let Some(scalar) = value.downcast_object_ref::<Scalar>() {
        return match scalar.kind {
            ScalarKind::Digits(_) | ScalarKind::Event => Ok(out.write_str(scalar.text())?),
            ScalarKind::Encoded | ScalarKind::Variable | ScalarKind::Raw => {
                quote(scalar.text(), out)
            }
        };
    }
    match value.kind() {
        ValueKind::String | ValueKind::Bytes => match value.as_str() {
            Some(text) => quote(text, out),
            None => quote(&value.to_string(), out),
        },
        ValueKind::Bool => Ok(out.write_str(if value.is_true() { "true" } else { "false" })?),
        ValueKind::Number => write_number(value, out),
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => {
            let Some(depth) = depth.checked_sub(1) else {
                return Err(failure("a value nests too deep to be written"));
            };
            write_container(value, out, depth)
        }
        ValueKind::Invalid => Err(failure("a value could not be computed")),
        _ => Ok(out.write_str("null")?),
    }
}

fn write_number(value: &Value, out: &mut dyn fmt::Write) -> Result<(), Error> {
    if value.is_integer() {
        return Ok(write!(out, "{value}")?);
    }
    let number = f64::try_from(value.clone()).unwrap_or(f64::NAN);
    match number {
        _ if !number.is_finite() => out.write_str("null")?,
        _ if number.abs() >= 1e16 => write!(out, "{number:e}")?,
        _ => write!(out, "{value}")?,
    }
    Ok(())
}

fn write_container(value: &Value, out: &mut dyn fmt::Write, depth: usize) -> Result<(), Error> {
    if value.kind() == ValueKind::Map {
        out.write_char('{')?;
        let pairs = value.as_object().and_then(|object| object.try_iter_pairs());
        for (index, (key, item)) in pairs.into_iter().flatten().enumerate() {
            out.write_str(if index > 0 { ",\"" } else { "\"" })?;
            write_text(&key, &mut InString(out))?;
            out.write_str("\":")?;
            write_json(&item, out, depth)?;
        }
        out.write_char('}')?;
    } else {
        out.write_char('[')?;
        for (index, item) in value.try_iter()?.enumerate() {
            if index > 0 {
                out.write_char(',')?;
            }
            write_json(&item, out, depth)?;
        }
        out.write_char(']')?;
    }
    Ok(())
}

fn quote(text: &str, out: &mut dyn fmt::Write) -> Result<(), Error> {
    out.write_char('"')?;
    InString(out).write_str(text)?;
    Ok(out.write_char('"')?)
}

/// Escapes what is written for the inside of a JSON string.
struct InString<'a>(&'a mut dyn fmt::Write);

impl fmt::Write for InString<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        loop {
            let at = first_special(rest.as_bytes());
            self.0.write_str(&rest[..at])?;
            let Some(byte) = rest.as_bytes().get(at) else { return Ok(()) };
            match byte {
                b'"' => self.0.write_str("\\\"")?,
                b'\\' => self.0.write_str("\\\\")?,
                b'\n' => self.0.write_str("\\n")?,
                b'\r' => self.0.write_str("\\r")?,
                b'\t' => self.0.write_str("\\t")?,
                other => write!(self.0, "\\u{other:04x}")?,
            }
            rest = &rest[at + 1..];
        }
    }
}

/// Escapes what is written for a platform's markup.
struct Marked<'a> {
    markup: Markup,
    out: &'a mut dyn fmt::Write,
}

impl fmt::Write for Marked<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.markup.write(text, self.out)
    }
}

/// Counts what goes into captures, which the writer never sees.
struct Captured<'a, 'o> {
    out: &'a mut Output<'o>,
    progress: &'a Progress,
}

impl fmt::Write for Captured<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let captured = self.progress.captured.fetch_add(text.len(), Relaxed) + text.len();
        if captured > self.progress.most {
            self.progress.full.store(true, Relaxed);
            return Err(fmt::Error);
        }
        self.out.write_str(text)
    }
}

/// A string that takes no more than [`MAX_OUTPUT`].
struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > MAX_OUTPUT {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_in_a_json_text() {
        for (text, place) in [
            ("", OUTSIDE),
            ("{\"a", IN_STRING),
            ("{\"a\": ", OUTSIDE),
            ("\"a\\", AFTER_BACKSLASH),
            ("\"a\\\"", IN_STRING),
            ("\"a\\\\\"", OUTSIDE),
        ] {
            assert_eq!(follow(OUTSIDE, text.as_bytes()), place, "{text}");
            let piecewise = text.bytes().fold(OUTSIDE, |place, byte| follow(place, &[byte]));
            assert_eq!(piecewise, place, "{text} byte by byte");
        }
    }

    #[test]
    fn built_values_are_written_as_json() {
        for (value, json) in [
            (Value::from(vec![Value::from(1), Value::from("a\"b\u{1}")]), r#"[1,"a\"b\u0001"]"#),
            (Value::from_pairs([("b", 1.5), ("a", 2.0)]), r#"{"b":1.5,"a":2.0}"#),
            (Value::from(f64::INFINITY), "null"),
            (Value::from(1e300), "1e300"),
            (Value::UNDEFINED, "null"),
            (Value::from(i128::MAX), "170141183460469231731687303715884105727"),
        ] {
            assert_eq!(json_of(&value).unwrap(), json);
        }
    }
}
