//! How a source's stream is taken apart.

use crate::event::FieldPath;

/// How a stream is taken apart into events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Framing {
    /// Each line is one.
    Lines,
    /// Each line is one, or one message with its length before it, as syslog over TCP has it.
    Messages,
    /// JSON documents, or the elements of a list in them.
    Documents(Documents),
}

/// JSON documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documents {
    /// Whether a document ends with its line.
    pub lines: bool,
    /// The way to the list that holds the events; empty where the document is the event.
    pub unwrap: Vec<Box<str>>,
    /// Of a longer document what follows is malformed.
    pub max_bytes: u64,
}

impl Documents {
    /// Documents with their events in the list at this path.
    pub fn new(lines: bool, unwrap: Option<&FieldPath>, max_bytes: u64) -> Self {
        let segments = unwrap.into_iter().flat_map(FieldPath::segments);
        Documents { lines, unwrap: segments.map(Into::into).collect(), max_bytes }
    }
}
