//! Events for commands that send none or one: read from a file or standard input through a
//! source's schema, or made up to fit an export's filters.

use super::failure::Failure;
use crate::config::{Config, Export, INTERNAL_SOURCE, Input, Malformed, Source};
use crate::event::json::Json;
use crate::event::{
    Envelope, Event, FieldPath, Globs, Origin, Position, Record, Severity, StreamId,
};
use crate::format::{with_fields, wrap};
use crate::source::{Framer, Stretch, What, not_an_object, trim};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// The most that is read of a file of events, in bytes.
const MAX_INPUT: u64 = 64 * 1024 * 1024;

/// The export of that name.
pub(super) fn export<'a>(config: &'a Config, name: &str) -> Result<&'a Export, Failure> {
    config.exports.iter().find(|export| &*export.name == name).ok_or_else(|| {
        if config.off.iter().any(|off| off == name) {
            return Failure::usage(
                format!("the export `{name}` is off: `enabled: false`"),
                format!("`--set exports.{name}.enabled=true` switches it on for once"),
            );
        }
        let names: Vec<_> =
            config.exports.iter().map(|export| format!("`{}`", export.name)).collect();
        Failure::usage(
            format!("there is no export `{name}`"),
            format!("name one of {}", names.join(", ")),
        )
    })
}

/// The source of that name, or the first one.
pub(super) fn source(config: &Config, name: Option<&str>) -> Result<Source, Failure> {
    let found = sources(config).find(|source| name.is_none_or(|name| *source.name == *name));
    found.ok_or_else(|| {
        let names: Vec<_> = sources(config).map(|source| format!("`{}`", source.name)).collect();
        Failure::usage("there is no such source", format!("name one of {}", names.join(", ")))
    })
}

/// The first source that an export may take events from.
pub(super) fn source_of(config: &Config, export: &Export) -> Result<Source, Failure> {
    let found = sources(config).find(|source| export.filter.may_take_from(&source.name));
    found.map_or_else(|| source(config, None), Ok)
}

/// Those of the configuration, and that of postrider's own events, as if it read them.
fn sources(config: &Config) -> impl Iterator<Item = Source> {
    let internal = Source::plain(INTERNAL_SOURCE, Input::Stdin);
    let internal = Source { max_line_bytes: usize::MAX, ..internal };
    config.sources.iter().cloned().chain([internal])
}

/// What a file holds, or standard input for `-` and for none.
pub(super) fn read(file: Option<&Path>) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let result = match file.filter(|file| *file != Path::new("-")) {
        Some(file) => std::fs::File::open(file)
            .and_then(|file| file.take(MAX_INPUT + 1).read_to_end(&mut bytes)),
        None => std::io::stdin().lock().take(MAX_INPUT + 1).read_to_end(&mut bytes),
    };
    let name = file.map_or("standard input".to_owned(), |file| file.display().to_string());
    result.map_err(|error| Failure::new(format!("{name}: {error}")))?;
    if bytes.len() as u64 > MAX_INPUT {
        return Err(Failure::usage(
            format!("{name} has more than {} MiB", MAX_INPUT >> 20),
            "give a part of it, as by `head -n 1000`",
        ));
    }
    Ok(bytes)
}

/// The JSON texts of the events in what was read, as a source takes it apart, each with the number
/// of its line; of what is no line, its own number. From 1.
pub(super) fn events(source: &Source, input: &[u8]) -> Vec<(u64, Result<String, String>)> {
    let mut framer = Framer::new(&source.framing, 0, source.max_line_bytes);
    framer.room(input.len())[..input.len()].copy_from_slice(input);
    framer.added(input.len());
    let mut stretches: Vec<_> = std::iter::from_fn(|| framer.whole()).collect();
    stretches.extend(framer.finish());
    let event = |line: &[u8]| event_text(source, line);
    let mut found = Vec::new();
    for stretch in stretches {
        match stretch {
            Stretch::Lines { bytes, .. } => {
                for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                    found.push(Some(event(line)).filter(|_| !trim(line).is_empty()));
                }
            }
            Stretch::Overlong(_) => found.push(Some(Err("too long".to_owned()))),
            Stretch::Records(records) => {
                for piece in &records.pieces {
                    found.push(Some(match &piece.what {
                        What::Whole(range) => event(&records.bytes[range.clone()]),
                        What::TooLong(_) | What::CutOff(..) => Err("too long".to_owned()),
                        What::Broken(_, error) => Err(error.clone()),
                    }));
                }
            }
        }
    }
    let numbered = found.into_iter().enumerate();
    numbered.filter_map(|(index, event)| Some((index as u64 + 1, event?))).collect()
}

