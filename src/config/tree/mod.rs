//! A configuration document as a tree that knows the line and column of every key and value, and
//! the ways to it. The three formats are read in the rooms below; laying trees over each other is
//! the business of `layers`.

mod json;
mod origin;
mod path;
mod toml;
mod yaml;

pub(super) use origin::Origin;
pub(super) use path::{KeyPath, Segment};

use super::problem::Problem;
use std::sync::Arc;

/// Deeper nesting than this is a problem: every walk over a tree is recursive.
const MAX_DEPTH: usize = 64;

/// Where something stands in its document, both from 1; 0 where there is no document.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

/// One value of a document.
#[derive(Debug, Clone, Default)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) position: Position,
    /// The layer it comes from; known once the layers lie over each other.
    pub(super) origin: Option<Arc<Origin>>,
    /// Whether an export has it from `defaults`.
    pub(super) from_defaults: bool,
    /// Whether this element of a list has been reported and no stub does in its place.
    pub(super) gone: bool,
}

/// What a node is.
#[derive(Debug, Clone, Default)]
pub(super) enum Value {
    /// Stands in for a value that was wrong or missing and has been reported.
    #[default]
    Stub,
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key and its value.
#[derive(Debug, Clone, Default)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) position: Position,
    pub(super) node: Node,
}

/// A value that is neither list nor map, by its text.
#[derive(Debug, Clone)]
pub(super) struct Scalar {
    pub(super) kind: Kind,
    /// As written: digits of numbers are kept, variables stand as `${…}`.
    pub(super) text: String,
    /// What its variables stand for; set by `variables`.
    pub(super) filled: Option<Filled>,
}

/// A scalar's text with its variables' values in place.
#[derive(Debug, Clone, Default)]
pub(super) struct Filled {
    pub(super) text: String,
    /// The variables by what is written between the braces.
    pub(super) values: std::collections::BTreeMap<String, String>,
    /// Whether one has no value and need not have one.
    pub(super) unset: bool,
}

/// What a scalar was written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Number,
    Text,
}

impl Node {
    pub(super) fn new(value: Value, position: Position) -> Node {
        Node { value, position, origin: None, from_defaults: false, gone: false }
    }

    pub(super) fn scalar(kind: Kind, text: impl Into<String>, position: Position) -> Node {
        Node::new(Value::Scalar(Scalar { kind, text: text.into(), filled: None }), position)
    }

    /// The value under a key, if this is a map that has it.
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The elements, if this is a list.
    pub(super) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The entry of a key, if this is a map that has it.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The node at the end of a path.
    pub(super) fn find(&self, path: &KeyPath) -> Option<&Node> {
        path.segments().iter().try_fold(self, |node, segment| match (segment, &node.value) {
            (Segment::Key(key), _) => node.get(key),
            (Segment::Index(index), Value::List(items)) => items.get(*index),
            _ => None,
        })
    }

    /// As [`Node::find`], to change it.
    pub(super) fn find_mut(&mut self, path: &[Segment]) -> Option<&mut Node> {
        path.iter().try_fold(self, |node, segment| match (segment, &mut node.value) {
            (Segment::Key(key), Value::Map(entries)) => {
                entries.iter_mut().find(|entry| entry.key == *key).map(|entry| &mut entry.node)
            }
            (Segment::Index(index), Value::List(items)) => items.get_mut(*index),
            _ => None,
        })
    }

    /// Calls `f` on this node and everything below it.
    pub(super) fn walk_mut(&mut self, f: &mut impl FnMut(&mut Node)) {
        f(self);
        match &mut self.value {
            Value::List(items) => items.iter_mut().for_each(|item| item.walk_mut(f)),
            Value::Map(entries) => entries.iter_mut().for_each(|entry| entry.node.walk_mut(f)),
            Value::Scalar(_) | Value::Stub => {}
        }
    }

