//! A dead letter as it is stored, and reading it. Burying lives in `bury`, replaying in `replay`.

use super::{chunk, page, times};
use crate::delivery::{Claim, Delivery, DeliveryId, Tries};
use crate::event::{Event, Origin, Position, Severity, StreamId, Text};
use crate::retry::Reason;
use jiff::Timestamp;
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Row};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where a dead letter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LetterState {
    /// It lies there.
    Dead,
    /// It was put back on its export and is not settled yet.
    Replaying,
    /// It was delivered after all.
    Replayed,
}

impl LetterState {
    /// Every state.
    pub const ALL: [LetterState; 3] =
        [LetterState::Dead, LetterState::Replaying, LetterState::Replayed];

    /// The word that records show.
    pub fn as_str(self) -> &'static str {
        match self {
            LetterState::Dead => "dead",
            LetterState::Replaying => "replaying",
            LetterState::Replayed => "replayed",
        }
    }

    /// The state of that word.
    pub fn parse(word: &str) -> Option<LetterState> {
        LetterState::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl ToSql for LetterState {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::from(*self as i64))
    }
}

impl FromSql for LetterState {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        let number = value.as_i64()?;
        LetterState::ALL
            .into_iter()
            .find(|state| *state as i64 == number)
            .ok_or(FromSqlError::OutOfRange(number))
    }
}

/// A dead letter as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredLetter {
    /// Its id: ascending, never repeated.
    pub id: i64,
    /// The export; `None` for a line that is not an event.
    pub export: Option<Arc<str>>,
    /// Where it stands.
    pub state: LetterState,
    /// Why it is dead.
    pub reason: Reason,
    /// The source.
    pub source: Arc<str>,
    /// The delivery's id, the same at every replay.
    pub delivery_id: DeliveryId,
    /// Where the event stood.
    pub position: Position,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// The event's envelope; `None` for a line that is not an event.
    pub envelope: Option<StoredEnvelope>,
    /// Attempts made, those of replays included.
    pub attempts: u32,
    /// When the first attempt started.
    pub first_attempt_at: Option<Timestamp>,
    /// When the last attempt ended.
    pub last_attempt_at: Option<Timestamp>,
    /// Status of the last answer.
    pub last_status: Option<u16>,
    /// What went wrong at last.
    pub last_error: String,
    /// How often it was replayed in vain.
    pub replays: u32,
    /// 1 for an event that itself tells of a dead letter, else 0.
    pub depth: u32,
    /// When it was buried first.
    pub created_at: Timestamp,
    /// When its row last changed.
    pub updated_at: Timestamp,
    /// The beginning of the last answer's body.
    pub response: Option<String>,
    /// The event's text, or the head of a line that is not one.
    pub text: Vec<u8>,
}

/// The envelope of a dead letter's event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEnvelope {
    /// The event's own id.
    pub audit_id: Box<str>,
    /// When it happened (RFC 3339).
    pub timestamp: Box<str>,
    /// What happened.
    pub event_kind: Box<str>,
    /// How bad it is.
    pub severity: Severity,
    /// Who did it.
    pub agent_id: Box<str>,
}

impl StoredLetter {
    /// The delivery that replays it, with tries of its own: what was tried before stays with the
    /// row. `None` for a line that is not an event.
    pub fn into_delivery(self) -> Option<Delivery> {
        let envelope = self.envelope?;
        let event = Event {
            text: Text::check(String::from_utf8(self.text).ok()?).ok()?,
            audit_id: envelope.audit_id.into(),
            timestamp: envelope.timestamp.into(),
            event_kind: envelope.event_kind.into(),
            severity: envelope.severity,
            agent_id: envelope.agent_id.into(),
            origin: Origin {
                source: self.source,
                position: self.position,
                accepted_at: self.accepted_at,
            },
            about: None,
        };
        let (tries, claim) = (Tries::default(), Claim::Replay(self.id));
        Some(Delivery::held(self.delivery_id, Arc::new(event), tries, claim))
    }
}

/// The columns that [`from_row`] reads, in its order.
pub(super) const COLUMNS: &str = "id, export, state, reason, source, delivery_id, stream, offset, \
    part, accepted_at, audit_id, timestamp, event_kind, severity, agent_id, attempts, \
    first_attempt_at, last_attempt_at, last_status, last_error, replays, depth, created_at, \
    updated_at, response, text";

/// Reads a row of [`COLUMNS`].
pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredLetter> {
    let reason: String = row.get(3)?;
    Ok(StoredLetter {
        id: row.get(0)?,
        export: row.get(1)?,
        state: row.get(2)?,
        reason: Reason::parse(&reason).ok_or_else(|| page::foreign(3, "no known reason"))?,
        source: row.get(4)?,
        delivery_id: DeliveryId::stored(&row.get::<_, String>(5)?),
        position: Position {
            stream: StreamId::from_bytes(row.get(6)?),
            offset: row.get::<_, i64>(7)? as u64,
            index: row.get(8)?,
        },
        accepted_at: times::get(row, 9)?,
        envelope: envelope(row)?,
        attempts: row.get(15)?,
        first_attempt_at: times::get_option(row, 16)?,
        last_attempt_at: times::get_option(row, 17)?,
        last_status: row.get(18)?,
        last_error: row.get(19)?,
        replays: row.get(20)?,
        depth: row.get(21)?,
        created_at: times::get(row, 22)?,
        updated_at: times::get(row, 23)?,
        response: row.get(24)?,
        text: row.get(25)?,
    })
}

fn envelope(row: &Row<'_>) -> rusqlite::Result<Option<StoredEnvelope>> {
    let Some(audit_id) = row.get(10)? else { return Ok(None) };
    let severity: String = row.get(13)?;
    Ok(Some(StoredEnvelope {
        audit_id,
        timestamp: row.get(11)?,
        event_kind: row.get(12)?,
        severity: chunk::severity(&severity)
            .ok_or_else(|| page::foreign(13, "no known severity"))?,
        agent_id: row.get(14)?,
    }))
}

/// The dead letter of that id.
pub(super) fn get(conn: &Connection, id: i64) -> rusqlite::Result<Option<StoredLetter>> {
    conn.prepare_cached(&format!("SELECT {COLUMNS} FROM dead_letters WHERE id = ?1"))?
        .query_row([id], from_row)
        .optional()
}
