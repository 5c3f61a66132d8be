//! The event's values as templates see them: looked up in the event's text when asked for, never
//! turned into a tree, so that digits, order and repeated keys stay as they were written. How a
//! value is written into the output is the business of `output`.

use super::{BatchItem, work};
use crate::event::Event;
use crate::event::json::{Json, Kind};
use bytes::Bytes;
use minijinja::value::{DynObject, Enumerator, Object, ObjectRepr, Value, ValueKind};
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

/// An array or object of the event, still as text.
#[derive(Debug)]
pub(super) struct Node(Bytes);

impl Node {
    pub(super) fn text(&self) -> &str {
        // It was cut from a `str` at its value's ends; the check is cheaper than a copy.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Its length as text, in bytes.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Its text to look something up in, unless the rendering has done too much of that.
    fn json(&self) -> Option<Json<'_>> {
        work::look_through(self.len()).then(|| Json::of_checked(self.text()))
    }

    /// Its text to make values of all its parts.
    fn parts(&self) -> Option<Json<'_>> {
        work::take_apart(self.len()).then(|| Json::of_checked(self.text()))
    }

    fn value(&self, json: Json<'_>) -> Value {
        of_json(json, |part| self.0.slice_ref(part))
    }

    /// Whether an object has this key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.json().is_some_and(|json| json.get(key).is_some())
    }
}

