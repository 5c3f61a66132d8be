//! One transaction of the writer: the connection, the time, and what the writer keeps in memory
//! beside the file. What is kept in memory becomes true with the commit and not before.

use super::bounds::Bound;
use super::folds::{Folds, minute_of};
use super::queue::QueueTotals;
use super::totals::Totals;
use super::writer::Shared;
use super::{DlqBounds, Removal, StoreError};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;
use std::sync::Arc;

/// What the writer keeps in memory.
#[derive(Debug)]
pub(super) struct State {
    pub(super) ids: Ids,
    pub(super) folds: Folds,
    pub(super) totals: Totals,
    pub(super) queue_totals: QueueTotals,
    /// What dead letters may take up.
    pub(super) bound: Bound,
    /// Whether the disk is full: nothing is added then.
    pub(super) disk_full: bool,
    /// Whether dead letters raise events.
    pub(super) emit_dlq_events: bool,
    /// Whether the open transaction wrote to the outbox.
    pub(super) wrote_outbox: bool,
    /// Dead letters that the open transaction removes, by export (empty: malformed lines).
    pub(super) removed: HashMap<(String, Removal), u64>,
    /// Queued events that the open transaction could not read, by export.
    pub(super) unreadable: Vec<(Arc<str>, u64)>,
}

/// The ascending numbers that the store hands out.
#[derive(Debug)]
pub(super) struct Ids {
    pub(super) dead_letters: Counter,
    pub(super) outbox: Counter,
    pub(super) queue: Counter,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Counter {
    name: &'static str,
    last: i64,
    saved: i64,
}

impl Counter {
    fn load(conn: &Connection, name: &'static str) -> Result<Self, StoreError> {
        let last = conn
            .query_row("SELECT value FROM counters WHERE name = ?1", [name], |row| row.get(0))
            .optional()?
            .ok_or_else(|| StoreError::Corrupt(format!("the counter of {name} is missing")))?;
        Ok(Counter { name, last, saved: last })
    }

    /// The next number.
    pub(super) fn next(&mut self) -> i64 {
        self.take(1)
    }

    /// The first of `count` numbers in a row. Numbers of a transaction that comes to nothing are
    /// left out for good.
    pub(super) fn take(&mut self, count: usize) -> i64 {
        let first = self.last + 1;
        self.last += count as i64;
        first
    }

    fn save(&mut self, conn: &Connection) -> rusqlite::Result<()> {
        if self.last != self.saved {
            conn.prepare_cached("UPDATE counters SET value = ?2 WHERE name = ?1")?
                .execute(params![self.name, self.last])?;
        }
        Ok(())
    }
}

impl State {
    pub(super) fn load(
        conn: &Connection,
        emit_dlq_events: bool,
        dlq: DlqBounds,
    ) -> Result<Self, StoreError> {
        Ok(State {
            ids: Ids {
                dead_letters: Counter::load(conn, "dead_letters")?,
                outbox: Counter::load(conn, "outbox")?,
                queue: Counter::load(conn, "queue")?,
            },
            // Where no events are raised, what an earlier run left waits for one that does.
            folds: if emit_dlq_events { Folds::load(conn)? } else { Folds::default() },
            totals: Totals::load(conn)?,
            queue_totals: QueueTotals::load(conn)?,
            bound: Bound::new(dlq),
            disk_full: false,
            emit_dlq_events,
            wrote_outbox: false,
            removed: HashMap::new(),
            unreadable: Vec::new(),
        })
    }

    /// The transaction came to nothing.
    pub(super) fn roll_back(&mut self) {
        self.folds.roll_back();
        self.totals.roll_back();
        self.queue_totals.roll_back();
        self.bound.roll_back();
        self.wrote_outbox = false;
        self.removed.clear();
        self.unreadable.clear();
    }

    /// The counters are in the file.
    pub(super) fn committed(&mut self) {
        self.folds.commit();
        self.queue_totals.commit();
        for counter in [&mut self.ids.dead_letters, &mut self.ids.outbox, &mut self.ids.queue] {
            counter.saved = counter.last;
        }
    }
}

/// One open transaction.
pub(super) struct Tx<'a> {
    pub(super) conn: &'a Connection,
    pub(super) state: &'a mut State,
    pub(super) shared: &'a Shared,
    /// When it began, Unix milliseconds: the time of everything it writes.
    pub(super) now: i64,
}

impl<'a> Tx<'a> {
    /// Begins. The caller commits or rolls back.
    pub(super) fn begin(
        conn: &'a Connection,
        state: &'a mut State,
        shared: &'a Shared,
        now: i64,
    ) -> Result<Self, StoreError> {
        conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(Tx { conn, state, shared, now })
    }

    /// Tells of the folds whose minute is over; while the disk is full they wait.
    pub(super) fn tell_of_past_minutes(&mut self) -> Result<(), StoreError> {
        if self.state.disk_full {
            return Ok(());
        }
        self.tell_of_folds(Some(minute_of(self.now)))
    }

    /// Writes the counters, last.
    pub(super) fn save_counters(&mut self) -> rusqlite::Result<()> {
        self.state.folds.save(self.conn)?;
        self.state.totals.save(self.conn)?;
        self.state.queue_totals.save(self.conn)?;
        let ids = &mut self.state.ids;
        ids.dead_letters.save(self.conn)?;
        ids.outbox.save(self.conn)?;
        ids.queue.save(self.conn)
    }
}