/// The JSON text of the event that a line becomes.
fn event_text(source: &Source, line: &[u8]) -> Result<String, String> {
    let line = trim(line);
    let (length, max) = (line.len(), source.max_line_bytes);
    if length > max {
        return Err(format!("a line of {length} bytes, more than max_line_bytes {max}"));
    }
    let zone = &source.schema.mapping().timezone;
    let complete = |text: Cow<'_, str>| {
        let (json, _) = source.schema.read(&text).map_err(not_an_object)?;
        Ok(with_fields(json, &source.add_fields).unwrap_or_else(|| text.into_owned()))
    };
    let text = source.format.event(line, zone, Timestamp::now()).and_then(complete);
    match source.malformed {
        Malformed::Wrap => text.or_else(|_| complete(wrap(line).into())),
        Malformed::DeadLetter | Malformed::Drop => text,
    }
}

/// Reads the JSON text of an event of a source.
pub(super) fn record<'a>(
    source: &'a Source,
    line: &'a str,
    number: u64,
) -> Result<Record<'a>, String> {
    let (json, envelope) = source.schema.read(line).map_err(|error| error.to_string())?;
    Ok(Record::new(json, envelope, origin(&source.name, number)))
}

fn origin(source: &Arc<str>, number: u64) -> Origin<&Arc<str>> {
    let position = Position { stream: StreamId::random(), offset: number, index: 0 };
    Origin { source, position, accepted_at: Timestamp::now() }
}

/// An event that fits an export's filters, as far as they can be fitted, through a source's schema.
pub(super) fn synthetic(
    export: &Export,
    source: &Source,
    severity: Option<Severity>,
    kind: Option<&str>,
) -> Result<(String, Severity), Failure> {
    let filter = &export.filter;
    let severity = severity.or(filter.min_severity).unwrap_or(Severity::Info);
    let kind = kind.map(str::to_owned).unwrap_or_else(|| {
        filter.event_kinds.as_ref().and_then(example).unwrap_or_else(|| "postrider.test".to_owned())
    });
    let now = Timestamp::now();
    let mut event = json!({ "message": "a test event made by `postrider test`" });
    for (path, globs) in &filter.when {
        put(&mut event, path, example(globs).unwrap_or_default().into());
    }
    let mapping = source.schema.mapping();
    let (id, time) = (format!("test_{}", now.as_millisecond()), format!("{now:.3}"));
    for (field, value) in [
        (&mapping.id, &*id),
        (&mapping.timestamp, &time),
        (&mapping.kind, &kind),
        (&mapping.agent, "postrider-test"),
    ] {
        field.places(value).into_iter().for_each(|(path, text)| put(&mut event, path, text.into()));
    }
    if let Some(path) = mapping.severity.from.first() {
        put(&mut event, path, severity.as_str().into());
    }
    Ok((event.to_string(), severity))
}

/// The record of a synthetic event, its severity as asked for whatever the source's rules say.
pub(super) fn synthetic_record<'a>(
    source: &'a Source,
    text: &'a str,
    severity: Severity,
) -> Result<Record<'a>, Failure> {
    let (json, envelope): (Json<'a>, Envelope<'a>) =
        source.schema.read(text).map_err(Failure::new)?;
    Ok(Record::new(json, Envelope { severity, ..envelope }, origin(&source.name, 0)))
}

/// A text that one of the globs matches.
fn example(globs: &Globs) -> Option<String> {
    let candidates = globs.texts().iter().filter(|text| !text.starts_with('!'));
    candidates
        .map(|text| text.replace('*', "test").replace('?', "x"))
        .find(|text| globs.matches(text))
}

/// Puts a value at a path, making objects on the way; what already stands there on the way wins.
fn put(root: &mut Value, path: &FieldPath, value: Value) {
    let mut at = root;
    let last = path.segments().len() - 1;
    for (depth, segment) in path.segments().enumerate() {
        let Value::Object(map) = at else { return };
        let empty = if depth == last { value.clone() } else { json!({}) };
        at = map.entry(segment).or_insert(empty);
    }
}

/// The owned event of a record, as an export may carry it.
pub(super) fn event(export: &Export, record: &Record<'_>) -> Arc<Event> {
    match &export.redaction {
        Some(redaction) => redaction.event(record.event()),
        None => Arc::clone(record.event()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_at_their_paths() {
        let mut root = json!({});
        for (path, value) in
            [("a.b", json!(1)), ("/a/c", json!(2)), ("a.b", json!(3)), ("a.b.c", json!(4))]
        {
            put(&mut root, &path.parse().unwrap(), value);
        }
        assert_eq!(root, json!({ "a": { "b": 1, "c": 2 } }));
    }

    #[test]
    fn an_example_matches_its_globs() {
        for (globs, found) in
            [(&["auth_*"][..], Some("auth_test")), (&["!x", "b?"], Some("bx")), (&["!x"], None)]
        {
            let globs = Globs::new(globs.iter().map(|glob| (*glob).to_owned()).collect()).unwrap();
            assert_eq!(example(&globs).as_deref(), found);
        }
    }
}
