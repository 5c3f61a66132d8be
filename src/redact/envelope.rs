//! The owned event of an export that redacts: its envelope tells nothing that its text does not.

use super::walk::{Found, Redacted, walk};
use super::{Redaction, Strategy, splice};
use crate::event::json::{Json, Kind, unescape};
use crate::event::{Event, Text};
use crate::schema::may_be;
use compact_str::{CompactString, format_compact};
use std::borrow::Cow;
use std::sync::Arc;

/// A shorter value may stand in an id by chance; it counts only where it is all of it.
const LEAST: usize = 4;

impl Redaction {
    /// The event with its text redacted; the same event where nothing is to be replaced.
    ///
    /// A field of the envelope that holds anything redacted is redacted too. An id or a time that
    /// would be nothing but a mask is what an event without it gets: an id of its own, for
    /// receivers drop what they have seen before, and the time of acceptance.
    pub fn event(&self, event: &Arc<Event>) -> Arc<Event> {
        let found = walk(self, event.json());
        if found.splices.is_empty() {
            return Arc::clone(event);
        }
        let text = splice::apply(event.text.as_str(), &found.splices);
        let values = values(event.text.as_str(), &found);
        let clean = |field: &str| self.field(field, &values).map(CompactString::from);
        let own_id = || format_compact!("pr_{}", event.origin.position.hash(""));
        let hashes = self.strategy == Strategy::Hash;
        Arc::new(Event {
            text: Text::of_checked(text),
            audit_id: match clean(&event.audit_id) {
                Some(hashed) if hashes => hashed,
                Some(_) => own_id(),
                None => event.audit_id.clone(),
            },
            timestamp: match clean(&event.timestamp) {
                None if !is_among(&event.timestamp, &values) => event.timestamp.clone(),
                _ => format_compact!("{:.3}", event.origin.accepted_at),
            },
            event_kind: match clean(&event.event_kind) {
                Some(kind) if kind.is_empty() => "unknown".into(),
                Some(kind) => kind,
                None => event.event_kind.clone(),
            },
            severity: event.severity,
            agent_id: clean(&event.agent_id).unwrap_or_else(|| event.agent_id.clone()),
            origin: event.origin.clone(),
            about: event.about.clone(),
        })
    }

    /// A field of the envelope without what was redacted elsewhere; `None` where it holds nothing
    /// of that.
    fn field(&self, field: &str, values: &[Cow<'_, str>]) -> Option<String> {
        let mut clean: Option<String> = None;
        for value in values {
            let now = clean.as_deref().unwrap_or(field);
            if value == field || value.len() >= LEAST && now.contains(&**value) {
                clean = Some(now.replace(&**value, &self.part(value)));
            }
        }
        let now = clean.as_deref().unwrap_or(field);
        match self.plain(now) {
            Cow::Owned(redacted) => Some(redacted),
            Cow::Borrowed(_) => clean,
        }
    }
}

/// Whether a time is among these texts in whatever form: the event's may be another than the
/// envelope's.
fn is_among(time: &str, values: &[Cow<'_, str>]) -> bool {
    time.parse().is_ok_and(|time| values.iter().any(|value| may_be(value, time)))
}

/// The texts that were redacted, the longest first: what is part of another must not break it up.
fn values<'a>(text: &'a str, found: &Found) -> Vec<Cow<'a, str>> {
    let mut values = Vec::new();
    for redacted in &found.redacted {
        match redacted {
            Redacted::Part(range) => values.push(unescape(&text[range.clone()])),
            Redacted::Value(range) => scalars(Json::of_checked(&text[range.clone()]), &mut values),
        }
    }
    values.retain(|value| !value.is_empty());
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    values
}

/// Every text, number and boolean in a value.
fn scalars<'a>(value: Json<'a>, values: &mut Vec<Cow<'a, str>>) {
    match value.kind() {
        Kind::Object => value.members().for_each(|(_, value)| scalars(value, values)),
        Kind::Array => value.items().for_each(|value| scalars(value, values)),
        _ => values.extend(value.as_scalar()),
    }
}
