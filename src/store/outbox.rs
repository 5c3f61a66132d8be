//! The outbox: own events, written in the transaction of what caused them and read by the internal
//! source. Here is what a `webhook.dlq` event looks like; which dead letters get one of their own
//! is decided in `folds`. Events that tell of an endpoint live in `endpoints`.

use super::folds::{Fold, Key};
use super::transaction::Tx;
use super::{Page, Store, StoreError, page, times};
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

impl Store {
    /// Own events behind the id `after` (0: from the first), at most `limit`.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn outbox_after(
        &self,
        after: i64,
        limit: usize,
    ) -> Result<Page<OutboxEvent>, StoreError> {
        self.between("read", move |conn| self::after(conn, after, limit)).await
    }

    /// Deletes own events that are settled; written with the next commit.
    pub fn outbox_delete(&self, ids: impl IntoIterator<Item = i64>) {
        self.ride(|riders| riders.outbox.extend(ids));
    }

    /// Waits until a commit has written to the outbox since the last call; for one caller.
    pub async fn outbox_changed(&self) {
        self.0.shared.outbox_changed.notified().await;
    }
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
pub(super) struct BuriedRow {
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
        buried: BuriedRow,
    ) -> Result<(), StoreError> {
        let BuriedRow { id, attempts, replays } = buried;
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

    pub(super) fn put_in_outbox(
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

pub(super) fn json(event: &impl Serialize) -> Result<String, StoreError> {
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

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Bench, START_MS};
    use super::super::{Replaces, StoreOptions};
    use super::*;
    use futures::FutureExt;

    async fn bury(store: &Store, letters: impl IntoIterator<Item = DeadLetter>) -> Vec<i64> {
        let buried = letters.into_iter().map(|letter| store.bury(letter, Replaces::Nothing, None));
        let buried = futures::future::try_join_all(buried).await.unwrap();
        buried.into_iter().map(|buried| buried.id).collect()
    }

    async fn told(store: &Store) -> Vec<OutboxEvent> {
        store.outbox_after(0, 1000).await.unwrap().items
    }

    #[tokio::test]
    async fn a_dead_letter_is_told_as_the_contract_says() {
        let bench = Bench::new();
        let store = bench.open();
        let ids = bury(&store, [testing::letter("alerts", 1), testing::malformed("app", 2)]).await;
        let told = told(&store).await;
        assert_eq!(told[0].about.as_deref(), Some("alerts"));
        assert_eq!(
            told[0].text,
            format!(
                r#"{{"audit_id":"dlq_{0}","timestamp":"2025-11-20T20:20:00.000Z","event_kind":"webhook.dlq","severity":"error","agent_id":"support-bot","export":"alerts","source":"app-audit","dead_letter_id":{0},"reason":"retries_exhausted","attempts":5,"last_status":503,"last_error":"HTTP 503","response":"try later","event":{{"audit_id":"ae_1","timestamp":"2025-11-20T20:19:59.000Z","event_kind":"policy_block","severity":"error"}}}}"#,
                ids[0]
            )
        );
        assert_eq!(told[1].about, None);
        assert_eq!(
            told[1].text,
            format!(
                r#"{{"audit_id":"dlq_{0}","timestamp":"2025-11-20T20:20:00.000Z","event_kind":"webhook.dlq","severity":"error","agent_id":"","export":null,"source":"app","dead_letter_id":{0},"reason":"malformed","attempts":0,"last_status":null,"last_error":"a string where an object is due","response":null,"event":null}}"#,
                ids[1]
            )
        );
    }

    #[tokio::test]
    async fn letters_of_dlq_events_and_of_a_silent_store_are_not_told() {
        let bench = Bench::new();
        let store = bench.open();
        let loud = testing::letter_of("alerts", &testing::event(1, DLQ_EVENT_KIND));
        bury(&store, [loud]).await;
        assert_eq!(bench.number("SELECT depth FROM dead_letters"), 1);
        assert_eq!(told(&store).await, []);
        store.close().await.unwrap();
        let silent = StoreOptions { emit_dlq_events: false, ..bench.options() };
        let store = Store::open(bench.path(), silent).unwrap();
        bury(&store, (0..20).map(|n| testing::letter("alerts", n))).await;
        store.flush_folds().await.unwrap();
        assert_eq!(told(&store).await, []);
    }

    #[tokio::test]
    async fn after_ten_in_a_minute_the_rest_is_told_as_one() {
        let bench = Bench::new();
        let store = bench.open();
        let ids = bury(&store, (0..25).map(|n| testing::letter("alerts", n))).await;
        bury(&store, [testing::letter("other", 1)]).await;
        assert_eq!(told(&store).await.len(), 11);
        bench.advance_ms(59_999);
        bury(&store, [testing::letter("alerts", 26)]).await;
        assert_eq!(told(&store).await.len(), 11);
        bench.advance_ms(1);
        let next = bury(&store, [testing::letter("alerts", 27)]).await[0];
        let told = told(&store).await;
        let [.., folded, single] = &told[..] else { panic!("{told:?}") };
        assert_eq!(
            folded.text,
            format!(
                r#"{{"audit_id":"dlq_fold_{}","timestamp":"2025-11-20T20:21:00.000Z","event_kind":"webhook.dlq","severity":"error","export":"alerts","reason":"retries_exhausted","count":16,"first_id":{},"last_id":{}}}"#,
                folded.id,
                ids[10],
                next - 1
            )
        );
        assert_eq!(folded.about.as_deref(), Some("alerts"));
        assert_eq!(testing::audit_id(&single.text), format!("dlq_{next}"));
    }

    #[tokio::test]
    async fn what_a_crash_left_folded_is_told_once_after_the_restart() {
        let bench = Bench::new();
        let store = bench.open();
        bury(&store, (0..12).map(|n| testing::letter("alerts", n))).await;
        let after = bench.crashed();
        after.advance_ms(3_600_000);
        let store = after.open();
        store.outbox_changed().await;
        let last = told(&store).await.pop().unwrap();
        assert!(last.text.contains(r#""count":2,"#), "{}", last.text);
        store.close().await.unwrap();
        assert_eq!(told(&after.open()).await.len(), 11);
        assert_eq!(after.number("SELECT COUNT(*) FROM folds"), 0);
    }

    #[tokio::test]
    async fn a_flush_tells_at_once() {
        let bench = Bench::new();
        let store = bench.open();
        bury(&store, (0..12).map(|n| testing::letter("alerts", n))).await;
        store.flush_folds().await.unwrap();
        store.flush_folds().await.unwrap();
        assert_eq!(told(&store).await.len(), 11);
        assert_eq!(bench.number("SELECT COUNT(*) FROM folds"), 0);
    }

    #[tokio::test]
    async fn the_outbox_is_read_in_pages_and_emptied() {
        let bench = Bench::new();
        let store = bench.open();
        assert!(store.outbox_changed().now_or_never().is_none());
        bury(&store, (0..5).map(|n| testing::letter("alerts", n))).await;
        store.outbox_changed().await;
        let first = store.outbox_after(0, 3).await.unwrap();
        assert_eq!((first.items.len(), first.next), (3, Some(first.items[2].id)));
        assert!(first.items[0].id > START_MS);
        let rest = store.outbox_after(first.items[2].id, 3).await.unwrap();
        assert_eq!((rest.items.len(), rest.next), (2, None));
        store.outbox_delete(first.items.iter().map(|event| event.id));
        store.close().await.unwrap();
        assert_eq!(told(&bench.open()).await, rest.items);
    }
}