    pub(super) fn as_scalar(&self) -> Option<&Scalar> {
        match &self.value {
            Value::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    /// Whether it is null, so that its key counts as absent.
    pub(super) fn is_null(&self) -> bool {
        self.as_scalar().is_some_and(|scalar| scalar.kind == Kind::Null)
    }
}

/// The formats a configuration can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Yaml,
    Toml,
    Json,
}

/// Reads a document; an empty one is an empty map. What is wrong with its syntax is added to
/// `problems`, and what could be read is returned.
pub(super) fn read(
    format: Format,
    text: &str,
    origin: &Origin,
    problems: &mut Vec<Problem>,
) -> Option<Node> {
    let mut fault = |fault: Fault| {
        problems.push(Problem::new(origin, fault.position, "", fault.message, fault.fix));
    };
    let node = match format {
        Format::Yaml => yaml::read(text).map_err(&mut fault).ok(),
        Format::Json => json::read(text).map_err(&mut fault).ok(),
        Format::Toml => toml::read(text, &mut fault),
    }?;
    match &node.value {
        Value::Map(_) => Some(node),
        _ if node.is_null() => Some(Node::new(Value::Map(Vec::new()), node.position)),
        _ => {
            fault(Fault {
                position: node.position,
                message: "a configuration is a map of keys, not a list or a single value".into(),
                fix: Some("begin with a key, such as `exports:`".into()),
            });
            None
        }
    }
}

/// Reads a value of the environment or of `--set` as YAML.
pub(super) fn read_value(text: &str) -> Result<Node, String> {
    yaml::read(text).map_err(|fault| fault.message)
}

/// The position of a line and column of a scalar's text in the document it was read from; `None`
/// where the text does not stand there letter for letter, as it does in a literal block (`|`) and,
/// without escapes, on one line.
pub(super) fn position_inside(node: &Node, line: usize, column: usize) -> Option<Position> {
    let document: Vec<&str> = node.origin.as_ref()?.text.as_ref()?.lines().collect();
    let text = &node.as_scalar()?.text;
    let Position { line: first, column: start } = node.position;
    let written = *document.get(first.checked_sub(1)?)?;
    let rest: String = written.chars().skip(start.checked_sub(1)?).collect();
    for quote in 0..2 {
        let stands = rest.chars().skip(quote).collect::<String>().starts_with(text.as_str());
        if stands && !text.contains('\n') {
            return Some(Position { line: first, column: start + quote + column - 1 });
        }
    }
    // A block's place is that of its first line or, where that is empty, of the first that is not.
    let wanted: Vec<&str> = text.lines().collect();
    let empty = wanted.iter().take_while(|line| line.is_empty()).count();
    let top = [first, first.saturating_sub(empty)].into_iter().find_map(|top| {
        let block = document.get(top.checked_sub(1)?..)?;
        let indent = block.get(empty)?.len().checked_sub(wanted.get(empty)?.len())?;
        let same = |(wanted, written): (&&str, &&str)| {
            wanted.is_empty() || written.get(indent..) == Some(*wanted)
        };
        let whole = block.len() >= wanted.len() && wanted.iter().zip(block).all(same);
        whole.then_some((top, indent))
    });
    let (top, indent) = top?;
    Some(Position { line: top + line - 1, column: indent + column })
}

/// What is wrong with the syntax of a document.
struct Fault {
    position: Position,
    message: String,
    fix: Option<String>,
}

/// A text with the places of its lines, to tell positions of bytes.
struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn new(text: &'a str) -> Lines<'a> {
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(newlines.map(|(at, _)| at + 1)).collect();
        Lines { text, starts }
    }

    /// The position of a byte; columns count characters.
    fn position(&self, at: usize) -> Position {
        let at = at.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= at);
        let before = &self.text.as_bytes()[self.starts[line - 1]..at];
        Position { line, column: String::from_utf8_lossy(before).chars().count() + 1 }
    }

    /// The position of a slice of this text. Addresses are compared, nothing is read through them.
    fn position_of(&self, part: &str) -> Position {
        self.position((part.as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize))
    }
}

/// Refuses keys that no configuration needs and that layering has no room for.
fn check_key(key: &str, position: Position) -> Result<(), Fault> {
    if !key.is_empty() {
        return Ok(());
    }
    let message = "a key is empty".to_owned();
    Err(Fault { position, message, fix: Some("give it a name".into()) })
}

fn syntax_fix() -> Option<String> {
    Some("correct the syntax here or just above".to_owned())
}

fn too_deep(position: Position) -> Fault {
    let message = format!("more than {MAX_DEPTH} values inside each other");
    Fault { position, message, fix: None }
}
