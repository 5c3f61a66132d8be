//! One audit event: its untouched JSON text, its envelope and where it stood.
//!
//! [`Envelope`] and [`Record`] borrow from the line as it was read and live while filters look at
//! it; an owned [`Event`] is made once per line, and only if an export takes it. Where an
//! envelope's fields are found in foreign formats is the business of `schema`.

mod hash;
pub mod json;
mod path;
mod pattern;
mod position;
pub mod reference;
mod severity;
mod spent;
#[cfg(test)]
pub(crate) mod testing;

pub use hash::ShortHash;
pub use path::{FieldPath, FieldPathError};
pub use pattern::{Globs, GlobsError};
pub use position::{Position, StreamId};
pub use severity::{Severity, SeverityScale};
pub use spent::{SpentEvents, Stock};

use bytes::Bytes;
use compact_str::{CompactString, format_compact};
use jiff::Timestamp;
use json::Json;
use std::borrow::Cow;
use std::cell::OnceCell;
use std::sync::Arc;

/// The five fields every event has, as they were read from a line in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// The event's own id; absent, the event gets a hash of its position.
    pub audit_id: Option<Cow<'a, str>>,
    /// When it happened (RFC 3339); absent, the time of acceptance.
    pub timestamp: Option<Cow<'a, str>>,
    /// What happened, such as `policy_block`.
    pub event_kind: Cow<'a, str>,
    /// How bad it is.
    pub severity: Severity,
    /// Who did it.
    pub agent_id: Cow<'a, str>,
}

/// Where and when a line came in.
#[derive(Debug, Clone)]
pub struct Origin<Source = Arc<str>> {
    /// Name of the source.
    pub source: Source,
    /// Where the event stood.
    pub position: Position,
    /// When the source accepted it.
    pub accepted_at: Timestamp,
}

/// One audit event, owned and shared by every export that takes it. Its short texts mostly stand
/// in it, with no memory of their own.
#[derive(Debug, Clone)]
pub struct Event {
    /// The event's JSON text, byte for byte as it came: one JSON object.
    pub text: Text,
    /// Its own id, or a hash of its position.
    pub audit_id: CompactString,
    /// When it happened (RFC 3339), or the time of acceptance.
    pub timestamp: CompactString,
    /// What happened; `unknown` where the event does not say.
    pub event_kind: CompactString,
    /// How bad it is.
    pub severity: Severity,
    /// Who did it; empty where the event does not say.
    pub agent_id: CompactString,
    /// Where it came from.
    pub origin: Origin,
    /// For postrider's own events: the export they tell of, which never gets them.
    pub about: Option<Arc<str>>,
}

impl Event {
    /// The event's text as JSON to look into.
    pub fn json(&self) -> Json<'_> {
        self.text.json()
    }

    /// The event's text as bytes that can be sent without copying; no other event takes this one's
    /// place while they are held.
    pub fn body(self: &Arc<Self>) -> Bytes {
        Bytes::from_owner(Held(Arc::clone(self)))
    }
}

/// The text of an event: UTF-8 that was checked to be one JSON object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// Keeps a copy of a checked text.
    pub fn copy(json: Json<'_>) -> Text {
        Text(json.text().to_owned())
    }

    /// A copy of a checked text, in the memory of this one where that is neither too short nor much
    /// too long.
    fn replaced(mut self, json: Json<'_>) -> Text {
        let text = json.text();
        if !(text.len()..=2 * text.len()).contains(&self.0.capacity()) {
            return Text::copy(json);
        }
        self.0.clear();
        self.0.push_str(text);
        self
    }

    /// Takes a text over after checking it.
    pub fn check(text: String) -> Result<Text, json::JsonError> {
        let object = Json::check_object(&text, |_| ())?.text();
        // Blanks around the object are not part of it.
        if object.len() < text.len() {
            return Ok(Text(object.to_owned()));
        }
        Ok(Text(text))
    }

    /// Takes a text over that is known to be one JSON object with nothing around it.
    pub(crate) fn of_checked(text: String) -> Text {
        debug_assert!(Json::check_object(&text, |_| ()).is_ok(), "not an event: {text}");
        Text(text)
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text as JSON to look into.
    pub fn json(&self) -> Json<'_> {
        Json::of_checked(&self.0)
    }
}

