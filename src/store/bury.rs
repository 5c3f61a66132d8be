//! Burying: a dead letter, the end of what it came from and its `webhook.dlq` event, in one
//! transaction.

use super::chunk::Kept;
use super::outbox::{BuriedRow, DLQ_EVENT_KIND};
use super::queue::Parcel;
use super::totals::Count;
use super::transaction::Tx;
use super::{LetterState, Store, StoreError, page, sweep};
use crate::delivery::{Claim, DeadLetter, RowId};
use rusqlite::{OptionalExtension, Row, params};
use std::sync::Arc;

/// What a dead letter takes the place of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Replaces {
    /// Nothing in the store.
    Nothing,
    /// Nothing in the store, and nobody can give it again: once the program stops it is written
    /// whatever the bound.
    OnlyCopy,
    /// An event of the queue, which is settled with it.
    Queued {
        /// The export whose queue it is.
        export: Arc<str>,
        /// Where the event stands there.
        row: RowId,
    },
    /// The dead letter of that id, which was replayed in vain: it stays the same row.
    Letter(i64),
}

impl Replaces {
    /// What a delivery of `export` with this claim leaves behind.
    pub fn of(export: &Arc<str>, claim: &Claim) -> Self {
        match *claim {
            Claim::Line { .. } => Replaces::Nothing,
            Claim::Row(row) => Replaces::Queued { export: Arc::clone(export), row },
            Claim::Replay(id) => Replaces::Letter(id),
        }
    }
}

/// Where the event of a dead letter goes on.
#[derive(Debug, Clone)]
pub struct Fallback {
    /// The export that takes it.
    pub export: Arc<str>,
    /// What that export gets: it goes to the end of its FIFO, or waits until it is due, whatever
    /// `replaces` says, and never falls back again.
    pub kept: Kept,
}

/// What became of a delivery that was buried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buried {
    /// The dead letter's id.
    pub id: i64,
    /// Where its event stands in the queue of the fallback, if there is one.
    pub fallback_row: Option<RowId>,
}

impl Store {
    /// Buries a delivery that failed for good: the letter, the end of what it replaces, its
    /// `webhook.dlq` event and the event's way on to another export are one transaction, on disk
    /// when this returns.
    ///
    /// # Errors
    /// When the commit fails, or there is no room under the bound of its export; nothing is
    /// written then.
    pub async fn bury(
        &self,
        letter: DeadLetter,
        replaces: Replaces,
        fallback: Option<Fallback>,
    ) -> Result<Buried, StoreError> {
        let fallback = fallback.map(|Fallback { export, kept }| {
            let kept = Kept { replaces: None, fallback: true, ..kept };
            (export, Parcel::pack(&[kept]))
        });
        // Beside the text: the row's other columns and the event.
        let bytes = letter.text.len() * (1 + usize::from(fallback.is_some())) + 1024;
        self.write((2, bytes), move |tx| {
            let id = tx.bury(&letter, &replaces)?;
            let fallback = fallback.as_ref();
            let rows = fallback.map(|(export, parcel)| tx.keep(export, parcel)).transpose()?;
            Ok(Buried { id, fallback_row: rows.and_then(|rows| rows.first().copied()) })
        })
        .await
    }

    /// Writes the `webhook.dlq` events that wait for their minute to be over.
    ///
    /// # Errors
    /// When the commit fails.
    pub async fn flush_folds(&self) -> Result<(), StoreError> {
        self.write((1, 0), |tx| tx.tell_of_folds(None)).await
    }
}

