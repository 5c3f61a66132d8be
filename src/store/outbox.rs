//! The outbox: own events, written in the transaction of what caused them and read by the internal
//! source. Here is what a `webhook.dlq` event looks like; which dead letters get one of their own
//! is decided in `folds`.

use super::folds::{Fold, Key};
use super::transaction::Tx;
use super::{Page, StoreError, page, times};
use crate::delivery::DeadLetter;
use crate::retry::Reason;
use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde::Serialize;
use std::sync::Arc;

/// Kind of the event that tells of a dead letter.
pub const DLQ_EVENT_KIND: &str = "webhook.dlq";

/// An own event that waits to be routed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEvent {
    /// Its number: ascending, never repeated; its offset in the stream [`super::Store::uid`].
    pub id: i64,
    /// The export it tells of, which never gets it.
    pub about: Option<Arc<str>>,
    /// Its JSON text.
    pub text: String,
    /// When it was written.
    pub created_at: Timestamp,
}

/// Contract 2's `webhook.dlq`, fields in its order.
#[derive(Serialize)]
struct DlqEvent<'a> {
    audit_id: String,
    timestamp: String,
    event_kind: &'static str,
    severity: &'static str,
    agent_id: &'a str,
    export: Option<&'a str>,
    source: &'a str,
    dead_letter_id: i64,
    reason: &'static str,
    attempts: u32,
    last_status: Option<u16>,
    last_error: &'a str,
    response: Option<&'a str>,
    event: Option<EventInShort<'a>>,
}

#[derive(Serialize)]
struct EventInShort<'a> {
    audit_id: &'a str,
    timestamp: &'a str,
    event_kind: &'a str,
    severity: &'static str,
}

/// The same for the rest of a minute, without what each of them has for itself.
#[derive(Serialize)]
struct FoldedDlqEvent<'a> {
    audit_id: String,
    timestamp: String,
    event_kind: &'static str,
    severity: &'static str,
    export: Option<&'a str>,
    reason: &'static str,
    count: u64,
    first_id: i64,
    last_id: i64,
}

/// What its row knows of a dead letter that was just buried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Buried {
    pub(super) id: i64,
    /// All attempts, those of earlier replays included.
    pub(super) attempts: u32,
    /// Times it was replayed in vain.
    pub(super) replays: u32,
}

impl Tx<'_> {
    /// Writes the event of one dead letter.
    pub(super) fn tell_of_letter(
        &mut self,
        letter: &DeadLetter,
        buried: Buried,
    ) -> Result<(), StoreError> {
        let Buried { id, attempts, replays } = buried;
        let event = letter.event.as_deref();
        let told = DlqEvent {
            audit_id: match replays {
                0 => format!("dlq_{id}"),
                times => format!("dlq_{id}_{times}"),
            },
            timestamp: times::text(self.now),
            event_kind: DLQ_EVENT_KIND,
            severity: "error",
            agent_id: event.map_or("", |event| &event.agent_id),
            export: letter.export.as_deref(),
            source: &letter.source,
            dead_letter_id: id,
            reason: letter.reason.as_str(),
            attempts,
            last_status: letter.last_status,
            last_error: &letter.last_error,
            response: letter.response.as_deref(),
            event: event.map(|event| EventInShort {
                audit_id: &event.audit_id,
                timestamp: &event.timestamp,
                event_kind: &event.event_kind,
                severity: event.severity.as_str(),
            }),
        };
        let outbox_id = self.state.ids.outbox.next();
        self.put_in_outbox(outbox_id, letter.export.as_deref(), &json(&told)?)
    }

    /// Writes the events of folds whose minute is over, or with `None` of all.
    pub(super) fn tell_of_folds(&mut self, minute: Option<i64>) -> Result<(), StoreError> {
        for ((export, reason), fold) in self.state.folds.take(minute) {
            self.tell_of_fold(&(export, reason), fold)?;
        }
        Ok(())
    }

    fn tell_of_fold(&mut self, (export, reason): &Key, fold: Fold) -> Result<(), StoreError> {
        let outbox_id = self.state.ids.outbox.next();
        let reason: Reason = *reason;
        let told = FoldedDlqEvent {
            // Neither the letters' ids nor the minute would do: a letter can be replayed in vain,
            // and so be folded, twice in one minute.
            audit_id: format!("dlq_fold_{outbox_id}"),
            timestamp: times::text(self.now),
            event_kind: DLQ_EVENT_KIND,
            severity: "error",
            export: export.as_deref(),
            reason: reason.as_str(),
            count: fold.count,
            first_id: fold.first_id,
            last_id: fold.last_id,
        };
        self.put_in_outbox(outbox_id, export.as_deref(), &json(&told)?)
    }

    fn put_in_outbox(
        &mut self,
        id: i64,
        about: Option<&str>,
        text: &str,
    ) -> Result<(), StoreError> {
        self.conn
            .prepare_cached(
                "INSERT INTO outbox (id, about, created_at, text) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![id, about, self.now, text])?;
        self.state.wrote_outbox = true;
        Ok(())
    }
}

fn json(event: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(event).map_err(|error| StoreError::Sqlite(error.to_string()))
}

/// The own events behind the one with the id `after`.
pub(super) fn after(
    conn: &Connection,
    after: i64,
    limit: usize,
) -> Result<Page<OutboxEvent>, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT id, about, created_at, text FROM outbox WHERE id > ?1 ORDER BY id LIMIT ?2",
    )?;
    page::read(statement.query(params![after, page::sql_limit(limit)])?, limit, |row| {
        Ok(OutboxEvent {
            id: row.get(0)?,
            about: row.get(1)?,
            created_at: times::get(row, 2)?,
            text: row.get(3)?,
        })
    })
}

/// Deletes own events that are settled.
pub(super) fn delete(conn: &Connection, ids: &[i64]) -> rusqlite::Result<()> {
    let mut statement = conn.prepare_cached("DELETE FROM outbox WHERE id = ?1")?;
    ids.iter().try_for_each(|id| statement.execute([id]).map(drop))
}