/// An event whose text is sent.
struct Held(Arc<Event>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        self.0.text.as_str().as_bytes()
    }
}

/// A line on its way past the filters: borrowed until somebody takes it.
#[derive(Debug)]
pub struct Record<'a> {
    /// The event's JSON text, checked.
    pub json: Json<'a>,
    /// Its envelope.
    pub envelope: Envelope<'a>,
    /// Where it came from.
    pub origin: Origin<&'a Arc<str>>,
    /// See [`Event::about`].
    pub about: Option<Arc<str>>,
    event: OnceCell<Arc<Event>>,
}

impl<'a> Record<'a> {
    /// A record of a line that was read.
    pub fn new(json: Json<'a>, envelope: Envelope<'a>, origin: Origin<&'a Arc<str>>) -> Self {
        Record { json, envelope, origin, about: None, event: OnceCell::new() }
    }

    /// The owned event, made at the first call.
    pub fn event(&self) -> &Arc<Event> {
        self.event.get_or_init(|| Arc::new(self.owned(Text::copy(self.json))))
    }

    /// [`Self::event`], made in the place of one that is spent.
    pub fn event_in(&self, stock: &mut Stock) -> &Arc<Event> {
        self.event.get_or_init(|| {
            if let Some(mut spent) = stock.next()
                && let Some(place) = Arc::get_mut(&mut spent)
            {
                let text = std::mem::take(&mut place.text).replaced(self.json);
                *place = self.owned(text);
                return spent;
            }
            Arc::new(self.owned(Text::copy(self.json)))
        })
    }

    fn owned(&self, text: Text) -> Event {
        let envelope = &self.envelope;
        let Origin { source, position, accepted_at } = &self.origin;
        Event {
            text,
            audit_id: match &envelope.audit_id {
                Some(id) => id.as_ref().into(),
                None => format_compact!("pr_{}", position.hash("")),
            },
            timestamp: match &envelope.timestamp {
                Some(time) => time.as_ref().into(),
                None => format_compact!("{accepted_at:.3}"),
            },
            event_kind: envelope.event_kind.as_ref().into(),
            severity: envelope.severity,
            agent_id: envelope.agent_id.as_ref().into(),
            origin: Origin {
                source: Arc::clone(source),
                position: *position,
                accepted_at: *accepted_at,
            },
            about: self.about.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_line_does_not_say_is_filled_in() {
        let json = Json::check("{}").unwrap();
        let envelope = Envelope {
            audit_id: None,
            timestamp: None,
            event_kind: "unknown".into(),
            severity: Severity::Info,
            agent_id: "".into(),
        };
        let source = "app".into();
        let origin = |offset| Origin {
            source: &source,
            position: Position { stream: StreamId::from_bytes([1; 16]), offset, index: 0 },
            accepted_at: Timestamp::from_second(1_763_670_000).unwrap(),
        };
        let record = |offset| Record::new(json, envelope.clone(), origin(offset));
        let (first, again, other) = (record(0), record(0), record(3));
        assert_eq!(&*first.event().timestamp, "2025-11-20T20:20:00.000Z");
        assert_eq!(first.event().audit_id, again.event().audit_id, "a re-read line keeps its id");
        assert_ne!(first.event().audit_id, other.event().audit_id, "equal lines are two events");
    }

    #[test]
    fn a_text_is_one_object_without_the_blanks_around_it() {
        assert_eq!(Text::check(" {\"a\":1}\n".into()).unwrap().as_str(), "{\"a\":1}");
        assert!(Text::check("[]".into()).is_err());
    }
}