impl Tx<'_> {
    /// Buries a letter; returns its id.
    pub(super) fn bury(
        &mut self,
        letter: &DeadLetter,
        replaces: &Replaces,
    ) -> Result<i64, StoreError> {
        self.find_room(letter, replaces)?;
        let again = match replaces {
            Replaces::Letter(id) => self.bury_again(*id, letter)?,
            Replaces::Queued { export, row } => {
                self.settle_queued(export, *row)?;
                None
            }
            Replaces::Nothing | Replaces::OnlyCopy => None,
        };
        let buried = match again {
            Some(buried) => buried,
            // A letter that was purged while it was replayed is a new one.
            None => self.bury_new(letter)?,
        };
        if self.state.emit_dlq_events && depth(letter) == 0 {
            let key = (letter.export.clone(), letter.reason);
            let minute = super::folds::minute_of(self.now);
            if self.state.folds.note(&key, buried.id, minute) {
                self.tell_of_letter(letter, buried)?;
            }
        }
        Ok(buried.id)
    }

    fn bury_new(&mut self, letter: &DeadLetter) -> Result<BuriedRow, StoreError> {
        let id = self.state.ids.dead_letters.next();
        let event = letter.event.as_deref();
        let ms = |time: jiff::Timestamp| time.as_millisecond();
        self.conn
            .prepare_cached(
                "INSERT INTO dead_letters VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,
                 ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, 0, ?21, ?22, ?22, ?23, ?24)",
            )?
            .execute(params![
                id,
                letter.export,
                LetterState::Dead,
                letter.reason.as_str(),
                letter.source,
                letter.delivery_id.as_str(),
                letter.position.stream.as_bytes(),
                letter.position.offset as i64,
                letter.position.index,
                ms(letter.accepted_at),
                event.map(|event| event.audit_id.as_str()),
                event.map(|event| event.timestamp.as_str()),
                event.map(|event| event.event_kind.as_str()),
                event.map(|event| event.severity.as_str()),
                event.map(|event| event.agent_id.as_str()),
                letter.attempts,
                letter.first_attempt_at.map(ms),
                letter.last_attempt_at.map(ms),
                letter.last_status,
                letter.last_error,
                depth(letter),
                self.now,
                letter.response,
                letter.text,
            ])?;
        let count = Count::one(LetterState::Dead, letter.text.len() as i64);
        self.state.totals.add(letter.export.as_deref(), &letter.source, count);
        Ok(BuriedRow { id, attempts: letter.attempts, replays: 0 })
    }

    /// The row of a letter that was replayed in vain; `None` where it is gone or damaged.
    fn bury_again(
        &mut self,
        id: i64,
        letter: &DeadLetter,
    ) -> Result<Option<BuriedRow>, StoreError> {
        let sql =
            format!("SELECT {}, attempts, replays FROM dead_letters WHERE id = ?1", sweep::PICKED);
        let old = |row: &Row<'_>| {
            let (attempts, replays): (u32, u32) = (row.get(5)?, row.get(6)?);
            let attempts = attempts.saturating_add(letter.attempts);
            let replays = replays.saturating_add(1);
            Ok((sweep::picked(row)?, BuriedRow { id, attempts, replays }))
        };
        let old = self.conn.prepare_cached(&sql)?.query_row([id], old).optional();
        let Some((old, buried)) = page::known(old)?.flatten() else { return Ok(None) };
        let ms = |time: jiff::Timestamp| time.as_millisecond();
        self.conn
            .prepare_cached(
                "UPDATE dead_letters SET state = ?2, reason = ?3, attempts = ?4,
                    first_attempt_at = COALESCE(first_attempt_at, ?5),
                    last_attempt_at = COALESCE(?6, last_attempt_at), last_status = ?7,
                    last_error = ?8, response = ?9, replays = ?10, updated_at = ?11
                 WHERE id = ?1",
            )?
            .execute(params![
                id,
                LetterState::Dead,
                letter.reason.as_str(),
                buried.attempts,
                letter.first_attempt_at.map(ms),
                letter.last_attempt_at.map(ms),
                letter.last_status,
                letter.last_error,
                letter.response,
                buried.replays,
                self.now
            ])?;
        self.state.totals.remove(
            old.export.as_deref(),
            &old.source,
            Count::one(old.state, old.bytes),
        );
        let count = Count::one(LetterState::Dead, old.bytes);
        self.state.totals.add(old.export.as_deref(), &old.source, count);
        Ok(Some(buried))
    }
}

