//! YAML as a tree, through serde-saphyr. Aliases and merges are followed; what they bring keeps the
//! position it was defined at.

use super::{Entry, Fault, Kind, MAX_DEPTH, Node, Position, Value, check_key, too_deep};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};
use std::fmt;

/// Reads a YAML document.
pub(super) fn read(text: &str) -> Result<Node, Fault> {
    let options = serde_saphyr::options! {
        // YAML 1.1's `no` for false would turn a name into a boolean.
        strict_booleans: true,
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: 200_000,
            max_events: 400_000,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 200_000 },
    };
    let raw: Option<Spanned<Raw>> =
        serde_saphyr::from_str_with_options(text, options).map_err(|error| fault(&error))?;
    match raw {
        Some(raw) => build(raw, text, 0),
        None => Ok(Node::scalar(Kind::Null, "", Position { line: 1, column: 1 })),
    }
}

fn fault(error: &serde_saphyr::Error) -> Fault {
    let position = error.location().map(|at| position(&at)).unwrap_or_default();
    let message = error.to_string();
    // The library puts the place into its message; ours stands before it.
    let message = message.split(" at line ").next().unwrap_or_default();
    let message = message.lines().next().unwrap_or_default().trim_end_matches(':');
    // It also tells programmers which option to set.
    let message = message.split(", set DuplicateKeyPolicy").next().unwrap_or_default();
    let message = message.split("; use from_str").next().unwrap_or_default();
    Fault { position, message: format!("not valid YAML: {message}"), fix: super::syntax_fix() }
}

/// A node as serde hands it out.
enum Raw {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_i128<E>(self, value: i128) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_u128<E>(self, value: u128) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Number(value.to_string()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = map.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Map(entries))
    }
}

fn position(at: &Location) -> Position {
    Position { line: at.line() as usize, column: at.column() as usize }
}

fn build(raw: Spanned<Raw>, text: &str, depth: usize) -> Result<Node, Fault> {
    let at = position(&raw.defined);
    if depth > MAX_DEPTH {
        return Err(too_deep(at));
    }
    // What a plain scalar was written as: `0640` is no number to a file mode.
    let written = |read: String| {
        let span = raw.defined.span();
        let range = span.byte_offset().zip(span.byte_len());
        range
            .and_then(|(start, length)| text.get(start as usize..(start + length) as usize))
            .map(str::trim)
            .filter(|text| !text.is_empty() && !text.contains(['\n', '"', '\'', ' ']))
            .map_or(read, str::to_owned)
    };
    Ok(match raw.value {
        Raw::Null => Node::scalar(Kind::Null, "", at),
        Raw::Bool(value) => Node::scalar(Kind::Bool, value.to_string(), at),
        Raw::Number(read) => Node::scalar(Kind::Number, written(read), at),
        Raw::Text(value) => Node::scalar(Kind::Text, value, at),
        Raw::List(items) => {
            let items: Result<_, _> =
                items.into_iter().map(|item| build(item, text, depth + 1)).collect();
            Node::new(Value::List(items?), at)
        }
        Raw::Map(raw) => {
            let mut entries = Vec::with_capacity(raw.len());
            for (key, value) in raw {
                let position = position(&key.defined);
                check_key(&key.value, position)?;
                let node = build(value, text, depth + 1)?;
                entries.push(Entry { key: key.value, position, node });
            }
            Node::new(Value::Map(entries), at)
        }
    })
}
