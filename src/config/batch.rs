//! How events are put together into one request.

use crate::template::Template;
use std::time::Duration;

/// Many events in one request.
#[derive(Debug, Clone)]
pub struct Batch {
    /// When it goes at the latest.
    pub bounds: BatchBounds,
    /// How the events' bodies are joined.
    pub encoding: Encoding,
    /// Renders the whole body from all events, in place of a body for each.
    pub template: Option<Template>,
}

/// When a batch goes: whichever bound is reached first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchBounds {
    /// So many events. Not 0.
    pub max_events: usize,
    /// So many bytes of body; until it is rendered, of the events' texts.
    pub max_bytes: usize,
    /// So long after its first event was accepted.
    pub max_wait: Duration,
    /// Whether events of one batch may differ in URL or headers, so that they must be told apart.
    pub sorted: bool,
}

/// How the bodies of a batch are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Each on a line of its own.
    Ndjson,
    /// As the items of one JSON array.
    JsonArray,
    /// One behind the other, with nothing between them.
    Concat,
}
