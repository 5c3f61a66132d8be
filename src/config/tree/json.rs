//! JSON as a tree. Read with our own in-place reader, whose slices tell their place in the text.

use super::{Entry, Fault, Kind, Lines, MAX_DEPTH, Node, Position, Value, check_key, too_deep};
use crate::event::json::{Json, Kind as JsonKind};
use std::borrow::Cow;

/// Reads a JSON document.
pub(super) fn read(text: &str) -> Result<Node, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = Lines::new(text);
    let json = Json::check(text).map_err(|error| Fault {
        position: lines.position(error.at),
        message: format!("not valid JSON: {}", error.what),
        fix: super::syntax_fix(),
    })?;
    build(json, &lines, 0)
}

fn build(json: Json<'_>, lines: &Lines<'_>, depth: usize) -> Result<Node, Fault> {
    let at = lines.position_of(json.text());
    if depth > MAX_DEPTH {
        return Err(too_deep(at));
    }
    Ok(match json.kind() {
        JsonKind::Null => Node::scalar(Kind::Null, "", at),
        JsonKind::Bool => Node::scalar(Kind::Bool, json.text(), at),
        JsonKind::Number => Node::scalar(Kind::Number, json.text(), at),
        JsonKind::String => Node::scalar(Kind::Text, json.as_str().unwrap_or_default(), at),
        JsonKind::Array => {
            let items: Result<_, _> =
                json.items().map(|item| build(item, lines, depth + 1)).collect();
            Node::new(Value::List(items?), at)
        }
        JsonKind::Object => {
            let mut entries: Vec<Entry> = Vec::new();
            for (key, value) in json.entries() {
                let node = build(value, lines, depth + 1)?;
                let position = match &key {
                    Cow::Borrowed(key) => before_the_quote(lines.position_of(key)),
                    // With an escape in it the key is a copy, which has no place.
                    Cow::Owned(_) => node.position,
                };
                check_key(&key, position)?;
                if entries.iter().any(|entry| entry.key == key) {
                    let message = format!("the key `{key}` stands here twice");
                    return Err(Fault { position, message, fix: Some("keep one".into()) });
                }
                entries.push(Entry { key: key.into_owned(), position, node });
            }
            Node::new(Value::Map(entries), at)
        }
    })
}

fn before_the_quote(position: Position) -> Position {
    Position { column: position.column.saturating_sub(1).max(1), ..position }
}
