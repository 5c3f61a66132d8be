//! Events for tests of what is made of them.

use super::{Event, Origin, Position, Severity, StreamId, Text};
use jiff::Timestamp;

/// An event with this text, and an envelope of its own.
pub(crate) fn event(text: &str) -> Event {
    Event {
        text: Text::check(text.to_owned()).unwrap(),
        audit_id: "ae_1".into(),
        timestamp: "2026-04-17T10:15:03Z".into(),
        event_kind: "policy_block".into(),
        severity: Severity::Error,
        agent_id: "bot \"7\"".into(),
        origin: Origin {
            source: "app".into(),
            position: Position { stream: StreamId::from_bytes([1; 16]), offset: 0, index: 0 },
            accepted_at: Timestamp::UNIX_EPOCH,
        },
        about: None,
    }
}