impl Object for Node {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        if self.0.first() == Some(&b'[') { ObjectRepr::Seq } else { ObjectRepr::Map }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match self.repr() {
            ObjectRepr::Seq => Some(self.value(self.json()?.index(key.as_usize()?)?)),
            _ => self.get_value_by_str(key.as_str()?),
        }
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        Some(self.value(self.json()?.get(key)?))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let Some(json) = self.parts() else { return Enumerator::Empty };
        match self.repr() {
            ObjectRepr::Seq => {
                Enumerator::Values(json.items().map(|item| self.value(item)).collect())
            }
            _ => {
                let pairs: Vec<_> = json
                    .entries()
                    .map(|(key, value)| (Value::from(key), self.value(value)))
                    .collect();
                Enumerator::KeyValueIter(Box::new(pairs.into_iter()))
            }
        }
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        let json = self.json()?;
        Some(match self.repr() {
            ObjectRepr::Seq => json.items().count(),
            _ => json.entries().count(),
        })
    }

    fn is_true(self: &Arc<Self>) -> bool {
        has_parts(&self.0)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// Whether anything stands in the brackets of an array or object.
fn has_parts(text: &[u8]) -> bool {
    let inside = text.get(1..).unwrap_or_default();
    let blanks = inside.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    work::look_through(blanks) && !matches!(inside.get(blanks), None | Some(b']' | b'}'))
}

/// One event of a batch: its fields, and over them the envelope's.
#[derive(Debug)]
pub(super) struct Item {
    event: Arc<Event>,
    delivery_id: Box<str>,
}

impl Item {
    pub(super) fn new(item: &BatchItem<'_>) -> Item {
        Item { event: Arc::clone(item.event), delivery_id: item.context.delivery_id.into() }
    }

    pub(super) fn text(&self) -> &str {
        self.event.text.as_str()
    }

    /// Whether the event itself has this field.
    pub(super) fn has(&self, key: &str) -> bool {
        work::look_through(self.text().len()) && self.event.json().get(key).is_some()
    }
}

impl Object for Item {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let event = &self.event;
        Some(match key {
            "audit_id" => Value::from(&*event.audit_id),
            "timestamp" => Value::from(&*event.timestamp),
            "event_kind" => Value::from(&*event.event_kind),
            "severity" => Value::from(event.severity.as_str()),
            "agent_id" => Value::from(&*event.agent_id),
            "event_json" => Scalar::value(ScalarKind::Event, event.body()),
            "root" => of_event(event, event.json()),
            "postrider" => Value::from_pairs([
                ("source", Value::from(Arc::clone(&event.origin.source))),
                ("delivery_id", Value::from(&*self.delivery_id)),
            ]),
            _ if !work::look_through(self.text().len()) => return None,
            _ => of_event(event, event.json().get(key)?),
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let event = &self.event;
        if !work::take_apart(self.text().len()) {
            return Enumerator::Empty;
        }
        let value = |value| of_event(event, value);
        let entries = event.json().entries();
        let pairs: Vec<_> = entries.map(|(key, json)| (Value::from(key), value(json))).collect();
        Enumerator::KeyValueIter(Box::new(pairs.into_iter()))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        work::look_through(self.text().len()).then(|| self.event.json().entries().count())
    }

    fn is_true(self: &Arc<Self>) -> bool {
        has_parts(self.text().as_bytes())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A scalar that is written otherwise than minijinja would write it.
#[derive(Debug)]
pub(super) struct Scalar {
    pub(super) kind: ScalarKind,
    text: Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ScalarKind {
    /// A number whose digits a machine number would not keep, such as `1e400` or `1.10`, and the
    /// nearest one to calculate with.
    Digits(f64),
    /// `event_json`: a text that is JSON.
    Event,
    /// A text that is percent-encoded already.
    Encoded,
    /// The value of a variable of the configuration.
    Variable,
    /// A text that no platform's escaping is to touch.
    Raw,
}

impl Scalar {
    pub(super) fn value(kind: ScalarKind, text: Bytes) -> Value {
        Value::from_object(Scalar { kind, text })
    }

    pub(super) fn text(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// The length of its text, in bytes.
    pub(super) fn len(&self) -> usize {
        self.text.len()
    }
}

impl Object for Scalar {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        match self.kind {
            ScalarKind::Digits(number) => number != 0.0,
            _ => !self.text.is_empty(),
        }
    }

    fn custom_cmp(self: &Arc<Self>, other: &DynObject) -> Option<Ordering> {
        match (self.kind, other.downcast_ref::<Scalar>()?.kind) {
            (ScalarKind::Digits(a), ScalarKind::Digits(b)) => a.partial_cmp(&b),
            _ => None,
        }
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// The value of a piece of an event's JSON.
pub(super) fn of_event(event: &Arc<Event>, json: Json<'_>) -> Value {
    of_json(json, |part| event.body().slice_ref(part))
}

/// The value of a piece of JSON, of which `share` gives parts without copying them.
fn of_json(json: Json<'_>, share: impl FnOnce(&[u8]) -> Bytes) -> Value {
    match json.kind() {
        Kind::Null => Value::from(()),
        Kind::Bool => Value::from(json.text() == "true"),
        Kind::Number => number(json.text()),
        Kind::String => Value::from(json.as_str().unwrap_or_default()),
        Kind::Array | Kind::Object => Value::from_object(Node(share(json.text().as_bytes()))),
    }
}

/// A machine number where it prints the very same digits.
fn number(text: &str) -> Value {
    let digits = || {
        let nearest = text.parse().unwrap_or(f64::NAN);
        Scalar::value(ScalarKind::Digits(nearest), Bytes::copy_from_slice(text.as_bytes()))
    };
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
        return match text.parse::<i64>() {
            Ok(0) if text != "0" => digits(),
            Ok(number) => Value::from(number),
            Err(_) => match text.parse::<i128>() {
                Ok(number) => Value::from(number),
                Err(_) => digits(),
            },
        };
    }
    match text.split_once('.') {
        // A decimal of up to 15 digits survives the way through a float.
        Some((_, fraction))
            if text.len() <= 16
                && fraction.bytes().all(|byte| byte.is_ascii_digit())
                && (fraction == "0" || !fraction.ends_with('0')) =>
        {
            text.parse::<f64>().map_or_else(|_| digits(), Value::from)
        }
        _ => digits(),
    }
}

/// Whether a value counts as null: null itself, or absent.
pub(super) fn is_null(value: &Value) -> bool {
    value.is_none() || value.is_undefined()
}

/// The value as minijinja's own filters and tests take it.
pub(super) fn plain(value: &Value) -> Value {
    match value.downcast_object_ref::<Scalar>() {
        None => value.clone(),
        Some(scalar) => match scalar.kind {
            ScalarKind::Digits(number) => Value::from(number),
            _ => Value::from(scalar.text()),
        },
    }
}

/// What a value is, in the words of JSON.
pub(super) fn describe(value: &Value) -> &'static str {
    match plain(value).kind() {
        ValueKind::Undefined | ValueKind::None => "null",
        ValueKind::Bool => "a boolean",
        ValueKind::Number => "a number",
        ValueKind::String | ValueKind::Bytes => "a string",
        ValueKind::Seq | ValueKind::Iterable => "an array",
        ValueKind::Map => "an object",
        _ => "something that is not a value",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        for (text, machine) in [
            ("0", true),
            ("-7", true),
            ("9223372036854775807", true),
            ("18446744073709551616", true),
            ("0.05", true),
            ("1.0", true),
            ("-0.5", true),
            ("0.00001", true),
            ("-0", false),
            ("1.10", false),
            ("1e400", false),
            ("1E2", false),
            ("0.30000000000000004", false),
            ("170141183460469231731687303715884105728", false),
        ] {
            let owner = Bytes::copy_from_slice(text.as_bytes());
            let text = std::str::from_utf8(&owner).unwrap();
            let value = number(text);
            assert_eq!(value.is_number(), machine, "{text}");
            assert_eq!(value.to_string(), text);
            assert!(plain(&value).is_number(), "{text}");
        }
    }
}