/// Dead letters of events that tell of dead letters raise none: they would never end.
fn depth(letter: &DeadLetter) -> u32 {
    u32::from(letter.event.as_ref().is_some_and(|event| &*event.event_kind == DLQ_EVENT_KIND))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{self, Bench, START_MS};
    use super::super::{LetterState, Reader, ReplayScope, Selection, StoredLetter};
    use super::*;
    use crate::retry::Reason;

    fn stored(bench: &Bench, id: i64) -> StoredLetter {
        Reader::open(bench.path()).unwrap().letter(id).unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_letter_is_kept_with_all_it_knows() {
        let bench = Bench::new();
        let letter = testing::letter("alerts", 1);
        let id = bench.open().bury(letter.clone(), Replaces::Nothing, None).await.unwrap().id;
        assert_eq!(id, START_MS + 1, "ids start at Unix milliseconds");
        let stored = stored(&bench, id);
        assert_eq!(stored.export, letter.export);
        assert_eq!(stored.state, LetterState::Dead);
        assert_eq!(stored.delivery_id, letter.delivery_id);
        assert_eq!(stored.position, letter.position);
        assert_eq!(stored.accepted_at, letter.accepted_at);
        assert_eq!(stored.reason, Reason::RetriesExhausted);
        assert_eq!((stored.attempts, stored.replays, stored.depth), (5, 0, 0));
        assert_eq!(stored.first_attempt_at, letter.first_attempt_at);
        assert_eq!(stored.last_attempt_at, letter.last_attempt_at);
        assert_eq!(stored.last_status, Some(503));
        assert_eq!(stored.last_error, "HTTP 503");
        assert_eq!(stored.response.as_deref(), Some("try later"));
        assert_eq!(stored.text, letter.text);
        let envelope = stored.envelope.clone().unwrap();
        assert_eq!((&*envelope.audit_id, &*envelope.event_kind), ("ae_1", "policy_block"));
        let delivery = stored.into_delivery().unwrap();
        assert_eq!(delivery.id, letter.delivery_id);
        assert!(matches!(delivery.claim, Claim::Replay(claimed) if claimed == id));
    }

    #[tokio::test]
    async fn a_line_that_is_not_an_event_is_kept_as_it_is() {
        let bench = Bench::new();
        let store = bench.open();
        let id = store
            .bury(testing::malformed("app-audit", 1), Replaces::Nothing, None)
            .await
            .unwrap()
            .id;
        let stored = stored(&bench, id);
        assert_eq!((&stored.export, &stored.envelope), (&None, &None));
        assert_eq!(stored.text, b"not json \xff");
        assert!(stored.into_delivery().is_none());
        let total = &store.totals()[0];
        assert_eq!((total.export.as_deref(), total.source.as_deref()), (None, Some("app-audit")));
    }

    #[tokio::test]
    async fn a_failed_replay_returns_to_its_row_with_its_history() {
        let bench = Bench::new();
        let store = bench.open();
        let first = testing::letter("alerts", 1);
        let id = store.bury(first.clone(), Replaces::Nothing, None).await.unwrap().id;
        let scope = ReplayScope { exports: vec!["alerts".into()], orphans_to: None };
        for replays in 1..=2 {
            bench.advance_ms(60_000);
            store.mark_replaying(&Selection::default(), &scope).await.unwrap();
            let again = DeadLetter {
                reason: Reason::Rejected,
                attempts: 2,
                first_attempt_at: Some(testing::time(START_MS + 1)),
                last_attempt_at: Some(testing::time(START_MS + 2)),
                last_status: Some(400),
                last_error: "HTTP 400".to_owned(),
                response: None,
                ..first.clone()
            };
            let buried = store.bury(again, Replaces::Letter(id), None).await;
            assert_eq!(buried, Ok(Buried { id, fallback_row: None }));
            let stored = stored(&bench, id);
            assert_eq!((stored.state, stored.replays), (LetterState::Dead, replays));
            assert_eq!((stored.attempts, stored.reason), (5 + 2 * replays, Reason::Rejected));
            assert_eq!(stored.first_attempt_at, first.first_attempt_at, "the first stays first");
            assert_eq!(stored.last_attempt_at, Some(testing::time(START_MS + 2)));
            assert_eq!((stored.last_status, stored.response), (Some(400), None));
            assert_eq!(stored.created_at, testing::time(START_MS));
            assert_eq!(store.total("alerts").letters, 1);
        }
        let told = store.outbox_after(0, 9).await.unwrap().items;
        let ids: Vec<_> = told.iter().map(|event| testing::audit_id(&event.text)).collect();
        assert_eq!(ids, [format!("dlq_{id}"), format!("dlq_{id}_1"), format!("dlq_{id}_2")]);
    }

    #[tokio::test]
    async fn a_letter_purged_while_it_was_replayed_is_a_new_one() {
        let bench = Bench::new();
        let store = bench.open();
        let id =
            store.bury(testing::letter("alerts", 1), Replaces::Letter(42), None).await.unwrap().id;
        assert_eq!((stored(&bench, id).replays, store.total("alerts").letters), (0, 1));
    }

    #[tokio::test]
    async fn a_letter_ends_the_queued_event_it_came_from() {
        let bench = Bench::new();
        let store = bench.open();
        let export: Arc<str> = "alerts".into();
        let kept = (0..3).map(testing::kept).collect();
        let rows = store.keep("alerts", kept).await.unwrap();
        let bury = async |row: RowId, n| {
            let replaces = Replaces::of(&export, &Claim::Row(row));
            store.bury(testing::letter("alerts", n), replaces, None).await.unwrap();
        };
        bury(rows[0], 0).await;
        let due = Some(testing::time(START_MS));
        let again = Kept { due, replaces: Some(rows[1]), ..testing::kept(1) };
        // Nobody has waited for the retry to be written.
        let moved = store.reschedule(&export, again).unwrap();
        bury(moved, 1).await;
        let left = testing::queued(&store, "alerts").await;
        assert_eq!(
            left.iter().map(|one| one.delivery.id).collect::<Vec<_>>(),
            [testing::kept(2).id]
        );
        let total = store.queue_total("alerts");
        assert_eq!((total.events, total.waiting), (1, 0));
    }

    #[tokio::test]
    async fn a_fallback_gets_the_event_with_the_letter_and_only_once() {
        let bench = Bench::new();
        let store = bench.open();
        store.keep("second", vec![testing::kept(7)]).await.unwrap();
        let kept = Kept {
            due: Some(testing::time(START_MS)),
            replaces: Some(RowId { number: 1, due_ms: None }),
            ..testing::kept(1)
        };
        let fallback = Fallback { export: "second".into(), kept };
        let letter = testing::letter("alerts", 1);
        bench.sql().execute_batch("ALTER TABLE waiting RENAME TO away").unwrap();
        let refused = store.bury(letter.clone(), Replaces::Nothing, Some(fallback.clone())).await;
        assert!(matches!(refused, Err(StoreError::Sqlite(_))), "{refused:?}");
        assert_eq!(store.total("alerts").letters, 0, "neither without the other");
        bench.sql().execute_batch("ALTER TABLE away RENAME TO waiting").unwrap();
        let buried = store.bury(letter, Replaces::Nothing, Some(fallback)).await.unwrap();
        let after = bench.crashed();
        let store = after.open();
        let queued = testing::queued(&store, "second").await;
        assert_eq!(queued.len(), 2);
        let last = &queued[1];
        let row = buried.fallback_row.unwrap();
        assert!(matches!(last.delivery.claim, Claim::Row(at) if at == row));
        assert_eq!((row.due_ms, last.delivery.fallback), (Some(START_MS), true));
        assert_eq!(stored(&after, buried.id).delivery_id, testing::letter("alerts", 1).delivery_id);
    }
}
